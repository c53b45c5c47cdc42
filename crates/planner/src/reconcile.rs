//! One node, three states: what each side changed, and which side the others follow.
//!
//! Field group by field group, for a node that both sides have. The whole table of rules is in the tests below.

use skep_types::{Content, ContentId, Mode, NodeState, Version};

use crate::trees::{Local, LocalContent, Synced};

/// What is to be done so that both sides agree on a field group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They agree.
    Same,
    /// The server follows this disk.
    Send,
    /// This disk follows the server.
    Apply,
    /// Both have new bytes: both are kept.
    KeepBoth,
}

/// What is to be done for a node that both sides have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Merge {
    pub(crate) place: Verdict,
    pub(crate) content: Verdict,
    pub(crate) mode: Verdict,
}

/// What one side of a field group looks like from the merge base; `None` where there is no base.
struct Sides<'a, T> {
    base: Option<&'a T>,
    local: &'a T,
    remote: &'a T,
}

impl<T> Sides<'_, T> {
    /// The three-way rule: the side that changed wins; `both` where both did, or where nothing tells.
    fn verdict(&self, same: impl Fn(&T, &T) -> bool, both: Verdict) -> Verdict {
        if same(self.local, self.remote) {
            return Verdict::Same;
        }
        let changed = |side: &T| self.base.is_none_or(|base| !same(base, side));
        match (changed(self.local), changed(self.remote)) {
            (true, false) => Verdict::Send,
            (false, _) => Verdict::Apply,
            (true, true) => both,
        }
    }
}

/// Merges a node that is known on all sides that have it. `local` must have been read.
pub(crate) fn merge(
    synced: Option<&Synced>,
    local: &Local,
    remote: &NodeState,
    mine: impl Fn(Version) -> bool,
) -> Merge {
    // What this device sent itself is an ancestor of what its disk shows, whether or not the answer came: Remote's own state is
    // then the base. So a lost answer never makes a conflict with oneself.
    let place_base = match synced {
        _ if mine(remote.place_version) => Some(&remote.place),
        synced => synced.map(|synced| &synced.state.place),
    };
    let content_base = match synced {
        _ if mine(remote.content_version) => Some(&remote.content),
        synced => synced.map(|synced| &synced.state.content),
    };
    let mode_base = match synced {
        _ if mine(remote.mode_version) => Some(&remote.mode),
        synced => synced.map(|synced| &synced.state.mode),
    };
    let local_place = skep_types::Place { parent: local.parent, name: local.name.clone(), trashed: false };
    let place = Sides { base: place_base, local: &local_place, remote: &remote.place };
    let mode = Sides { base: mode_base, local: &local.mode, remote: &remote.mode };
    Merge {
        // Two moves: the first that was committed wins. Two modes: likewise.
        place: place.verdict(|a, b| (a.parent, &a.name) == (b.parent, &b.name), Verdict::Apply),
        content: content_verdict(content_base, &local.content, &remote.content),
        mode: mode.verdict(Mode::eq, Verdict::Apply),
    }
}

fn content_verdict(base: Option<&Content>, local: &LocalContent, remote: &Content) -> Verdict {
    let LocalContent::Known(local) = local else { return Verdict::Same };
    let sides = Sides { base, local, remote };
    match sides.verdict(Content::same_bytes, Verdict::KeepBoth) {
        // Equal bytes never conflict; of two mtimes the one that changed, else the server's.
        Verdict::Same => sides.verdict(Content::eq, Verdict::Apply),
        // An empty file holds nothing that could be kept: what has bytes lives on, as an edit does against a deletion. A power cut
        // leaves empty files where there were none.
        Verdict::KeepBoth if is_empty(local) => Verdict::Apply,
        Verdict::KeepBoth if is_empty(remote) => Verdict::Send,
        verdict => verdict,
    }
}

/// Whether it is a file without a byte.
pub(crate) fn is_empty(content: &Content) -> bool {
    content.file().is_some_and(|file| file.id == ContentId::Empty)
}

#[cfg(test)]
mod tests {
    use skep_types::{ChunkId, CommitId, DeviceId, FileContent, Kind, Name, NodeId, Place, Seq, Stat, Timestamp};

    use super::*;

    const ME: DeviceId = DeviceId::from_bytes([1; 8]);
    const OTHER: DeviceId = DeviceId::from_bytes([2; 8]);

    /// A side as one string: name, bytes, mtime digit, mode: `a A1-`, `a A1x`, and without a byte `a 01-`.
    fn content(text: &str) -> Content {
        let bytes = text.as_bytes();
        let id = match bytes[2] {
            b'0' => ContentId::Empty,
            chunk => ContentId::Chunk(ChunkId::from_bytes([chunk; 32])),
        };
        let mtime = Timestamp { seconds: i64::from(bytes[3]), nanoseconds: 0 };
        Content::File(FileContent { id, size: 1, mtime })
    }

    fn state(text: &str, device: DeviceId) -> NodeState {
        let version = Version { seq: Seq(1), commit: CommitId::new(device, [0; 8]) };
        NodeState {
            node: NodeId::from_bytes([9; 16]),
            place: Place { parent: NodeId::ROOT, name: Name::try_from(&text[..1]).unwrap(), trashed: false },
            content: content(text),
            mode: Mode { executable: text.ends_with('x') },
            place_version: version,
            content_version: version,
            mode_version: version,
        }
    }

    fn stat() -> Stat {
        let zero = Timestamp::default();
        Stat {
            kind: Some(Kind::File),
            inode: 1,
            links: 1,
            size: 1,
            mtime: zero,
            ctime: zero,
            birth: None,
            executable: false,
        }
    }

    #[test]
    fn rules() {
        use Verdict::*;
        // base, local, remote, by whom remote was last changed, then the verdicts on place, content and mode.
        #[rustfmt::skip]
        let rows: &[(&str, &str, &str, DeviceId, [Verdict; 3])] = &[
            ("a A1-", "a A1-", "a A1-", OTHER, [Same, Same, Same]),
            ("a A1-", "a B2-", "a A1-", OTHER, [Same, Send, Same]),
            ("a A1-", "a A1-", "a B2-", OTHER, [Same, Apply, Same]),
            ("a A1-", "a B2-", "a C3-", OTHER, [Same, KeepBoth, Same]),
            ("a A1-", "a B2-", "a B2-", OTHER, [Same, Same, Same]),
            ("a A1-", "a B2-", "a B3-", OTHER, [Same, Apply, Same]),
            ("a A1-", "a A2-", "a A1-", OTHER, [Same, Send, Same]),
            ("a A1-", "a A1-", "a A2-", OTHER, [Same, Apply, Same]),
            ("a A1-", "a B2-", "a C3-", ME,    [Same, Send, Same]),
            ("",      "a B2-", "a C3-", OTHER, [Same, KeepBoth, Same]),
            ("",      "a B2-", "a C3-", ME,    [Same, Send, Same]),
            ("",      "a B2-", "a B3-", OTHER, [Same, Apply, Same]),
            ("a A1-", "a 02-", "a A1-", OTHER, [Same, Send, Same]),
            ("a A1-", "a A1-", "a 02-", OTHER, [Same, Apply, Same]),
            ("a A1-", "a 02-", "a C3-", OTHER, [Same, Apply, Same]),
            ("a A1-", "a B2-", "a 03-", OTHER, [Same, Send, Same]),
            ("",      "a 02-", "a C3-", OTHER, [Same, Apply, Same]),
            ("",      "a B2-", "a 03-", OTHER, [Same, Send, Same]),
            ("a A1-", "b A1-", "a A1-", OTHER, [Send, Same, Same]),
            ("a A1-", "a A1-", "b A1-", OTHER, [Apply, Same, Same]),
            ("a A1-", "b A1-", "c A1-", OTHER, [Apply, Same, Same]),
            ("a A1-", "b A1-", "c A1-", ME,    [Send, Same, Same]),
            ("a A1-", "b A1-", "b A1-", OTHER, [Same, Same, Same]),
            ("a A1-", "b A1-", "a B2-", OTHER, [Send, Apply, Same]),
            ("a A1-", "a B2-", "b A1-", OTHER, [Apply, Send, Same]),
            ("a A1-", "a A1x", "a A1-", OTHER, [Same, Same, Send]),
            ("a A1-", "a A1-", "a A1x", OTHER, [Same, Same, Apply]),
            ("a A1-", "a B2x", "a C3-", OTHER, [Same, KeepBoth, Send]),
            ("a A1-", "b B2x", "a A1-", OTHER, [Send, Send, Send]),
            ("",      "a A1x", "a A1-", OTHER, [Same, Same, Apply]),
        ];
        for (base, local, remote, by, expected) in rows {
            let synced = (!base.is_empty()).then(|| Synced { state: state(base, OTHER), shown: stat() });
            let here = Synced { state: state(local, ME), shown: stat() }.as_local();
            let merged = merge(synced.as_ref(), &here, &state(remote, *by), |version| version.is_by(ME));
            let row = format!("base {base:?} local {local:?} remote {remote:?} by {by:?}");
            assert_eq!([merged.place, merged.content, merged.mode], *expected, "{row}");
        }
    }
}
