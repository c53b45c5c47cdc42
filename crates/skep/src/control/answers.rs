//! What the daemon answers about files. `--json` shows the same shapes.

use serde::{Deserialize, Serialize};
use skep_client::{
    Conflict, DeletionHold, Found, HoldDecision, IgnoreCheck, Ignored, Keep, Listed, Location, ResolveError, Selectable,
};
use skep_platform::talk::utc_text;
use skep_types::Kind;

use crate::names::{NameText, PathNames};

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryAnswer {
    /// Its name.
    pub name: NameText,
    /// How this disk shows it, if it cannot hold that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<NameText>,
    /// `file`, `directory`, `symlink` or `mount`.
    pub kind: String,
    /// `here`, `sending`, `receiving`, `waiting`, `problem` or `two versions`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// Bytes of a file.
    pub size: u64,
    /// When a file was last changed.
    pub changed: Option<String>,
}

impl From<&Listed> for EntryAnswer {
    fn from(listed: &Listed) -> EntryAnswer {
        let kind = match listed.kind {
            Some(Kind::File) => "file",
            Some(Kind::Directory) => "directory",
            Some(Kind::Symlink) => "symlink",
            Some(Kind::Mount) => "mount",
            None => "special",
        };
        let state = if listed.state == "synced" { "here" } else { listed.state };
        EntryAnswer {
            name: (&listed.name).into(),
            shown: listed.shown.as_ref().map(NameText::from),
            kind: kind.into(),
            state: state.into(),
            reason: listed.reason.clone(),
            size: listed.size,
            changed: listed.mtime.map(utc_text),
        }
    }
}

/// Something in the folder that is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredAnswer {
    /// From the folder down.
    pub path: PathNames,
    /// Whether it is a directory, which is ignored with all that is in it.
    pub directory: bool,
}

impl From<&Ignored> for IgnoredAnswer {
    fn from(ignored: &Ignored) -> IgnoredAnswer {
        let path = ignored.path.iter().map(NameText::from).collect();
        IgnoredAnswer { path, directory: ignored.kind == Some(Kind::Directory) }
    }
}

/// The rule that decides whether a path is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreRuleAnswer {
    /// How many names of the path lead to what the rule speaks of.
    pub depth: usize,
    /// The ignore file, from the folder down; null: the rule is built in.
    pub file: Option<PathNames>,
    /// The line in it, from 1.
    pub line: usize,
    /// The pattern.
    pub pattern: String,
    /// Whether the path is ignored by it.
    pub ignored: bool,
}

impl From<IgnoreCheck> for IgnoreRuleAnswer {
    fn from(check: IgnoreCheck) -> IgnoreRuleAnswer {
        let file = check.file.map(|file| file.iter().map(NameText::from).collect());
        let IgnoreCheck { depth, line, pattern, ignored, .. } = check;
        IgnoreRuleAnswer { depth, file, line, pattern, ignored }
    }
}

/// A directory of the server, and what of it is on this computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectableAnswer {
    /// From the folder down.
    pub path: PathNames,
    /// Files in it on the server.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are here as the server has them.
    pub files_here: u64,
    /// Their bytes.
    pub bytes_here: u64,
    /// Some of the files here with changes that are not on the server yet.
    pub unsent: Vec<String>,
    /// How many these are.
    pub unsent_count: u64,
    /// What is free on this disk.
    pub free_bytes: u64,
}

impl SelectableAnswer {
    /// With what is free on this disk.
    pub fn of(found: &Selectable, free_bytes: u64) -> SelectableAnswer {
        SelectableAnswer {
            path: found.path.iter().map(NameText::from).collect(),
            files: found.files,
            bytes: found.bytes,
            files_here: found.files_here,
            bytes_here: found.bytes_here,
            unsent: found.unsent.iter().map(Location::display).collect(),
            unsent_count: found.unsent_count,
            free_bytes,
        }
    }
}

/// What a person wants of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selecting {
    /// To have it on this computer.
    Here,
    /// Not to have it on this computer.
    NotHere,
}

/// Why a selection was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSelected {
    /// Stable code.
    pub code: &'static str,
    /// What is in the way.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// A file with two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictAnswer {
    /// The directory that holds both, from the folder down.
    pub dir: PathNames,
    /// The name that both want.
    pub name: NameText,
    /// The device that made the copy.
    pub device: String,
    /// The version that has a name of its own.
    pub copy: EntryAnswer,
    /// The version that has the name; null if nothing has.
    pub original: Option<EntryAnswer>,
    /// Which of the two was changed last; if that cannot be told, the one that has the name.
    pub newest: KeepWord,
}

impl ConflictAnswer {
    /// The copy's path.
    pub fn copy_path(&self) -> PathNames {
        self.dir.iter().chain([&self.copy.name]).cloned().collect()
    }

    /// The path that both want.
    pub fn path(&self) -> PathNames {
        self.dir.iter().chain([&self.name]).cloned().collect()
    }
}

impl From<&Conflict> for ConflictAnswer {
    fn from(conflict: &Conflict) -> ConflictAnswer {
        let is_original = |original: &Listed| original.mtime >= conflict.copy.mtime;
        let is_original = conflict.original.as_ref().is_some_and(is_original);
        ConflictAnswer {
            newest: if is_original { KeepWord::Original } else { KeepWord::Copy },
            dir: conflict.dir.iter().map(NameText::from).collect(),
            name: (&conflict.told.original).into(),
            device: conflict.told.device.clone(),
            copy: (&conflict.copy).into(),
            original: conflict.original.as_ref().map(EntryAnswer::from),
        }
    }
}

/// [`Keep`] on the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepWord {
    /// The version that has the name.
    Original,
    /// The copy.
    Copy,
    /// Both, under two names.
    Both,
}

impl From<KeepWord> for Keep {
    fn from(word: KeepWord) -> Keep {
        match word {
            KeepWord::Original => Keep::Original,
            KeepWord::Copy => Keep::Copy,
            KeepWord::Both => Keep::Both,
        }
    }
}

/// How ending a conflict went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolved {
    /// It is done.
    Done,
    /// Nothing was changed: why.
    Refused(String),
}

impl From<Result<(), ResolveError>> for Resolved {
    fn from(result: Result<(), ResolveError>) -> Resolved {
        match result {
            Ok(()) => Resolved::Done,
            Err(error) => Resolved::Refused(error.to_string()),
        }
    }
}

/// Deletions that wait for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldAnswer {
    /// Of this very hold: whoever decides names it, so that nobody decides of what came later.
    pub id: String,
    /// Since when they wait.
    pub since: String,
    /// `at_start`: gone while the service was off; `in_scan`: gone later, without a word from the system.
    pub found: String,
    /// Files that are gone.
    pub files: u64,
    /// Directories that are gone.
    pub directories: u64,
    /// Files that the folder should hold.
    pub folder_files: u64,
    /// The part that is gone.
    pub percent: u64,
    /// Where they were.
    pub places: Vec<HeldPlace>,
}

/// A directory that is gone, or out of which something is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPlace {
    /// Relative to the folder; empty: the folder itself.
    pub path: String,
    /// Files.
    pub files: u64,
}

impl From<&DeletionHold> for HoldAnswer {
    fn from(hold: &DeletionHold) -> HoldAnswer {
        let found = match hold.found {
            Found::AtStart => "at_start",
            Found::InScan => "in_scan",
        };
        let places = hold.places.iter().map(|(path, files)| HeldPlace { path: path.clone(), files: *files });
        HoldAnswer {
            id: format!("{:032x}", hold.id.0),
            since: utc_text(hold.since),
            found: found.into(),
            files: hold.files,
            directories: hold.directories,
            folder_files: hold.folder_files,
            percent: hold.percent(),
            places: places.collect(),
        }
    }
}

/// What is decided of held deletions, on the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionWord {
    /// They are meant.
    Approve,
    /// The files come back.
    BringBack,
}

impl From<DecisionWord> for HoldDecision {
    fn from(word: DecisionWord) -> HoldDecision {
        match word {
            DecisionWord::Approve => HoldDecision::Approve,
            DecisionWord::BringBack => HoldDecision::BringBack,
        }
    }
}
