//! The letters of secrets that people type.

/// Digits and capitals without I, L, O and U: none of them is taken for another one, and no words come out.
pub(crate) const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Bits of one letter.
pub(crate) const LETTER_BITS: usize = 5;

/// What a letter stands for, in either case; I and L for 1, O for 0.
pub(crate) fn value_of(letter: char) -> Option<usize> {
    let plain = match letter.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        other => other,
    };
    LETTERS.iter().position(|known| char::from(*known) == plain)
}
