//! Worlds from seeds.

use skep_sim::{Listener, Options, run_seed, run_world};

#[test]
fn a_world_without_clients_runs() {
    let outcome = run_world(1, Options::quiet(0), Listener::Report).expect("a server alone has no trouble");
    assert_eq!((outcome.entries, outcome.contents), (0, 0));
}

#[test]
fn a_seed_gives_the_same_trace_each_time() {
    for seed in 1..=4 {
        assert_eq!(run_seed(seed), run_seed(seed), "seed {seed}");
    }
}
