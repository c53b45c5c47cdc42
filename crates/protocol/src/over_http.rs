//! The words that both ends use when frames travel over HTTP; see `docs/formats/wire.md`.

/// Where calls are posted.
pub const CALL_PATH: &str = "/api/v1/device/call";
/// Where the WebSocket of a feed is opened.
pub const FEED_PATH: &str = "/api/v1/device/feed";
/// The content type of a body of frames. An answer of another type was not made by a server of ours.
pub const FRAMES_TYPE: &str = "application/x-skep-frames";
/// Where a link with a join code leads; the code stands behind it, after a `#`.
pub const JOIN_PATH: &str = "/join";
