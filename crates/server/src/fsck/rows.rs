//! Rows of nodes that are not as the journal says: what they say is written to the quarantine, then they are put right.

use std::path::Path;

use serde_json::{Value, json};
use skep_metastore::MetaStore;
use skep_platform::own_files::make_private_dir;
use skep_platform::runtime::RuntimeClock;
use skep_platform::talk::{Complaint, Exit, utc_text};
use skep_platform::{Clock, own_files};
use skep_service::check::{Mend, Report, mend};
use skep_types::{Content, ContentId, NodeState};

/// Where what was moved aside lies, in the data directory.
const QUARANTINE: &str = "quarantine";

/// What was put right.
pub struct MendedRows {
    /// Where what the rows said lies, relative to the data directory.
    pub kept_in: String,
    /// One line for each.
    pub told: Vec<String>,
}

/// Puts right what `report` says of rows and sums; `None` if that is nothing.
pub fn mend_rows(meta: &impl MetaStore, data_dir: &Path, report: &Report) -> Result<Option<MendedRows>, Complaint> {
    if report.mends.is_empty() && report.uncounted.is_empty() {
        return Ok(None);
    }
    let failed = |what: String| {
        Complaint::new(Exit::Failed, "E-DATA", what).hint("No row was changed. Repair again when the cause is mended.")
    };
    let rows: Vec<Value> = report.mends.iter().map(row_json).collect();
    let recounted: Vec<String> = report.uncounted.iter().map(ToString::to_string).collect();
    let kept = json!({ "schema": 1, "rows": rows, "recounted_drives": recounted }).to_string();
    let name = format!("rows-{}.json", utc_text(RuntimeClock::start().now()).replace(':', "."));
    let quarantine = data_dir.join(QUARANTINE);
    make_private_dir(&quarantine)
        .and_then(|()| own_files::replace(&quarantine.join(&name), kept.as_bytes()))
        .map_err(|error| failed(format!("Cannot write `{}`: {error}.", quarantine.join(&name).display())))?;
    mend(meta, report).map_err(|error| failed(format!("The repair of rows was broken off: {error}.")))?;
    let mut told: Vec<String> = report.mends.iter().map(told_of).collect();
    told.extend(report.uncounted.iter().map(|drive| format!("Counted the sum of drive {drive} anew.")));
    Ok(Some(MendedRows { kept_in: format!("{QUARANTINE}/{name}"), told }))
}

fn told_of(mend: &Mend) -> String {
    let name = mend.will_be.as_ref().or(mend.was.as_ref()).map(|state| state.place.name.display().into_owned());
    let (node, name) = (mend.node, name.unwrap_or_default());
    match (&mend.was, &mend.will_be) {
        (Some(_), Some(_)) => format!("Set the row of `{name}` ({node}) to what the journal says."),
        (Some(_), None) => format!("Moved the row of `{name}` ({node}) aside, of which the journal says nothing."),
        (None, Some(_)) => format!("Made the row of `{name}` ({node}) that was lacking."),
        (None, None) => format!("Nothing is known of {node}."),
    }
}

fn row_json(mend: &Mend) -> Value {
    json!({ "drive": mend.drive.to_string(), "node": mend.node.to_string(),
        "was": mend.was.as_ref().map(state_json), "set_to": mend.will_be.as_ref().map(state_json) })
}

/// All that a row says.
fn state_json(state: &NodeState) -> Value {
    let NodeState { node: _, place, content, mode, place_version, content_version, mode_version } = state;
    let content = match content {
        Content::Directory => json!({ "kind": "directory" }),
        Content::File(file) => {
            let id = match file.id {
                ContentId::Empty => "empty".to_owned(),
                ContentId::Chunk(chunk) => format!("chunk {chunk}"),
                ContentId::List(list) => format!("list {list}"),
            };
            json!({ "kind": "file", "id": id, "size": file.size,
                "mtime": [file.mtime.seconds, i64::from(file.mtime.nanoseconds)] })
        }
        Content::Symlink { target } => json!({ "kind": "symlink", "target": hexadecimal(target) }),
        Content::Mount { drive } => json!({ "kind": "mount", "drive": drive.to_string() }),
    };
    let versions = [place_version, content_version, mode_version];
    let versions: Vec<Value> =
        versions.iter().map(|version| json!([version.seq.0, version.commit.to_string()])).collect();
    json!({ "parent": place.parent.to_string(), "name": place.name.display(), "name_bytes": hexadecimal(place.name.as_bytes()),
        "trashed": place.trashed, "executable": mode.executable, "content": content,
        "versions_of_place_content_mode": versions })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
