//! The classic account id: one secret that is both name and password of an account, made to be typed by people.

use std::fmt;
use std::str::FromStr;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::letters::{LETTER_BITS, LETTERS, value_of};

/// Bytes of the check behind the secret ones.
const CHECK_LEN: usize = 2;
/// Letters of an id: secret and check fill them to the last bit.
const LETTERS_LEN: usize = (ClassicId::LEN + CHECK_LEN) * 8 / LETTER_BITS;
/// Letters between two hyphens.
const GROUP_LEN: usize = 4;

/// The secret by which computers come to an account in the classic form of joining: 104 unpredictable bits. As text it has a check
/// of 16 bits, so that a slip of the finger is told apart from an id that no account has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClassicId([u8; ClassicId::LEN]);

/// The text is no account id. The text itself is not repeated: most of it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseClassicIdError {
    /// Letters are missing, or there are too many.
    #[error("an account id has {LETTERS_LEN} letters and digits, this has {0}")]
    Length(usize),
    /// This character never stands in an id.
    #[error("`{}` never stands in an account id", .0.escape_default())]
    Letter(char),
    /// The check at its end does not agree with the rest.
    #[error("the account id is mistyped: one or more of its letters are wrong")]
    Check,
}

impl ClassicId {
    /// Secret bytes.
    pub const LEN: usize = 13;

    /// The id with these bytes, which must be unpredictable.
    pub const fn from_bytes(bytes: [u8; ClassicId::LEN]) -> ClassicId {
        ClassicId(bytes)
    }

    /// The secret bytes.
    pub const fn as_bytes(&self) -> &[u8; ClassicId::LEN] {
        &self.0
    }
}

/// In groups, as it is shown to its owner: the only place where the secret becomes text.
impl fmt::Display for ClassicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.iter().chain(&check_of(&self.0)).fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
        for index in 0..LETTERS_LEN {
            if index > 0 && index % GROUP_LEN == 0 {
                f.write_str("-")?;
            }
            let letter = (bits >> ((LETTERS_LEN - 1 - index) * LETTER_BITS)) as usize % LETTERS.len();
            write!(f, "{}", char::from(LETTERS[letter]))?;
        }
        Ok(())
    }
}

/// Hides the secret.
impl fmt::Debug for ClassicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClassicId(…)")
    }
}

/// Takes what people type: in either case, grouped in any way by hyphens and spaces, I and L for 1, O for 0.
impl FromStr for ClassicId {
    type Err = ParseClassicIdError;

    fn from_str(text: &str) -> Result<ClassicId, ParseClassicIdError> {
        let typed: Vec<char> = text.chars().filter(|letter| *letter != '-' && !letter.is_whitespace()).collect();
        let mut bits = 0u128;
        for letter in typed.iter().take(LETTERS_LEN) {
            let value = value_of(*letter).ok_or(ParseClassicIdError::Letter(*letter))?;
            bits = bits << LETTER_BITS | value as u128;
        }
        if typed.len() != LETTERS_LEN {
            return Err(ParseClassicIdError::Length(typed.len()));
        }
        let bytes = bits.to_be_bytes();
        let (secret, check) = bytes[bytes.len() - ClassicId::LEN - CHECK_LEN..].split_at(ClassicId::LEN);
        let secret: [u8; ClassicId::LEN] = secret.try_into().expect("it was split there");
        if check == check_of(&secret) { Ok(ClassicId(secret)) } else { Err(ParseClassicIdError::Check) }
    }
}

impl<C> Encode<C> for ClassicId {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ClassicId {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<ClassicId, minicbor::decode::Error> {
        ByteArray::<{ ClassicId::LEN }>::decode(d, ctx).map(|array| ClassicId(array.into()))
    }
}

/// CRC-16/CCITT-FALSE: finds every single wrong letter and every two neighbours that were swapped.
fn check_of(secret: &[u8; ClassicId::LEN]) -> [u8; CHECK_LEN] {
    let mut check = 0xffffu16;
    for byte in secret {
        check ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            check = if check & 0x8000 == 0 { check << 1 } else { check << 1 ^ 0x1021 };
        }
    }
    check.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ClassicId {
        ClassicId(std::array::from_fn(|index| (index as u8).wrapping_mul(37).wrapping_add(11)))
    }

    /// Ids stand on paper: their form never changes. Computed by another implementation of the check.
    #[test]
    fn an_id_keeps_its_text() {
        assert_eq!(check_of(&[0; 13]), [0x28, 0x0c]);
        assert_eq!(ClassicId([0; 13]).to_string(), "0000-0000-0000-0000-0000-0A0C");
        assert_eq!(format!("{:?}", id()), "ClassicId(…)");
    }

    #[test]
    fn an_id_reads_back_in_every_form_that_people_type() {
        let text = id().to_string();
        let plain = text.replace('-', "");
        let sloppy = text.replace('1', "l").replace('0', "o");
        for form in [text.clone(), plain, text.to_lowercase(), text.replace('-', " "), format!(" {text}\n"), sloppy] {
            assert_eq!(form.parse(), Ok(id()), "{form}");
        }
    }

    #[test]
    fn every_slip_of_one_finger_is_found() {
        let letters: Vec<char> = id().to_string().replace('-', "").chars().collect();
        let parsed = |letters: &[char]| letters.iter().collect::<String>().parse::<ClassicId>();
        for index in 0..letters.len() {
            for letter in LETTERS {
                let mut wrong = letters.clone();
                wrong[index] = char::from(*letter);
                let expected = if wrong == letters { Ok(id()) } else { Err(ParseClassicIdError::Check) };
                assert_eq!(parsed(&wrong), expected, "{index}");
            }
            let mut swapped = letters.clone();
            swapped.swap(index, (index + 1) % letters.len());
            if swapped != letters && index + 1 < letters.len() {
                assert_eq!(parsed(&swapped), Err(ParseClassicIdError::Check), "{index}");
            }
            let mut short = letters.clone();
            short.remove(index);
            assert_eq!(parsed(&short), Err(ParseClassicIdError::Length(23)), "{index}");
        }
        assert_eq!("".parse::<ClassicId>(), Err(ParseClassicIdError::Length(0)));
        assert_eq!("30é".parse::<ClassicId>(), Err(ParseClassicIdError::Letter('é')));
        assert_eq!("0".repeat(25).parse::<ClassicId>(), Err(ParseClassicIdError::Length(25)));
    }
}
