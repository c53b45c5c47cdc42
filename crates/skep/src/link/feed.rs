//! A feed over a WebSocket: frames in binary messages, pings both ways.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use hyper::Request;
use skep_client::LinkError;
use skep_protocol::{BodyError, ByteStream, Code, ErrorReply, FEED_PATH, FeedRequest, Frame, FrameDecoder, FrameKind};
use skep_types::Limits;
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::address::ServerAddress;
use super::{in_full, refusal_of};

/// Bytes that a frame has before its payload, and some room.
const FRAME_OVERHEAD_BYTES: usize = 64;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Opens a feed on a fresh connection. The server's first message tells whether it took the request.
pub async fn open(
    stream: TlsStream<TcpStream>,
    address: &ServerAddress,
    token: &str,
    request: &FeedRequest,
    limits: &Limits,
) -> Result<ByteStream, LinkError> {
    let upgrade = Request::get(format!("wss://{}{FEED_PATH}", address.authority()))
        .header("Host", address.authority())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .header("Authorization", format!("Bearer {token}"))
        .body(())
        .map_err(super::unsendable)?;
    let bytes_max = Some(limits.frame_bytes_max + FRAME_OVERHEAD_BYTES);
    let config = WebSocketConfig::default().max_message_size(bytes_max).max_frame_size(bytes_max);
    let dead_after = Duration::from_millis(limits.dead_peer_ms);
    let opening = async {
        let (mut socket, _) = client_async_with_config(upgrade, stream, Some(config)).await.map_err(not_opened)?;
        let request = minicbor::to_vec(request).expect("writing to memory cannot fail");
        socket.send(Message::binary(request)).await.map_err(not_opened)?;
        let first = next_binary(&mut socket).await?;
        match refusal_in(&first) {
            Some(error) => Err(LinkError::Refused(error)),
            None => Ok((socket, first)),
        }
    };
    let silent = |_| LinkError::Unreachable(format!("{address} was silent for too long"));
    let (socket, first) = timeout(dead_after, opening).await.map_err(silent)??;
    let ping_every = Duration::from_millis(limits.heartbeat_ms);
    let mut pings = interval_at(Instant::now() + ping_every, ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = Feed { socket, pings, heard: Instant::now(), dead_after };
    Ok(Box::pin(stream::iter([Ok(first)]).chain(feed.into_bytes())))
}

struct Feed {
    socket: Socket,
    pings: Interval,
    heard: Instant,
    dead_after: Duration,
}

impl Feed {
    /// The frames' bytes. Pings go out only while somebody waits for the next one, which a live client always does.
    fn into_bytes(self) -> impl futures_util::Stream<Item = Result<Bytes, BodyError>> + Send {
        stream::unfold(Some(self), |feed| async move {
            let mut feed = feed?;
            match feed.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(feed))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            tokio::select! {
                biased;
                message = self.socket.next() => {
                    self.heard = Instant::now();
                    match message {
                        Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes)),
                        Some(Ok(Message::Close(_))) | None => return Ok(None),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Err(BodyError::Cut(in_full(&error))),
                    }
                }
                () = sleep_until(self.heard + self.dead_after) => {
                    return Err(BodyError::Cut("the server was silent for too long".into()));
                }
                _ = self.pings.tick() => {
                    let pinged = timeout(self.dead_after, self.socket.send(Message::Ping(Bytes::new()))).await;
                    match pinged {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return Err(BodyError::Cut(in_full(&error))),
                        Err(_) => return Err(BodyError::Cut("the server takes nothing any more".into())),
                    }
                }
            }
        }
    }
}

async fn next_binary(socket: &mut Socket) -> Result<Bytes, LinkError> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
            Some(Ok(Message::Close(_))) | None => {
                return Err(LinkError::Unreachable("the server closed the feed at once".into()));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(not_opened(error)),
        }
    }
}

fn refusal_in(message: &[u8]) -> Option<ErrorReply> {
    let mut decoder = FrameDecoder::new(message.len());
    decoder.push(message);
    let frame: Frame = decoder.next_frame().ok()??;
    let unreadable = |_| ErrorReply::new(Code::Internal, "the server refused in words that this program does not know");
    (frame.kind == FrameKind::Error).then(|| frame.read().unwrap_or_else(unreadable))
}

fn not_opened(error: Error) -> LinkError {
    match error {
        Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            refusal_of(response.status(), response.headers(), body)
        }
        other => LinkError::Unreachable(in_full(&other)),
    }
}
