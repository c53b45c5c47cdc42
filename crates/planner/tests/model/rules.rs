//! The rules of syncing, one row a rule: what stood on both disks, what each user did, and what stands everywhere afterwards.
//!
//! A and B work without a connection; then A comes back first. A tree is written as paths with contents: `a=1` is a file, `d/` a
//! directory, `l>x` a symlink; `a~1=2` is the copy that the device number 1 made of its version of `a`.

use skep_types::product::TWO_VERSIONS;

use crate::disk::{Body, Disk, ROOT};
use crate::world::{Client, World, name};
use crate::{in_many_orders, settle};

struct Rule {
    rule: &'static str,
    before: &'static str,
    a: &'static str,
    b: &'static str,
    after: &'static str,
}

/// Reads like a table.
const fn rule(rule: &'static str, before: &'static str, a: &'static str, b: &'static str, after: &'static str) -> Rule {
    Rule { rule, before, a, b, after }
}

#[rustfmt::skip]
const RULES: &[Rule] = &[
    // One side.
    rule("create",                         "",                 "write a 1",            "",                      "a=1"),
    rule("create a directory",             "",                 "mkdir d, write d/a 1", "",                      "d/ d/a=1"),
    rule("edit",                           "a=1",              "write a 2",            "",                      "a=2"),
    rule("delete",                         "a=1 b=2",          "rm a",                 "",                      "b=2"),
    rule("delete a directory",             "d/ d/a=1 d/e/",    "rm d",                 "",                      ""),
    rule("rename",                         "a=1",              "mv a b",               "",                      "b=1"),
    rule("move a directory",               "d/ d/a=1 e/",      "mv d e/d",             "",                      "e/ e/d/ e/d/a=1"),
    rule("move and edit",                  "a=1 d/",           "mv a d/b, write d/b 2", "",                     "d/ d/b=2"),
    rule("a file becomes a directory",     "a=1",              "rm a, mkdir a",        "",                      "a/"),
    rule("a directory becomes a file",     "a/ a/b=1",         "rm a, write a 2",      "",                      "a=2"),
    rule("a symlink is replaced",          "l>x",              "rm l, ln l y",         "",                      "l>y"),
    rule("swap two files",                 "a=1 b=2",          "swap a b",             "",                      "a=2 b=1"),
    rule("swap two directories",           "a/ a/x=1 b/ b/y=2", "swap a b",            "",                      "a/ a/y=2 b/ b/x=1"),
    rule("three directories in a circle",  "a/ a/1=1 b/ b/2=2 c/ c/3=3", "swap a b, swap b c", "",              "a/ a/2=2 b/ b/3=3 c/ c/1=1"),
    rule("turn a pair inside out",         "a/ a/b/ a/b/x=1",  "mv a/b b, mv a b/a",   "",                      "b/ b/a/ b/x=1"),
    rule("inside out, names exchanged",    "a/ a/b/",          "mv a/b t, mv a t/b, mv t a", "",                "a/ a/b/"),
    rule("take the directory's place",     "d/ d/a=1 d/e/",    "mv d/e t, rm d, mv t d", "",                    "d/"),
    rule("into what takes its name, deep", "a=1",              "mv a t, mkdir a, mkdir a/b, mv t a/b/c", "",    "a/ a/b/ a/b/c=1"),
    // Both sides, the same.
    rule("create equal",                   "",                 "write a 1",            "write a 1",             "a=1"),
    rule("create equal directories",       "",                 "mkdir d, write d/a 1", "mkdir d, write d/b 2",  "d/ d/a=1 d/b=2"),
    rule("edit equally",                   "a=1",              "write a 2",            "write a 2",             "a=2"),
    rule("delete twice",                   "a=1",              "rm a",                 "rm a",                  ""),
    rule("rename equally",                 "a=1",              "mv a b",               "mv a b",                "b=1"),
    // Both sides, both survive.
    rule("edit different files",           "a=1 b=2",          "write a 3",            "write b 4",             "a=3 b=4"),
    rule("move and edit, one each",        "a=1",              "mv a b",               "write a 2",             "b=2"),
    rule("edit and move, one each",        "a=1",              "write a 2",            "mv a b",                "b=2"),
    rule("create in a moved directory",    "d/",               "mv d e",               "write d/a 1",           "e/ e/a=1"),
    rule("edit in a moved directory",      "d/ d/a=1",         "write d/a 2",          "mv d e",                "e/ e/a=2"),
    rule("move out of a moved directory",  "d/ d/a=1",         "mv d e",               "mv d/a b",              "b=1 e/"),
    // Both sides, at odds: nothing is lost, the first keeps name and place.
    rule("edit / edit",                    "a=1",              "write a 2",            "write a 3",             "a=2 a~1=3"),
    rule("create / create",                "",                 "write a.txt 1",        "write a.txt 2",         "a.txt=1 a~1.txt=2"),
    rule("move / move",                    "a=1",              "mv a b",               "mv a c",                "b=1"),
    rule("move a directory / elsewhere",   "d/ e/ f/",         "mv d e/d",             "mv d f/d",              "e/ e/d/ f/"),
    rule("edit / delete",                  "a=1",              "write a 2",            "rm a",                  "a=2"),
    rule("delete / edit",                  "a=1",              "rm a",                 "write a 2",             "a=2"),
    rule("delete / move",                  "a=1 d/",           "rm a",                 "mv a d/a",              "d/ d/a=1"),
    rule("move / delete",                  "a=1",              "mv a b",               "rm a",                  "b=1"),
    rule("delete the directory / edit inside", "d/ d/a=1 d/b=2", "rm d",               "write d/a 3",           "d/ d/a=3"),
    rule("delete the directory / create inside", "d/ d/a=1",   "rm d",                 "write d/b 2",           "d/ d/b=2"),
    rule("delete the directory / move into it", "d/ a=1",      "rm d",                 "mv a d/a",              "d/ d/a=1"),
    rule("edit inside / delete the directory", "d/ d/a=1 d/b=2", "write d/a 3",        "rm d",                  "d/ d/a=3"),
    rule("create inside / delete the directory", "d/ d/a=1",   "write d/b 2",          "rm d",                  "d/ d/b=2"),
    rule("each into the other",            "a/ b/",            "mv a b/a",             "mv b a/b",              "b/ b/a/"),
    rule("file / directory of one name",   "",                 "write a 1",            "mkdir a, write a/b 2",  "a=1 a~1/ a~1/b=2"),
    rule("directory / file of one name",   "",                 "mkdir a",              "write a 1",             "a/ a~1=1"),
    rule("two move to one name",           "a=1 b=2",          "mv a c",               "mv b c",                "c=1 c~1=2"),
    rule("create / move to one name",      "a=1",              "write c 2",            "mv a c",                "c=2 c~1=1"),
];

#[test]
fn the_rules() {
    for rule in RULES {
        in_many_orders(2, |world| {
            run(world, 0, rule.before);
            world.run();
            world.clients.iter_mut().for_each(Client::part);
            act(&mut world.clients[0].disk, rule.a);
            act(&mut world.clients[1].disk, rule.b);
            world.run();
            world.clients[0].come_back();
            world.run();
            settle(world);
            world.check(&world.standing());
            assert_eq!(text(&world.clients[1].disk), rule.after, "{}", rule.rule);
        });
    }
}

/// Makes a tree on a disk.
pub fn run(world: &mut World, number: usize, tree: &str) {
    let disk = &mut world.clients[number].disk;
    for entry in tree.split_whitespace() {
        match (entry.split_once('='), entry.split_once('>'), entry.strip_suffix('/')) {
            (Some((path, content)), _, _) => act(disk, &format!("write {path} {content}")),
            (_, Some((path, target)), _) => act(disk, &format!("ln {path} {target}")),
            (_, _, Some(path)) => act(disk, &format!("mkdir {path}")),
            _ => panic!("`{entry}` is no entry"),
        }
    }
}

/// What a user does, one after the other.
pub fn act(disk: &mut Disk, acts: &str) {
    for words in acts.split(", ").filter(|words| !words.is_empty()) {
        let words: Vec<&str> = words.split(' ').collect();
        let (dir, entry) = place(disk, words[1]);
        match words[..] {
            ["write", _, content] => {
                let content = content.parse().unwrap();
                match disk.get(dir, &entry) {
                    Some(inode) => disk.edit(dir, &entry, inode, content),
                    None => put(disk, dir, &entry, Body::File(content)),
                }
            }
            ["mkdir", _] => put(disk, dir, &entry, Body::Directory(Default::default())),
            ["ln", _, target] => put(disk, dir, &entry, Body::Symlink(target.into())),
            ["rm", _] => {
                disk.put(dir, &entry, None);
            }
            ["mv", _, to] => {
                let inode = disk.put(dir, &entry, None);
                let (dir, entry) = place(disk, to);
                disk.put(dir, &entry, inode);
            }
            ["swap", _, with] => {
                let (other_dir, other) = place(disk, with);
                let (one, two) = (disk.get(dir, &entry), disk.get(other_dir, &other));
                disk.put(dir, &entry, two);
                disk.put(other_dir, &other, one);
            }
            _ => panic!("nobody can {words:?}"),
        }
    }
}

pub fn put(disk: &mut Disk, dir: u64, entry: &skep_types::Name, body: Body) {
    let inode = disk.make(body);
    disk.put(dir, entry, Some(inode));
}

fn place(disk: &Disk, path: &str) -> (u64, skep_types::Name) {
    let (dir, entry) = path.rsplit_once('/').unwrap_or(("", path));
    let names: Vec<_> = dir.split('/').filter(|part| !part.is_empty()).map(name).collect();
    (disk.dir(&names).unwrap_or(ROOT), name(entry))
}

/// A disk as a row of the table writes it.
pub fn text(disk: &Disk) -> String {
    let entry = |(path, (body, _)): (String, (Body, bool))| {
        let path = short(&path[1..]);
        match body {
            Body::File(content) => format!("{path}={content}"),
            Body::Directory(_) => format!("{path}/"),
            Body::Symlink(target) => format!("{path}>{}", String::from_utf8(target).unwrap()),
            Body::Special => format!("{path}?"),
        }
    };
    let mut entries: Vec<String> = disk.tree().into_iter().map(entry).collect();
    entries.sort();
    entries.join(" ")
}

/// `a (two versions, dev1, TIME).txt` as `a~1.txt`.
fn short(path: &str) -> String {
    let Some((before, notice)) = path.split_once(TWO_VERSIONS) else { return path.into() };
    let (notice, after) = notice.split_once(')').unwrap();
    let device = notice.trim_start_matches("dev").split(',').next().unwrap();
    format!("{before}~{device}{}", short(after))
}
