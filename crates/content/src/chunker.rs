//! Where a file is cut into chunks: by its content, so that an edit moves only the cuts next to it.
//!
//! The cut points are part of the stored format (`docs/formats/content.md`): two programs that cut differently share no
//! chunk. Golden vectors in `tests/chunker.rs` pin them.

use skep_types::Limits;

/// Bytes that a gear hash remembers: each step shifts by one bit, so that after 64 steps a byte has left the hash.
const WINDOW: usize = 64;
/// How much rarer cuts are before the average length, and more frequent after it, as a power of two.
const NORMALIZATION: u32 = 2;
/// Positions that one lane looks at before the lanes move on. Each lane warms up over `WINDOW` bytes first: 3 % at this size.
const LANE: usize = 2048;
/// Lanes that are hashed side by side. One gear hash waits for its own last step; four keep the processor busy.
const LANES: usize = 4;

/// One random-looking number for each value of a byte. A parameter of the format: vaults have a secret one.
#[derive(Clone)]
pub struct Gear([u64; 256]);

impl Gear {
    /// What the table of drives without a secret one is derived from.
    pub const SHIPPED: &str = "skep 1 gear table, gear 1";

    /// The table that belongs to `context` and `secret`: the first 2,048 bytes of BLAKE3 in key derivation mode, little-endian.
    pub fn derive(context: &str, secret: &[u8]) -> Gear {
        let mut bytes = [0; 256 * 8];
        blake3::Hasher::new_derive_key(context).update(secret).finalize_xof().fill(&mut bytes);
        let (numbers, _) = bytes.as_chunks();
        Gear(std::array::from_fn(|value| u64::from_le_bytes(numbers[value])))
    }

    #[inline(always)]
    fn step(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.0[usize::from(byte)])
    }

    /// The hash of the last `WINDOW` bytes of `bytes`.
    #[inline(always)]
    fn hash_of_end(&self, bytes: &[u8]) -> u64 {
        let window = &bytes[bytes.len().saturating_sub(WINDOW)..];
        window.iter().fold(0, |hash, byte| self.step(hash, *byte))
    }
}

/// Hides the table, which may be a secret.
impl std::fmt::Debug for Gear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gear")
    }
}

/// Cuts files into chunks. Keeps nothing between calls; to make one costs a few microseconds.
#[derive(Debug, Clone)]
pub struct Chunker {
    gear: Gear,
    bytes_min: usize,
    bytes_average: usize,
    bytes_max: usize,
    /// A hash up to this is a cut before the average length.
    rare: u64,
    /// A hash up to this is a cut from the average length on.
    frequent: u64,
}

impl Chunker {
    /// The chunker of drives without a secret gear table.
    pub fn new(limits: &Limits) -> Chunker {
        Chunker::with_gear(limits, Gear::derive(Gear::SHIPPED, &[]))
    }

    /// A chunker with a table of its own.
    pub fn with_gear(limits: &Limits, gear: Gear) -> Chunker {
        let bits = limits.chunk_bytes_average.max(1).ilog2();
        let bytes_min = limits.chunk_bytes_min.max(1);
        let bytes_max = limits.chunk_bytes_max.max(bytes_min);
        Chunker {
            gear,
            bytes_min,
            bytes_average: limits.chunk_bytes_average.clamp(bytes_min, bytes_max),
            bytes_max,
            rare: u64::MAX >> (bits + NORMALIZATION),
            frequent: u64::MAX >> bits.saturating_sub(NORMALIZATION),
        }
    }

    /// The length of the chunk with which `buffer` starts, where more of the file may follow; `None` if that depends on what
    /// follows. A buffer of `chunk_bytes_max` bytes always has an answer: read so many, since each call looks from the start.
    pub fn cut(&self, buffer: &[u8]) -> Option<usize> {
        if buffer.len() < self.bytes_min {
            return None;
        }
        let scan = &buffer[..buffer.len().min(self.bytes_max)];
        self.find(scan, self.bytes_min, self.bytes_average.min(scan.len() + 1), self.rare)
            .or_else(|| self.find(scan, self.bytes_average, scan.len() + 1, self.frequent))
            .or((scan.len() == self.bytes_max).then_some(self.bytes_max))
    }

    /// The length of the chunk with which `rest` starts, where nothing follows `rest`; 0 only if it is empty.
    pub fn cut_at_end(&self, rest: &[u8]) -> usize {
        self.cut(rest).unwrap_or(rest.len())
    }

    /// The chunks of a whole file.
    pub fn cut_all<'a>(&self, file: &'a [u8]) -> Vec<&'a [u8]> {
        let mut chunks = Vec::new();
        let mut rest = file;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(self.cut_at_end(rest));
            chunks.push(chunk);
            rest = after;
        }
        chunks
    }

    /// The first length in `from..to` at which the hash is at most `bound`.
    fn find(&self, scan: &[u8], from: usize, to: usize, bound: u64) -> Option<usize> {
        let mut from = from;
        while to.saturating_sub(from) >= LANES * LANE && from >= WINDOW {
            if self.any_in_lanes(&scan[from - WINDOW..from + LANES * LANE - 1], bound) {
                break;
            }
            from += LANES * LANE;
        }
        if from >= to {
            return None;
        }
        // Either a cut is near, or this is the rest that is too short for lanes.
        let mut hash = self.gear.hash_of_end(&scan[..from]);
        for (length, byte) in (from..to).zip(scan[from..].iter().map(Some).chain([None])) {
            if hash <= bound {
                return Some(length);
            }
            hash = byte.map_or(hash, |byte| self.gear.step(hash, *byte));
        }
        None
    }

    /// Whether one of the `LANES * LANE` positions from `WINDOW` on has a hash of at most `bound`. `bytes` ends before the
    /// byte at the last position.
    fn any_in_lanes(&self, bytes: &[u8], bound: u64) -> bool {
        let lane = |index: usize| &bytes[index * LANE..index * LANE + WINDOW + LANE - 1];
        let (a, b, c, d) = (lane(0), lane(1), lane(2), lane(3));
        let mut hashes = [a, b, c, d].map(|lane| self.gear.hash_of_end(&lane[..WINDOW]));
        let mut least = hashes[0].min(hashes[1]).min(hashes[2]).min(hashes[3]);
        let bytes = a[WINDOW..].iter().zip(&b[WINDOW..]).zip(&c[WINDOW..]).zip(&d[WINDOW..]);
        for (((a, b), c), d) in bytes {
            hashes[0] = self.gear.step(hashes[0], *a);
            hashes[1] = self.gear.step(hashes[1], *b);
            hashes[2] = self.gear.step(hashes[2], *c);
            hashes[3] = self.gear.step(hashes[3], *d);
            least = least.min(hashes[0].min(hashes[1]).min(hashes[2].min(hashes[3])));
        }
        least <= bound
    }
}
