//! Worlds from seeds.

use skep_sim::{Action, Listener, Options, Swarm, run_many, run_seed, run_world};

#[test]
fn a_world_without_clients_runs() {
    let outcome = run_world(1, Options::quiet(0), Listener::Report).expect("a server alone has no trouble");
    assert_eq!((outcome.entries, outcome.contents), (0, 0));
}

#[test]
fn an_empty_world_settles() {
    let outcome = run_world(1, Options::quiet(2), Listener::Report).expect("nothing happens");
    assert_eq!((outcome.entries, outcome.contents), (0, 0));
}

#[test]
fn files_come_to_the_other_machine() {
    let mut options = Options::quiet(2);
    options.actions = 3;
    options.habits[0].shares = vec![(Action::Create, 1)];
    options.habits[1].shares = vec![(Action::Remove, 1)];
    let outcome = run_world(1, options, Listener::Report).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(outcome.entries > 0);
}

#[test]
fn a_seed_gives_the_same_trace_each_time() {
    for seed in 1..=4 {
        assert_eq!(run_seed(seed, Swarm::Usual), run_seed(seed, Swarm::Usual), "seed {seed}");
    }
}

#[test]
fn nothing_is_violated() {
    let figures = run_many(9, 20, Swarm::Usual).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(figures.seeds, 20);
    assert!(figures.contents > 50 && figures.entries > 100, "worlds in which little happens prove little: {figures}");
}
