//! Names that the planner makes.

use skep_types::product::TWO_VERSIONS;
use skep_types::{Civil, Name, NodeId, Timestamp};

/// Longest part of a device's name that goes into a file name, in bytes.
const DEVICE_BYTES_MAX: usize = 40;
/// How names end that are held for a moment only.
const SWAP: &str = ".skep-swap";

/// The name of the copy that `device` makes of its version of `name`, last changed at `time`:
/// `name (two versions, DEVICE, 2026-11-20 14.03.07).ext`, shortened to fit, and numbered if it is `taken`.
pub fn conflict_name(name: &Name, device: &str, time: Timestamp, taken: impl Fn(&Name) -> bool) -> Name {
    let (stem, extension) = name.split_extension();
    let stem = match find(stem, TWO_VERSIONS.as_bytes()) {
        Some(at) if at > 0 => &stem[..at],
        _ => stem,
    };
    let device: String = device.chars().filter(|c| !c.is_control() && !"/\\:*?\"<>|".contains(*c)).collect();
    let device = prefix(device.as_bytes(), DEVICE_BYTES_MAX);
    let time = clock_face(time);
    for number in 1u64.. {
        let number = if number == 1 { String::new() } else { format!(", {number}") };
        let notice = [TWO_VERSIONS.as_bytes(), device, format!(", {time}{number})").as_bytes()].concat();
        let extension = if notice.len() + extension.len() < Name::BYTES_MAX { extension } else { &[] };
        let stem = prefix(stem, Name::BYTES_MAX - notice.len() - extension.len());
        let made = Name::new([stem, &notice, extension].concat()).expect("parts of names, shortened to fit");
        if !taken(&made) {
            return made;
        }
    }
    unreachable!("a directory holds fewer than 2^64 names")
}

/// What the name of a conflict copy tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwoVersions {
    /// The name of the file of which this is another version.
    pub original: Name,
    /// The device that made this version, as far as it fitted; `kept N` for one that came back from the safe.
    pub device: String,
    /// When it was last changed, as the name has it; empty if it tells no time.
    pub time: String,
}

impl TwoVersions {
    /// Understands the name of a conflict copy; `None` if it is none.
    pub fn of(name: &Name) -> Option<TwoVersions> {
        let bytes = name.as_bytes();
        let at = find(bytes, TWO_VERSIONS.as_bytes())?;
        let notice = &bytes[at + TWO_VERSIONS.len()..];
        let end = notice.iter().rposition(|byte| *byte == b')')?;
        let (notice, extension) = (&notice[..end], &notice[end + 1..]);
        let original = Name::new([&bytes[..at], extension].concat()).ok()?;
        let notice = String::from_utf8_lossy(notice);
        // A device's name may hold a comma; the time does not, but a number may follow it.
        let is_time = |part: &str| part.len() == 19 && part.as_bytes()[10] == b' ';
        let parts: Vec<&str> = notice.split(", ").collect();
        let time = parts.iter().rposition(|part| is_time(part));
        let device = parts[..time.unwrap_or(parts.len())].join(", ");
        Some(TwoVersions { original, device, time: time.map_or(String::new(), |time| parts[time].to_owned()) })
    }
}

/// The name that a node has for a moment while names are passed on in a circle.
pub(crate) fn swap_name(node: NodeId) -> Name {
    Name::new(format!(".{node}{SWAP}")).expect("a short text without separators is a name")
}

/// The node that has this name for a moment, if it is such a name.
pub(crate) fn node_of_swap_name(name: &Name) -> Option<NodeId> {
    let id = name.as_bytes().strip_prefix(b".")?.strip_suffix(SWAP.as_bytes())?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// Whether `name` is the name of a conflict copy of `original`.
pub(crate) fn is_conflict_copy_of(name: &Name, original: &Name) -> bool {
    match find(name.as_bytes(), TWO_VERSIONS.as_bytes()) {
        Some(at) => original.as_bytes().starts_with(&name.as_bytes()[..at]) && name != original,
        None => false,
    }
}

/// The longest prefix of at most `len` bytes that does not cut a UTF-8 character.
fn prefix(bytes: &[u8], len: usize) -> &[u8] {
    let mut end = bytes.len().min(len);
    while end > 0 && end < bytes.len() && bytes[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &bytes[..end]
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// `2026-11-20 14.03.07` in UTC: sorts by time, and no file system refuses it.
fn clock_face(time: Timestamp) -> String {
    let Civil { year, month, day, hour, minute, second } = time.civil();
    format!("{year:04}-{month:02}-{day:02} {hour:02}.{minute:02}.{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::try_from(text).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanoseconds: 0 }
    }

    #[test]
    fn tells_device_and_time() {
        let made = conflict_name(&name("Budget 2026.xlsx"), "thinkpad", at(1_795_183_387), |_| false);
        assert_eq!(made, name("Budget 2026 (two versions, thinkpad, 2026-11-20 14.03.07).xlsx"));
        let old = conflict_name(&name("a"), "b/c", at(-1), |_| false);
        assert_eq!(old, name("a (two versions, bc, 1969-12-31 23.59.59)"));
    }

    #[test]
    fn numbers_what_is_taken_and_does_not_pile_up_notices() {
        let first = conflict_name(&name("a.txt"), "d", at(0), |_| false);
        let second = conflict_name(&first, "d", at(0), |made| *made == first);
        assert_eq!(second, name("a (two versions, d, 1970-01-01 00.00.00, 2).txt"));
        assert!(is_conflict_copy_of(&first, &name("a.txt")));
        assert!(!is_conflict_copy_of(&name("a.txt"), &name("a.txt")));
    }

    #[test]
    fn the_name_of_a_copy_tells_of_what_it_is_one() {
        for device in ["thinkpad", "Maya's, second"] {
            for original in ["Budget 2026.xlsx", "a", ".profile", "(x).tar.gz"] {
                let first = conflict_name(&name(original), device, at(1_795_183_387), |_| false);
                let second = conflict_name(&name(original), device, at(1_795_183_387), |made| *made == first);
                for copy in [first, second] {
                    let told = TwoVersions::of(&copy).unwrap();
                    assert_eq!((told.original, told.device.as_str()), (name(original), device));
                    assert_eq!(told.time, "2026-11-20 14.03.07");
                }
            }
        }
        let kept = TwoVersions::of(&name("report (two versions, kept 1).odt")).unwrap();
        assert_eq!((kept.original, kept.device.as_str(), kept.time.as_str()), (name("report.odt"), "kept 1", ""));
        assert_eq!(TwoVersions::of(&name("report.odt")), None);
        assert_eq!(TwoVersions::of(&name("a (two versions, b")), None);
    }

    #[test]
    fn fits_in_255_bytes_without_cutting_a_character() {
        let long = name(&"é".repeat(127));
        let made = conflict_name(&long, &"ü".repeat(60), at(i64::MAX), |_| false);
        assert!(made.as_bytes().len() <= 255);
        assert!(std::str::from_utf8(made.as_bytes()).is_ok());
        let extension = name(&format!("a.{}", "x".repeat(250)));
        assert!(conflict_name(&extension, "d", at(0), |_| false).as_bytes().len() <= 255);
    }
}
