use std::sync::atomic::{AtomicU32, Ordering};

use skep_platform::{Clock, Tasks, offload};

use super::*;

/// Three tasks that wait, offload and report; the order in which they did so.
fn story(seed: u64) -> (Vec<String>, [u8; 32], u64) {
    let executor = Executor::new(Random::new(seed));
    let process = executor.add_process();
    let told = Arc::new(Mutex::new(Vec::new()));
    for task in 0..3 {
        let (tasks, clock, told) = (SimTasks::new(&executor, process), SimClock::new(&executor, 0), Arc::clone(&told));
        executor.spawn(process, "story", async move {
            for round in 0..3 {
                clock.sleep_until(round * 5).await;
                let line = offload(&tasks, Lane::Disk, move || format!("{task}.{round}")).await.unwrap();
                told.lock().unwrap().push(line);
            }
        });
    }
    executor.run(10_000, || told.lock().unwrap().len() == 9).unwrap();
    let now = executor.now_us();
    executor.shut_down();
    let told = told.lock().unwrap().clone();
    (told, executor.trace(), now)
}

#[test]
fn a_seed_is_a_story() {
    assert_eq!(story(1), story(1));
    assert_ne!(story(1).1, story(2).1);
    let orders: std::collections::BTreeSet<_> = (0..20).map(|seed| story(seed).0).collect();
    assert!(orders.len() > 5, "the seed must choose the order");
}

#[test]
fn time_jumps_to_the_next_timer() {
    let executor = Executor::new(Random::new(1));
    let process = executor.add_process();
    let done = Arc::new(AtomicU32::new(0));
    let (sleep, is_done) = (executor.sleep_ms(3_600_000), Arc::clone(&done));
    executor.spawn(process, "sleeper", async move {
        sleep.await;
        is_done.store(1, Ordering::Relaxed);
    });
    executor.run(10, || done.load(Ordering::Relaxed) == 1).unwrap();
    assert!(executor.now_us() >= 3_600_000_000);
    assert_eq!(executor.run(10, || false), Err(RunError::Stuck));
}

#[test]
fn a_killed_process_runs_no_further() {
    let executor = Executor::new(Random::new(1));
    let (victim, other) = (executor.add_process(), executor.add_process());
    let count = Arc::new(AtomicU32::new(0));
    let tasks = SimTasks::new(&executor, victim);
    // One task waits for ever, one job is queued, and one job kills its own process in its midst.
    let counter = Arc::clone(&count);
    let on_drop = OnDrop(counter);
    tasks.spawn("waits", async move {
        let _on_drop = on_drop;
        std::future::pending::<()>().await;
    });
    let (killer, counter) = (executor.clone(), Arc::clone(&count));
    tasks.run_job(
        Lane::Disk,
        Box::new(move || {
            killer.kill(victim);
            counter.fetch_add(100, Ordering::Relaxed);
        }),
    );
    let counter = Arc::clone(&count);
    tasks.run_job(Lane::Disk, Box::new(move || _ = counter.fetch_add(100, Ordering::Relaxed)));
    assert_eq!(executor.run(100, || false), Err(RunError::Stuck));
    assert_eq!(count.load(Ordering::Relaxed), 1, "the waiting task was dropped, nothing else ran");

    tasks.spawn("too late", async {});
    let counter = Arc::clone(&count);
    executor.spawn(other, "lives", async move { _ = counter.fetch_add(1, Ordering::Relaxed) });
    assert_eq!(executor.run(100, || false), Err(RunError::Stuck));
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

struct OnDrop(Arc<AtomicU32>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_panic_is_reported_with_its_words() {
    let executor = Executor::new(Random::new(1));
    let process = executor.add_process();
    executor.spawn(process, "clumsy", async { std::panic::resume_unwind(Box::new("tripped".to_owned())) });
    let error = executor.run(100, || false).unwrap_err();
    assert_eq!(error, RunError::Panicked { task: "clumsy", message: "tripped".to_owned() });
}

#[test]
fn going_round_in_circles_is_noticed() {
    let executor = Executor::new(Random::new(1));
    let process = executor.add_process();
    executor.spawn(
        process,
        "circle",
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::Pending
        }),
    );
    assert_eq!(executor.run(100, || false), Err(RunError::Steps { steps_max: 100, busiest: vec![("circle", 100)] }));
    executor.shut_down();
}
