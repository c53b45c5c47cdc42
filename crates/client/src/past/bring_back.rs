//! Restoring: an old content becomes the newest, a deleted node comes back. Nothing that stands anywhere gives way.

use skep_platform::Entropy;
use skep_protocol::FoundNode;
use skep_types::{Content, Group, GroupResult, Mode, Name, NodeId, NodeState, Operation, Reject};

use super::{ContentError, Past};
use crate::Link;
use crate::call::CallError;

/// So often is tried again what another device overtook, or whose name was taken.
const TRIES_MAX: u32 = 16;

/// Something could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum BringBackError {
    /// The server did not answer, or has not the content.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Others changed it again and again meanwhile.
    #[error("it is being changed elsewhere")]
    Overtaken,
    /// The server's rules do not allow it.
    #[error("the server refused it: {0}")]
    Refused(String),
}

impl From<CallError> for BringBackError {
    fn from(error: CallError) -> BringBackError {
        BringBackError::Content(error.into())
    }
}

impl<L: Link> Past<L> {
    /// Makes `content` the newest version of the live `node`, whatever version that has by then. `false`: it is so already.
    pub async fn set_content(
        &self,
        entropy: &impl Entropy,
        node: &NodeState,
        content: &Content,
    ) -> Result<bool, BringBackError> {
        let mut node = node.clone();
        for _ in 0..TRIES_MAX {
            if node.content == *content {
                return Ok(false);
            }
            let edit = Operation::Edit { node: node.node, base: node.content_version, content: content.clone() };
            let results = self.commit(entropy.bytes(), vec![Group(vec![edit])]).await?;
            match results.into_iter().next() {
                Some(GroupResult::Rejected(Reject::Changed(state))) => node = *state,
                Some(GroupResult::Rejected(reject)) => return Err(refused(&reject)),
                Some(_) => return Ok(true),
                None => return Err(CallError::Malformed("a commit without a result".into()).into()),
            }
        }
        Err(BringBackError::Overtaken)
    }

    /// Takes `node` out of the trash, back to `path` or beside it, with the directories that are gone, and with `content` if that is
    /// another one than its last. Gives the path that it has then.
    pub async fn bring_back(
        &self,
        entropy: &impl Entropy,
        node: &NodeState,
        path: &[Name],
        content: Option<&Content>,
    ) -> Result<Vec<Name>, BringBackError> {
        // How often each name of the path was taken by something else.
        let mut taken = vec![0; path.len()];
        for _ in 0..TRIES_MAX {
            let wanted: Vec<Name> = path.iter().zip(&taken).map(|(name, taken)| restored_name(name, *taken)).collect();
            let (depth, directory) = self.live_directory(&wanted).await?;
            let groups = groups(entropy, node, &wanted, (depth, directory), content);
            let results = self.commit(entropy.bytes(), groups).await?;
            let rejected = results.iter().enumerate().find_map(|(index, result)| match result {
                GroupResult::Rejected(reject) => Some((index, reject)),
                _ => None,
            });
            match rejected {
                None => return Ok(wanted),
                Some((index, Reject::NameTaken(_))) => {
                    let place = taken.get_mut(depth + index);
                    *place.ok_or_else(|| CallError::Malformed("a result too many".into()))? += 1;
                }
                // The directory went away, or a directory's name was taken by a file: look again.
                Some((_, Reject::BadParent(_) | Reject::InTrash(_) | Reject::Depends(_))) => {}
                Some((_, Reject::Changed(_))) => return Err(BringBackError::Overtaken),
                Some((_, reject)) => return Err(refused(reject)),
            }
        }
        Err(BringBackError::Overtaken)
    }

    /// The deepest live directory above the last name of a path, and how many names lead to it.
    async fn live_directory(&self, path: &[Name]) -> Result<(usize, NodeId), CallError> {
        for depth in (1..path.len()).rev() {
            let live = |found: &&FoundNode| !found.in_trash && found.state.content == Content::Directory;
            if let Some(found) = self.find(&path[..depth]).await?.first().filter(live) {
                return Ok((depth, found.state.node));
            }
        }
        Ok((0, NodeId::ROOT))
    }
}

/// A group for each directory that is to be made, then one for the node.
fn groups(
    entropy: &impl Entropy,
    node: &NodeState,
    path: &[Name],
    (depth, directory): (usize, NodeId),
    content: Option<&Content>,
) -> Vec<Group> {
    let Some((name, above)) = path.split_last() else { return Vec::new() };
    let mut groups = Vec::new();
    let mut parent = directory;
    for name in &above[depth..] {
        let node = NodeId::from_bytes(entropy.bytes());
        let (name, content, mode) = (name.clone(), Content::Directory, Mode::default());
        groups.push(Group(vec![Operation::Create { node, parent, name, content, mode }]));
        parent = node;
    }
    let mut last = vec![Operation::Move { node: node.node, base: node.place_version, parent, name: name.clone() }];
    if let Some(content) = content.filter(|content| **content != node.content) {
        last.push(Operation::Edit { node: node.node, base: node.content_version, content: content.clone() });
    }
    groups.push(Group(last));
    groups
}

fn refused(reject: &Reject) -> BringBackError {
    BringBackError::Refused(match reject {
        Reject::UnknownNode(_) => "it is no longer kept".into(),
        Reject::InTrash(_) => "it is in the trash".into(),
        other => format!("{other:?}"),
    })
}

/// `name` if nobody has it, else `name (restored).ext`, `name (restored 2).ext`, …, cut so that it is a name.
pub fn restored_name(name: &Name, taken: u32) -> Name {
    let notice = match taken {
        0 => return name.clone(),
        1 => " (restored)".to_owned(),
        number => format!(" (restored {number})"),
    };
    let (stem, extension) = name.split_extension();
    let extension = if extension.len() + notice.len() < Name::BYTES_MAX { extension } else { &[] };
    let mut end = stem.len().min(Name::BYTES_MAX - notice.len() - extension.len());
    // Not within a character: some file systems take only whole ones.
    while end > 0 && stem.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    Name::new([&stem[..end], notice.as_bytes(), extension].concat()).expect("what was cut to fit is a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_a_word_and_then_a_number() {
        let name = |text: &str| Name::try_from(text).unwrap();
        let rows = [
            ("report.odt", 0, "report.odt"),
            ("report.odt", 1, "report (restored).odt"),
            ("report.odt", 2, "report (restored 2).odt"),
            (".profile", 1, ".profile (restored)"),
        ];
        for (before, taken, expected) in rows {
            assert_eq!(restored_name(&name(before), taken), name(expected));
        }
        for long in ["é".repeat(127), format!("a.{}", "x".repeat(250))] {
            let made = restored_name(&name(&long), 3);
            assert!(made.as_bytes().len() <= Name::BYTES_MAX && std::str::from_utf8(made.as_bytes()).is_ok());
        }
    }
}
