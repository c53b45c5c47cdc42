//! The rules of `decide`, one row a rule.
#![expect(clippy::unwrap_used, reason = "tests")]

mod world;

use skep_drive::{View, decide};
use skep_types::{Commit, CommitReply, ContentId, DeviceId, Group, NodeId, Operation, Seq, Timestamp};
use world::{commit, difference, groups, limits, node, outcome, shown, start};

/// What it is about; what device B did, unseen by A; what A asks; the answers; what changes; how many entries.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, usize);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // Create.
    ("a file", "", "mkfile x d new 5", "ok", "+d/new=5", 1),
    ("an executable", "", "mkexe x / run 5", "ok", "+run=5*", 1),
    ("a symlink", "", "mklink x / to x", "ok", "+to->x", 1),
    ("a tree, group by group", "", "mkdir x / n; mkdir y x m; mkfile z y o 0", "ok; ok; ok", "+n/ +n/m/ +n/m/o=0", 3),
    ("a tree in one group, children first", "", "mkfile z y o 1, mkdir y / n", "ok", "+n/ +n/o=1", 2),
    ("a name that is taken", "", "mkfile x / g 5", "taken g", "", 0),
    ("a file where a directory stands", "", "mkfile x / d 5", "taken d", "", 0),
    ("a directory where a file stands", "", "mkdir x / g", "taken g", "", 0),
    ("a directory that stands already", "", "mkdir x / d", "as d", "", 0),
    ("and what follows goes into it", "", "mkdir x / d; mkfile y x n 5; mkdir z x e; mkfile w z q 6", "as d; ok; as e; ok", "+d/e/q=6 +d/n=5", 2),
    ("what follows in its group too", "", "mkdir x / d, mkfile y x n 5", "as d", "+d/n=5", 1),
    ("one such directory a group", "", "mkdir x / d, mkdir y / h", "taken h", "", 0),
    ("nothing stands for what is refused", "", "mkdir x / d, mkfile y x f 5; mkfile z x n 6", "taken f; depends x", "", 0),
    ("a directory that is moved away later in the group", "", "mkdir x / d, mv d / old", "ok", "-d/e/ -d/f=1 -d/l->x +old/ +old/e/ +old/f=1 +old/l->x", 2),
    ("a directory that was moved away before", "", "mv d / old; mkdir x / d", "ok; ok", "-d/e/ -d/f=1 -d/l->x +old/ +old/e/ +old/f=1 +old/l->x", 2),
    ("twice the same", "mkfile x / n 5", "mkfile x / n 5", "ok", "", 0),
    ("an id that is known, elsewhere", "mkdir x / n", "mkdir x / m", "changed x", "", 0),
    ("an id that is another kind", "", "mkdir f d f", "invalid f", "", 0),
    ("two of one name in a group", "", "mkfile x / n 5, mkfile y / n 6", "invalid y", "", 0),
    ("two of one name in a commit", "", "mkfile x / n 5; mkfile y / n 6", "ok; taken x", "+n=5", 1),
    ("two directories of one name in a commit", "", "mkdir x / n; mkdir y / n; mkfile z y a 1", "ok; as x; ok", "+n/ +n/a=1", 2),
    ("the name of a trashed one is free", "", "mkdir x / t", "ok", "+t/", 1),
    ("in no directory", "", "mkfile x y n 5", "parent y", "", 0),
    ("in a file", "", "mkfile x g n 5", "parent g", "", 0),
    ("in a trashed directory", "", "mkfile x t n 5", "trash t", "", 0),
    ("beneath a trashed directory", "", "mkfile x v n 5", "trash t", "", 0),
    ("a standing directory in the trash stands for none", "", "mkdir x t v", "trash t", "", 0),
    ("in a directory trashed meanwhile", "rm d", "mkfile x d n 5", "trash d", "", 0),
    ("in itself", "", "mkdir x x n", "cycle x", "", 0),
    ("in a refused one", "", "mkdir x g n; mkfile y x n 5; mkfile z y n 5", "parent g; depends x; depends y", "", 0),
    ("the root", "", "mkdir / / n", "invalid /", "", 0),
    ("our own directory", "", "mkdir x / .skep", "invalid x", "", 0),
    ("a name like it elsewhere", "", "mkdir x d .skep", "ok", "+d/.skep/", 1),
    ("a mount is reserved", "", "mkmount x / n", "invalid x", "", 0),
    ("an executable directory", "", "mkdirexe x / n", "invalid x", "", 0),
    ("a symlink to nowhere", "", "mklink x / n", "invalid x", "", 0),
    ("a symlink with NUL", "", "mklink x / n a0b", "invalid x", "", 0),
    ("the longest symlink", "", "mklink x / n abcd", "ok", "+n->abcd", 1),
    ("a longer symlink", "", "mklink x / n abcde", "invalid x", "", 0),
    ("the deepest directory, and a file in it", "", "mkdir x e n; mkfile y x m 1", "ok; ok", "+d/e/n/ +d/e/n/m=1", 2),
    ("a deeper directory", "", "mkdir x e n; mkdir y x m", "ok; invalid y", "+d/e/n/", 1),
    // Move.
    ("a rename", "", "mv f d new", "ok", "-d/f=1 +d/new=1", 1),
    ("a move of a directory", "", "mv d h x", "ok", "-d/ -d/e/ -d/f=1 -d/l->x +h/x/ +h/x/e/ +h/x/f=1 +h/x/l->x", 1),
    ("both have moved it alike", "mv f d new", "mv f d new", "ok", "", 0),
    ("both have moved it", "mv f d his", "mv f d mine", "changed f", "", 0),
    ("edited there, moved here", "ed f 9", "mv f d new", "ok", "-d/f=9 +d/new=9", 1),
    ("twice in a commit, from one base", "", "mv f d b; mv f / c", "ok; ok", "-d/f=1 +c=1", 2),
    ("twice in a group, from one base", "", "mv f d b, mv f / c", "ok", "-d/f=1 +c=1", 2),
    ("a swap", "", "mv f / g, mv g d f", "ok", "-d/f=1 -g=2 +d/f=2 +g=1", 2),
    ("half a swap", "", "mv f / g; mv g d f", "taken g; taken f", "", 0),
    ("a cycle of three names", "", "mv d / g, mv g / h, mv h / d", "ok", "-d/e/ -d/f=1 -d/l->x -g=2 -h/ +g/ +g/e/ +g/f=1 +g/l->x +h=2", 3),
    ("a swap of parent and child", "", "mv e / d, mv d e e", "ok", "-d/f=1 -d/l->x +d/e/f=1 +d/e/l->x", 2),
    ("into itself", "", "mv d d x", "cycle d", "", 0),
    ("into its own child", "", "mv d e x", "cycle d", "", 0),
    ("into each other", "", "mv d h x, mv h d y", "cycle d", "", 0),
    ("into each other, one after the other", "", "mv d h x; mv h d y", "ok; cycle h", "-d/ -d/e/ -d/f=1 -d/l->x +h/x/ +h/x/e/ +h/x/f=1 +h/x/l->x", 1),
    ("a trashed cycle", "", "mv d e x, rm d", "cycle d", "", 0),
    ("onto a taken name", "", "mv f / g", "taken g", "", 0),
    ("onto a name taken meanwhile", "mkfile x / new 5", "mv f / new", "taken x", "", 0),
    ("a group is all or nothing", "", "mv f / new, ed g 9, mv l / g", "taken g", "", 0),
    ("into a trashed directory", "", "mv f t f", "trash t", "", 0),
    ("into a directory trashed in the same group", "", "mv g h g, rm h", "trash h", "", 0),
    ("into a file", "", "mv f g f", "parent g", "", 0),
    ("into nothing", "", "mv f x f", "parent x", "", 0),
    ("of nothing", "", "mv x / x", "unknown x", "", 0),
    ("of a refused one", "", "mkfile x / g 1; mv x / y", "taken g; depends x", "", 0),
    ("of the root", "", "mv / d x", "invalid /", "", 0),
    ("to our own name", "", "mv f / .skep", "invalid f", "", 0),
    ("into too deep a directory", "", "mkdir x e n; mv h x h", "ok; invalid h", "+d/e/n/", 1),
    ("what a move took deeper can still be renamed", "", "mkdir x h a; mkdir y x b; mv h e h; mv y x c; mkdir z y n", "ok; ok; ok; ok; invalid z", "-h/ +d/e/h/ +d/e/h/a/ +d/e/h/a/c/", 4),
    ("out of the trash", "", "mv t / t", "ok", "-~t/ +t/ +t/u=3 +t/v/", 1),
    ("out of the trash, where the name is taken", "mkfile x / t 5", "mv t / t", "taken x", "", 0),
    ("from beneath a trashed directory", "", "mv u / u", "ok", "+u=3", 1),
    ("trashed there, moved here", "rm f", "mv f d new", "changed f", "", 0),
    // Edit and mode.
    ("an edit", "", "ed f 9", "ok", "-d/f=1 +d/f=9", 1),
    ("a new target", "", "link l y", "ok", "-d/l->x +d/l->y", 1),
    ("both made the same edit", "ed f 9", "ed f 9", "ok", "", 0),
    ("both made an edit", "ed f 8", "ed f 9", "changed f", "", 0),
    ("moved there, edited here", "mv f / new", "ed f 9", "ok", "-new=1 +new=9", 1),
    ("made executable there, edited here", "exe f", "ed f 9", "ok", "-d/f=1* +d/f=9*", 1),
    ("both made it executable", "exe f", "exe f", "ok", "", 0),
    ("mode here and there", "exe f; plain f", "exe f", "changed f", "", 0),
    ("twice in a commit", "", "ed f 8; ed f 9", "ok; ok", "-d/f=1 +d/f=9", 2),
    ("create and edit in a commit", "", "mkfile x / n 1; ed x 2", "ok; ok", "+n=2", 2),
    ("another kind", "", "ed d 5", "invalid d", "", 0),
    ("another kind of leaf", "", "link f x", "invalid f", "", 0),
    ("an executable symlink", "", "exe l", "invalid l", "", 0),
    ("an executable directory by mode", "", "exe d", "invalid d", "", 0),
    ("in the trash", "", "ed u 9", "trash t", "", 0),
    ("mode in the trash", "", "exe u", "trash t", "", 0),
    ("in a directory trashed meanwhile", "rm d", "ed f 9", "trash d", "", 0),
    ("already so, in the trash", "", "ed u 3", "ok", "", 0),
    ("restored and edited in one group", "", "mv u / u, ed u 9", "ok", "+u=9", 2),
    ("edited and restored in one group", "", "ed u 9, mv u / u", "ok", "+u=9", 2),
    ("restored by its directory in the same group", "", "ed u 9, mv t / t", "ok", "-~t/ +t/ +t/u=9 +t/v/", 2),
    ("of nothing at all", "", "ed x 9", "unknown x", "", 0),
    ("the recovered directory", "rm d", "mkdir x / d, mv f x f, ed f 9", "ok", "+d/ +d/f=9", 3),
    ("the recovered directory that another device made", "rm d; mkdir x / d", "mkdir x / d, mv f x f, ed f 9", "ok", "+d/f=9", 2),
    // Trash.
    ("a file into the trash", "", "rm f", "ok", "-d/f=1 +~f=1", 1),
    ("a directory, whole", "", "rm d", "ok", "-d/ -d/e/ -d/f=1 -d/l->x +~d/", 1),
    ("both trashed it", "rm d", "rm d", "ok", "", 0),
    ("its directory was trashed", "rm d", "rm f", "ok", "", 0),
    ("moved there, trashed here", "mv f / new", "rm f", "changed f", "", 0),
    ("edited there, trashed here", "ed f 9", "rm f", "changed f", "", 0),
    ("edited beneath", "ed f 9", "rm d", "below d", "", 0),
    ("created beneath", "mkfile x e n 5", "rm d", "below d", "", 0),
    ("trashed beneath", "rm f", "rm d", "ok", "-d/ -d/e/ -d/l->x +~d/", 1),
    ("moved away from beneath", "mv f / f", "rm d", "ok", "-d/ -d/e/ -d/l->x +~d/", 1),
    ("changed elsewhere", "ed g 9", "rm d", "ok", "-d/ -d/e/ -d/f=1 -d/l->x +~d/", 1),
    ("own changes beneath", "", "ed f 9; mkfile x e n 5; rm d", "ok; ok; ok", "-d/ -d/e/ -d/f=1 -d/l->x +~d/", 3),
    ("changed there, then moved beneath by this commit", "ed g 9", "mv g h g; rm h", "ok; below h", "-g=9 +h/g=9", 1),
    ("changed beneath what this commit moved beneath", "ed f 9", "mv d h d; rm h", "ok; below h", "-d/ -d/e/ -d/f=9 -d/l->x +h/d/ +h/d/e/ +h/d/f=9 +h/d/l->x", 1),
    ("the root cannot be trashed", "", "rm /", "invalid /", "", 0),
    ("what is not there", "", "rm x", "unknown x", "", 0),
    ("trashed and made anew", "", "rm f; mkfile x d f 5", "ok; ok", "-d/f=1 +d/f=5 +~f=1", 2),
    ("trashed and made anew in one group", "", "mkfile x d f 5, rm f", "ok", "-d/f=1 +d/f=5 +~f=1", 2),
];

#[test]
fn every_row_holds() {
    let mut wrong = Vec::new();
    for (rule, theirs, ours, answers, change, entries) in ROWS {
        let mut drive = start();
        let asked = commit(b'A', 1, groups(ours, &drive));
        if !theirs.is_empty() {
            let by_b = commit(b'B', 0, groups(theirs, &drive));
            let reply = drive.commit(&by_b, Timestamp::default(), &limits()).reply;
            assert!(outcome(&reply).split("; ").all(|word| word == "ok"), "{rule}: {reply:?}");
        }
        let before = shown(&drive);
        let decision = drive.commit(&asked, Timestamp::default(), &limits());
        let got = (outcome(&decision.reply), difference(&before, &shown(&drive)), decision.entries.len());
        let want = ((*answers).to_owned(), (*change).to_owned(), *entries);
        if got != want {
            wrong.push(format!("{rule}: {ours}\n  got  {got:?}\n  want {want:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} rows fail\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_commit_under_another_devices_name_is_refused_whole() {
    let drive = start();
    let asked = commit(b'A', 1, groups("ed f 9; rm g", &drive));
    let other = DeviceId::from_bytes([b'B'; 8]);
    let decision = decide(&asked, other, Timestamp::default(), &drive, &limits()).unwrap();
    assert_eq!((outcome(&decision.reply).as_str(), decision.entries.len()), ("invalid f; invalid g", 0));
}

#[test]
fn missing_content_is_named_once_in_order_and_nothing_happens() {
    let mut drive = start();
    let id = |number| world::file(number).file().unwrap().id;
    [id(9), id(7)].into_iter().for_each(|content| drive.lack(content));
    let asked = commit(b'A', 1, groups("ed f 9; ed g 8; mkfile x / n 7; mkfile y / m 9; rm h", &drive));
    let decision = drive.commit(&asked, Timestamp::default(), &limits());
    let chunks = [id(9), id(7)].map(|id| if let ContentId::Chunk(chunk) = id { chunk } else { unreachable!() });
    assert_eq!(decision.reply, CommitReply::Missing { chunks: chunks.to_vec(), lists: vec![] });
    assert_eq!(decision.entries, []);
}

#[test]
fn a_file_whose_bytes_stay_is_not_asked_for_them_and_a_new_one_with_the_same_is() {
    let mut drive = start();
    let now = drive.nodes()[&node("f")].clone();
    let mut file = *now.content.file().unwrap();
    drive.lack(file.id);
    file.mtime.seconds += 1;
    let touch = Operation::Edit { node: now.node, base: now.content_version, content: skep_types::Content::File(file) };
    let touch_and_copy = [vec![Group(vec![touch.clone()])], groups("mkfile x / copy 1", &drive)].concat();
    let reply = drive.commit(&commit(b'A', 1, touch_and_copy), Timestamp::default(), &limits()).reply;
    assert!(matches!(&reply, CommitReply::Missing { chunks, .. } if chunks.len() == 1), "{reply:?}");
    let reply = drive.commit(&commit(b'A', 2, vec![Group(vec![touch])]), Timestamp::default(), &limits()).reply;
    assert_eq!(outcome(&reply), "ok");
}

#[test]
fn a_base_that_never_was_is_refused() {
    let mut drive = start();
    let operation = Operation::Edit { node: node("f"), base: world::no_version(), content: world::file(9) };
    let asked = commit(b'A', 1, vec![Group(vec![operation])]);
    assert_eq!(outcome(&drive.commit(&asked, Timestamp::default(), &limits()).reply), "changed f");
}

#[test]
fn a_lost_answer_is_given_again_although_others_went_on() {
    let mut drive = start();
    let asked = commit(b'A', 1, groups("mv f / new; ed f 9, exe f; mkfile x / n 5; rm d", &drive));
    drive.commit(&asked, Timestamp::default(), &limits());
    let by_b = commit(b'B', 1, groups("mv f h his, ed f 8; plain f; ed x 4; mv d / back", &drive));
    let reply = drive.commit(&by_b, Timestamp::default(), &limits()).reply;
    assert_eq!(outcome(&reply), "ok; ok; ok; ok");
    let again = drive.commit(&asked, Timestamp::default(), &limits());
    assert_eq!((outcome(&again.reply).as_str(), again.entries.len()), ("ok; ok; ok; ok", 0));
}

#[test]
fn entries_count_up_from_the_head_and_name_their_commit() {
    let mut drive = start();
    let head = drive.head().unwrap();
    let asked: Commit = commit(b'A', 1, groups("mv f / new, ed f 9; rm x; ed g 7", &drive));
    let decision = drive.commit(&asked, Timestamp { seconds: 5, nanoseconds: 0 }, &limits());
    let CommitReply::Decided { head: new_head, .. } = decision.reply else { panic!("{:?}", decision.reply) };
    assert_eq!(new_head, Seq(head.0 + 3));
    let brief: Vec<_> = decision.entries.iter().map(|entry| (entry.seq.0 - head.0, entry.state.node)).collect();
    assert_eq!(brief, [(1, node("f")), (2, node("f")), (3, node("g"))]);
    for entry in &decision.entries {
        assert_eq!((entry.commit, entry.time.seconds), (asked.id, 5));
        assert_eq!(entry.state.newest().seq, entry.seq);
        assert_ne!(entry.state.node, NodeId::ROOT);
    }
    let last = &decision.entries[1].state;
    assert_eq!((last.place_version.seq.0, last.content_version.seq.0), (head.0 + 1, head.0 + 2));
}
