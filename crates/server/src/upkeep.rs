//! `skep-server gc` and `skep-server scrub`: upkeep now, instead of when the server does it by itself.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;
use skep_metastore::{Sqlite, StoreError};
use skep_platform::runtime::RuntimeClock;
use skep_platform::talk::{Complaint, Exit};
use skep_platform::{Clock, own_files};
use skep_service::Retention;
use skep_service::upkeep::{CollectError, Collected, Mode, collect, scrub as scrub_stores};
use skep_types::Limits;

use crate::admin::print;
use crate::args::{GcArgs, ScrubArgs};
use crate::config::{self, Settings};
use crate::fsck::{Stores, open_stores};

/// The copy of the database on which a dry run works; gone when it ends.
const DRY_RUN_FILE: &str = "gc-dry-run.db";

/// Collects garbage, or says what would be collected.
pub fn gc(args: GcArgs) -> Result<(), Complaint> {
    let Settings { site, retention, .. } = config::of(&args.data)?;
    let stores = open_stores(&site)?;
    let dir = site.data_dir;
    let collected = if args.dry_run {
        count(&stores, &dir, retention)?
    } else if stores.lock.is_some() {
        let now = RuntimeClock::start().now();
        collect(&stores.meta, &stores.packs, now, retention, Mode::Collect).map_err(|error| broken(&error))?
    } else {
        let what = format!("A server is running on `{}`. It collects garbage once a day by itself.", dir.display());
        return Err(Complaint::new(Exit::Guard, "E-DATA-IN-USE", what)
            .hint("Nothing was changed. Stop it to collect now, or see what there is: skep-server gc --dry-run"));
    };
    print(&if args.json { vec![as_json(&collected, args.dry_run)] } else { as_text(&collected, args.dry_run) })
}

/// A round on a copy of the metadata: what it comes to is exact, and nothing is changed.
fn count(stores: &Stores, dir: &Path, retention: Retention) -> Result<Collected, Complaint> {
    let path = dir.join(DRY_RUN_FILE);
    remove_copy(&path);
    let counted = stores.meta.copy_to(&path).and_then(|()| Sqlite::open(&path)).map_err(CollectError::Store);
    let counted = counted.and_then(|copy| {
        let now = RuntimeClock::start().now();
        collect(&copy, &stores.packs, now, retention, Mode::CountPacks)
    });
    remove_copy(&path);
    counted.map_err(|error| broken(&error))
}

fn remove_copy(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        if let Err(error) = own_files::remove(Path::new(&name)) {
            let _ = writeln!(io::stderr(), "Cannot remove the temporary file `{}`: {error}.", name.display());
        }
    }
}

fn broken(error: &CollectError) -> Complaint {
    let code = match error {
        CollectError::Store(StoreError::NoSpace) => "E-NO-SPACE",
        CollectError::Store(StoreError::Damaged(_)) => "E-METADATA",
        _ => "E-DATA",
    };
    Complaint::new(Exit::Failed, code, format!("The collection was broken off: {error}."))
        .hint("What was done is whole. See whether something is damaged: skep-server fsck --data-dir DIR")
}

fn as_text(collected: &Collected, dry_run: bool) -> Vec<String> {
    let Collected { entries, nodes, lists, chunks, chunk_bytes, packs_freed, bytes_freed, .. } = collected;
    let (would, is) = if dry_run { ("Would drop", "would be") } else { ("Dropped", "are") };
    vec![
        format!(
            "{would} what {entries} superseded entries keep, {nodes} nodes of the trash, {lists} lists, {chunks} chunks ({chunk_bytes} bytes)."
        ),
        format!(
            "{packs_freed} packs ({bytes_freed} bytes) {is} freed now; {} packs ({} bytes) are due later.",
            collected.packs_condemned, collected.bytes_condemned
        ),
    ]
}

fn as_json(collected: &Collected, dry_run: bool) -> String {
    let Collected { entries, nodes, lists, chunks, chunk_bytes, .. } = collected;
    json!({ "schema": 1, "dry_run": dry_run, "entries": entries, "nodes": nodes, "lists": lists, "chunks": chunks,
        "chunk_bytes": chunk_bytes, "packs_freed": collected.packs_freed, "bytes_freed": collected.bytes_freed,
        "packs_condemned": collected.packs_condemned, "bytes_condemned": collected.bytes_condemned })
    .to_string()
}

/// Reads all content now, and marks what is damaged.
pub fn scrub(args: ScrubArgs) -> Result<(), Complaint> {
    let stores = open_stores(&config::of(&args.data)?.site)?;
    let scrubbed = scrub_stores(&stores.meta, &stores.packs, &Limits::SHIPPED).map_err(|error| {
        Complaint::new(Exit::Failed, "E-DATA", format!("The scrub was broken off: {error}."))
            .hint("See whether the database is damaged: skep-server fsck --data-dir DIR")
    })?;
    let line = if args.json {
        json!({ "schema": 1, "records": scrubbed.records, "bytes": scrubbed.bytes, "damaged": scrubbed.damaged,
            "unread": scrubbed.unread, "chunks_marked": scrubbed.chunks_marked, "chunks_sound": scrubbed.chunks_sound })
        .to_string()
    } else {
        format!(
            "Read {} records ({} bytes): {} are damaged, {} could not be read.",
            scrubbed.records, scrubbed.bytes, scrubbed.damaged, scrubbed.unread
        )
    };
    print(&[line])?;
    if scrubbed.damaged + scrubbed.unread == 0 {
        return Ok(());
    }
    let what = format!("{} records are damaged or cannot be read.", scrubbed.damaged + scrubbed.unread);
    Err(Complaint::new(Exit::Partly, "E-DAMAGED", what)
        .hint("Devices that have them whole send them again. See which files: skep-server fsck --data-dir DIR"))
}
