//! Names are bytes: whatever the kernel takes goes to the other side as it is.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{Mode, OFlags, mkdirat, openat};

use crate::rig::{Computer, Server, settle};
use crate::tree::{conflict_copies, tree};

/// Longest name on the file systems of Linux.
const NAME_BYTES_MAX: usize = 255;

/// Names that some program, system or person stumbles over.
fn odd_names() -> Vec<OsString> {
    let texts = [
        "-rf",
        "--help",
        "~",
        "$HOME",
        "`id`",
        "$(id)",
        "a;b",
        "a|b",
        "a&b",
        "*",
        "?",
        "[a]",
        "{a,b}",
        "!",
        "#a#",
        "a:b",
        "a\\b",
        "a\"b",
        "a'b",
        "<a>",
        "%2e%2e",
        "%00",
        "...",
        "..a",
        ".hidden",
        "a.",
        "a ",
        " a",
        " ",
        "\t",
        "\n",
        "a\nb",
        "\r",
        "\u{1}",
        "\u{7f}",
        "\u{1b}[31mred",
        "CON",
        "nul.txt",
        "COM1",
        "Case",
        "case",
        "CASE",
        "é",
        "e\u{301}",
        "Å",
        "Å",
        "ß",
        "ss",
        "İ",
        "i",
        "I",
        "ı",
        "\u{202e}txt.exe",
        "\u{feff}bom",
        "a\u{200b}b",
        "😀",
        "👩‍👩‍👧‍👦",
        "中文",
        "ﷺ",
        "null",
        "undefined",
        "NaN",
        "1e309",
        "' OR 1=1 --",
        "\"; DROP TABLE nodes; --",
        "{{7*7}}",
        "<script>",
        "name (two versions, laptop, ",
        ".skep",
        ".skepignored",
        ".nfs0001",
        "core",
        "Thumbs.db~",
    ];
    let mut names: Vec<OsString> = texts.iter().map(OsString::from).collect();
    names.extend(
        [&b"\xff\xfe"[..], b"latin1 \xe9", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f"]
            .map(|name| OsStr::from_bytes(name).into()),
    );
    names.extend(
        ["x".repeat(NAME_BYTES_MAX), "é".repeat(NAME_BYTES_MAX / 2), "😀".repeat(NAME_BYTES_MAX / 4)]
            .map(OsString::from),
    );
    // Every byte but the two that no name holds, at each place of a short name.
    names.extend((1..=255u8).filter(|byte| *byte != b'/').map(|byte| OsString::from_vec(vec![b'b', byte, b'_'])));
    names.sort();
    names.dedup();
    names
}

/// What is in the directory `names`.
fn names_in(computer: &Computer) -> Vec<OsString> {
    let tree = tree(&computer.folder);
    let mut names: Vec<OsString> =
        tree.keys().filter_map(|path| Some(path.strip_prefix("names").ok()?.file_name()?.to_owned())).collect();
    names.sort();
    names
}

#[test]
fn any_name_that_the_kernel_takes_arrives_as_it_is() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let names = odd_names();
    let directory = laptop.path("names");
    fs::create_dir(&directory).unwrap();
    for name in &names {
        fs::write(directory.join(name), name.as_bytes()).unwrap();
        let mut beneath = OsString::from("directory of ");
        beneath.push(OsStr::from_bytes(&name.as_bytes()[..name.len().min(200)]));
        fs::create_dir_all(laptop.path("directories").join(&beneath)).unwrap();
        fs::write(laptop.path("directories").join(beneath).join("file"), name.as_bytes()).unwrap();
    }
    settle(&laptop, &desktop);
    assert_eq!(names_in(&desktop), names);

    // Renamed, edited and removed by the other side.
    for (number, name) in names.iter().enumerate() {
        let path = desktop.path("names").join(name);
        match number % 3 {
            0 => fs::rename(&path, desktop.path("names").join(format!("{number} renamed"))).unwrap(),
            1 => fs::write(&path, b"edited").unwrap(),
            _ => fs::remove_file(&path).unwrap(),
        }
    }
    settle(&laptop, &desktop);
    assert_eq!(names_in(&laptop).len(), (0..names.len()).filter(|number| number % 3 != 2).count());
    laptop.command(&["status"]).done();
}

#[test]
fn a_conflict_copy_of_a_name_of_full_length_has_a_name_that_fits() {
    let server = Server::start();
    let (mut laptop, mut desktop) = server.two_computers();
    let mut names =
        ["n".repeat(NAME_BYTES_MAX), format!("{}.jpeg", "n".repeat(NAME_BYTES_MAX - 5))].map(OsString::from).to_vec();
    names.push(format!("a{}", "é".repeat(NAME_BYTES_MAX / 2)).into());
    names.push(format!("a.{}", "e".repeat(NAME_BYTES_MAX - 2)).into());
    names.push(OsString::from_vec(vec![0xff; NAME_BYTES_MAX]));
    let write = |computer: &Computer, text: &str| {
        names.iter().for_each(|name| fs::write(computer.folder.join(name), text).unwrap());
    };
    write(&laptop, "the first");
    settle(&laptop, &desktop);
    laptop.stop();
    desktop.stop();
    write(&laptop, "as the laptop wants it");
    write(&desktop, "as the desktop would have it");
    laptop.start();
    laptop.wait();
    desktop.start();
    settle(&laptop, &desktop);
    assert_eq!(conflict_copies(&laptop.folder).len(), names.len());
    for path in tree(&laptop.folder).into_keys() {
        let text = fs::read_to_string(laptop.folder.join(&path)).unwrap();
        let is_copy = path.to_string_lossy().contains(" (two versions, desktop, ");
        assert_eq!(text == "as the desktop would have it", is_copy, "{}", path.display());
        assert!(path.as_os_str().len() <= NAME_BYTES_MAX);
    }
    assert!(
        tree(&laptop.folder)
            .keys()
            .any(|path| path.extension().is_some_and(|end| end == "jpeg")
                && path.to_string_lossy().contains("two versions")),
        "a copy keeps the ending"
    );
}

/// The directory so many levels below a synced folder, made if need be: no path that long could be given to the kernel.
fn deep(computer: &Computer, levels: usize) -> OwnedFd {
    let mut at: OwnedFd = File::open(&computer.folder).unwrap().into();
    for level in 0..levels {
        let name = format!("{level:03} {}", "d".repeat(40));
        // It may be there already; the next call tells.
        let _ = mkdirat(&at, &name, Mode::from_raw_mode(0o755));
        at = openat(&at, &name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    at
}

fn write_deep(computer: &Computer, levels: usize, text: &str) {
    let file = openat(
        deep(computer, levels),
        "file",
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC,
        Mode::from_raw_mode(0o644),
    );
    File::from(file.unwrap()).write_all(text.as_bytes()).unwrap();
}

fn read_deep(computer: &Computer, levels: usize) -> String {
    let file = openat(deep(computer, levels), "file", OFlags::RDONLY, Mode::empty()).unwrap();
    std::io::read_to_string(File::from(file)).unwrap()
}

#[test]
fn a_path_longer_than_the_kernel_takes_at_once_is_one_like_others() {
    const LEVELS: usize = 130;
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let wait = || [&laptop, &desktop, &laptop].into_iter().for_each(Computer::wait);
    write_deep(&laptop, LEVELS, "from the laptop");
    wait();
    assert_eq!(read_deep(&desktop, LEVELS), "from the laptop");
    write_deep(&desktop, LEVELS, "edited on the desktop");
    write_deep(&desktop, LEVELS / 2, "half way");
    wait();
    assert_eq!((&*read_deep(&laptop, LEVELS), &*read_deep(&laptop, LEVELS / 2)), ("edited on the desktop", "half way"));

    let top = format!("000 {}", "d".repeat(40));
    fs::rename(laptop.path(&top), laptop.path("short")).unwrap();
    wait();
    assert!(desktop.path("short").is_dir() && !desktop.path(&top).exists());
    fs::remove_dir_all(desktop.path("short")).unwrap();
    wait();
    assert_eq!(tree(&laptop.folder).len(), 0);
}
