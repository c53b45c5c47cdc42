//! One connection: two pipes of bytes that arrive late, in other pieces than they were sent, and maybe never.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use skep_protocol::{BodyError, ByteStream, ErrorReply};

use super::Network;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What travels: an answer begins with `Answer`, the rest is its body.
#[derive(Debug)]
pub(super) enum Item {
    Answer(Result<(), ErrorReply>),
    Bytes(Bytes),
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Item::Answer(_) => 1,
            Item::Bytes(bytes) => bytes.len(),
        }
    }
}

#[derive(Default)]
struct Pipe {
    /// With the time at which each arrives.
    items: VecDeque<(u64, Item)>,
    waiting_bytes: usize,
    sent_bytes: u64,
    /// The connection breaks behind this byte.
    cut_after: Option<u64>,
    is_cut: bool,
    has_ended: bool,
    reader_is_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

struct State {
    up: Pipe,
    down: Pipe,
    broken: Option<&'static str>,
    /// When something arrived last, at either end.
    active_us: u64,
    /// Those who wait for the connection to break.
    watchers: Vec<Waker>,
}

impl State {
    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

/// A connection between the processes of a client's machine and of the server.
pub(super) struct Connection {
    network: Network,
    pub(super) machine: usize,
    state: Mutex<State>,
}

type PinnedSleep = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Connection {
    pub(super) fn new(network: &Network, machine: usize, cut: Option<(Way, u64)>) -> Arc<Connection> {
        let active_us = network.executor.now_us();
        let (up, down) = (Pipe::default(), Pipe::default());
        let mut state = State { up, down, broken: None, active_us, watchers: Vec::new() };
        if let Some((way, after)) = cut {
            state.pipe(way).cut_after = Some(after);
        }
        Arc::new(Connection { network: network.clone(), machine, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more arrives at either end.
    pub(super) fn break_off(&self, why: &'static str) {
        let mut state = self.state();
        if state.broken.is_some() {
            return;
        }
        state.broken = Some(why);
        (state.up.items, state.down.items) = Default::default();
        drop(state);
        self.wake_all();
    }

    /// One end is no more. The other one hears of it if anything passes between them now, else when it looks for signs of life.
    pub(super) fn abandon(&self, why: &'static str) {
        if self.network.is_reachable(self.machine) {
            return self.break_off(why);
        }
        let mut state = self.state();
        for way in [Way::Up, Way::Down] {
            let pipe = state.pipe(way);
            pipe.is_cut = true;
            pipe.items.clear();
        }
    }

    /// Everybody looks again.
    pub(super) fn wake_all(&self) {
        let mut state = self.state();
        let mut wakers = std::mem::take(&mut state.watchers);
        for pipe in [Way::Up, Way::Down] {
            let pipe = state.pipe(pipe);
            wakers.extend(pipe.reader.take());
            wakers.extend(pipe.writer.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Completes when the connection is broken.
    pub(super) async fn broken(&self) {
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if state.broken.is_some() {
                return Poll::Ready(());
            }
            if !state.watchers.iter().any(|watcher| watcher.will_wake(context.waker())) {
                state.watchers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Sends an item when there is room for it. `false`: nobody will ever read it.
    pub(super) async fn send(&self, way: Way, item: Item) -> bool {
        let mut sleep = None;
        let mut item = Some(item);
        std::future::poll_fn(|context| self.poll_send(way, &mut item, &mut sleep, context)).await
    }

    fn poll_send(
        &self,
        way: Way,
        item: &mut Option<Item>,
        sleep: &mut Option<PinnedSleep>,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        let arrives_us = self.network.draw_arrival_us();
        let mut state = self.state();
        let is_broken = state.broken.is_some();
        let pipe = state.pipe(way);
        if is_broken || pipe.reader_is_gone {
            return Poll::Ready(false);
        }
        if pipe.waiting_bytes >= self.network.config.window_bytes {
            pipe.writer = Some(context.waker().clone());
            drop(state);
            return self.poll_quiet(sleep, None, context).map(|()| false);
        }
        let mut item = item.take().expect("polled after it was ready");
        self.network.executor.note(&(item.len() as u64).to_le_bytes());
        if pipe.is_cut {
            // Into the void; the other end notices.
            return Poll::Ready(true);
        }
        if let Some(cut_after) = pipe.cut_after
            && pipe.sent_bytes + item.len() as u64 > cut_after
        {
            pipe.is_cut = true;
            match &mut item {
                Item::Answer(_) => item = Item::Bytes(Bytes::new()),
                Item::Bytes(bytes) => bytes.truncate((cut_after - pipe.sent_bytes) as usize),
            }
        }
        pipe.sent_bytes += item.len() as u64;
        pipe.waiting_bytes += item.len();
        let arrives_us = arrives_us.max(pipe.items.back().map_or(0, |(at, _)| *at));
        pipe.items.push_back((arrives_us, item));
        let reader = pipe.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(true)
    }

    /// No more will be sent this way.
    pub(super) fn end(&self, way: Way) {
        self.state().pipe(way).has_ended = true;
        self.wake_all();
    }

    /// Sends a whole body this way, in pieces of any size.
    pub(super) async fn send_body(&self, way: Way, mut body: ByteStream) {
        while let Some(piece) = body.next().await {
            let Ok(mut piece) = piece else {
                self.break_off("the sender's body broke off");
                return;
            };
            while !piece.is_empty() {
                let len = self.network.draw_piece_len(piece.len());
                if !self.send(way, Item::Bytes(piece.split_to(len))).await {
                    return;
                }
            }
        }
        self.end(way);
    }

    /// Ready with `()` once the connection was quiet for too long; it is broken then. Wakes at `at_us` as well.
    fn poll_quiet(&self, sleep: &mut Option<PinnedSleep>, at_us: Option<u64>, context: &mut Context<'_>) -> Poll<()> {
        let executor = &self.network.executor;
        loop {
            let dead_us = self.state().active_us + self.network.config.dead_peer_ms * 1000;
            let now_us = executor.now_us();
            if now_us >= dead_us {
                self.break_off("the other end was silent for too long");
                return Poll::Ready(());
            }
            let wake_us = at_us.map_or(dead_us, |at_us| at_us.clamp(now_us + 1, dead_us));
            let mut sleeping: PinnedSleep = Box::pin(executor.sleep_until_us(wake_us));
            if sleeping.as_mut().poll(context).is_pending() {
                *sleep = Some(sleeping);
                return Poll::Pending;
            }
        }
    }

    fn poll_receive(
        &self,
        way: Way,
        sleep: &mut Option<PinnedSleep>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Item, BodyError>>> {
        let is_reachable = self.network.is_reachable(self.machine);
        let now_us = self.network.executor.now_us();
        let mut state = self.state();
        if let Some(why) = state.broken {
            return Poll::Ready(Some(Err(BodyError::Cut(why.to_owned()))));
        }
        let pipe = state.pipe(way);
        let arrives_us = pipe.items.front().map(|(arrives_us, _)| *arrives_us);
        if is_reachable && arrives_us.is_some_and(|arrives_us| arrives_us <= now_us) {
            let (_, item) = pipe.items.pop_front().expect("there is a first one");
            pipe.waiting_bytes -= item.len();
            let writer = pipe.writer.take();
            state.active_us = now_us;
            drop(state);
            writer.into_iter().for_each(Waker::wake);
            return Poll::Ready(Some(Ok(item)));
        }
        if is_reachable && arrives_us.is_none() && pipe.is_cut {
            drop(state);
            self.break_off("the connection was cut");
            return Poll::Ready(Some(Err(BodyError::Cut("the connection was cut".to_owned()))));
        }
        if is_reachable && arrives_us.is_none() && pipe.has_ended {
            return Poll::Ready(None);
        }
        pipe.reader = Some(context.waker().clone());
        drop(state);
        let at_us = if is_reachable { arrives_us } else { None };
        match self.poll_quiet(sleep, at_us, context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::Cut("the other end was silent".to_owned())))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// What arrives this way; the reader's end of the pipe.
    pub(super) fn receive(self: &Arc<Self>, way: Way) -> Receiver {
        Receiver { connection: Arc::clone(self), way, sleep: None, is_done: false }
    }
}

/// The reading end of one way. Dropping the client's breaks the connection.
pub(super) struct Receiver {
    connection: Arc<Connection>,
    way: Way,
    sleep: Option<PinnedSleep>,
    is_done: bool,
}

impl Receiver {
    /// The next item; `None` at the end.
    pub(super) async fn next_item(&mut self) -> Option<Result<Item, BodyError>> {
        std::future::poll_fn(|context| self.poll_item(context)).await
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Item, BodyError>>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let polled = self.connection.poll_receive(self.way, &mut self.sleep, context);
        self.is_done = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }
}

impl Stream for Receiver {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(context).map(|item| match item? {
            Ok(Item::Bytes(bytes)) => Some(Ok(bytes)),
            Ok(Item::Answer(_)) => unreachable!("an answer is read before its body"),
            Err(error) => Some(Err(error)),
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.way == Way::Down {
            self.connection.abandon("the client went away");
        } else {
            self.connection.state().up.reader_is_gone = true;
            self.connection.wake_all();
        }
    }
}
