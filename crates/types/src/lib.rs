//! The words of Skep as types: ids, names, node states, operations, journal entries, limits.
//!
//! Every other crate speaks in these. Nothing here does IO, reads a clock or draws a random number. Types that cross
//! a wire or a disk carry numbered CBOR fields ([`minicbor`]); a number is never given a second meaning, and a decoder
//! enforces the same rules as the constructor.
#![forbid(unsafe_code)]

mod commit;
mod cursor;
mod disk_name;
mod id;
mod limits;
mod name;
mod node;
mod own_dir;
mod size;
mod stat;
mod sum;
mod tally;
mod time;

pub use commit::{Commit, CommitReply, Evidence, Group, GroupResult, Operation, Reject};
pub use cursor::{Cursor, Fork, Seq, Standing};
pub use disk_name::{Alphabet, Marked, NameRules};
pub use id::{AccountId, ChunkId, CommitId, ContentId, DeviceId, DriveId, Generation, ListId, NodeId, ParseIdError};
pub use limits::Limits;
pub use name::{Name, NameError};
pub use node::{Content, Entry, FieldGroups, FileContent, Kind, Mode, NodeState, Place, Version};
pub use own_dir::OwnDir;
pub use size::bytes_text;
pub use stat::{Change, Stat};
pub use sum::Sum;
pub use tally::{Counted, SumChange, Tally, live_directories};
pub use time::{COARSEST_CLOCK_NS, Civil, Timestamp};

/// The product's names and numbers; every default path, port and environment prefix derives from these.
pub mod product {
    /// Name of the client program, of its directories and (in capitals) of its environment variables.
    pub const NAME: &str = "skep";
    /// Name of the server program.
    pub const SERVER: &str = "skep-server";
    /// The default port: SKEP on a phone keypad.
    pub const PORT: u16 = 7537;
    /// The one directory in a synced root that is ours.
    pub const ROOT_DIR: &str = ".skep";
    /// Files of this name say what of their directory is not synced.
    pub const IGNORE_FILE: &str = ".skepignore";
    /// What stands in the name of every conflict copy, after the stem.
    pub const TWO_VERSIONS: &str = " (two versions, ";
}
