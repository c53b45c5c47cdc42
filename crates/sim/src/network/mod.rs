//! The network between the clients' machines and the server: late, in pieces, cut anywhere, at times not there at all.

mod connection;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use skep_client::{Link, LinkError};
use skep_protocol::{ByteStream, ErrorReply, FeedRequest};

use crate::{Executor, ProcessId, Random};
use connection::{Connection, Item, Way};

/// How bad the network is.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Longest way of a piece, in virtual microseconds.
    pub latency_us_max: u64,
    /// Longest piece in which bytes arrive.
    pub piece_bytes_max: usize,
    /// So many connections of a million break somewhere.
    pub cuts_per_million: u64,
    /// A connection that breaks does so before this byte.
    pub cut_bytes_max: u64,
    /// So many attempts to connect out of a million fail.
    pub refusals_per_million: u64,
    /// Bytes that wait for a slow reader before the writer has to.
    pub window_bytes: usize,
    /// A connection that was silent for so long is dead.
    pub dead_peer_ms: u64,
}

type Answer = Pin<Box<dyn Future<Output = Result<ByteStream, ErrorReply>> + Send>>;

/// The server's process, as connections reach it.
#[derive(Clone)]
pub struct Host {
    /// In which connections are answered.
    pub process: ProcessId,
    /// Answers a call, given its token and body.
    pub call: Arc<dyn Fn(Option<String>, ByteStream) -> Answer + Send + Sync>,
    /// Answers a feed.
    pub feed: Arc<dyn Fn(String, FeedRequest) -> Answer + Send + Sync>,
}

/// The network. Clones are one network.
#[derive(Clone)]
pub struct Network {
    executor: Executor,
    config: Arc<NetworkConfig>,
    state: Arc<Mutex<State>>,
}

struct State {
    random: Random,
    host: Option<Host>,
    unreachable: BTreeSet<usize>,
    connections: Vec<Weak<Connection>>,
    is_calm: bool,
}

impl Network {
    /// A network without a server.
    pub fn new(executor: &Executor, config: NetworkConfig, random: Random) -> Network {
        let state = State { random, host: None, unreachable: BTreeSet::new(), connections: Vec::new(), is_calm: false };
        Network { executor: executor.clone(), config: Arc::new(config), state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server came up, or went down.
    pub fn set_host(&self, host: Option<Host>) {
        let earlier = std::mem::replace(&mut self.state().host, host);
        drop(earlier);
    }

    /// From now on nothing passes between this machine and the server, or everything again.
    pub fn set_reachable(&self, machine: usize, is_reachable: bool) {
        let mut state = self.state();
        if is_reachable {
            state.unreachable.remove(&machine);
        } else {
            state.unreachable.insert(machine);
        }
        state.connections.retain(|connection| connection.strong_count() > 0);
        let connections: Vec<_> = state.connections.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        connections
            .iter()
            .filter(|connection| connection.machine == machine)
            .for_each(|connection| connection.wake_all());
    }

    /// From now on no connection is cut or refused.
    pub fn calm_down(&self) {
        let mut state = self.state();
        state.is_calm = true;
        let machines: Vec<usize> = state.unreachable.iter().copied().collect();
        drop(state);
        machines.into_iter().for_each(|machine| self.set_reachable(machine, true));
    }

    /// Whether something passes between this machine and the server.
    pub fn is_reachable(&self, machine: usize) -> bool {
        !self.state().unreachable.contains(&machine)
    }

    /// Breaks every connection of a machine.
    pub fn break_connections(&self, machine: usize) {
        let connections: Vec<_> = self.state().connections.iter().filter_map(Weak::upgrade).collect();
        for connection in connections.iter().filter(|connection| connection.machine == machine) {
            connection.break_off("the network broke the connection");
        }
    }

    fn draw_arrival_us(&self) -> u64 {
        let now_us = self.executor.now_us();
        now_us + self.state().random.range(0..=self.config.latency_us_max)
    }

    fn draw_piece_len(&self, len: usize) -> usize {
        let mut state = self.state();
        // Mostly whole, or the simulation would be about nothing else.
        if state.random.range(0..=3) > 0 { len } else { state.random.range(1..=len as u64) as usize }
            .min(self.config.piece_bytes_max)
    }

    fn connect(&self, machine: usize) -> Option<(Arc<Connection>, Host)> {
        let mut state = self.state();
        let host = state.host.clone()?;
        let config = &self.config;
        if state.unreachable.contains(&machine) || (!state.is_calm && state.random.happens(config.refusals_per_million))
        {
            return None;
        }
        let is_cut = !state.is_calm && state.random.happens(config.cuts_per_million);
        let cut = is_cut.then(|| {
            let way = if state.random.coin() { Way::Up } else { Way::Down };
            // As often at the very beginning as anywhere else.
            let bytes_max = if state.random.coin() { 8 } else { config.cut_bytes_max };
            (way, state.random.range(0..=bytes_max))
        });
        let connection = Connection::new(self, machine, cut);
        state.connections.retain(|connection| connection.strong_count() > 0);
        state.connections.push(Arc::downgrade(&connection));
        Some((connection, host))
    }
}

/// What a client's process sees of the network.
#[derive(Clone)]
pub struct SimLink {
    network: Network,
    machine: usize,
    process: ProcessId,
}

/// Breaks the connection unless the task came to its end.
struct Serving {
    connection: Arc<Connection>,
    is_done: bool,
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !self.is_done {
            self.connection.abandon("the server went away");
        }
    }
}

impl SimLink {
    /// The link of `process` on `machine`.
    pub fn new(network: &Network, machine: usize, process: ProcessId) -> SimLink {
        SimLink { network: network.clone(), machine, process }
    }

    async fn open(
        &self,
        body: Option<ByteStream>,
        answer: impl FnOnce(&Host, ByteStream) -> Answer + Send,
    ) -> Result<ByteStream, LinkError> {
        let network = &self.network;
        let executor = &network.executor;
        let arrives_us = network.draw_arrival_us();
        executor.sleep_until_us(arrives_us).await;
        let Some((connection, host)) = network.connect(self.machine) else {
            return Err(LinkError::Unreachable("no connection".to_owned()));
        };
        let mut answered = connection.receive(Way::Down);
        if let Some(body) = body {
            let sender = Arc::clone(&connection);
            executor.spawn(self.process, "link send", async move { sender.send_body(Way::Up, body).await });
        }
        let answer = answer(&host, Box::pin(connection.receive(Way::Up)));
        let serving = Serving { connection: Arc::clone(&connection), is_done: false };
        executor.spawn(host.process, "server connection", async move {
            let mut serving = serving;
            let connection = Arc::clone(&serving.connection);
            let work = std::pin::pin!(serve(&connection, answer));
            let broken = std::pin::pin!(connection.broken());
            futures_util::future::select(work, broken).await;
            serving.is_done = true;
        });
        match answered.next_item().await {
            Some(Ok(Item::Answer(Ok(())))) => Ok(Box::pin(answered)),
            Some(Ok(Item::Answer(Err(refusal)))) => Err(LinkError::Refused(refusal)),
            Some(Err(error)) => Err(LinkError::Unreachable(error.to_string())),
            Some(Ok(Item::Bytes(_))) | None => Err(LinkError::Unreachable("the connection was cut".to_owned())),
        }
    }
}

async fn serve(connection: &Connection, answer: Answer) {
    match answer.await {
        Ok(body) => {
            if connection.send(Way::Down, Item::Answer(Ok(()))).await {
                connection.send_body(Way::Down, body).await;
            }
        }
        Err(refusal) => {
            connection.send(Way::Down, Item::Answer(Err(refusal))).await;
            connection.end(Way::Down);
        }
    }
}

impl Link for SimLink {
    async fn call(&self, token: Option<&str>, body: ByteStream) -> Result<ByteStream, LinkError> {
        let token = token.map(str::to_owned);
        self.open(Some(body), |host, body| (host.call)(token, body)).await
    }

    async fn feed(&self, token: &str, request: FeedRequest) -> Result<ByteStream, LinkError> {
        let token = token.to_owned();
        self.open(None, |host, _| (host.feed)(token, request)).await
    }
}
