//! Who may stay: so many connections from one place, and none on which nothing is asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use skep_service::place_of;
use tokio::time::sleep;

use crate::config::values::Network;

/// On a new connection something is asked soon; until then nobody knows who it is.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(20);
/// For the quiet between two requests of a connection.
const NEXT_REQUEST_WITHIN: Duration = Duration::from_secs(75);

/// The connections that are open, by the place from which they come.
#[derive(Debug)]
pub struct Crowd {
    open: Mutex<BTreeMap<String, usize>>,
    of_one_place_max: usize,
    /// They speak for many.
    trusted_proxies: Arc<[Network]>,
}

/// One connection among them, until it is dropped.
#[derive(Debug)]
pub struct Guest {
    /// Nothing for a proxy.
    counted: Option<(Arc<Crowd>, String)>,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(of_one_place_max: usize, trusted_proxies: Arc<[Network]>) -> Arc<Crowd> {
        Arc::new(Crowd { open: Mutex::default(), of_one_place_max, trusted_proxies })
    }

    /// A connection from `peer`; `None` if that place has as many as one may have.
    pub fn enter(self: &Arc<Crowd>, peer: SocketAddr) -> Option<Guest> {
        if self.trusted_proxies.iter().any(|network| network.contains(peer.ip())) {
            return Some(Guest { counted: None });
        }
        let place = place_of(&peer.to_string());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(place.clone()).or_default();
        if *count >= self.of_one_place_max {
            return None;
        }
        *count += 1;
        Some(Guest { counted: Some((Arc::clone(self), place)) })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some((crowd, place)) = &self.counted else { return };
        let mut open = crowd.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(place) {
            Some(others) if *others > 1 => *others -= 1,
            _ => drop(open.remove(place)),
        }
    }
}

/// What is asked on one connection.
#[derive(Debug, Default)]
pub struct Requests {
    begun: AtomicUsize,
    running: AtomicUsize,
}

/// A request that is being answered, until it is dropped.
#[derive(Debug)]
pub struct Request(Arc<Requests>);

impl Requests {
    /// A request came.
    pub fn begin(self: &Arc<Requests>) -> Request {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Request(Arc::clone(self))
    }

    /// Completes when nothing was asked for too long and nothing is being answered.
    pub async fn idle(&self) {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            sleep(if begun == 0 { FIRST_REQUEST_WITHIN } else { NEXT_REQUEST_WITHIN }).await;
            if self.running.load(Ordering::Relaxed) == 0 && self.begun.load(Ordering::Relaxed) == begun {
                return;
            }
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Request {
    /// The answer, whose end is that of the request.
    pub fn until_answered(self, response: Response) -> Response {
        response.map(|body| Body::new(Answering { body, _request: self }))
    }
}

/// A body that holds its request.
struct Answering {
    body: Body,
    _request: Request,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn one_place_has_so_many_connections_and_a_proxy_speaks_for_all() {
        let proxies = ["10.0.0.1".parse().unwrap()];
        let crowd = Crowd::new(2, Arc::new(proxies));
        let enter = |peer: &str| crowd.enter(peer.parse().unwrap());
        let first = enter("192.0.2.7:1").unwrap();
        let _second = enter("192.0.2.7:2").unwrap();
        assert!(enter("192.0.2.7:3").is_none());
        let _other = enter("192.0.2.8:3").unwrap();
        drop(first);
        let _third = enter("192.0.2.7:4").unwrap();
        let proxied: Vec<_> = (1..9).map(|port| enter(&format!("10.0.0.1:{port}")).unwrap()).collect();
        drop(proxied);
        // Of IPv6 one person has half of the address.
        let _six = [enter("[2001:db8::1]:1").unwrap(), enter("[2001:db8::2]:1").unwrap()];
        assert!(enter("[2001:db8::3]:1").is_none());
        assert_eq!(crowd.open.lock().unwrap().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_when_nothing_is_asked_nor_answered() {
        let requests = Arc::new(Requests::default());
        let started = Instant::now();
        requests.idle().await;
        assert_eq!(started.elapsed(), FIRST_REQUEST_WITHIN);

        let answer = requests.begin().until_answered("a text".into_response());
        assert_eq!(answer.body().size_hint().exact(), Some(6));
        assert!(tokio::time::timeout(10 * NEXT_REQUEST_WITHIN, requests.idle()).await.is_err(), "it is being answered");
        drop(answer);
        let answered = Instant::now();
        requests.idle().await;
        assert_eq!(answered.elapsed(), NEXT_REQUEST_WITHIN);
    }
}
