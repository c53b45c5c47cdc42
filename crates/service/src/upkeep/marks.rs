//! Which contents are in use, in bounded memory: a Bloom filter over ids that are hashes already.
//!
//! It never says of something in use that it is not. Of a few things that are not in use it says that they are: those stay.

use skep_types::{ChunkId, ContentId, ListId};

/// Bits of a filter, as a power of two: 16 MiB. Of ten million ids, one dispensable chunk in 200 stays.
const BITS_LOG2: u32 = 27;
/// Bits that an id sets.
const BITS_PER_ID: usize = 4;

/// What was seen in use.
#[derive(Debug)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    /// Nothing is in use.
    pub(super) fn new() -> Marks {
        Marks(vec![0; 1 << (BITS_LOG2 - 6)])
    }

    /// The chunk is in use.
    pub(super) fn mark_chunk(&mut self, chunk: ChunkId) {
        self.mark(chunk.as_bytes());
    }

    /// The list is in use; its chunks are marked apart.
    pub(super) fn mark_list(&mut self, list: ListId) {
        self.mark(list.as_bytes());
    }

    /// Whether a chunk may be in use.
    pub(super) fn has_chunk(&self, chunk: ChunkId) -> bool {
        self.has(chunk.as_bytes())
    }

    /// Whether a list may be in use.
    pub(super) fn has_list(&self, list: ListId) -> bool {
        self.has(list.as_bytes())
    }

    /// Marks a content, but for the chunks of a list. Gives the list if it was not marked before.
    pub(super) fn mark_content(&mut self, content: &ContentId) -> Option<ListId> {
        match content {
            ContentId::Empty => None,
            ContentId::Chunk(chunk) => {
                self.mark_chunk(*chunk);
                None
            }
            ContentId::List(list) => {
                let is_new = !self.has_list(*list);
                self.mark_list(*list);
                is_new.then_some(*list)
            }
        }
    }

    fn mark(&mut self, id: &[u8]) {
        for bit in bits(id) {
            self.0[bit >> 6] |= 1 << (bit & 63);
        }
    }

    fn has(&self, id: &[u8]) -> bool {
        bits(id).all(|bit| self.0[bit >> 6] & (1 << (bit & 63)) != 0)
    }
}

/// The bits of an id: its own bytes are as good as those of any other hash of it.
fn bits(id: &[u8]) -> impl Iterator<Item = usize> {
    let words = id.chunks_exact(8).take(BITS_PER_ID);
    words.map(|word| {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes are a word"));
        (word & ((1 << BITS_LOG2) - 1)) as usize
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_marked_is_never_missed_and_little_else_is_taken_for_it() {
        let chunk = |number: u32| ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes());
        let mut marks = Marks::new();
        (0..50_000).for_each(|number| marks.mark_chunk(chunk(number)));
        assert!((0..50_000).all(|number| marks.has_chunk(chunk(number))));
        let mistaken = (50_000..100_000).filter(|number| marks.has_chunk(chunk(*number))).count();
        assert_eq!(mistaken, 0, "a sparse filter is exact enough");
        let list = ListId::from_bytes([3; 32]);
        assert_eq!(marks.mark_content(&ContentId::List(list)), Some(list));
        assert_eq!(marks.mark_content(&ContentId::List(list)), None);
    }
}
