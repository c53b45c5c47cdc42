//! `skep-server fsck`: is everything that this server keeps there and whole, which files are concerned if not, and what to do.
//!
//! Looks on while a server runs; puts right what it can (`--repair`) only without one.

mod rows;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use skep_blobstore::{LocalPacks, PackStore};
use skep_content::MasterKey;
use skep_metastore::{MetaStore, Sqlite, StoreError};
use skep_platform::runtime::SystemEntropy;
use skep_platform::talk::{Complaint, Exit};
use skep_platform::{NativeFiles, own_files};
use skep_service::check::{FindingCode, Repaired, Report, check, repair};
use skep_types::Limits;

use crate::admin::print;
use crate::args::FsckArgs;
use crate::config::{self, Settings, Site};
use crate::keys;
use crate::store::{DATABASE, LOCK_FILE, Packs, complaint_of_key, open_database, require_data};
use rows::{MendedRows, mend_rows};

/// Findings and files that are told one by one to people; JSON has more.
const TOLD_MAX: usize = 50;

/// The stores of a data directory, without a service on them.
pub struct Stores {
    /// Metadata.
    pub meta: Sqlite,
    /// Content.
    pub packs: Packs,
    /// Held while nobody else may change anything; `None`: a server runs.
    pub lock: Option<own_files::Lock>,
}

/// Opens the stores of a data directory that is there.
pub fn open_stores(site: &Site) -> Result<Stores, Complaint> {
    let data_dir = site.data_dir.as_path();
    let shown = data_dir.display();
    let failed = |what: String| Complaint::new(Exit::Failed, "E-DATA", what);
    require_data(data_dir)?;
    let database = data_dir.join(DATABASE);
    let lock = own_files::lock(&data_dir.join(LOCK_FILE))
        .map_err(|error| failed(format!("Cannot lock `{shown}`: {error}.")))?;
    let meta = open_database(data_dir).map_err(|error| unreadable(&database, &error))?;
    let master = MasterKey::from_bytes(keys::master_key(site).map_err(|error| complaint_of_key(&error))?);
    let files = NativeFiles::open(data_dir).map_err(|error| failed(format!("Cannot open `{shown}`: {error}.")))?;
    let packs = LocalPacks::open(files, Arc::new(SystemEntropy), master, Limits::SHIPPED)
        .map_err(|error| failed(format!("Cannot open the packs in `{shown}`: {error}.")))?;
    let last = meta.read(|read| read.last_pack()).map_err(|error| unreadable(&database, &error))?;
    last.into_iter().for_each(|last| packs.count_on_from(last));
    Ok(Stores { meta, packs, lock })
}

/// Why a database cannot be read, and what helps.
fn unreadable(database: &Path, error: &StoreError) -> Complaint {
    let what = format!("Cannot read the database `{}`: {error}.", database.display());
    match error {
        StoreError::Damaged(_) => Complaint::new(Exit::Partly, "E-METADATA", what).hint(RESTORE_HINT),
        _ => Complaint::new(Exit::Failed, "E-DATA", what),
    }
}

const RESTORE_HINT: &str = "Nothing was changed. Bring `skep.db` back from a backup (docs/operating/backup.md); the packs stay as they are. \
    What devices have saved since then they send again.";

/// Checks, and repairs if asked to.
pub fn fsck(args: FsckArgs) -> Result<(), Complaint> {
    let Settings { site, .. } = config::of(&args.data)?;
    let stores = open_stores(&site)?;
    let dir = site.data_dir;
    if args.repair && stores.lock.is_none() {
        let what = format!("A server is running on `{}`. Nothing was changed.", dir.display());
        return Err(Complaint::new(Exit::Guard, "E-DATA-IN-USE", what).hint("Stop it, then repair."));
    }
    if stores.lock.is_none() {
        let _ = writeln!(io::stderr(), "A server is running on this data: it is only looked at.");
    }
    let mut report = look(&stores, &dir)?;
    let (mut repaired, mut rows) = (None, None);
    if args.repair {
        rows = mend_rows(&stores.meta, &dir, &report)?;
        if rows.is_some() {
            report = look(&stores, &dir)?;
        }
    }
    if args.repair && !report.packs.is_empty() | !report.sound_again.is_empty() {
        let done = repair(&stores.meta, &stores.packs, &Limits::SHIPPED, &report).map_err(|error| {
            Complaint::new(Exit::Failed, "E-DATA", format!("The repair was broken off: {error}."))
                .hint("What was done is done. Repair again when the cause is mended.")
        })?;
        repaired = Some(done);
        report = look(&stores, &dir)?;
    }
    if args.json {
        print(&[as_json(&report, repaired.as_ref(), rows.as_ref()).to_string()])?;
    } else {
        print(&as_text(&report, repaired.as_ref(), rows.as_ref()))?;
    }
    verdict(&report, args.repair)
}

/// The whole check, the database file first: what is read from a damaged one proves nothing.
fn look(stores: &Stores, dir: &Path) -> Result<Report, Complaint> {
    let database = dir.join("skep.db");
    let findings = stores.meta.integrity().map_err(|error| unreadable(&database, &error))?;
    let checked = check(&stores.meta, &stores.packs, &Limits::SHIPPED);
    let mut report = match checked {
        Ok(report) => report,
        // What integrity found says more than where reading ended.
        Err(error) if findings.is_empty() => return Err(unreadable(&database, &error)),
        Err(error) => {
            let mut report = Report::default();
            report.find(FindingCode::Metadata, format!("The database cannot be read to its end: {error}."));
            report
        }
    };
    for finding in findings {
        report.find(FindingCode::Metadata, format!("The database file is damaged: {finding}"));
    }
    Ok(report)
}

fn as_text(report: &Report, repaired: Option<&Repaired>, rows: Option<&MendedRows>) -> Vec<String> {
    let counts = &report.counts;
    let mut lines = vec![format!(
        "Checked {} drives, {} nodes, {} entries, {} records ({} bytes) in {} packs.",
        counts.drives, counts.nodes, counts.entries, counts.records, counts.bytes, counts.packs
    )];
    if let Some(rows) = rows {
        lines.extend(rows.told.iter().take(TOLD_MAX).cloned());
        lines.push(format!("What the rows said before is in `{}`. Nothing was deleted.", rows.kept_in));
    }
    if let Some(repaired) = repaired {
        for (pack, path) in &repaired.set_aside {
            lines.push(format!("Moved pack {} aside to `{path}`. Nothing was deleted.", pack.0));
        }
        lines.push(format!(
            "Saved {} records; {} chunks count as lacking now, {} are whole again.",
            repaired.records_saved, repaired.chunks_marked, repaired.chunks_sound
        ));
    }
    let findings = report.findings.iter().map(|finding| format!("{}  {}", finding.code.as_str(), finding.what));
    lines.extend(findings.take(TOLD_MAX));
    let files = report.files.iter().map(|file| {
        format!("E-DAMAGED  `{}` of {} ({}) cannot be read whole.", file.path, file.account, file.version.as_str())
    });
    lines.extend(files.take(TOLD_MAX));
    let told = report.findings.len().min(TOLD_MAX) + report.files.len().min(TOLD_MAX);
    let untold = (report.findings.len() + report.files.len() - told) as u64 + report.more;
    if untold > 0 {
        lines.push(format!("and {untold} more; --json tells more of them"));
    }
    if report.is_fine() {
        lines.push("Everything is there and whole.".to_owned());
    }
    lines
}

fn as_json(report: &Report, repaired: Option<&Repaired>, rows: Option<&MendedRows>) -> Value {
    let counts = &report.counts;
    let findings = report.findings.iter().map(|finding| json!({ "code": finding.code.as_str(), "what": finding.what }));
    let files = report.files.iter().map(|file| {
        json!({ "account": file.account, "path": file.path, "node": file.node.to_string(), "version": file.version.as_str() })
    });
    let repaired = repaired.map(|repaired| {
        let set_aside = repaired.set_aside.iter().map(|(pack, path)| json!({ "pack": pack.0, "path": path }));
        json!({ "set_aside": set_aside.collect::<Vec<_>>(), "records_saved": repaired.records_saved,
            "chunks_marked": repaired.chunks_marked, "chunks_sound": repaired.chunks_sound })
    });
    let rows = rows.map(|rows| json!({ "kept_in": rows.kept_in, "done": rows.told }));
    json!({ "schema": 1, "fine": report.is_fine(),
        "checked": { "drives": counts.drives, "nodes": counts.nodes, "entries": counts.entries, "packs": counts.packs,
            "records": counts.records, "bytes": counts.bytes },
        "findings": findings.collect::<Vec<_>>(), "files": files.collect::<Vec<_>>(), "more": report.more,
        "repaired": repaired, "rows": rows })
}

fn verdict(report: &Report, was_repaired: bool) -> Result<(), Complaint> {
    if report.is_fine() {
        return Ok(());
    }
    if report.findings.iter().any(|finding| finding.code == FindingCode::Unequal) && !was_repaired {
        let what = "Nodes, journal and sum of a drive do not say the same.";
        return Err(Complaint::new(Exit::Partly, FindingCode::Unequal.as_str(), what).hint(
            "Stop the server, then: skep-server fsck --repair --data-dir DIR\n\
             It sets rows to what the journal says, keeps what they said in `quarantine/`, and deletes nothing.",
        ));
    }
    if report.findings.iter().any(|finding| finding.code != FindingCode::Pack) {
        return Err(Complaint::new(Exit::Partly, "E-METADATA", "The metadata is damaged.").hint(RESTORE_HINT));
    }
    let what = match report.files.len() as u64 + report.more {
        0 => "Some stored content is damaged, none of which a file needs any more.".to_owned(),
        files => format!("{files} files or versions cannot be read whole."),
    };
    let hint = match was_repaired {
        false => {
            "Stop the server, then: skep-server fsck --repair --data-dir DIR\n\
             It moves damaged packs aside, deletes nothing, and lets devices send again what is missing."
        }
        true => {
            "On a device that has them, copy each to a new name: with the copy its bytes are sent anew, then it can go.\n\
             Or bring the packs back from a backup (docs/operating/backup.md)."
        }
    };
    Err(Complaint::new(Exit::Partly, "E-DAMAGED", what).hint(hint))
}
