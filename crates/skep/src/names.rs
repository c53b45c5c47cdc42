//! Names and paths of the folder, as commands and the daemon tell them each other: exactly, also where they are no text.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use skep_platform::own_files;
use skep_platform::talk::{Complaint, Exit};
use skep_types::{Name, NameError};

use crate::home::Config;

/// A name as text, or as bytes if it is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NameText {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes {
        /// The bytes.
        bytes: Vec<u8>,
    },
}

impl NameText {
    /// For people: nothing in it may steer a terminal.
    pub fn display(&self) -> String {
        let text = match self {
            NameText::Text(text) => text.into(),
            NameText::Bytes { bytes } => String::from_utf8_lossy(bytes),
        };
        printable(&text)
    }
}

impl From<&Name> for NameText {
    fn from(name: &Name) -> NameText {
        NameText::from(name.as_bytes().to_vec())
    }
}

impl From<Vec<u8>> for NameText {
    fn from(bytes: Vec<u8>) -> NameText {
        match String::from_utf8(bytes) {
            Ok(text) => NameText::Text(text),
            Err(error) => NameText::Bytes { bytes: error.into_bytes() },
        }
    }
}

impl TryFrom<&NameText> for Name {
    type Error = NameError;

    fn try_from(name: &NameText) -> Result<Name, NameError> {
        match name {
            NameText::Text(text) => Name::new(text.as_bytes()),
            NameText::Bytes { bytes } => Name::new(bytes.as_slice()),
        }
    }
}

/// The names of a path, from the folder down.
pub type PathNames = Vec<NameText>;

/// The names of the engine's words for a path.
pub fn parsed(path: &[NameText]) -> Result<Vec<Name>, NameError> {
    path.iter().map(Name::try_from).collect()
}

/// A path with `/` between the names, for people.
pub fn display(path: &[NameText]) -> String {
    path.iter().map(NameText::display).collect::<Vec<_>>().join("/")
}

/// `text` without what could steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

/// A path of the synced folder, relative to it. The last name need not exist, nor be followed.
pub fn relative(path: &Path, config: &Config) -> Result<PathNames, Complaint> {
    let whole = resolved(path).or_else(|| std::path::absolute(path).ok()).unwrap_or_else(|| path.to_owned());
    let inside = whole.strip_prefix(&config.folder.local).map_err(|_| {
        let (path, folder) = (path.display(), config.folder.local.display());
        Complaint::new(Exit::NotFound, "E-NOT-IN-FOLDER", format!("`{path}` is not in the synced folder `{folder}`."))
    })?;
    Ok(components(inside))
}

/// The path without links above its last name. What is not there any more is taken as it is written.
fn resolved(path: &Path) -> Option<PathBuf> {
    if path.file_name().is_none() {
        return own_files::absolute(path).ok();
    }
    path.ancestors().skip(1).find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        let is_plain = rest.components().all(|component| matches!(component, Component::Normal(_)));
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        own_files::absolute(above).ok().filter(|_| is_plain).map(|above| above.join(rest))
    })
}

/// What begins a path from the folder down, wherever the command runs.
const FROM_FOLDER: &str = "skep:/";

/// A path of the synced folder: as [`relative`], or `skep:/Path`. A path that is nowhere in the folder from here is one from the
/// folder down, too: so `skep trash ls` writes them.
pub fn in_drive(path: &Path, config: &Config) -> Result<Vec<Name>, Complaint> {
    let names = match path.strip_prefix(FROM_FOLDER) {
        Ok(rest) => components(rest),
        Err(_) => match relative(path, config) {
            Err(_) if path.is_relative() && !path.starts_with("..") => components(path),
            found => found?,
        },
    };
    parsed(&names).map_err(|error| {
        let what = format!("`{}` is no path of the synced folder: {error}.", printable(&path.display().to_string()));
        Complaint::new(Exit::NotFound, "E-NOT-FOUND", what)
    })
}

/// Names with `/` between them, for people.
pub fn display_names(path: &[Name]) -> String {
    display(&path.iter().map(NameText::from).collect::<Vec<_>>())
}

fn components(path: &Path) -> PathNames {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name_of(name)),
        _ => None,
    });
    names.collect()
}

/// The name of a file anywhere on this computer.
pub fn file_name(name: &OsStr) -> Result<Name, NameError> {
    Name::try_from(&name_of(name))
}

#[cfg(unix)]
fn name_of(name: &OsStr) -> NameText {
    std::os::unix::ffi::OsStrExt::as_bytes(name).to_vec().into()
}

#[cfg(not(unix))]
fn name_of(name: &OsStr) -> NameText {
    NameText::Text(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_text_survive_the_way_to_the_daemon() {
        for bytes in [b"a b.txt".as_slice(), b"\xff\x01"] {
            let name = Name::new(bytes).unwrap();
            let line = serde_json::to_string(&NameText::from(&name)).unwrap();
            let back: NameText = serde_json::from_str(&line).unwrap();
            assert_eq!(Name::try_from(&back).unwrap(), name);
        }
        assert_eq!(NameText::from(b"a\x1b[2Jb".to_vec()).display(), "a\u{fffd}[2Jb");
    }
}
