//! A drive in letters: nodes, operations and outcomes as short text, so that a rule is a line.

use std::collections::BTreeSet;

use skep_drive::memory::MemoryDrive;
use skep_drive::{View, root};
use skep_types::{
    Commit, CommitId, CommitReply, Content, ContentId, DeviceId, DriveId, Evidence, FileContent, Group, GroupResult,
    Limits, Mode, Name, NodeId, NodeState, Operation, Reject, Seq, Timestamp, Version,
};

/// The node of a letter; `/` is the root.
pub fn node(letter: &str) -> NodeId {
    match letter {
        "/" => NodeId::ROOT,
        _ => NodeId::from_bytes([letter.as_bytes()[0]; 16]),
    }
}

fn letter(node: NodeId) -> char {
    if node == NodeId::ROOT { '/' } else { char::from(node.as_bytes()[0]) }
}

/// A chunk of its own for each number; 0 is an empty file.
pub fn file(number: u8) -> Content {
    let id = match number {
        0 => ContentId::Empty,
        _ => ContentId::Chunk(skep_types::ChunkId::from_bytes([number; 32])),
    };
    Content::File(FileContent { id, size: u64::from(number), mtime: Timestamp::default() })
}

/// The commit `number` of the device of a letter.
pub fn commit(device: u8, number: u8, groups: Vec<Group>) -> Commit {
    let id = CommitId::new(DeviceId::from_bytes([device; 8]), [number; 8]);
    Commit { id, drive: DriveId::from_bytes([1; 16]), groups, evidence: Evidence::Events }
}

/// Small, so that a row can reach them.
pub fn limits() -> Limits {
    Limits { depth_max: 3, symlink_bytes_max: 4, ..Limits::SHIPPED }
}

/// Groups from text: `;` between groups, `,` between operations. Bases and `seen` are those of `drive`.
///
/// `mkdir x PARENT NAME`, `mkfile x PARENT NAME CONTENT`, `mkexe` alike, `mklink x PARENT NAME TARGET`, `mkmount x PARENT NAME`,
/// `mv x PARENT NAME`, `ed x CONTENT`, `link x TARGET`, `exe x`, `plain x`, `rm x`.
pub fn groups(text: &str, drive: &MemoryDrive) -> Vec<Group> {
    let group = |text: &str| Group(text.split(',').map(|text| operation(text, drive)).collect());
    text.split(';').map(group).collect()
}

fn operation(text: &str, drive: &MemoryDrive) -> Operation {
    let words: Vec<&str> = text.split_whitespace().collect();
    let id = node(words[1]);
    let never = root();
    let known = drive.node(id).unwrap().unwrap_or(NodeState { node: id, ..never });
    let name = |at: usize| Name::new(words[at]).unwrap();
    let number = |at: usize| file(words[at].parse().unwrap());
    let link = |at: usize| Content::Symlink { target: words.get(at).unwrap_or(&"").replace('0', "\0").into_bytes() };
    let create = |content: Content, executable: bool| Operation::Create {
        node: id,
        parent: node(words[2]),
        name: name(3),
        content,
        mode: Mode { executable },
    };
    let edit = |content: Content| Operation::Edit { node: id, base: known.content_version, content };
    let set_mode =
        |executable: bool| Operation::SetMode { node: id, base: known.mode_version, mode: Mode { executable } };
    match words[0] {
        "mkdir" => create(Content::Directory, false),
        "mkdirexe" => create(Content::Directory, true),
        "mkfile" => create(number(4), false),
        "mkexe" => create(number(4), true),
        "mklink" => create(link(4), false),
        "mkmount" => create(Content::Mount { drive: DriveId::from_bytes([1; 16]) }, false),
        "mv" => Operation::Move { node: id, base: known.place_version, parent: node(words[2]), name: name(3) },
        "ed" => edit(number(2)),
        "link" => edit(link(2)),
        "exe" => set_mode(true),
        "plain" => set_mode(false),
        "rm" => Operation::Trash { node: id, base: known.place_version, seen: drive.head().unwrap() },
        other => panic!("no such operation: {other}"),
    }
}

/// The drive before each row: made by device A, `t` trashed with what is in it.
///
/// ```text
/// d/ d/e/ d/f=1 d/l->x g=2 h/ ~t/ (t/u=3, t/v/)
/// ```
pub fn start() -> MemoryDrive {
    let mut drive = MemoryDrive::new();
    let text = "mkdir d / d; mkdir e d e; mkfile f d f 1; mklink l d l x; mkfile g / g 2; mkdir h / h;
        mkdir t / t; mkfile u t u 3; mkdir v t v; rm t";
    let reply = drive.commit(&commit(b'A', 0, groups(text, &drive)), Timestamp::default(), &limits()).reply;
    assert_eq!(outcome(&reply), ["ok"; 10].join("; "));
    drive
}

/// A reply as text, one word a group, `;` between.
pub fn outcome(reply: &CommitReply) -> String {
    let CommitReply::Decided { results, .. } = reply else { return format!("{reply:?}") };
    let words: Vec<String> = results.iter().map(one_outcome).collect();
    words.join("; ")
}

fn one_outcome(result: &GroupResult) -> String {
    let (word, node) = match result {
        GroupResult::Accepted => return "ok".to_owned(),
        GroupResult::AcceptedAs(node) => ("as", *node),
        GroupResult::Rejected(Reject::UnknownNode(node)) => ("unknown", *node),
        GroupResult::Rejected(Reject::Changed(state)) => ("changed", state.node),
        GroupResult::Rejected(Reject::NameTaken(state)) => ("taken", state.node),
        GroupResult::Rejected(Reject::InTrash(node)) => ("trash", *node),
        GroupResult::Rejected(Reject::BadParent(node)) => ("parent", *node),
        GroupResult::Rejected(Reject::Cycle(node)) => ("cycle", *node),
        GroupResult::Rejected(Reject::ChangedBelow(node)) => ("below", *node),
        GroupResult::Rejected(Reject::Invalid(node)) => ("invalid", *node),
        GroupResult::Rejected(Reject::Depends(node)) => ("depends", *node),
    };
    format!("{word} {}", letter(node))
}

/// What is shown of a drive: a word for each live path, and one with `~` for each node that was itself put in the trash.
pub fn shown(drive: &MemoryDrive) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    show(drive, NodeId::ROOT, "", &mut words);
    for state in drive.nodes().values().filter(|state| state.place.trashed) {
        words.insert(format!("~{}", word(state)));
    }
    words
}

fn show(drive: &MemoryDrive, parent: NodeId, path: &str, words: &mut BTreeSet<String>) {
    for child in drive.children(parent) {
        words.insert(format!("{path}{}", word(child)));
        show(drive, child.node, &format!("{path}{}/", child.place.name.display()), words);
    }
}

fn word(state: &NodeState) -> String {
    let (name, star) = (state.place.name.display(), if state.mode.executable { "*" } else { "" });
    match &state.content {
        Content::Directory => format!("{name}/"),
        Content::File(file) => format!("{name}={}{star}", file.size),
        Content::Symlink { target } => format!("{name}->{}", String::from_utf8_lossy(target)),
        Content::Mount { .. } => format!("{name}@"),
    }
}

/// What changed between two showings: `-gone +new`.
pub fn difference(before: &BTreeSet<String>, after: &BTreeSet<String>) -> String {
    let gone = before.difference(after).map(|word| format!("-{word}"));
    let new = after.difference(before).map(|word| format!("+{word}"));
    gone.chain(new).collect::<Vec<_>>().join(" ")
}

/// A version that no node has.
pub fn no_version() -> Version {
    Version { seq: Seq(999), commit: CommitId::from_bytes([9; 16]) }
}
