//! The suite on a file and in memory, and what only SQLite can get wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};

use skep_blobstore::{PackId, RecordPlace};
use skep_types::{
    ChunkId, CommitId, Content, ContentId, DeviceId, DriveId, Entry, FieldGroups, FileContent, Generation, Mode, Name,
    NodeId, NodeState, Place, Seq, Timestamp, Version,
};

use super::*;
use crate::{ChunkPlace, Drive, conformance};

fn drive() -> Drive {
    Drive {
        id: DriveId::from_bytes([1; 16]),
        owner: skep_types::AccountId::from_bytes([1; 16]),
        name: "home".to_owned(),
        generation: Generation::from_bytes([1; 16]),
        head: Seq::START,
    }
}

#[test]
fn in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    conformance::run(|| {
        number.set(number.get() + 1);
        Sqlite::open(&folder.path().join(format!("{}.db", number.get()))).unwrap()
    });
}

#[test]
fn in_memory() {
    conformance::run(|| Sqlite::in_memory().unwrap());
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skep.db");
    Sqlite::open(&path).unwrap().write(|write| write.put_drive(&drive())).unwrap();
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.read(|read| read.drive(drive().id)).unwrap(), Some(drive()));
}

#[test]
fn an_image_is_the_store_as_it_was() {
    let store = Sqlite::in_memory().unwrap();
    store.write(|write| write.put_setting("a", b"1")).unwrap();
    let image = store.image().unwrap();
    store.write(|write| write.put_setting("a", b"2")).unwrap();
    let earlier = Sqlite::from_image(&image).unwrap();
    assert_eq!(earlier.read(|read| read.setting("a")).unwrap(), Some(b"1".to_vec()));
    earlier.write(|write| write.put_setting("a", b"3")).unwrap();
    assert_eq!(store.read(|read| read.setting("a")).unwrap(), Some(b"2".to_vec()));
}

#[test]
fn an_image_taken_after_a_panic_has_nothing_of_it() {
    let store = Sqlite::in_memory().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.write::<()>(|write| {
            write.put_setting("a", b"1")?;
            std::panic::resume_unwind(Box::new("on purpose"))
        })
    }));
    assert!(panicked.is_err());
    let copy = Sqlite::from_image(&store.image().unwrap()).unwrap();
    assert_eq!(copy.read(|read| read.setting("a")).unwrap(), None);
}

#[test]
fn a_reading_stays_as_it_began_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("skep.db")).unwrap();
    let seen = store.read(|read| {
        let before = read.setting("a")?;
        store.write(|write| write.put_setting("a", b"1"))?;
        Ok((before, read.setting("a")?))
    });
    assert_eq!(seen.unwrap(), (None, None));
}

#[test]
fn more_readings_than_connections_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("skep.db")).unwrap();
    store.write(|write| write.put_setting("a", b"1")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(store.read(|read| read.setting("a")).unwrap(), Some(b"1".to_vec()));
                }
            });
        }
    });
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skep.db");
    drop(Sqlite::open(&path).unwrap());
    let known = sql::MIGRATIONS.len() as u32;
    Connection::open(&path).unwrap().execute(sql::PUT_VERSION, [known + 1]).unwrap();
    let refused = Sqlite::open(&path).err().unwrap();
    assert!(matches!(refused, StoreError::Newer { found, known: k } if (found, k) == (known + 1, known)), "{refused}");
}

#[test]
fn a_database_of_format_1_is_brought_to_the_newest_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skep.db");
    migrate(&Connection::open(&path).unwrap(), &sql::MIGRATIONS[..1]).unwrap();
    let made = "INSERT INTO account VALUES (x'01010101010101010101010101010101', 'Ada', 'ada', NULL, 5, 0)";
    Connection::open(&path).unwrap().execute_batch(made).unwrap();
    assert_eq!(Sqlite::older_format(&path).unwrap(), Some(1));
    let copy = folder.path().join("copy.db");
    Sqlite::copy_as_it_is(&path, &copy).unwrap();
    let store = Sqlite::open(&path).unwrap();
    assert_eq!((Sqlite::older_format(&path).unwrap(), Sqlite::older_format(&copy).unwrap()), (None, Some(1)));
    assert_eq!(Sqlite::older_format(&folder.path().join("none.db")).unwrap(), None);
    let ada = store.read(|read| read.account_by_name("ada")).unwrap().unwrap();
    store.write(|write| write.put_classic_id(ada.id, &[1; 32])).unwrap();
    assert_eq!(store.read(|read| read.account_by_classic_id(&[1; 32])).unwrap(), Some(ada));
}

#[test]
fn a_database_without_sums_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skep.db");
    migrate(&Connection::open(&path).unwrap(), &sql::MIGRATIONS[..6]).unwrap();
    // A directory in the trash, something beneath it, and something that lives.
    let made = "INSERT INTO drive (id, owner, name, generation, head)
            VALUES (x'01010101010101010101010101010101', x'01010101010101010101010101010101', 'home', x'01010101010101010101010101010101', 3);
        INSERT INTO node VALUES (1, x'02020202020202020202020202020202', zeroblob(16), x'61', 1, x'820080', 0, 1, zeroblob(16), 1, zeroblob(16), 1, zeroblob(16));
        INSERT INTO node VALUES (1, x'03030303030303030303030303030303', x'02020202020202020202020202020202', x'62', 0, x'820080', 0, 2, zeroblob(16), 2, zeroblob(16), 2, zeroblob(16));
        INSERT INTO node VALUES (1, x'04040404040404040404040404040404', zeroblob(16), x'63', 0, x'820080', 0, 3, zeroblob(16), 3, zeroblob(16), 3, zeroblob(16));";
    Connection::open(&path).unwrap().execute_batch(made).unwrap();
    let store = Sqlite::open(&path).unwrap();
    let nodes = store.read(|read| read.nodes(drive().id, None, 10)).unwrap();
    let sum = |store: &Sqlite| store.read(|read| read.sum(drive().id)).unwrap();
    assert_eq!((nodes.len(), sum(&store)), (3, Some(skep_types::Sum::of(&nodes[2]))));
    let uncounted = store.read(|read| read.uncounted(drive().id, None, 10)).unwrap();
    assert_eq!(uncounted, [NodeId::from_bytes([3; 16])]);
    drop(store);
    // It is a book of its own from then on: opening does not count again.
    Connection::open(&path).unwrap().execute_batch("UPDATE node SET name = x'64' WHERE parent = zeroblob(16)").unwrap();
    assert_eq!(sum(&Sqlite::open(&path).unwrap()), Some(skep_types::Sum::of(&nodes[2])));
}

#[test]
fn a_migration_that_fails_leaves_the_format_before_it() {
    let connection = Connection::open_in_memory().unwrap();
    let failed = migrate(&connection, &["CREATE TABLE a (b)", "CREATE TABLE c (d); CREATE TABLE a (b)"]);
    assert!(failed.is_err());
    let version: u32 = connection.query_row(sql::VERSION, [], |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
    assert!(connection.execute_batch("SELECT * FROM c").is_err());
    migrate(&connection, &["CREATE TABLE a (b)", "CREATE TABLE c (d)"]).unwrap();
    connection.execute_batch("SELECT * FROM c").unwrap();
}

#[test]
fn a_file_that_is_no_database_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skep.db");
    std::fs::write(&path, [b'x'; 4096]).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(StoreError::Damaged(_))));
}

#[test]
fn a_view_that_failed_decides_the_transaction() {
    let store = Sqlite::in_memory().unwrap();
    store.write(|write| write.put_drive(&drive())).unwrap();
    let node = NodeId::from_bytes([1; 16]);
    let damage = "INSERT INTO node VALUES (1, ?1, ?1, x'61', 0, x'ff', 0, 1, ?1, 1, ?1, 1, ?1)";
    store.writer().execute(damage, [node.as_bytes()]).unwrap();
    let done = store.write(|write| {
        write.put_setting("a", b"1")?;
        let failed = write.view(drive().id)?.node(node);
        assert!(failed.is_err());
        Ok(())
    });
    assert!(matches!(done, Err(StoreError::Damaged(_))), "{done:?}");
    assert_eq!(store.read(|read| read.setting("a")).unwrap(), None);
}

#[test]
fn a_connection_keeps_every_statement() {
    assert!(include_str!("sql/mod.rs").matches("pub(super) const").count() < STATEMENTS_MAX);
}

#[test]
fn a_name_is_found_by_the_index_alone() {
    let store = Sqlite::in_memory().unwrap();
    let plan: Vec<String> = {
        let writer = store.writer();
        let query = format!("EXPLAIN QUERY PLAN {}", sql::CHILD);
        let mut statement = writer.prepare(&query).unwrap();
        let rows = statement.query_map((1, [0u8; 16], [0u8; 1]), |row| row.get(3)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert!(plan.iter().any(|step| step.contains("node_by_name (drive=? AND parent=? AND name=?)")), "{plan:?}");
}

#[test]
fn a_lease_is_only_ever_extended() {
    let store = Sqlite::in_memory().unwrap();
    let (id, chunk) = (drive().id, ChunkId::from_bytes([1; 32]));
    let record = RecordPlace { pack: PackId(1), offset: 0, length: 9 };
    let place = ChunkPlace { record, index: 0, length: 9 };
    let until = |seconds: i64| Timestamp { seconds, nanoseconds: 0 };
    let lease =
        || store.writer().query_row("SELECT lease_ns / 1000000000 FROM chunk", [], |row| row.get::<_, i64>(0)).unwrap();
    store.write(|write| write.put_drive(&drive()).and_then(|()| write.put_chunk(id, chunk, &place, until(5)))).unwrap();
    store.write(|write| write.put_chunk(id, chunk, &place, until(7))).unwrap();
    assert_eq!(lease(), 7);
    store.write(|write| write.put_chunk(id, chunk, &place, until(6))).unwrap();
    store.write(|write| write.renew_chunk(id, chunk, until(4))).unwrap();
    assert_eq!(lease(), 7);
    store.write(|write| write.renew_chunk(id, chunk, until(9))).unwrap();
    assert_eq!(lease(), 9);
}

/// The example of `docs/formats/journal.md`. A change here makes every database and every device of today unreadable.
#[test]
fn an_entry_keeps_its_bytes() {
    let commit = CommitId::new(DeviceId::from_bytes([1; 8]), [2; 8]);
    let (earlier, version) = (Version { seq: Seq(6), commit }, Version { seq: Seq(7), commit });
    let time = Timestamp { seconds: 1_700_000_000, nanoseconds: 5 };
    let content = FileContent { id: ContentId::Chunk(ChunkId::from_bytes([3; 32])), size: 600, mtime: time };
    let state = NodeState {
        node: NodeId::from_bytes([4; 16]),
        place: Place { parent: NodeId::ROOT, name: Name::try_from("a.txt").unwrap(), trashed: false },
        content: Content::File(content),
        mode: Mode { executable: true },
        place_version: earlier,
        content_version: version,
        mode_version: earlier,
    };
    let changed = FieldGroups { content: true, ..FieldGroups::default() };
    let entry = Entry { seq: Seq(7), commit, time, changed, state };
    let bytes = row::encode(&entry);
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, GOLDEN_ENTRY.replace(['\n', ' '], ""));
    assert_eq!(row::decode::<Entry>(&bytes).unwrap(), entry);
}
const GOLDEN_ENTRY: &str = "
    85
      07
      50 01010101010101010202020202020202
      82 1a6553f100 05
      83 f4 f5 f4
      87
        50 04040404040404040404040404040404
        83 50 00000000000000000000000000000000 45 612e747874 f4
        82 01 81 83
          82 01 81 5820 0303030303030303030303030303030303030303030303030303030303030303
          190258
          82 1a6553f100 05
        81 f5
        82 06 50 01010101010101010202020202020202
        82 07 50 01010101010101010202020202020202
        82 06 50 01010101010101010202020202020202
";

#[test]
fn a_database_of_the_first_format_gains_what_upkeep_needs_and_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skep.db");
    let old = Connection::open(&path).unwrap();
    migrate_to_first(&old);
    old.execute(
        "INSERT INTO chunk (drive, id, pack, offset, record_size, place_index, length, lease_ns)
         VALUES (1, ?1, 3, 72, 900, 0, 10, 5)",
        [[7u8; 32]],
    )
    .unwrap();
    old.execute(
        "INSERT INTO drive (number, id, owner, name, generation, head) VALUES (1, ?1, ?1, 'home', ?1, 0)",
        [[1u8; 16]],
    )
    .unwrap();
    drop(old);
    let store = Sqlite::open(&path).unwrap();
    let rows = store.read(|read| read.chunk_rows(drive().id, &[ChunkId::from_bytes([7; 32])])).unwrap();
    let row = rows[0].unwrap();
    assert_eq!((row.place.record.pack, row.lease.nanoseconds, row.damaged), (PackId(3), 5, false));
    assert_eq!(store.read(|read| read.thinned(drive().id)).unwrap().floor, Seq::START);
}

fn migrate_to_first(connection: &Connection) {
    migrate(connection, &sql::MIGRATIONS[..1]).unwrap();
}

#[test]
fn a_copy_holds_what_was_committed_and_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("skep.db")).unwrap();
    store.write(|write| write.put_setting("a", b"1")).unwrap();
    let copy = folder.path().join("copy.db");
    store.copy_to(&copy).unwrap();
    store.write(|write| write.put_setting("a", b"2")).unwrap();
    assert!(store.copy_to(&copy).is_err(), "a copy never replaces a file");
    let copied = Sqlite::open(&copy).unwrap();
    assert_eq!(copied.read(|read| read.setting("a")).unwrap(), Some(b"1".to_vec()));
    assert_eq!(copied.integrity().unwrap(), Vec::<String>::new());
}

#[test]
fn a_damaged_page_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skep.db");
    let store = Sqlite::open(&path).unwrap();
    let long = vec![7; 200];
    store.write(|write| (0..500).try_for_each(|key| write.put_setting(&format!("{key}"), &long))).unwrap();
    // The copy has no log, so that all is in the one file.
    let copy = folder.path().join("copy.db");
    store.copy_to(&copy).unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    let end = bytes.len();
    bytes[end - 4096..end - 4000].fill(0xff);
    std::fs::write(&copy, bytes).unwrap();
    let found = Sqlite::open(&copy).and_then(|store| store.integrity());
    assert!(!matches!(&found, Ok(findings) if findings.is_empty()), "{found:?}");
}
