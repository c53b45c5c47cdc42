//! Names of nodes: one path component, as bytes, exactly as the origin had it.

use std::borrow::Cow;
use std::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder};

/// Bytes that no single path component may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A name has at least one byte.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than [`Name::BYTES_MAX`].
    #[error("a name cannot have more than 255 bytes, this one has {0}")]
    TooLong(usize),
    /// `.` and `..` mean a directory, not a name in it.
    #[error("a name cannot be `.` or `..`")]
    Dots,
    /// `/` separates names and NUL ends them.
    #[error("a name cannot hold `/` or a NUL byte")]
    Separator,
}

/// One path component: 1 to 255 bytes, neither `.` nor `..`, without `/` and NUL. Not necessarily UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The longest name, in bytes: what Linux file systems hold.
    pub const BYTES_MAX: usize = 255;

    /// The name with these bytes, or why they are none.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Name, NameError> {
        let bytes = bytes.into();
        match bytes.as_slice() {
            [] => Err(NameError::Empty),
            long if long.len() > Name::BYTES_MAX => Err(NameError::TooLong(long.len())),
            b"." | b".." => Err(NameError::Dots),
            bad if bad.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(NameError::Separator),
            _ => Ok(Name(bytes.into_boxed_slice())),
        }
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name for people: UTF-8, other bytes replaced.
    pub fn display(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Stem and extension, split before the last dot that is not the first byte: `a.tar` and `.gz`, `.bashrc` and nothing.
    pub fn split_extension(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|byte| *byte == b'.') {
            Some(at) if at > 0 => self.0.split_at(at),
            _ => (&self.0, &[]),
        }
    }
}

/// Quoted, with control characters escaped.
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.display())
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Name, NameError> {
        Name::new(text)
    }
}

impl<C> Encode<C> for Name {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Name {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Name::new(d.bytes()?).map_err(|_| minicbor::decode::Error::message("not a valid name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_components_are_names() {
        for bad in ["", ".", "..", "a/b", "/", "a\0b"] {
            assert!(Name::try_from(bad).is_err(), "{bad:?}");
        }
        assert!(Name::new(vec![b'x'; 256]).is_err());
        for good in ["a", "...", ".x", "con", "a:b", " "] {
            assert!(Name::try_from(good).is_ok(), "{good:?}");
        }
        assert!(Name::new(vec![0xff; 255]).is_ok());
    }

    #[test]
    fn a_decoder_refuses_what_the_constructor_refuses() {
        let mut bytes = Vec::new();
        minicbor::Encoder::new(&mut bytes).bytes(b"../x").unwrap();
        assert!(minicbor::decode::<Name>(&bytes).is_err());
    }

    #[test]
    fn extension_starts_at_the_last_dot() {
        let split = |text: &str| {
            let name = Name::try_from(text).unwrap();
            let (stem, extension) = name.split_extension();
            (String::from_utf8(stem.to_vec()).unwrap(), String::from_utf8(extension.to_vec()).unwrap())
        };
        assert_eq!(split("a.tar.gz"), ("a.tar".into(), ".gz".into()));
        assert_eq!(split(".bashrc"), (".bashrc".into(), String::new()));
        assert_eq!(split("plain"), ("plain".into(), String::new()));
    }
}
