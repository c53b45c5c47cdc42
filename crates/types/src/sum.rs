//! What stands in a tree as one number, so that two sides can tell whether they hold the same.
//!
//! The sum of a tree is the addition, modulo 2^256, of a hash of each live node ([`Sum::of`]), with their count. It costs one
//! addition for each node that changes, and no order matters. It finds faults: an entry that was lost, a row that a disk or a program
//! spoiled. Against somebody who chooses nodes so that they cancel out it proves nothing, nor need it: whoever may choose nodes may
//! change the tree. The bytes that are hashed are in `docs/formats/sum.md`.

use std::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::{Content, ContentId, Mode, Name, NodeId, NodeState};

/// The first byte of what is hashed of a node.
const VERSION: u8 = 1;

/// A number of live nodes and the addition of their hashes. The sum of no node is [`Sum::default`].
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    nodes: u64,
    /// Least significant first.
    total: [u64; 4],
}

impl Sum {
    /// Size as bytes.
    pub const LEN: usize = 40;

    /// The sum of one live node. What it says of versions and of the trash does not count.
    pub fn of(state: &NodeState) -> Sum {
        Sum::of_shown(state.node, state.place.parent, &state.place.name, &state.content, state.mode)
    }

    /// The sum of one live node of which this is known, as of one that a disk shows.
    pub fn of_shown(node: NodeId, parent: NodeId, name: &Name, content: &Content, mode: Mode) -> Sum {
        let hash = blake3::hash(&hashed_bytes(node, parent, name, content, mode));
        let mut total = [0; 4];
        for (limb, bytes) in total.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
            *limb = u64::from_le_bytes(bytes.try_into().expect("a chunk of eight bytes is eight bytes"));
        }
        Sum { nodes: 1, total }
    }

    /// Of how many nodes this is the sum.
    pub fn nodes(&self) -> u64 {
        self.nodes
    }

    /// Adds what `other` is the sum of.
    pub fn add(&mut self, other: &Sum) {
        self.nodes = self.nodes.wrapping_add(other.nodes);
        let mut carry = false;
        for (limb, more) in self.total.iter_mut().zip(other.total) {
            let (sum, over) = limb.overflowing_add(more);
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over || over_again);
        }
    }

    /// Takes away what `other` is the sum of.
    pub fn take(&mut self, other: &Sum) {
        self.nodes = self.nodes.wrapping_sub(other.nodes);
        let mut borrow = false;
        for (limb, less) in self.total.iter_mut().zip(other.total) {
            let (difference, under) = limb.overflowing_sub(less);
            let (difference, under_again) = difference.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (difference, under || under_again);
        }
    }

    /// As bytes: the count, then the total, both with the least significant byte first.
    pub fn to_bytes(&self) -> [u8; Sum::LEN] {
        let mut bytes = [0; Sum::LEN];
        let numbers = std::iter::once(self.nodes).chain(self.total);
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// What [`Sum::to_bytes`] gave, if there are as many bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Sum> {
        let bytes: &[u8; Sum::LEN] = bytes.try_into().ok()?;
        let mut numbers = bytes.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
        let mut next = || numbers.next().unwrap_or_default();
        Some(Sum { nodes: next(), total: [next(), next(), next(), next()] })
    }
}

impl<'a> std::iter::Sum<&'a Sum> for Sum {
    fn sum<I: Iterator<Item = &'a Sum>>(sums: I) -> Sum {
        sums.fold(Sum::default(), |mut all, one| {
            all.add(one);
            all
        })
    }
}

/// The count, and the total as hexadecimal digits in the order of [`Sum::to_bytes`].
impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.nodes)?;
        self.to_bytes()[8..].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Short, for logs and test failures.
impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sum({} nodes, {:016x})", self.nodes, self.total[0].swap_bytes())
    }
}

impl<C> Encode<C> for Sum {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.to_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Sum {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Sum::from_slice(d.bytes()?).ok_or_else(|| minicbor::decode::Error::message("not a sum"))
    }
}

/// What is hashed of a live node; see `docs/formats/sum.md`.
fn hashed_bytes(node: NodeId, parent: NodeId, name: &Name, content: &Content, mode: Mode) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128 + name.as_bytes().len());
    bytes.push(VERSION);
    bytes.extend(node.as_bytes());
    bytes.extend(parent.as_bytes());
    put_counted(&mut bytes, name.as_bytes());
    bytes.push(u8::from(mode.executable));
    match content {
        Content::Directory => bytes.push(0),
        Content::File(file) => {
            bytes.push(1);
            match file.id {
                ContentId::Empty => bytes.push(0),
                ContentId::Chunk(chunk) => {
                    bytes.push(1);
                    bytes.extend(chunk.as_bytes());
                }
                ContentId::List(list) => {
                    bytes.push(2);
                    bytes.extend(list.as_bytes());
                }
            }
            bytes.extend(file.size.to_le_bytes());
            bytes.extend(file.mtime.seconds.to_le_bytes());
            bytes.extend(file.mtime.nanoseconds.to_le_bytes());
        }
        Content::Symlink { target } => {
            bytes.push(2);
            put_counted(&mut bytes, target);
        }
        Content::Mount { drive } => {
            bytes.push(3);
            bytes.extend(drive.as_bytes());
        }
    }
    bytes
}

/// Four bytes that say how many follow, and these.
fn put_counted(bytes: &mut Vec<u8>, counted: &[u8]) {
    // Names and targets are far shorter than what four bytes can count.
    bytes.extend((counted.len() as u32).to_le_bytes());
    bytes.extend(counted);
}
