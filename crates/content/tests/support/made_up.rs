//! Bytes that are the same on every machine and in every year: what the golden vectors are made of.

/// `count` bytes that no compressor shortens: BLAKE3 as a stream, keyed by `name`.
pub fn random_bytes(name: &str, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// `count` bytes of made-up words, which every compressor shortens.
pub fn text_bytes(name: &str, count: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = ["bee ", "hive ", "wax ", "comb ", "queen ", "drone ", "smoke\n", "honey "];
    let choices = random_bytes(name, count);
    choices.iter().flat_map(|choice| WORDS[usize::from(choice % 8)].bytes()).take(count).collect()
}
