//! The join code: eight letters that bring one computer to a server, once, within minutes.
//!
//! The first two letters, the *locator*, are public: by them a server finds the code, and they may be told to any server that asks.
//! The other six are the secret: 30 bits, which nobody can try offline (see [`crate::Exchange`]), and online only five times.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::letters::{LETTERS, value_of};

/// Letters before and behind the hyphen.
const GROUP_LEN: usize = 4;

/// A join code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct JoinCode([u8; JoinCode::LEN]);

/// The public beginning of a [`JoinCode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locator([u8; Locator::LEN]);

/// The text is no join code. The text itself is not repeated: most of it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseJoinCodeError {
    /// Letters are missing, or there are too many.
    #[error("a join code has 8 letters and digits, this has {0}")]
    Length(usize),
    /// This character never stands in a code.
    #[error("`{}` never stands in a join code", .0.escape_default())]
    Letter(char),
}

impl JoinCode {
    /// Letters.
    pub const LEN: usize = 8;

    /// The code that these bytes give, which must be unpredictable: five bits of each count.
    pub fn from_bytes(bytes: [u8; JoinCode::LEN]) -> JoinCode {
        JoinCode(bytes.map(|byte| LETTERS[usize::from(byte) % LETTERS.len()]))
    }

    /// The same secret with another locator.
    pub fn at(self, locator: Locator) -> JoinCode {
        let mut letters = self.0;
        letters[..Locator::LEN].copy_from_slice(&locator.0);
        JoinCode(letters)
    }

    /// What may be told to any server.
    pub fn locator(&self) -> Locator {
        let mut letters = [0; Locator::LEN];
        letters.copy_from_slice(&self.0[..Locator::LEN]);
        Locator(letters)
    }

    /// All letters in a row, without the hyphen: what both ends put into the exchange.
    pub fn letters(&self) -> &[u8; JoinCode::LEN] {
        &self.0
    }

    /// The letters behind the locator.
    pub fn secret(&self) -> &[u8] {
        &self.0[Locator::LEN..]
    }

    /// Whether a person who types this means a code rather than the name of a server: two groups of four letters, or eight capitals and
    /// digits.
    pub fn looks_like_one(text: &str) -> bool {
        let text = text.trim();
        let is_grouped = text.len() == JoinCode::LEN + 1 && text.as_bytes()[GROUP_LEN] == b'-';
        let is_loud = !text.bytes().any(|letter| letter.is_ascii_lowercase());
        text.parse::<JoinCode>().is_ok() && (is_grouped || is_loud)
    }
}

/// In two groups, as it is shown to people: the only place where the secret becomes text.
impl fmt::Display for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, letter) in self.0.iter().enumerate() {
            if index == GROUP_LEN {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*letter))?;
        }
        Ok(())
    }
}

/// Hides the secret.
impl fmt::Debug for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinCode({}…)", self.locator())
    }
}

/// Takes what people type: in either case, grouped in any way by hyphens and spaces, I and L for 1, O for 0.
impl FromStr for JoinCode {
    type Err = ParseJoinCodeError;

    fn from_str(text: &str) -> Result<JoinCode, ParseJoinCodeError> {
        let typed: Vec<char> = text.chars().filter(|letter| *letter != '-' && !letter.is_whitespace()).collect();
        let mut letters = [0; JoinCode::LEN];
        for (letter, typed) in letters.iter_mut().zip(&typed) {
            *letter = LETTERS[value_of(*typed).ok_or(ParseJoinCodeError::Letter(*typed))?];
        }
        if typed.len() == JoinCode::LEN { Ok(JoinCode(letters)) } else { Err(ParseJoinCodeError::Length(typed.len())) }
    }
}

impl Locator {
    /// Letters.
    pub const LEN: usize = 2;
    /// So many there are.
    pub const COUNT: u16 = 1 << 10;

    /// The one with this number, counting on from the start beyond the last.
    pub fn numbered(number: u16) -> Locator {
        let (high, low) = (usize::from(number / 32) % LETTERS.len(), usize::from(number) % LETTERS.len());
        Locator([LETTERS[high], LETTERS[low]])
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        let value = |letter: u8| value_of(char::from(letter)).expect("only letters are put in") as u16;
        value(self.0[0]) * 32 + value(self.0[1])
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

impl<C> Encode<C> for Locator {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u16(self.number())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Locator {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Locator, minicbor::decode::Error> {
        match d.u16()? {
            number @ 0..Locator::COUNT => Ok(Locator::numbered(number)),
            _ => Err(minicbor::decode::Error::message("no such locator")),
        }
    }
}

impl<C> Encode<C> for JoinCode {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&String::from_utf8_lossy(&self.0))?.ok()
    }
}

impl<'b, C> Decode<'b, C> for JoinCode {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<JoinCode, minicbor::decode::Error> {
        d.str()?.parse().map_err(|_| minicbor::decode::Error::message("no join code"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_in_every_form_that_people_type() {
        let code = JoinCode::from_bytes([7, 23, 4, 19, 9, 2, 0, 1]);
        assert_eq!(code.to_string(), "7Q4K-9201");
        assert_eq!(format!("{code:?}"), "JoinCode(7Q…)");
        for form in ["7Q4K-9201", "7q4k9201", " 7Q4K 9201\n", "7q-4k-92-oi", "7q4k-92ol"] {
            assert_eq!(form.parse(), Ok(code), "{form}");
        }
        assert_eq!("7Q4K-920".parse::<JoinCode>(), Err(ParseJoinCodeError::Length(7)));
        assert_eq!("7Q4K-92011".parse::<JoinCode>(), Err(ParseJoinCodeError::Length(9)));
        assert_eq!("7Q4K-92é1".parse::<JoinCode>(), Err(ParseJoinCodeError::Letter('é')));
        assert_eq!("attic:7537".parse::<JoinCode>(), Err(ParseJoinCodeError::Letter(':')));
    }

    #[test]
    fn every_letter_comes_from_as_many_bytes() {
        let mut counts = std::collections::BTreeMap::new();
        for byte in 0..=255 {
            *counts.entry(JoinCode::from_bytes([byte; 8]).letters()[0]).or_insert(0) += 1;
        }
        assert_eq!((counts.len(), counts.values().all(|count| *count == 8)), (32, true));
    }

    #[test]
    fn codes_and_servers_are_told_apart() {
        for code in ["7Q4K-92MD", "7q4k-92md", "7Q4K92MD", "12345678"] {
            assert!(JoinCode::looks_like_one(code), "{code}");
        }
        for server in
            ["attic", "7q4k92md", "server01", "attic:7537", "attic.example.org", "https://7Q4K-92MD", "", "é-é"]
        {
            assert!(!JoinCode::looks_like_one(server), "{server}");
        }
    }

    #[test]
    fn locators_are_numbered() {
        for number in 0..Locator::COUNT {
            assert_eq!(Locator::numbered(number).number(), number);
        }
        let code = JoinCode::from_bytes([1; 8]);
        let moved = code.at(Locator::numbered(33));
        assert_eq!(
            (moved.locator(), moved.letters()[2..].to_vec()),
            (Locator::numbered(33), code.letters()[2..].to_vec())
        );
        let bytes = minicbor::to_vec(Locator::COUNT).unwrap();
        assert!(minicbor::decode::<Locator>(&bytes).is_err());
    }
}
