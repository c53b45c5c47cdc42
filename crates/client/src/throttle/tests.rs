use super::*;

/// The clock of the test's runtime, which stands still but for what is slept.
struct TestClock(tokio::time::Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    fn sleep_until(&self, at_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep_until(self.0 + std::time::Duration::from_millis(at_ms)))
    }
}

fn throttle(up: Option<u64>) -> Throttle {
    Throttle::new(TestClock(tokio::time::Instant::now()), Rates { up, down: None })
}

fn body(bytes: usize) -> ByteStream {
    Box::pin(stream::iter([Ok(Bytes::from(vec![7; bytes]))]))
}

/// How many bytes come through, and after how many milliseconds the last did.
async fn through(throttle: &Throttle, bytes: usize, way: Way) -> (usize, u64) {
    let mut slowed = throttle.slowed(body(bytes), way);
    let mut count = 0;
    while let Some(piece) = slowed.next().await {
        count += piece.unwrap().len();
    }
    (count, throttle.clock.monotonic_ms())
}

#[tokio::test(start_paused = true)]
async fn bytes_come_through_whole_at_the_rate_and_without_one_at_once() {
    let limited = throttle(Some(50_000));
    let (count, after_ms) = through(&limited, 500_000, Way::Up).await;
    assert_eq!(count, 500_000);
    assert!((9_000..=10_500).contains(&after_ms), "{after_ms} ms");
    assert_eq!(through(&throttle(Some(50_000)), 500_000, Way::Down).await, (500_000, 0));
    assert_eq!(through(&throttle(None), 500_000, Way::Up).await, (500_000, 0));
}

#[tokio::test(start_paused = true)]
async fn a_small_body_passes_a_big_one_and_a_rate_that_is_taken_away_ends_the_waiting() {
    let throttle = throttle(Some(100_000));
    let small = async {
        throttle.clock.sleep_until(5_000).await;
        let passed = through(&throttle, 60_000, Way::Up).await;
        throttle.set(Rates::default());
        passed
    };
    let (big, small) = futures_util::future::join(through(&throttle, 3_000_000, Way::Up), small).await;
    assert_eq!((big.0, small.0), (3_000_000, 60_000));
    assert!(small.1 < 6_200, "{} ms: alone it would have taken 600", small.1);
    assert!(big.1 < 8_000, "{} ms: it would have taken 30 s", big.1);
}
