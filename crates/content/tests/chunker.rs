//! Cut points: equal to a plain serial scan, and pinned for ever by golden vectors.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use skep_content::{Chunker, Gear};
use skep_types::Limits;

#[path = "support/made_up.rs"]
mod made_up;
use made_up::{random_bytes, text_bytes};

const TINY: Limits = Limits { chunk_bytes_min: 16, chunk_bytes_average: 32, chunk_bytes_max: 64, ..Limits::SHIPPED };
const SMALL: Limits =
    Limits { chunk_bytes_min: 4096, chunk_bytes_average: 16384, chunk_bytes_max: 65536, ..Limits::SHIPPED };

/// The definition of `docs/formats/content.md`, word for word: no lanes, no skipping.
fn serial_lengths(limits: &Limits, file: &[u8]) -> Vec<usize> {
    let mut table_bytes = [0; 2048];
    blake3::Hasher::new_derive_key(Gear::SHIPPED).finalize_xof().fill(&mut table_bytes);
    let gear: Vec<u64> = table_bytes.chunks(8).map(|number| u64::from_le_bytes(number.try_into().unwrap())).collect();
    let bits = limits.chunk_bytes_average.ilog2();
    let (mut lengths, mut start) = (Vec::new(), 0);
    while start < file.len() {
        let (mut hash, mut length) = (0u64, 0);
        loop {
            let free_bits = if length < limits.chunk_bytes_average { bits + 2 } else { bits - 2 };
            let cut = length >= limits.chunk_bytes_min && hash >> (64 - free_bits) == 0;
            if cut || length == limits.chunk_bytes_max || start + length == file.len() {
                break;
            }
            hash = (hash << 1).wrapping_add(gear[usize::from(file[start + length])]);
            length += 1;
        }
        lengths.push(length);
        start += length;
    }
    lengths
}

fn lengths(limits: &Limits, file: &[u8]) -> Vec<usize> {
    Chunker::new(limits).cut_all(file).iter().map(|chunk| chunk.len()).collect()
}

/// A number that pins a list of lengths.
fn digest(lengths: &[usize]) -> String {
    let text: String = lengths.iter().map(|length| format!("{length} ")).collect();
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

#[test]
fn cuts_are_those_of_a_serial_scan() {
    let odd = Limits { chunk_bytes_min: 64, chunk_bytes_average: 8192, chunk_bytes_max: 30_001, ..Limits::SHIPPED };
    for limits in [TINY, SMALL, odd, Limits::SHIPPED] {
        for size in [0, 1, 15, 16, 17, 63, 64, 65, 4095, 40_000, 65_536, 300_001, 1_500_000] {
            for file in [random_bytes("serial", size), text_bytes("serial", size), vec![0; size], vec![0xff; size]] {
                assert_eq!(lengths(&limits, &file), serial_lengths(&limits, &file), "{limits:?}, {size} bytes");
            }
        }
    }
}

/// Lanes have seams; a cut must be seen on each side of them.
#[test]
fn a_lone_cut_is_found_at_every_length() {
    let noise = random_bytes("lone", 2_000_000);
    let first = lengths(&SMALL, &noise).into_iter().find(|length| *length < SMALL.chunk_bytes_average).unwrap();
    let start = serial_lengths(&SMALL, &noise).iter().take_while(|length| **length != first).sum::<usize>();
    let window = &noise[start + first - 64..start + first];
    let chunker = Chunker::new(&SMALL);
    for length in SMALL.chunk_bytes_min + 64..SMALL.chunk_bytes_average {
        let mut file = vec![0; SMALL.chunk_bytes_average];
        file[length - 64..length].copy_from_slice(window);
        assert_eq!(chunker.cut(&file), Some(length));
    }
}

#[test]
fn cut_points_never_change() {
    let shipped = lengths(&Limits::SHIPPED, &random_bytes("golden", 4_000_000));
    assert_eq!(shipped, GOLDEN_SHIPPED);
    let tiny = lengths(&TINY, &random_bytes("golden", 1000));
    assert_eq!(tiny, GOLDEN_TINY);
    let long = lengths(&Limits::SHIPPED, &random_bytes("golden long", 64_000_000));
    assert_eq!((long.len(), digest(&long).as_str()), GOLDEN_LONG);
    let text = lengths(&SMALL, &text_bytes("golden", 4_000_000));
    assert_eq!((text.len(), digest(&text).as_str()), GOLDEN_TEXT);
}

const GOLDEN_SHIPPED: &[usize] =
    &[269637, 333749, 412948, 280279, 270048, 183335, 281863, 348906, 278698, 269736, 267671, 304615, 321468, 177047];
const GOLDEN_TINY: &[usize] =
    &[55, 34, 35, 35, 35, 38, 34, 29, 35, 36, 47, 36, 35, 34, 38, 35, 37, 50, 32, 21, 55, 34, 16, 33, 35, 37, 33, 26];
const GOLDEN_LONG: (usize, &str) = (203, "2f67dd02d81c834d");
const GOLDEN_TEXT: (usize, &str) = (211, "eefdc604603ffab6");

#[test]
fn chunks_keep_the_limits_and_nearly_the_average() {
    let file = random_bytes("limits", 32_000_000);
    let lengths = lengths(&Limits::SHIPPED, &file);
    let (_, but_last) = lengths.split_last().unwrap();
    for length in but_last {
        assert!((Limits::SHIPPED.chunk_bytes_min..=Limits::SHIPPED.chunk_bytes_max).contains(length), "{length}");
    }
    let mean = file.len() / lengths.len();
    assert!((200 << 10..340 << 10).contains(&mean), "{mean}");
}

#[test]
fn a_stream_is_cut_as_a_whole_file() {
    let file = random_bytes("stream", 2_000_000);
    let chunker = Chunker::new(&SMALL);
    for step in [1000, 4096, 65_536, 100_000] {
        let (mut buffer, mut cuts) = (Vec::new(), Vec::new());
        for read in file.chunks(step) {
            buffer.extend_from_slice(read);
            while let Some(length) = chunker.cut(&buffer) {
                cuts.push(length);
                buffer.drain(..length);
            }
            assert!(buffer.len() < SMALL.chunk_bytes_max, "a buffer of the longest chunk has an answer");
        }
        cuts.extend((!buffer.is_empty()).then(|| chunker.cut_at_end(&buffer)));
        assert_eq!(cuts, lengths(&SMALL, &file), "{step} bytes at a time");
    }
}

#[test]
fn an_inserted_byte_moves_few_cuts() {
    let file = random_bytes("insert", 20_000_000);
    let mut edited = file.clone();
    edited.insert(7_000_000, b'!');
    let chunker = Chunker::new(&Limits::SHIPPED);
    let before: std::collections::BTreeSet<&[u8]> = chunker.cut_all(&file).into_iter().collect();
    let new = chunker.cut_all(&edited).into_iter().filter(|chunk| !before.contains(chunk)).count();
    assert!((1..=3).contains(&new), "{new} new chunks");
}

#[test]
fn another_secret_cuts_elsewhere() {
    let file = random_bytes("secret", 1_000_000);
    let secret = Chunker::with_gear(&SMALL, Gear::derive("test", b"secret"));
    assert_ne!(secret.cut_all(&file), Chunker::new(&SMALL).cut_all(&file));
}
