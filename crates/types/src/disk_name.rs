//! Names as a disk can hold them: a reversible mapping from the names of nodes to the names of entries, and back.
//!
//! A drive keeps any name that its origin allowed. A disk that cannot hold one, or cannot hold it beside another one, shows it
//! otherwise: *escaped*, character by character, where the disk refuses characters, and *marked* with a `~` and a hash of the name where it
//! refuses the name as a whole or already has an entry that it takes for the same. Both tell by themselves which name is meant, so that
//! nothing has to be remembered. Only of a name that is too long for that a part is left out (*cut*): that one is kept in a book.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::Name;

/// Stands before the hash of a marked name.
const MARK: u8 = b'~';
/// Digits of the hash in a marked name, and in one that is cut.
const MARK_DIGITS: usize = 8;
const CUT_DIGITS: usize = 16;
/// A byte that cannot be shown stands as this character and the byte: a part of the private use area that other programs use for the
/// same (Cygwin, Windows' subsystem for Linux, Samba).
const ESCAPE_FIRST: u32 = 0xf000;
const ESCAPE_LAST: u32 = 0xf0ff;
/// Longest extension, as stored, that a name keeps when it is cut.
const CUT_EXTENSION_BYTES_MAX: usize = 24;

/// Which characters a disk takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alphabet {
    /// Any byte but `/` and NUL.
    Bytes,
    /// UTF-8.
    Text,
    /// UTF-8 without `<>:"\|?*`, control characters, dots and blanks at the end, and names of devices such as `CON`.
    Windows,
}

/// What a disk can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameRules {
    /// Which characters it takes.
    pub alphabet: Alphabet,
    /// Several spellings are one name to it, by case or by Unicode form. Which, it has to be asked.
    pub folds: bool,
    /// It spells names in another Unicode form than they were given.
    pub normalises: bool,
    /// Longest name.
    pub bytes_max: usize,
}

/// How a name stands on a disk that does not take it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The name of the entry.
    pub stored: Name,
    /// A part of the name is left out: the book must have it under this key.
    pub cut: Option<u64>,
}

impl NameRules {
    /// Every name stands as it is, as on Linux.
    pub const ALL: NameRules =
        NameRules { alphabet: Alphabet::Bytes, folds: false, normalises: false, bytes_max: Name::BYTES_MAX };

    /// Whether every name stands as it is.
    pub fn hold_all(&self) -> bool {
        *self == NameRules::ALL
    }

    /// How the name is given to the disk where nothing is in its way; `None` if it is only ever marked.
    pub fn plain(&self, name: &Name) -> Option<Name> {
        if self.hold_all() {
            return Some(name.clone());
        }
        let is_refused = (self.alphabet == Alphabet::Windows && is_device(name.as_bytes()))
            || (self.normalises && !is_composed(name.as_bytes()));
        let stored = self.escape(name.as_bytes(), Ascii::AsIs);
        let stored = Name::new(stored).ok().filter(|stored| !is_refused && self.fits(stored.as_bytes()))?;
        // What looks like the mark of another name would be taken for that.
        (self.meaning_of_mark(&stored).is_none() && cut_keys(&stored).next().is_none()).then_some(stored)
    }

    /// How the name is given to the disk where its plain form cannot stand.
    pub fn marked(&self, name: &Name) -> Marked {
        let ascii = if self.normalises && !is_composed(name.as_bytes()) { Ascii::Only } else { Ascii::AsIs };
        let (stem, extension) = self.split(name);
        let whole = self.put_mark(stem, extension, ascii, &digits(hash(name), MARK_DIGITS));
        if let Some(stored) = Name::new(whole).ok().filter(|stored| self.fits(stored.as_bytes())) {
            return Marked { stored, cut: None };
        }
        let key = hash(name);
        let mark = digits(key, CUT_DIGITS);
        let escaped = self.put_mark(b"", extension, ascii, &mark);
        let extension = if escaped.len() <= mark.len() + 1 + CUT_EXTENSION_BYTES_MAX { extension } else { b"" };
        let mut stem = stem;
        loop {
            let stored = self.put_mark(stem, extension, ascii, &mark);
            if self.fits(&stored) {
                let stored = Name::new(stored).expect("at least the mark, without `/` and NUL, and not too long");
                return Marked { stored, cut: Some(key) };
            }
            stem = shorter(stem);
        }
    }

    /// Which name an entry stands for. `book` gives the names that were cut.
    pub fn meaning(&self, stored: &Name, book: impl Fn(u64) -> Option<Name>) -> Name {
        if self.hold_all() {
            return stored.clone();
        }
        if let Some(name) = self.meaning_of_mark(stored) {
            return name;
        }
        let mut cut = cut_keys(stored).filter_map(book);
        if let Some(name) = cut.find(|name| self.is_same(&self.marked(name).stored, stored)) {
            return name;
        }
        let name = self.unescape(stored.as_bytes());
        let is_plain = |name: &Name| self.plain(name).is_some_and(|plain| self.is_same(&plain, stored));
        name.filter(is_plain).unwrap_or_else(|| stored.clone())
    }

    /// Whether the disk spells what it was given as `given` in this way, if that very entry is the one.
    pub fn is_same(&self, given: &Name, stored: &Name) -> bool {
        given == stored || (self.normalises && composed(given.as_bytes()) == composed(stored.as_bytes()))
    }

    /// The name that a mark, wherever it stands in `stored`, is the mark of.
    fn meaning_of_mark(&self, stored: &Name) -> Option<Name> {
        let bytes = stored.as_bytes();
        let len = 1 + MARK_DIGITS;
        let marks = (1..bytes.len()).filter(|at| {
            bytes[*at] == MARK && bytes.get(at + 1..at + len).is_some_and(|digits| digits.iter().all(is_digit))
        });
        let without = |at: usize| self.unescape(&[&bytes[..at], &bytes[at + len..]].concat());
        let mut names = marks.filter_map(without);
        names.find(|name| {
            let marked = self.marked(name);
            marked.cut.is_none() && self.is_same(&marked.stored, stored)
        })
    }

    /// Where the mark goes: before the extension, but within what Windows takes for the name of a device.
    fn split<'a>(&self, name: &'a Name) -> (&'a [u8], &'a [u8]) {
        let bytes = name.as_bytes();
        match bytes.iter().position(|byte| *byte == b'.') {
            Some(first) if self.alphabet == Alphabet::Windows && is_device(bytes) => bytes.split_at(first),
            _ => name.split_extension(),
        }
    }

    /// Whether a name is not too long, also in the form in which the disk spells it.
    fn fits(&self, stored: &[u8]) -> bool {
        let decomposed = std::str::from_utf8(stored).ok().filter(|_| self.normalises);
        let len = decomposed.map_or(stored.len(), |text| text.nfd().map(char::len_utf8).sum());
        stored.len().max(len) <= self.bytes_max
    }

    fn put_mark(&self, stem: &[u8], extension: &[u8], ascii: Ascii, digits: &str) -> Vec<u8> {
        // A dot at the end of the stem is not at the end of the name, one at the end of the extension is.
        let mut stored = self.escape_within(stem, ascii);
        stored.push(MARK);
        stored.extend_from_slice(digits.as_bytes());
        stored.extend(self.escape(extension, ascii));
        stored
    }

    fn escape(&self, bytes: &[u8], ascii: Ascii) -> Vec<u8> {
        let end = match bytes.last() {
            Some(b'.' | b' ') if self.alphabet == Alphabet::Windows => bytes.len() - 1,
            _ => bytes.len(),
        };
        let mut stored = self.escape_within(&bytes[..end], ascii);
        bytes[end..].iter().for_each(|byte| push_escape(&mut stored, *byte));
        stored
    }

    fn escape_within(&self, bytes: &[u8], ascii: Ascii) -> Vec<u8> {
        if self.alphabet == Alphabet::Bytes && !self.normalises {
            return bytes.to_vec();
        }
        let is_windows = self.alphabet == Alphabet::Windows;
        let mut stored = Vec::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                let mut buffer = [0; 4];
                let encoded = character.encode_utf8(&mut buffer).as_bytes();
                let is_escape = (ESCAPE_FIRST..=ESCAPE_LAST).contains(&u32::from(character));
                let is_refused = is_windows && (character < ' ' || "<>:\"\\|?*".contains(character));
                let is_avoided = ascii == Ascii::Only && !character.is_ascii();
                if is_escape || is_refused || is_avoided {
                    encoded.iter().for_each(|byte| push_escape(&mut stored, *byte));
                } else {
                    stored.extend_from_slice(encoded);
                }
            }
            chunk.invalid().iter().for_each(|byte| push_escape(&mut stored, *byte));
        }
        stored
    }

    /// The bytes that escapes stand for, in the form in which they were given.
    fn unescape(&self, stored: &[u8]) -> Option<Name> {
        let Ok(text) = std::str::from_utf8(stored) else { return Name::new(stored).ok() };
        if self.alphabet == Alphabet::Bytes && !self.normalises {
            return Name::new(stored).ok();
        }
        // Before the escapes: what they stand for is not touched.
        let text: String = if self.normalises { text.nfc().collect() } else { text.to_owned() };
        let mut bytes = Vec::with_capacity(text.len());
        for character in text.chars() {
            match u32::from(character) {
                escape @ ESCAPE_FIRST..=ESCAPE_LAST => bytes.push((escape - ESCAPE_FIRST) as u8),
                _ => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Name::new(bytes).ok()
    }
}

/// Whether characters beyond ASCII stand as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ascii {
    AsIs,
    Only,
}

fn push_escape(stored: &mut Vec<u8>, byte: u8) {
    let escape = char::from_u32(ESCAPE_FIRST + u32::from(byte)).expect("the private use area holds characters");
    stored.extend_from_slice(escape.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Without its last character, or byte where that is none.
fn shorter(stem: &[u8]) -> &[u8] {
    let mut end = stem.len().saturating_sub(1);
    while end > 0 && stem[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &stem[..end]
}

/// Whether Windows takes the name, whatever its extension, for a device.
fn is_device(name: &[u8]) -> bool {
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default();
    let end = stem.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    let stem = stem[..end].to_ascii_uppercase();
    let is_number = |rest: &[u8]| matches!(rest, [b'0'..=b'9'] | [0xc2, 0xb9 | 0xb2 | 0xb3]);
    match stem.as_slice() {
        b"CON" | b"PRN" | b"AUX" | b"NUL" | b"CONIN$" | b"CONOUT$" => true,
        [b'C', b'O', b'M', rest @ ..] | [b'L', b'P', b'T', rest @ ..] => is_number(rest),
        _ => false,
    }
}

/// Whether a name is UTF-8 and in the composed Unicode form (NFC).
fn is_composed(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|text| match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => true,
        IsNormalized::No => false,
        IsNormalized::Maybe => text.nfc().eq(text.chars()),
    })
}

fn composed(name: &[u8]) -> Vec<u8> {
    std::str::from_utf8(name).map_or_else(|_| name.to_vec(), |text| text.nfc().collect::<String>().into_bytes())
}

/// Tells names apart that a disk takes for one (FNV-1a). Who makes two that it does not tell apart only has one of them not shown.
fn hash(name: &Name) -> u64 {
    name.as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn digits(hash: u64, count: usize) -> String {
    let folded = if count == MARK_DIGITS { (hash >> 32) ^ (hash & 0xffff_ffff) } else { hash };
    format!("{folded:0count$x}")
}

fn is_digit(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// What looks like the key of a name that is cut.
fn cut_keys(stored: &Name) -> impl Iterator<Item = u64> {
    let bytes = stored.as_bytes();
    (0..bytes.len()).filter(|at| bytes[*at] == MARK).filter_map(|at| {
        let digits = bytes.get(at + 1..at + 1 + CUT_DIGITS).filter(|digits| digits.iter().all(is_digit))?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    })
}

#[cfg(test)]
mod tests;
