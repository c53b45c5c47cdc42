//! Checks and repairs on packs that are really damaged.

use std::fs;

use skep_content::{ChunkRef, Manifest, chunk_id};
use skep_metastore::{MetaStore, Write};
use skep_protocol::{Frame, FrameKind, ManifestFrame, Request};
use skep_service::check::{FindingCode, LostVersion, Report, check, mend, repair};
use skep_types::{
    Content, ContentId, Entry, FieldGroups, FileContent, Limits, Mode, Name, NodeId, NodeState, Operation, Place, Seq,
    Timestamp, Version,
};

use crate::rig::{Blobs, Caller, Rig, block, create, noise};

/// Every file in a pack of its own.
const ONE_A_PACK: Limits = Limits { pack_bytes_target: 100, ..Limits::SHIPPED };

/// Does something to the bytes of a pack.
type Damage = fn(&mut Vec<u8>);

async fn rig_with_files(names: &[&str]) -> (Rig, Caller) {
    let rig = Rig::with(ONE_A_PACK).await;
    let ada = rig.device(rig.account(1), 1);
    for (seed, name) in names.iter().enumerate() {
        ada.save(name, &noise(seed as u64, 5000)).await;
    }
    (rig, ada)
}

fn look(rig: &Rig, blobs: &Blobs) -> Report {
    check(&*rig.meta, blobs, &rig.limits).unwrap()
}

fn lost(report: &Report) -> Vec<(&str, LostVersion)> {
    report.files.iter().map(|file| (file.path.as_str(), file.version)).collect()
}

fn damage(rig: &Rig, pack: &str, how: impl FnOnce(&mut Vec<u8>)) {
    let path = rig.blobs.packs_dir().join(pack);
    let mut bytes = fs::read(&path).unwrap();
    how(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_whole_server_has_no_findings() {
    let (rig, ada) = rig_with_files(&["a", "b", "empty"]).await;
    let large = [noise(8, 3000), noise(9, 3000)];
    let refs = large.iter().map(|bytes| ChunkRef { id: chunk_id(bytes), length: bytes.len() as u32 });
    let manifest = Manifest { chunks: refs.collect() };
    let list = manifest.list_id();
    let content = FileContent { id: ContentId::List(list), size: manifest.length(), mtime: Timestamp::default() };
    let Operation::Create { node, parent, name, mode, .. } = create("large", b"") else { panic!("a creation") };
    let commit = ada.commit_of(vec![Operation::Create { node, parent, name, content: Content::File(content), mode }]);
    let frame = Frame::cbor(FrameKind::Manifest, &ManifestFrame { list, bytes: manifest.to_bytes() });
    ada.send(&commit, vec![block(&[&large[0], &large[1]], &ada.limits), frame]).await.committed();
    let report = look(&rig, &rig.blobs);
    assert!(report.is_fine(), "{report:?}");
    assert_eq!((report.counts.nodes, report.counts.entries, report.counts.records), (4, 4, 4));
}

#[tokio::test(start_paused = true)]
async fn damage_of_each_kind_is_found_named_and_healed_by_sending_again() {
    let kinds: [(&str, Damage); 4] = [
        ("a flipped bit", |bytes| bytes[500] ^= 1),
        ("cut short", |bytes| bytes.truncate(300)),
        ("a broken header", |bytes| bytes[3] ^= 1),
        ("emptied", Vec::clear),
    ];
    for (kind, how) in kinds {
        let (rig, ada) = rig_with_files(&["first", "second", "third"]).await;
        damage(&rig, "00000002.pack", how);
        let found = rig.blobs.reopened();
        let report = look(&rig, &found);
        assert_eq!(lost(&report), [("second", LostVersion::Current)], "{kind}");
        assert_eq!(report.findings.len(), 1, "{kind}: {report:?}");
        assert!(report.findings[0].what.starts_with("In pack 2 1 of 1 records cannot be read: "), "{kind}: {report:?}");
        assert_eq!(report.findings[0].code, FindingCode::Pack);

        let before = fs::read(rig.blobs.packs_dir().join("00000002.pack")).unwrap();
        let repaired = repair(&*rig.meta, &found, &rig.limits, &report).unwrap();
        assert_eq!(repaired.set_aside.len(), 1, "{kind}");
        assert_eq!((repaired.records_saved, repaired.chunks_marked), (0, 1), "{kind}");
        let aside = rig.blobs.packs_dir().join("../quarantine/00000002.pack");
        assert_eq!(fs::read(aside).unwrap(), before, "{kind}: nothing is deleted");
        let second = noise(1, 5000);
        assert_eq!(ada.lacks(&[chunk_id(&second)]).await, [chunk_id(&second)], "{kind}");
        ada.call(&Request::Upload { drive: ada.drive }, vec![block(&[&second], &ada.limits)]).await.reply();
        let report = look(&rig, &rig.blobs);
        assert!(report.is_fine(), "{kind}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_damaged_pack_everything_is_saved_that_can_be_read() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    for name in ["first", "second", "third"] {
        ada.save(name, &noise(u64::from(name.as_bytes()[0]), 5000)).await;
    }
    damage(&rig, "00000001.pack", |bytes| bytes[7000] ^= 1);
    let found = rig.blobs.reopened();
    let report = look(&rig, &found);
    assert_eq!(lost(&report), [("second", LostVersion::Current)]);
    let repaired = repair(&*rig.meta, &found, &rig.limits, &report).unwrap();
    assert_eq!((repaired.records_saved, repaired.chunks_marked, repaired.set_aside.len()), (2, 1, 1));
    assert_eq!(lost(&look(&rig, &found)), [("second", LostVersion::Current)]);
    // Again changes nothing more.
    let again = repair(&*rig.meta, &found, &rig.limits, &look(&rig, &found)).unwrap();
    assert_eq!((again.records_saved, again.chunks_marked, again.set_aside.len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_missing_pack_is_damage_and_whole_again_when_it_comes_back() {
    let (rig, ada) = rig_with_files(&["first", "second", "third"]).await;
    let (path, away) = (rig.blobs.packs_dir().join("00000001.pack"), rig.blobs.packs_dir().join("../away"));
    fs::rename(&path, &away).unwrap();
    let found = rig.blobs.reopened();
    let report = look(&rig, &found);
    assert_eq!(lost(&report), [("first", LostVersion::Current)]);
    assert!(report.findings[0].what.contains("the pack is missing"), "{report:?}");
    repair(&*rig.meta, &found, &rig.limits, &report).unwrap();
    let first = chunk_id(&noise(0, 5000));
    assert_eq!(ada.lacks(&[first]).await, [first]);
    fs::rename(&away, &path).unwrap();
    let found = rig.blobs.reopened();
    let report = look(&rig, &found);
    assert!(report.is_fine(), "{report:?}");
    assert_eq!(repair(&*rig.meta, &found, &rig.limits, &report).unwrap().chunks_sound, 1);
    assert_eq!(ada.lacks(&[first]).await, []);
}

#[tokio::test(start_paused = true)]
async fn older_versions_and_the_trash_are_told_as_such() {
    let (rig, ada) = rig_with_files(&["edited", "gone"]).await;
    let states = rig.read(|read| read.nodes(ada.drive, None, 9));
    let state = |name: &[u8]| states.iter().find(|state| state.place.name.as_bytes() == name).unwrap().clone();
    let (edited, gone) = (state(b"edited"), state(b"gone"));
    let trash = Operation::Trash { node: gone.node, base: gone.place_version, seen: Seq(2) };
    let content = FileContent { id: ContentId::Empty, size: 0, mtime: Timestamp::default() };
    let edit = Operation::Edit { node: edited.node, base: edited.content_version, content: Content::File(content) };
    ada.send(&ada.commit_of(vec![trash, edit]), vec![]).await.committed();
    damage(&rig, "00000001.pack", |bytes| bytes[500] ^= 1);
    damage(&rig, "00000002.pack", |bytes| bytes[500] ^= 1);
    let report = look(&rig, &rig.blobs.reopened());
    assert_eq!(lost(&report), [("edited", LostVersion::Older), ("gone", LostVersion::InTrash)]);
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_is_not_as_its_journal_says_is_found() {
    let (rig, ada) = rig_with_files(&["a"]).await;
    let commit = ada.commit_id();
    let entry = |seq: u64, node: u8, parent: NodeId| {
        let version = Version { seq: Seq(seq), commit };
        let state = NodeState {
            node: NodeId::from_bytes([node; 16]),
            place: Place { parent, name: Name::try_from("n").unwrap(), trashed: false },
            content: Content::Directory,
            mode: Mode::default(),
            place_version: version,
            content_version: version,
            mode_version: version,
        };
        Entry { seq: Seq(seq), commit, time: Timestamp::default(), changed: FieldGroups::ALL, state }
    };
    // What the rules never let through: an orphan, and two directories in each other.
    let id = |number: u8| NodeId::from_bytes([number; 16]);
    let entries = [entry(2, 50, id(99)), entry(3, 51, id(52)), entry(4, 52, id(51))];
    rig.meta.write(|tx: &mut dyn Write| entries.iter().try_for_each(|entry| tx.append(ada.drive, entry))).unwrap();
    let report = look(&rig, &rig.blobs);
    let whats: Vec<&str> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(whats.len(), 2, "{whats:?}");
    assert!(whats.iter().any(|what| what.contains("lies beneath itself")), "{whats:?}");
    assert!(whats.iter().any(|what| what.contains("stands in a directory that is not there")), "{whats:?}");
    assert!(report.findings.iter().all(|finding| finding.code == FindingCode::Metadata));
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_not_as_the_journal_says_are_told_and_put_right() {
    let (rig, ada) = rig_with_files(&["a", "b", "c"]).await;
    let before = rig.read(|read| Ok((read.nodes(ada.drive, None, 9)?, read.sum(ada.drive)?)));
    assert!(before.1.is_some_and(|sum| sum.nodes() == 3));
    let node = |name: &[u8]| before.0.iter().find(|state| state.place.name.as_bytes() == name).unwrap();
    let called = |name: &str, state: &NodeState| {
        let place = Place { name: Name::try_from(name).unwrap(), ..state.place.clone() };
        NodeState { place, ..state.clone() }
    };
    let (renamed, lost) = (called("x", node(b"a")), node(b"b").node);
    let ghost = NodeState { node: NodeId::from_bytes([9; 16]), ..called("ghost", node(b"a")) };
    // Of this no journal tells, and the sum does not follow.
    let spoil = |tx: &mut dyn Write| {
        tx.mend_node(ada.drive, renamed.node, Some(&renamed))?;
        tx.mend_node(ada.drive, lost, None)?;
        tx.mend_node(ada.drive, ghost.node, Some(&ghost))
    };
    rig.meta.write(spoil).unwrap();
    let report = look(&rig, &rig.blobs);
    let whats: Vec<&str> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    let told = ["`x`", "`ghost`", "is in the journal, but not in the tree", "The sum of drive"];
    assert!(told.iter().all(|part| whats.iter().any(|what| what.contains(part))), "{whats:?}");
    assert!(report.findings.iter().all(|finding| finding.code == FindingCode::Unequal), "{whats:?}");
    assert_eq!((report.mends.len(), report.uncounted.len()), (3, 1));
    assert!(report.mends.iter().any(|mend| mend.was.as_ref() == Some(&ghost) && mend.will_be.is_none()));
    mend(&*rig.meta, &report).unwrap();
    let report = look(&rig, &rig.blobs);
    assert!(report.is_fine(), "{report:?}");
    assert_eq!(rig.read(|read| Ok((read.nodes(ada.drive, None, 9)?, read.sum(ada.drive)?))), before);
}
