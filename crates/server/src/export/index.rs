//! The index of all exported versions: what each file beneath `all-versions` is.

use skep_metastore::{Read, StoreError};
use skep_platform::talk::utc_text;
use skep_types::{DriveId, Entry, Limits, Name, NodeId};

/// What it is called.
pub const FILE: &str = "index.tsv";
/// Its first line. Columns are apart by tabs.
pub const HEAD: &str = "file\tversion\ttime\tpath\tsize\tdevice\tstate\n";

/// What a version is: when and on which device it was made, where the file was, and what has become of it since.
pub fn line(read: &dyn Read, drive: DriveId, file: &[Name; 2], entry: &Entry) -> Result<String, StoreError> {
    let view = read.view(drive)?;
    // The view's own failure is reported by the store, whatever is made of this one.
    let state_of = |node| view.node(node).map_err(|failed| StoreError::Failed(failed.to_string()));
    let now = state_of(entry.state.node)?;
    let mut is_deleted = now.as_ref().is_none_or(|now| now.place.trashed);
    let mut path = vec![entry.state.place.name.clone()];
    // The directories are named as they are called now.
    let mut parent = entry.state.place.parent;
    for _ in 0..Limits::SHIPPED.depth_max {
        let Some(state) = state_of(parent)?.filter(|_| parent != NodeId::ROOT) else { break };
        is_deleted |= state.place.trashed;
        parent = state.place.parent;
        path.push(state.place.name);
    }
    path.reverse();
    let state = match now.is_some_and(|now| now.content_version.seq == entry.seq) {
        true if is_deleted => "deleted",
        true => "now",
        false => "old",
    };
    let device = entry.commit.device();
    let device = read.device(device)?.or(read.device(device.by_hand())?);
    let columns = [
        shown(file),
        entry.seq.to_string(),
        utc_text(entry.time),
        shown(&path),
        entry.state.content.file().map_or(String::new(), |file| file.size.to_string()),
        device.map(|device| device.name).unwrap_or_default(),
        state.to_owned(),
    ];
    // A tab or a line's end in a name would be a column or a line of its own.
    Ok(columns.map(|column| column.replace(char::is_control, "\u{fffd}")).join("\t") + "\n")
}

fn shown(path: &[Name]) -> String {
    path.iter().map(Name::display).collect::<Vec<_>>().join("/")
}
