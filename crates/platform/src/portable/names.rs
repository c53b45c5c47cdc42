//! Names as the standard library wants them: bytes on Unix, WTF-8 for the 16-bit names of Windows.

use std::ffi::{OsStr, OsString};

use skep_types::Name;

use crate::{FileError, FileErrorKind};

/// The name of an entry that was listed.
pub(super) fn from_os(name: &OsStr) -> Result<Name, FileError> {
    Name::new(name.as_encoded_bytes()).map_err(|error| FileError::new(FileErrorKind::BadName, error.to_string()))
}

/// The name as the system takes it.
#[cfg(unix)]
pub(super) fn to_os(name: &Name) -> Result<OsString, FileError> {
    use std::os::unix::ffi::OsStrExt;
    Ok(OsStr::from_bytes(name.as_bytes()).to_owned())
}

/// The name as the system takes it, if it can hold it.
#[cfg(windows)]
pub(super) fn to_os(name: &Name) -> Result<OsString, FileError> {
    use std::os::windows::ffi::OsStringExt;
    let units = wtf8_units(name.as_bytes()).filter(|_| is_windows_name(name.as_bytes()));
    let units = units.ok_or_else(|| FileError::new(FileErrorKind::BadName, "Windows cannot hold this name"))?;
    Ok(OsString::from_wide(&units))
}

/// Windows can hold this name, and means by it an entry of the directory: neither a stream of a file, nor a device, nor a
/// path, nor a name that it would shorten.
#[cfg(any(windows, test))]
fn is_windows_name(name: &[u8]) -> bool {
    const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
    const PORTS: [&str; 2] = ["COM", "LPT"];
    const PORT_NUMBERS: [&str; 13] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"];
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default().trim_ascii_end();
    let is_port = |port: &str| {
        let number = stem.get(port.len()..).unwrap_or_default();
        stem.len() > port.len()
            && stem[..port.len()].eq_ignore_ascii_case(port.as_bytes())
            && PORT_NUMBERS.iter().any(|known| known.as_bytes() == number)
    };
    let is_device =
        DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device.as_bytes())) || PORTS.into_iter().any(is_port);
    let is_refused = |byte: &u8| *byte < 0x20 || b"<>:\"/\\|?*".contains(byte);
    !is_device && !name.iter().any(is_refused) && !matches!(name.last(), Some(b' ' | b'.'))
}

/// The 16-bit units of a name in WTF-8 (UTF-8 in which a lone surrogate is written like any other code point); `None` for
/// other bytes.
#[cfg(any(windows, test))]
fn wtf8_units(name: &[u8]) -> Option<Vec<u16>> {
    let mut units = Vec::with_capacity(name.len());
    let mut rest = name;
    while !rest.is_empty() {
        let valid = match std::str::from_utf8(rest) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).ok()?,
        };
        units.extend(valid.encode_utf16());
        rest = match &rest[valid.len()..] {
            [] => &[],
            [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, after @ ..] => {
                units.push(0xd000 | (u16::from(second & 0x3f) << 6) | u16::from(third & 0x3f));
                after
            }
            _ => return None,
        };
    }
    Some(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_another_meaning_on_windows_are_refused() {
        for bad in ["a:b", "a\\b", "..\\x", "con", "NUL.txt", "com1", "lpt¹.log", "end.", "end ", "a\nb", "a?", "aux "]
        {
            assert!(!is_windows_name(bad.as_bytes()), "{bad:?}");
        }
        for good in ["console", "com", "com10", "lpt", ".hidden", "ä ö", "a.b.c", "nul-l"] {
            assert!(is_windows_name(good.as_bytes()), "{good:?}");
        }
    }

    #[test]
    fn lone_surrogates_pass_and_other_bytes_do_not() {
        assert_eq!(wtf8_units("aä😀".as_bytes()), Some("aä😀".encode_utf16().collect()));
        assert_eq!(wtf8_units(b"x\xed\xa0\xbdy"), Some(vec![b'x'.into(), 0xd83d, b'y'.into()]));
        assert_eq!(wtf8_units(b"x\xed\xbf\xbf"), Some(vec![b'x'.into(), 0xdfff]));
        assert_eq!(wtf8_units(b"x\xff"), None);
        assert_eq!(wtf8_units(b"x\xed\xa0"), None);
    }
}
