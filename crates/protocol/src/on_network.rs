//! The words by which servers are found on a local network (DNS-SD); see `docs/formats/wire.md`.

/// The type of service that a server announces.
pub const DISCOVERY_TYPE: &str = "_skep._tcp.local.";
/// Under which a server tells what people call it.
pub const DISCOVERY_NAME: &str = "name";
