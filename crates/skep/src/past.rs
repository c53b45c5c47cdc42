//! What the commands about the past share: who is asked, which version is meant, what it was.

use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::RootFiles;
use jiff::Zoned;
use skep_client::{BringBackError, CallError, ContentError, Past, SafeEntry, SafeOfRoot};
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::{Author, FoundNode};
use skep_types::{Content, DeviceId, Entry, Limits, Name, NodeState, Seq, Timestamp};

use crate::args::{Global, WhichNumber, WhichVersion};
use crate::clock;
use crate::engine;
use crate::home::{Config, Home};
use crate::link::{HttpLink, ServerAddress};
use crate::names;
use crate::remote;

/// A talk with the server about the past of the drive that is synced here.
pub struct Talk {
    /// The other end.
    pub past: Past<HttpLink>,
    /// This client's home.
    pub home: Home,
    /// What it knows.
    pub config: Config,
    address: ServerAddress,
}

impl Talk {
    /// As the device of this home. Nothing is sent yet.
    pub fn open(global: &Global) -> Result<Talk, Complaint> {
        let home = Home::find(global.home.clone())?;
        let config = home.joined()?;
        let token = home.token()?;
        let address = config.server.url.clone();
        let link = HttpLink::new(address.clone(), config.server.fingerprint, Limits::SHIPPED);
        let (drive, device) = (config.folder.drive, config.device.id);
        let past = Past::new(link, token, (drive, device), remote::client_version(), Limits::SHIPPED);
        Ok(Talk { past, home, config, address })
    }

    /// A path as the drive has it.
    pub fn path(&self, path: &Path) -> Result<Vec<Name>, Complaint> {
        names::in_drive(path, &self.config)
    }

    /// What stands, or stood, at a path; at least one.
    pub async fn found(&self, path: &[Name]) -> Result<Vec<FoundNode>, Complaint> {
        let found = self.past.find(path).await.map_err(|error| self.failed(error))?;
        if found.is_empty() { Err(nothing_there(path)) } else { Ok(found) }
    }

    /// The entry of the version that is meant, among those of the nodes at a path.
    pub async fn chosen(
        &self,
        path: &[Name],
        found: &[FoundNode],
        which: Which,
        now: &Zoned,
    ) -> Result<Entry, Complaint> {
        let entry = match which {
            Which::Version(seq) => self.numbered(found, seq).await?,
            Which::At(time) => self.at(found, time).await?,
        };
        entry.ok_or_else(|| {
            let (path, which) = (names::display_names(path), which.text(now));
            Complaint::new(Exit::NotFound, "E-NOT-FOUND", format!("`{path}` has no version {which}."))
                .hint(format!("See which it has:   skep history \"{path}\""))
        })
    }

    async fn numbered(&self, found: &[FoundNode], seq: Seq) -> Result<Option<Entry>, Complaint> {
        let before = Some(Seq(seq.0.saturating_add(1)));
        for node in found {
            let page = self.past.versions(node.state.node, before).await.map_err(|error| self.failed(error))?;
            if let Some(entry) = page.entries.into_iter().next().filter(|entry| entry.seq == seq) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The last entry up to a time, unless that is a deletion.
    async fn at(&self, found: &[FoundNode], time: Timestamp) -> Result<Option<Entry>, Complaint> {
        let mut last: Option<Entry> = None;
        for node in found {
            let (entries, _) = self.past.history(node.state.node).await.map_err(|error| self.failed(error))?;
            let entry = entries.into_iter().find(|entry| entry.time <= time);
            last = last.into_iter().chain(entry).max_by_key(|entry| entry.seq);
        }
        Ok(last.filter(|entry| !entry.state.place.trashed))
    }

    /// The safe of the synced folder.
    pub fn safe(&self) -> Result<SafeOfRoot<RootFiles>, Complaint> {
        engine::safe(&self.config)
    }

    /// What the safe has of a name, the last first; the first is `safe1`.
    pub fn safe_entries(&self, name: &Name) -> Result<Vec<SafeEntry>, Complaint> {
        let mut entries = engine::safe_entries(&self.safe()?)?;
        entries.retain(|entry| entry.name == *name);
        Ok(entries)
    }

    /// The entry of the safe that is called `safe1`, `safe2` … of a path.
    pub fn safe_entry(&self, path: &[Name], number: usize) -> Result<SafeEntry, Complaint> {
        let name = path.last().ok_or_else(|| nothing_there(path))?;
        let chosen = self.safe_entries(name)?.into_iter().nth(number - 1);
        chosen.ok_or_else(|| {
            let what =
                format!("The safe of this computer has no version safe{number} of `{}`.", names::display_names(path));
            Complaint::new(Exit::NotFound, "E-NOT-FOUND", what).hint("See what it has:   skep trash ls --safe")
        })
    }

    /// Why a call came to nothing.
    pub fn failed(&self, error: CallError) -> Complaint {
        remote::complaint_of_call(error, &self.address)
    }

    /// Why a content was not got.
    pub fn content_failed(&self, error: ContentError, what: &str) -> Complaint {
        match error {
            ContentError::Call(error) => self.failed(error),
            ContentError::Missing => {
                let what = format!("The server cannot read this version of {what} any more.");
                Complaint::new(Exit::Failed, "E-DAMAGED", what)
                    .hint("See what else there is:   skep history; on the server:   skep-server fsck")
            }
            ContentError::Write(error) => {
                Complaint::new(Exit::Failed, "E-OUTPUT", format!("Cannot write {what}: {error}."))
            }
        }
    }

    /// Why something was not restored.
    pub fn restore_failed(&self, error: BringBackError, path: &[Name]) -> Complaint {
        let path = names::display_names(path);
        match error {
            BringBackError::Content(error) => self.content_failed(error, &format!("`{path}`")),
            BringBackError::Overtaken => {
                Complaint::new(Exit::Temporary, "E-BUSY", format!("`{path}` is being changed elsewhere just now."))
                    .hint("Nothing was changed. Try again.")
            }
            BringBackError::Refused(why) => {
                let what = format!("`{path}` cannot be restored: {why}.");
                Complaint::new(Exit::Guard, "E-REFUSED", what).hint("Nothing was changed.")
            }
        }
    }
}

/// Which version is meant.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    /// That of this number.
    Version(Seq),
    /// The one of that time.
    At(Timestamp),
}

/// What a person asked for: a version of the server's or one of the safe, or nothing.
#[derive(Debug, Clone, Copy)]
pub enum Asked {
    /// Of the server.
    Server(Which),
    /// Of the safe of this computer.
    Safe(usize),
    /// Not said.
    Nothing,
}

impl Which {
    fn text(self, now: &Zoned) -> String {
        match self {
            Which::Version(seq) => seq.to_string(),
            Which::At(time) => format!("of {}", clock::full(time, now)),
        }
    }
}

/// Understands which version is meant.
pub fn asked(which: &WhichVersion, now: &Zoned) -> Result<Asked, Complaint> {
    match (which.version, &which.at) {
        (Some(WhichNumber::Version(number)), _) => Ok(Asked::Server(Which::Version(Seq(number)))),
        (Some(WhichNumber::Safe(number)), _) => Ok(Asked::Safe(number)),
        (None, Some(text)) => Ok(Asked::Server(Which::At(time(text, now)?))),
        (None, None) => Ok(Asked::Nothing),
    }
}

/// A time that has passed, as a person wrote it.
pub fn time(text: &str, now: &Zoned) -> Result<Timestamp, Complaint> {
    clock::parse_past(text, now).ok_or_else(|| {
        let what = format!("`{}` is no time.", names::printable(text));
        Complaint::new(Exit::Usage, "E-USAGE", what)
            .hint("Write it as 18:00, \"yesterday 18:00\", 2026-11-18, 2026-11-18T12:00 or 2h.")
    })
}

/// The complaint about a path at which nothing is, nor was when it was deleted.
pub fn nothing_there(path: &[Name]) -> Complaint {
    let what = format!("There is no `{}`, neither on the server nor in its trash.", names::display_names(path));
    let name = path.last().map(|name| names::printable(&name.display())).unwrap_or_default();
    Complaint::new(Exit::NotFound, "E-NOT-FOUND", what)
        .hint(format!("It may have had another place:   skep trash ls --search \"{name}\""))
}

/// `maya (thinkpad)`, by the ids that commits have.
pub fn people(authors: Vec<Author>) -> BTreeMap<DeviceId, Author> {
    authors.into_iter().map(|author| (author.device, author)).collect()
}

/// Who did it, for people.
pub fn who(author: Option<&Author>) -> String {
    author.map_or_else(
        || "a device that is gone".into(),
        |author| names::printable(&format!("{} ({})", author.account_name, author.device_name)),
    )
}

/// `file`, `directory`, `link`.
pub fn kind_word(state: &NodeState) -> &'static str {
    match state.content {
        Content::File(_) => "file",
        Content::Directory => "directory",
        Content::Symlink { .. } => "link",
        Content::Mount { .. } => "mount",
    }
}
