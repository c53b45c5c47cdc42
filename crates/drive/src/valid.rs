//! What can be said of an operation without looking at the drive.

use skep_types::{Content, ContentId, Limits, Mode, Name, NodeId, product};

/// Whether a node may hold this.
pub(crate) fn content_fits(content: &Content, limits: &Limits) -> bool {
    match content {
        Content::Directory => true,
        Content::File(file) => (file.id == ContentId::Empty) == (file.size == 0),
        Content::Symlink { target } => {
            !target.is_empty() && target.len() <= limits.symlink_bytes_max && !target.contains(&0)
        }
        // Reserved: a drive inside another comes with sharing.
        Content::Mount { .. } => false,
    }
}

/// Whether a node that holds this may have that mode.
pub(crate) fn mode_fits(mode: Mode, content: &Content) -> bool {
    !mode.executable || matches!(content, Content::File(_))
}

/// Whether a node may stand there: the name of our own directory in every synced root is no name for anything else.
pub(crate) fn place_fits(parent: NodeId, name: &Name) -> bool {
    parent != NodeId::ROOT || name.as_bytes() != product::ROOT_DIR.as_bytes()
}
