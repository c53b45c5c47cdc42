//! What is mounted beneath a directory. No watch tells of a mount: what it covers is as it was.

use std::hash::{DefaultHasher, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A number for all that is mounted beneath `root` in this process's view. What cannot be told is nothing.
pub(super) fn beneath(root: &Path) -> u64 {
    let Ok(root) = root.canonicalize() else { return 0 };
    let Ok(table) = std::fs::read("/proc/self/mountinfo") else { return 0 };
    number_of(&table, root.as_os_str().as_bytes())
}

/// The mount id tells a mount from one that was there before it.
fn number_of(table: &[u8], root: &[u8]) -> u64 {
    let mut above = escaped(root);
    above.push(b'/');
    let mut hasher = DefaultHasher::new();
    let mut is_any = false;
    for line in table.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ');
        let (Some(id), Some(place)) = (fields.next(), fields.nth(3)) else { continue };
        if place.starts_with(&above) {
            is_any = true;
            hasher.write(id);
            hasher.write(place);
        }
    }
    if is_any { hasher.finish() } else { 0 }
}

/// As the kernel writes paths in its tables.
fn escaped(path: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => text.extend(format!("\\{byte:03o}").bytes()),
            byte => text.push(*byte),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mounted_beneath_counts() {
        let table = |lines: &[&str]| {
            let lines = lines.iter().map(|line| format!("{line} rw - tmpfs tmpfs rw\n"));
            number_of(lines.collect::<String>().as_bytes(), b"/data/may a")
        };
        let outside = ["1 0 8:1 / /", "2 1 0:5 / /data/may\\040a", "3 1 0:6 / /data/may\\040ab"];
        assert_eq!(table(&outside), 0);
        let one = table(&[&outside[..], &["4 1 0:7 / /data/may\\040a/d"]].concat());
        let again = table(&[&outside[..], &["5 1 0:7 / /data/may\\040a/d"]].concat());
        assert!(one != 0 && again != 0 && one != again);
        assert_eq!(number_of(b"", b"/"), 0);
    }
}
