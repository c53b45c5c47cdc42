//! Kinds of entries and their attributes: links, modes, times, holes, links to one file, what may not be read or written.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::rig::{Server, settle};
use crate::tree::{Shown, conflict_copies, tree};

#[test]
fn links_are_links_wherever_they_lead_and_whatever_takes_their_place() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("file", "a file");
    laptop.write("directory/inner", "beneath");
    let long = "t/".repeat(500);
    let targets = [
        ("to file", "file"),
        ("to directory", "directory"),
        ("dangling", "nowhere"),
        ("absolute", "/etc/hostname"),
        ("up", "../../.."),
        ("to itself", "to itself"),
        ("long", &long),
    ];
    for (name, target) in targets {
        symlink(target, laptop.path(name)).unwrap();
    }
    settle(&laptop, &desktop);
    let there = tree(&desktop.folder);
    for (name, target) in targets {
        assert_eq!(there.get(Path::new(name)), Some(&Shown::Link(target.into())), "{name}");
    }

    // Files, directories and links take each other's places, from both sides, and go back.
    for (round, computer) in [&laptop, &desktop, &laptop].into_iter().enumerate() {
        let remove = |name: &str| fs::remove_file(computer.path(name)).unwrap();
        remove("to file");
        computer.write("to file", format!("a file now {round}"));
        remove("file");
        symlink("directory", computer.path("file")).unwrap();
        remove("to directory");
        fs::create_dir(computer.path("to directory")).unwrap();
        computer.write("to directory/new", "in it");
        settle(&laptop, &desktop);
        remove("to file");
        symlink("file", computer.path("to file")).unwrap();
        remove("file");
        computer.write("file", format!("a file again {round}"));
        fs::remove_dir_all(computer.path("to directory")).unwrap();
        symlink("directory", computer.path("to directory")).unwrap();
        remove("dangling");
        symlink(format!("nowhere {round}"), computer.path("dangling")).unwrap();
        settle(&laptop, &desktop);
    }
    assert_eq!(desktop.read("directory/inner").unwrap(), b"beneath");
    assert_eq!(tree(&laptop.folder).len(), 3 + targets.len());
}

#[test]
fn the_executable_bit_goes_along_and_other_bits_do_not() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("script", "#!/bin/sh\n");
    settle(&laptop, &desktop);
    for mode in [0o755, 0o644, 0o700, 0o600, 0o4755, 0o444, 0o555] {
        laptop.set_mode("script", mode);
        settle(&laptop, &desktop);
        let there = fs::metadata(desktop.path("script")).unwrap().permissions().mode() & 0o7777;
        assert_eq!((there & 0o111 != 0, there & 0o7000), (mode & 0o111 != 0, 0), "{mode:o} became {there:o}");
    }
    assert_eq!(server.files_named("script").len(), 1);
}

#[test]
fn empty_files_and_directories_take_each_others_places() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("one", "");
    fs::create_dir_all(laptop.path("two/three")).unwrap();
    settle(&laptop, &desktop);
    fs::remove_file(desktop.path("one")).unwrap();
    fs::create_dir(desktop.path("one")).unwrap();
    fs::remove_dir_all(desktop.path("two")).unwrap();
    desktop.write("two", "");
    settle(&laptop, &desktop);
    assert!(laptop.path("one").is_dir());
    assert_eq!(laptop.read("two").unwrap(), b"");
}

#[test]
fn times_before_and_after_this_age_are_kept_to_the_nanosecond() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let epoch = SystemTime::UNIX_EPOCH;
    // 1601 and 2446 are where some file systems end: what the disk here makes of them is what must arrive.
    let times = [
        epoch,
        epoch - Duration::from_secs(1),
        epoch + Duration::from_nanos(1),
        epoch + Duration::new(1_234_567_890, 123_456_789),
        epoch - Duration::from_millis(500),
        epoch - Duration::from_secs(11_644_473_600),
        epoch + Duration::from_secs(4_102_444_800),
        epoch + Duration::from_secs(15_032_385_535),
    ];
    for (number, time) in times.into_iter().enumerate() {
        let path = laptop.path(&format!("{number}"));
        fs::write(&path, format!("file {number}")).unwrap();
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
    }
    settle(&laptop, &desktop);
    let shown = fs::metadata(desktop.path("3")).unwrap().modified().unwrap();
    assert_eq!(shown, times[3]);
    fs::File::open(desktop.path("3")).unwrap().set_modified(times[1]).unwrap();
    settle(&laptop, &desktop);
    assert_eq!(fs::metadata(laptop.path("3")).unwrap().modified().unwrap(), times[1]);
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
}

#[test]
fn a_file_that_is_mostly_a_hole_takes_no_more_room_on_the_other_side() {
    const LENGTH: u64 = 256 << 20;
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let image = fs::File::create(laptop.path("image")).unwrap();
    image.set_len(LENGTH).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&image, b"in the middle", LENGTH / 2).unwrap();
    settle(&laptop, &desktop);
    let there = fs::metadata(desktop.path("image")).unwrap();
    assert_eq!(there.len(), LENGTH);
    assert!(there.blocks() * 512 < LENGTH / 16, "{} blocks", there.blocks());
    assert!(server.stored_bytes() < 1 << 20);
}

#[test]
fn what_is_neither_file_nor_directory_nor_link_is_told_and_disturbs_nothing() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let make_pipe = |name: &str| {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            laptop.path(name),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
    };
    laptop.write("d/file", "beside them");
    make_pipe("pipe").unwrap();
    make_pipe("d/pipe").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(laptop.path("socket")).unwrap();
    laptop.wait();
    desktop.wait();
    assert_eq!(desktop.read("d/file").unwrap(), b"beside them");
    assert_eq!(tree(&desktop.folder).len(), 2);

    let told = || {
        let status = laptop.status();
        assert_eq!((&status["state"], status["problems"].as_array().unwrap().len()), (&"up_to_date".into(), 0));
        let told = status["not_synced"].as_array().unwrap().iter().map(|told| {
            assert_eq!(told["code"], "E-SPECIAL-FILE");
            told["path"].as_str().unwrap().to_owned()
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(), ["d/pipe", "pipe", "socket"]);
    let text = laptop.command(&["status"]).done();
    assert!(text.contains("not synced: 3") && text.contains("d/pipe"), "{text}");
    let path = laptop.command(&["status", "pipe", "--json"]).json();
    assert_eq!(path["state"], "not synced", "{path}");
    let listed = laptop.command(&["ls"]).done();
    assert!(listed.lines().any(|line| line == "not synced socket"), "{listed}");

    for special in ["pipe", "d/pipe", "socket"] {
        fs::remove_file(laptop.path(special)).unwrap();
        laptop.write(special, "a file now");
    }
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("d/pipe").unwrap(), b"a file now");
    assert_eq!(told(), [""; 0]);
}

#[test]
fn each_name_of_one_file_is_a_file_there() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("one", "first");
    fs::create_dir(laptop.path("d")).unwrap();
    fs::hard_link(laptop.path("one"), laptop.path("two")).unwrap();
    fs::hard_link(laptop.path("one"), laptop.path("d/three")).unwrap();
    settle(&laptop, &desktop);
    // Each is one by itself there, so an edit of one is not one of all.
    desktop.write("two", "second");
    laptop.wait();
    desktop.wait();
    settle(&laptop, &desktop);
    let read = |name: &str| laptop.read(name).map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(["one", "two", "d/three"].map(read), ["first", "second", "first"].map(|text| Some(text.to_owned())));
    fs::remove_file(laptop.path("one")).unwrap();
    fs::rename(laptop.path("d/three"), laptop.path("moved")).unwrap();
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("moved").unwrap(), b"first");
    assert_eq!(desktop.read("one"), None);
}

#[test]
fn an_edit_through_one_name_of_a_file_is_one_of_all_its_names() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("one", "first");
    fs::create_dir(laptop.path("d")).unwrap();
    fs::hard_link(laptop.path("one"), laptop.path("two")).unwrap();
    fs::hard_link(laptop.path("one"), laptop.path("d/three")).unwrap();
    settle(&laptop, &desktop);
    laptop.write("two", "second");
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("d/three").unwrap(), b"second");
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_told() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("file", "first");
    settle(&laptop, &desktop);
    // In one step: a file that is away even for a moment is deleted, and rightly so.
    let pipe = laptop.path("../pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    fs::rename(&pipe, laptop.path("file")).unwrap();
    let problems = laptop.wait_with_problems();
    assert!(matches!(problems.as_slice(), [problem] if problem.ends_with(" file")), "{problems:?}");
    assert_eq!(desktop.read("file").unwrap(), b"first");
    fs::remove_file(laptop.path("file")).unwrap();
    laptop.write("file", "second");
    settle(&laptop, &desktop);
}
