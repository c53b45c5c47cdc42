//! Checked equality: the sum of a drive, and of parts of it to find where two sides differ.
//!
//! Parts are ranges of node ids, not directories: ids are spread evenly, so ranges halve a difference however the tree is shaped, and
//! even where what differs is the tree itself.

use minicbor::{Decode, Decoder, Encode};
use skep_types::{Cursor, NodeId, NodeState, Sum};

/// The feature of a server that answers [`crate::Request::Sums`].
pub const SUMS_FEATURE: &str = "sums";
/// Ranges that one [`crate::Request::Sums`] asks about, at most.
pub const SUM_RANGES_MAX: usize = 16;
/// A range of at most so many live nodes is answered with the nodes themselves.
pub const SUM_NODES_MAX: usize = 64;

/// All node ids that begin with some bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode)]
pub struct IdRange {
    #[cbor(n(0), with = "minicbor::bytes")]
    prefix: Vec<u8>,
}

impl IdRange {
    /// All ids.
    pub const ALL: IdRange = IdRange { prefix: Vec::new() };

    /// The lowest id in it.
    pub fn first(&self) -> NodeId {
        self.filled_with(0)
    }

    /// The highest id in it.
    pub fn last(&self) -> NodeId {
        self.filled_with(0xff)
    }

    /// Whether it can be parted: it has room for more than one id.
    pub fn is_divisible(&self) -> bool {
        self.prefix.len() < NodeId::LEN
    }

    /// The part of it in which the next byte is this one. Only of a divisible range.
    pub fn part(&self, byte: u8) -> IdRange {
        let mut prefix = self.prefix.clone();
        prefix.push(byte);
        prefix.truncate(NodeId::LEN);
        IdRange { prefix }
    }

    /// In which part an id of it lies.
    pub fn part_of(&self, node: NodeId) -> u8 {
        node.as_bytes().get(self.prefix.len()).copied().unwrap_or_default()
    }

    fn filled_with(&self, byte: u8) -> NodeId {
        let mut bytes = [byte; NodeId::LEN];
        bytes[..self.prefix.len()].copy_from_slice(&self.prefix);
        NodeId::from_bytes(bytes)
    }
}

impl<'b, C> Decode<'b, C> for IdRange {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.array()? != Some(1) {
            return Err(minicbor::decode::Error::message("not a range of ids"));
        }
        let prefix = d.bytes()?.to_vec();
        match prefix.len() <= NodeId::LEN {
            true => Ok(IdRange { prefix }),
            false => Err(minicbor::decode::Error::message("longer than an id")),
        }
    }
}

/// What lives in a range of ids.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum InRange {
    /// Few nodes, by id: these.
    #[n(0)]
    Nodes(#[n(0)] Vec<NodeState>),
    /// Many: the sum of each part of the range in which anything lives, by the part's byte.
    #[n(1)]
    Parts(#[n(0)] Vec<PartSum>),
}

/// The sum of one part of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PartSum {
    /// Which part.
    #[n(0)]
    pub byte: u8,
    /// Its sum, counted from its nodes for this answer.
    #[n(1)]
    pub sum: Sum,
}

impl InRange {
    /// The sum of all that lives in the range.
    pub fn sum(&self) -> Sum {
        match self {
            InRange::Nodes(nodes) => nodes.iter().map(Sum::of).collect::<Vec<_>>().iter().sum(),
            InRange::Parts(parts) => parts.iter().map(|part| &part.sum).sum(),
        }
    }
}

/// The sum of a drive, all of it at one position of its journal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DriveSums {
    /// Where the journal ended.
    #[n(0)]
    pub at: Cursor,
    /// The sum that was kept by each change.
    #[n(1)]
    pub kept: Sum,
    /// What lives in the ranges that were asked about, in order.
    #[n(2)]
    pub ranges: Vec<InRange>,
}
