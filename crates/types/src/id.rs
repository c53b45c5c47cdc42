//! Ids: fixed-size opaque bytes, each a type of its own, so that one cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Decoder, Encode, Encoder};

/// The text of an id is not the hexadecimal form that its type asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits")]
pub struct ParseIdError {
    expected: usize,
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Size in bytes.
            pub const LEN: usize = $len;

            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The id in `bytes`, if they are of the right number.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        /// Short, for logs and test failures: type and first eight digits.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}(", stringify!($name))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(")")
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let wrong = ParseIdError { expected: $len * 2 };
                if text.len() != $len * 2 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(wrong);
                }
                let mut bytes = [0u8; $len];
                for (index, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).map_err(|_| wrong.clone())?;
                }
                Ok(Self(bytes))
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
                ByteArray::<$len>::decode(d, ctx).map(|array| Self(array.into()))
            }
        }
    };
}

id_type!(
    /// A drive: one tree with one journal.
    DriveId, 16
);
id_type!(
    /// A file, directory, symlink or mount. Made by the client that first observed it; survives every rename and move.
    NodeId, 16
);
id_type!(
    /// An account on a server.
    AccountId, 16
);
id_type!(
    /// A device of an account, given by the server when the device joins.
    DeviceId, 8
);
id_type!(
    /// One commit: the id of its device, then 64 random bits. So a version tells by whom it was made.
    CommitId, 16
);
id_type!(
    /// BLAKE3 of the plain bytes of one chunk.
    ChunkId, 32
);
id_type!(
    /// Hash over chunker id, length and chunk ids of a file of more than one chunk; see `docs/formats/content.md`.
    ListId, 32
);
id_type!(
    /// One generation of a server's history: changes when a server is restored or promoted.
    Generation, 16
);

impl NodeId {
    /// The root directory of every drive. It is never created, moved or trashed.
    pub const ROOT: NodeId = NodeId([0; 16]);
}

impl DeviceId {
    /// The id under which a person's own changes at this device are committed: a file restored by a command. Every bit is the other one,
    /// so that it leads back. The device's engine takes such a change as that of another device, for its disk does not show it yet.
    pub fn by_hand(self) -> DeviceId {
        DeviceId(self.0.map(|byte| !byte))
    }
}

impl CommitId {
    /// The commit `random` of `device`.
    pub fn new(device: DeviceId, random: [u8; 8]) -> CommitId {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(device.as_bytes());
        bytes[8..].copy_from_slice(&random);
        CommitId(bytes)
    }

    /// The device that made this commit.
    pub fn device(&self) -> DeviceId {
        let mut bytes = [0u8; 8];
        bytes.copy_from_slice(&self.0[..8]);
        DeviceId(bytes)
    }
}

/// What a file holds, by hash: equal ids are equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum ContentId {
    /// No bytes.
    #[n(0)]
    Empty,
    /// Exactly one chunk; there is no manifest for it.
    #[n(1)]
    Chunk(#[n(0)] ChunkId),
    /// Two chunks or more, listed in a manifest.
    #[n(2)]
    List(#[n(0)] ListId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_an_id_reads_back() {
        let id = NodeId::from_bytes(std::array::from_fn(|i| i as u8 * 17));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("00".parse::<NodeId>().is_err());
        assert!("é".repeat(16).parse::<NodeId>().is_err());
    }

    #[test]
    fn a_commit_tells_its_device() {
        let device = DeviceId::from_bytes([7; 8]);
        assert_eq!(CommitId::new(device, [9; 8]).device(), device);
    }

    #[test]
    fn what_a_person_does_at_a_device_is_not_what_its_engine_does() {
        let device = DeviceId::from_bytes([7; 8]);
        assert_ne!(device.by_hand(), device);
        assert_eq!(device.by_hand().by_hand(), device);
    }
}
