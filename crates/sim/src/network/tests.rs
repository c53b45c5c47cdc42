use bytes::Bytes;
use futures_util::StreamExt;

use super::*;

const SENT: usize = 1000;

/// What was received, and the error after which nothing more came.
type Received = (Vec<u8>, Option<String>);

struct World {
    executor: Executor,
    network: Network,
    client: ProcessId,
    server: ProcessId,
    outcome: Arc<Mutex<Option<Received>>>,
}

/// A server that sends every body back.
fn world(seed: u64, cuts_per_million: u64) -> World {
    let executor = Executor::new(Random::new(seed));
    let config = NetworkConfig {
        latency_us_max: 20_000,
        piece_bytes_max: 200,
        cuts_per_million,
        cut_bytes_max: SENT as u64,
        refusals_per_million: 0,
        window_bytes: 300,
        dead_peer_ms: 5_000,
    };
    let network = Network::new(&executor, config, Random::new(seed));
    let (client, server) = (executor.add_process(), executor.add_process());
    network.set_host(Some(Host {
        process: server,
        call: Arc::new(|_, body| Box::pin(async move { Ok(body) })),
        feed: Arc::new(|_, _| {
            let body = futures_util::stream::iter([Ok(Bytes::from_static(b"begun"))]);
            Box::pin(async move { Ok(body.chain(futures_util::stream::pending()).boxed() as ByteStream) })
        }),
    }));
    World { executor, network, client, server, outcome: Arc::default() }
}

fn body() -> Vec<u8> {
    (0..SENT).map(|at| at as u8).collect()
}

impl World {
    /// What came back before the first error.
    fn call(&self) -> Received {
        self.begin(false);
        self.finish()
    }

    fn begin(&self, is_feed: bool) {
        let link = SimLink::new(&self.network, 0, self.client);
        let outcome = Arc::clone(&self.outcome);
        let request = FeedRequest {
            drive: skep_types::DriveId::from_bytes([1; 16]),
            after: skep_types::Cursor {
                generation: skep_types::Generation::from_bytes([1; 16]),
                seq: skep_types::Seq::START,
                commit: None,
            },
            wants_content: false,
        };
        self.executor.spawn(self.client, "test", async move {
            let sent = futures_util::stream::iter([Ok(Bytes::from(body()))]).boxed();
            let answer = if is_feed { link.feed("token", request).await } else { link.call(None, sent).await };
            let result = match answer {
                Err(error) => (Vec::new(), Some(error.to_string())),
                Ok(mut answer) => {
                    let mut got = Vec::new();
                    loop {
                        match answer.next().await {
                            Some(Ok(piece)) => got.extend_from_slice(&piece),
                            Some(Err(error)) => break (got, Some(error.to_string())),
                            None => break (got, None),
                        }
                    }
                }
            };
            *outcome.lock().unwrap() = Some(result);
        });
    }

    fn finish(&self) -> Received {
        self.executor.run(100_000, || self.outcome.lock().unwrap().is_some()).unwrap();
        self.executor.shut_down();
        self.outcome.lock().unwrap().take().unwrap()
    }

    fn pass_ms(&self, ms: u64) {
        let until = self.executor.now_us() + ms * 1000;
        let process = self.executor.add_process();
        self.executor.spawn(process, "time", self.executor.sleep_until_us(until));
        self.executor.run(100_000, || self.executor.now_us() >= until).unwrap();
    }
}

#[test]
fn a_calm_network_delivers_every_byte_in_order() {
    for seed in 0..50 {
        assert_eq!(world(seed, 0).call(), (body(), None), "seed {seed}");
    }
}

#[test]
fn a_cut_shows_as_an_error_behind_a_prefix() {
    let mut prefixes = BTreeSet::new();
    for seed in 0..200 {
        let (got, error) = world(seed, 1_000_000).call();
        assert_eq!(got, body()[..got.len()], "seed {seed}");
        assert!(error.is_some() || got.len() == SENT, "seed {seed}: a cut answer looks whole");
        prefixes.insert(got.len());
    }
    assert!(prefixes.len() > 20, "cuts fall everywhere: {prefixes:?}");
}

#[test]
fn a_server_that_dies_breaks_its_connections() {
    let world = world(1, 0);
    world.begin(true);
    world.pass_ms(1_000);
    world.executor.kill(world.server);
    let (got, error) = world.finish();
    assert_eq!((got.as_slice(), error.is_some()), (&b"begun"[..], true));
    assert!(world.executor.now_us() < 1_100_000);
}

#[test]
fn a_server_that_dies_behind_a_partition_is_noticed_by_its_silence() {
    let world = world(1, 0);
    world.begin(true);
    world.pass_ms(1_000);
    world.network.set_reachable(0, false);
    world.executor.kill(world.server);
    let (got, error) = world.finish();
    assert_eq!((got.as_slice(), error.is_some()), (&b"begun"[..], true));
    assert!(world.executor.now_us() >= 5_000_000, "nobody can know earlier");
}

#[test]
fn without_a_server_there_is_no_connection() {
    let world = world(1, 0);
    world.network.set_host(None);
    assert!(world.call().1.unwrap().contains("cannot be reached"));
}
