//! A feed over a WebSocket: the device says where to begin, then frames flow until one end goes away.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use skep_protocol::{BodyError, ByteStream, Code, ErrorReply, FeedRequest, Frame, FrameDecoder, FrameKind};
use tokio::time::{Instant, sleep_until, timeout};

use crate::answer::reply_of;
use crate::answers::Answers;
use crate::http::{Connection, Shell};
use crate::stop::Stopping;

/// A device that opened a feed says so soon where to begin.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// The other end is gone, or does not take anything any more.
struct PeerGone;

/// Serves one feed to its end.
pub async fn serve<A: Answers>(socket: WebSocket, shell: Shell<A>, token: String, connection: Connection) {
    let Connection { peer, mut stopping, stay: _stay } = connection;
    let dead_after = Duration::from_millis(shell.limits.dead_peer_ms);
    let (sink, mut messages) = socket.split();
    let mut to_device = ToDevice { sink, dead_after };
    let opened = match timeout(REQUEST_WITHIN, read_request(&mut messages)).await {
        Ok(Some(request)) => shell.answers.feed(&token, &peer.to_string(), request).await,
        Ok(None) | Err(_) => Err(ErrorReply::new(Code::BadRequest, "a feed begins with where to begin")),
    };
    let last = match opened {
        Ok(frames) => {
            let decoder = FrameDecoder::new(shell.limits.frame_bytes_max);
            relay(Relay { frames, decoder, dead_after }, &mut to_device, &mut messages, &mut stopping).await
        }
        Err(refused) => Ok(Frame::cbor(FrameKind::Error, &refused)),
    };
    if let Ok(last) = last {
        // The peer may be gone by now, which is as good an end.
        let _ = to_device.send(&last).await;
        let _ = to_device.close().await;
    }
}

struct Relay {
    frames: ByteStream,
    decoder: FrameDecoder,
    dead_after: Duration,
}

/// Passes frames on until an end comes, and gives back the frame that says which.
async fn relay(
    mut relay: Relay,
    to_device: &mut ToDevice,
    messages: &mut SplitStream<WebSocket>,
    stopping: &mut Stopping,
) -> Result<Frame, PeerGone> {
    // Tells the device that the feed is open, before there is anything to tell.
    to_device.send(&Frame::new(FrameKind::Heartbeat, Bytes::new())).await?;
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = stopping.asked() => return Ok(Frame::end()),
            message = messages.next() => match message {
                // Pings are answered beneath us; any message is a sign of life.
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(PeerGone),
                Some(Ok(_)) => heard = Instant::now(),
            },
            () = sleep_until(heard + relay.dead_after) => return Err(PeerGone),
            piece = relay.frames.next() => match piece {
                Some(Ok(piece)) => {
                    relay.decoder.push(&piece);
                    if let Some(last) = pass_on(&mut relay.decoder, to_device).await? {
                        return Ok(last);
                    }
                }
                Some(Err(error)) => return Ok(Frame::cbor(FrameKind::Error, &reply_of(error))),
                None => return Ok(Frame::end()),
            },
        }
    }
}

/// Sends every whole frame; gives back one after which nothing may follow.
async fn pass_on(decoder: &mut FrameDecoder, to_device: &mut ToDevice) -> Result<Option<Frame>, PeerGone> {
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) if matches!(frame.kind, FrameKind::End | FrameKind::Error) => return Ok(Some(frame)),
            Ok(Some(frame)) => to_device.send(&frame).await?,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(Frame::cbor(FrameKind::Error, &reply_of(BodyError::Frame(error))))),
        }
    }
}

struct ToDevice {
    sink: SplitSink<WebSocket, Message>,
    dead_after: Duration,
}

impl ToDevice {
    async fn send(&mut self, frame: &Frame) -> Result<(), PeerGone> {
        self.within(Message::Binary(frame.to_bytes())).await
    }

    async fn close(&mut self) -> Result<(), PeerGone> {
        self.within(Message::Close(None)).await
    }

    async fn within(&mut self, message: Message) -> Result<(), PeerGone> {
        match timeout(self.dead_after, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(PeerGone),
        }
    }
}

async fn read_request(messages: &mut SplitStream<WebSocket>) -> Option<FeedRequest> {
    loop {
        match messages.next().await?.ok()? {
            Message::Binary(bytes) => return minicbor::decode(&bytes).ok(),
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Text(_) | Message::Close(_) => return None,
        }
    }
}
