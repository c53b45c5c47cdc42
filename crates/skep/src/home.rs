//! The client's home: `config.toml`, `token`, socket, lock, log. Many clients live on one machine, each in a home of its own.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skep_client::{Pause, Rates, RootId, Selection};
use skep_platform::own_files;
use skep_platform::talk::{Complaint, Exit, utc_text};
use skep_protocol::{ClassicId, Fingerprint, ParseFingerprintError};
use skep_types::{AccountId, DeviceId, DriveId, NodeId, OwnDir, product};

use crate::clock;
use crate::link::ServerAddress;
use crate::safety::SafetyConfig;

/// Where an account that is being made is kept.
const PENDING_ACCOUNT: &str = "new-account.toml";
/// Where it is kept why the background service ended by itself.
const LAST_WORDS: &str = "stopped.toml";

/// A client's home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
}

/// What a joined client knows; `config.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Where the server is, and its key.
    pub server: ServerConfig,
    /// Who this computer is there.
    pub device: DeviceConfig,
    /// What is synced.
    pub folder: FolderConfig,
    /// Guards against mishaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<SafetyConfig>,
    /// Syncing pauses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseConfig>,
    /// Which directories are not on this computer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<SelectionConfig>,
    /// How it is synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncConfig>,
    /// Where newer releases are looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateConfig>,
}

/// Where newer releases are looked for, when a person asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpdateConfig {
    /// A list of releases: an HTTPS address or a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// How it is synced.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncConfig {
    /// To the server, in bytes a second, as `2MB`; `0` or missing: as fast as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_up: Option<Rate>,
    /// From the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_down: Option<Rate>,
}

impl SyncConfig {
    /// In the client's words.
    pub fn rates(&self) -> Rates {
        let bytes = |rate: Option<Rate>| rate.and_then(|Rate(bytes)| bytes);
        Rates { up: bytes(self.bandwidth_up), down: bytes(self.bandwidth_down) }
    }
}

/// Bytes a second, as people write them; none: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(pub Option<u64>);

/// The least rate: with less, a connection would count as dead.
const RATE_MIN: u64 = 1_000;
const RATE_UNITS: [(&str, u64); 4] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("B", 1)];

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let text = text.trim().trim_end_matches("/s");
        if matches!(text, "off" | "0") {
            return Ok(Rate(None));
        }
        let number = text.trim_end_matches(|letter: char| letter.is_alphabetic());
        let unit = text[number.len()..].to_lowercase();
        let is_unit = |name: &str| name.to_lowercase() == unit || name.trim_end_matches('B').to_lowercase() == unit;
        let factor = RATE_UNITS.iter().find(|(name, _)| is_unit(name)).map(|(_, factor)| *factor);
        let bytes = number.trim().parse().ok().and_then(|number: u64| number.checked_mul(factor?));
        match bytes {
            Some(bytes) if bytes >= RATE_MIN => Ok(Rate(Some(bytes))),
            Some(_) => Err("less than 1kB a second is too little".into()),
            None => Err("write bytes a second as 500kB or 2MB, or `off`".into()),
        }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(bytes) = self.0 else { return f.write_str("off") };
        let unit = RATE_UNITS.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
        let (name, factor) = unit.copied().unwrap_or(("B", 1));
        write!(f, "{}{name}", bytes / factor)
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> String {
        rate.to_string()
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Rate, String> {
        text.parse()
    }
}

/// Which directories are not on this computer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SelectionConfig {
    /// How often this was changed; grows with each change.
    pub changes: u64,
    /// These.
    #[serde(default)]
    pub not_here: Vec<NotHere>,
}

/// A directory that is not on this computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotHere {
    /// Which: it stays so when it is renamed.
    #[serde(with = "as_text")]
    pub node: NodeId,
    /// Where it was when it was chosen, for people.
    pub path: String,
}

impl SelectionConfig {
    /// In the client's words.
    pub fn as_selection(&self) -> Selection {
        Selection { outside: self.not_here.iter().map(|not_here| not_here.node).collect(), changes: self.changes }
    }
}

/// How long syncing pauses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseConfig {
    /// Until when, as `2026-11-20T18:00:00Z`; missing: until it is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl PauseConfig {
    /// In the client's words. An end that nobody can read counts as none: only a person ends such a pause.
    pub fn as_pause(&self) -> Pause {
        match self.until.as_deref().and_then(clock::parse_utc) {
            Some(end) => Pause::Until(end),
            None => Pause::UntilResumed,
        }
    }
}

impl From<Pause> for PauseConfig {
    fn from(pause: Pause) -> PauseConfig {
        let until = match pause {
            Pause::UntilResumed => None,
            Pause::Until(end) => Some(utc_text(end)),
        };
        PauseConfig { until }
    }
}

/// Where the server is, and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerConfig {
    /// `https://HOST:PORT`.
    #[serde(with = "as_text")]
    pub url: ServerAddress,
    /// By which its key is known.
    #[serde(with = "as_text")]
    pub fingerprint: Fingerprint,
}

/// Who this computer is to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceConfig {
    /// What people call it.
    pub name: String,
    /// Its id.
    #[serde(with = "as_text")]
    pub id: DeviceId,
    /// Its account.
    #[serde(with = "as_text")]
    pub account: AccountId,
    /// The account's name.
    pub user: String,
    /// By which an account id is known for the account's without asking the server; as it was when it was last used here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<IdHash>,
}

/// What is kept of an account id: it proves nothing to anybody, and opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdHash([u8; 32]);

impl IdHash {
    /// Of this id.
    pub fn of(id: &ClassicId) -> IdHash {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"skep account id kept by a client\n");
        context.update(id.as_bytes());
        IdHash(context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl From<IdHash> for String {
    fn from(hash: IdHash) -> String {
        Fingerprint(hash.0).to_string()
    }
}

impl TryFrom<String> for IdHash {
    type Error = ParseFingerprintError;

    fn try_from(text: String) -> Result<IdHash, ParseFingerprintError> {
        text.parse().map(|Fingerprint(bytes)| IdHash(bytes))
    }
}

/// An account that is being made; `new-account.toml`, from before the server is asked for it until its id was printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingAccount {
    /// On which server.
    #[serde(with = "as_text")]
    pub url: ServerAddress,
    /// By which its key is known.
    #[serde(with = "as_text")]
    pub fingerprint: Fingerprint,
    /// The account's id.
    #[serde(with = "as_text")]
    pub account_id: ClassicId,
}

/// Why the background service ended by itself; `stopped.toml`, until it starts well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    /// Stable code, `E-…`.
    pub code: String,
    /// What happened, and why.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// When, as `2026-11-20T18:00:00Z`.
    pub at: String,
}

/// A synced folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderConfig {
    /// Where it is here.
    pub local: PathBuf,
    /// Which drive it holds.
    #[serde(with = "as_text")]
    pub drive: DriveId,
    /// The id in its marker: another folder at this path is not this one.
    #[serde(with = "as_text")]
    pub root: RootId,
}

impl Home {
    /// The home that was named, else the user's usual one.
    pub fn find(named: Option<PathBuf>) -> Result<Home, Complaint> {
        let dir = named.or_else(usual_home).ok_or_else(|| {
            Complaint::new(Exit::Usage, "E-USAGE", "There is no usual place for Skep's files here.")
                .hint("Name one: --home DIR")
        })?;
        // A daemon must find it from any directory.
        let dir = std::path::absolute(&dir).map_err(|error| failed(&dir, &error))?;
        Ok(Home { dir })
    }

    /// Makes the directory, for its owner only.
    pub fn make(&self) -> Result<(), Complaint> {
        let made = own_files::make_private_dir(&self.dir);
        made.and_then(|()| own_files::mark_own_dir(&self.dir, OwnDir::ClientHome))
            .map_err(|error| failed(&self.dir, &error))
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `H/state.db`: what the client knows of both sides. Losing it loses nothing.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state.db")
    }

    /// The daemon's log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    /// What happened, one JSON object a line.
    pub fn activity(&self) -> PathBuf {
        self.dir.join("activity.log")
    }

    /// The daemon's control socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("skep.sock")
    }

    /// Held by the one daemon of this home.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("daemon.lock")
    }

    /// What this client knows; `None` before it has joined.
    pub fn config(&self) -> Result<Option<Config>, Complaint> {
        self.read_toml(&self.dir.join("config.toml"))
    }

    /// What this client knows; a complaint before it has joined.
    pub fn joined(&self) -> Result<Config, Complaint> {
        self.config()?.ok_or_else(|| {
            Complaint::new(Exit::NotAllowed, "E-NOT-JOINED", "This computer is not connected to a server yet.").hint(
                "Connect it:   skep join CODE   (from `skep devices add` on another computer, or `skep-server invite`)",
            )
        })
    }

    /// Keeps what a join has given. The token comes first: a configuration without its token would be of no use.
    pub fn save(&self, config: &Config, token: &str) -> Result<(), Complaint> {
        let text = to_toml(config)?;
        for (path, text) in [(self.dir.join("token"), token), (self.dir.join("config.toml"), &text)] {
            own_files::replace(&path, text.as_bytes()).map_err(|error| failed(&path, &error))?;
        }
        Ok(())
    }

    /// Forgets what a join has given, and what was known of the folder: it may be joined anew, here or elsewhere.
    pub fn forget(&self) -> Result<(), Complaint> {
        // The configuration goes last: as long as it is there, this can be done again.
        for name in [LAST_WORDS, "token", "state.db-wal", "state.db-shm", "state.db", "config.toml"] {
            let path = self.dir.join(name);
            own_files::remove(&path).map_err(|error| failed(&path, &error))?;
        }
        Ok(())
    }

    /// Keeps how long syncing pauses.
    pub fn save_pause(&self, pause: Option<Pause>) -> Result<(), Complaint> {
        self.save_config(&Config { pause: pause.map(PauseConfig::from), ..self.joined()? })
    }

    /// Keeps which directories are not on this computer.
    pub fn save_selection(&self, selection: SelectionConfig) -> Result<(), Complaint> {
        self.save_config(&Config { selection: Some(selection), ..self.joined()? })
    }

    /// Keeps how fast bytes may go.
    pub fn save_sync(&self, sync: SyncConfig) -> Result<(), Complaint> {
        self.save_config(&Config { sync: Some(sync), ..self.joined()? })
    }

    fn save_config(&self, config: &Config) -> Result<(), Complaint> {
        let path = self.dir.join("config.toml");
        own_files::replace(&path, to_toml(config)?.as_bytes()).map_err(|error| failed(&path, &error))
    }

    /// The account that is being made, if one is.
    pub fn pending_account(&self) -> Result<Option<PendingAccount>, Complaint> {
        self.read_toml(&self.dir.join(PENDING_ACCOUNT))
    }

    /// Keeps what a new account is about to be made with.
    pub fn begin_account(&self, pending: &PendingAccount) -> Result<(), Complaint> {
        let text = to_toml(pending)?;
        let path = self.dir.join(PENDING_ACCOUNT);
        own_files::replace(&path, text.as_bytes()).map_err(|error| failed(&path, &error))
    }

    /// Forgets it.
    pub fn end_account(&self) -> Result<(), Complaint> {
        let path = self.dir.join(PENDING_ACCOUNT);
        own_files::remove(&path).map_err(|error| failed(&path, &error))
    }

    /// Why the background service ended by itself, if it did. A file that cannot be read tells nothing.
    pub fn last_words(&self) -> Option<LastWords> {
        self.read_toml(&self.dir.join(LAST_WORDS)).ok().flatten()
    }

    /// Keeps why the background service ends.
    pub fn keep_last_words(&self, complaint: &Complaint) -> Result<(), Complaint> {
        let words = LastWords {
            code: complaint.code.to_owned(),
            message: complaint.what.clone(),
            hint: complaint.hint.clone(),
            at: utc_text(clock::timestamp(&clock::now())),
        };
        let path = self.dir.join(LAST_WORDS);
        own_files::replace(&path, to_toml(&words)?.as_bytes()).map_err(|error| failed(&path, &error))
    }

    /// It has started well.
    pub fn forget_last_words(&self) -> Result<(), Complaint> {
        let path = self.dir.join(LAST_WORDS);
        own_files::remove(&path).map_err(|error| failed(&path, &error))
    }

    fn read_toml<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, Complaint> {
        let Some(bytes) = own_files::read(path).map_err(|error| failed(path, &error))? else { return Ok(None) };
        toml::from_str(&String::from_utf8_lossy(&bytes)).map(Some).map_err(|error| {
            let what = format!("Cannot understand `{}`: {}.", path.display(), error.message());
            Complaint::new(Exit::Failed, "E-CONFIG", what)
        })
    }

    /// The secret that proves to be this device.
    pub fn token(&self) -> Result<String, Complaint> {
        let path = self.dir.join("token");
        let bytes = own_files::read(&path).map_err(|error| failed(&path, &error))?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(|text| text.trim_end().to_owned()).ok_or_else(|| {
            Complaint::new(Exit::NotAllowed, "E-SIGN-IN", format!("There is no token in `{}`.", path.display()))
                .hint("Join again:   skep logout   and then   skep join CODE")
        })
    }
}

fn to_toml(value: &impl Serialize) -> Result<String, Complaint> {
    toml::to_string(value).map_err(|error| Complaint::new(Exit::Failed, "E-CONFIG", error.to_string()))
}

fn failed(path: &Path, error: &io::Error) -> Complaint {
    Complaint::new(Exit::Failed, "E-HOME", format!("Cannot use `{}`: {error}.", path.display()))
}

fn usual_home() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        return absolute("LOCALAPPDATA").map(|dir| dir.join(product::NAME));
    }
    let config_home = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(config_home.join(product::NAME))
}

/// Values that stand in the file as people read them elsewhere.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safety::HoldDeletes;

    #[test]
    fn rates_are_written_as_people_write_them() {
        let rows =
            [("2MB", Some(2_000_000)), ("500kb/s", Some(500_000)), ("1500", Some(1_500)), ("off", None), ("0", None)];
        for (text, bytes) in rows {
            assert_eq!(text.parse(), Ok(Rate(bytes)), "{text}");
        }
        for text in ["", "fast", "2 parsecs", "10", "-1MB", "99999999999999GB"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for bytes in [Some(2_000_000), Some(1_500), None] {
            assert_eq!(Rate(bytes).to_string().parse(), Ok(Rate(bytes)));
        }
    }

    #[test]
    fn what_a_join_gave_reads_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::find(Some(dir.path().join("h"))).unwrap();
        home.make().unwrap();
        assert_eq!(home.config().unwrap(), None);
        assert_eq!(home.joined().unwrap_err().exit, Exit::NotAllowed);
        let config = Config {
            server: ServerConfig { url: "[::1]:9".parse().unwrap(), fingerprint: Fingerprint([3; 32]) },
            device: DeviceConfig {
                name: "thinkpad \"two\"".into(),
                id: DeviceId::from_bytes([1; 8]),
                account: AccountId::from_bytes([2; 16]),
                user: "maya".into(),
                account_id: Some(IdHash([6; 32])),
            },
            folder: FolderConfig {
                local: "/data/Skep".into(),
                drive: DriveId::from_bytes([4; 16]),
                root: skep_client::RootId::from_bytes([5; 16]),
            },
            safety: Some(SafetyConfig { hold_deletes: Some(HoldDeletes { files: 5, percent: 50 }) }),
            pause: None,
            selection: None,
            sync: None,
            update: None,
        };
        home.save(&config, "secret").unwrap();
        let pending = PendingAccount {
            url: config.server.url.clone(),
            fingerprint: config.server.fingerprint,
            account_id: ClassicId::from_bytes([7; 13]),
        };
        assert_eq!(home.pending_account().unwrap(), None);
        home.begin_account(&pending).unwrap();
        assert_eq!(home.pending_account().unwrap(), Some(pending));
        assert_eq!(home.joined().unwrap(), config);
        assert_eq!(home.token().unwrap(), "secret");
        let end = Pause::Until(clock::parse_utc("2026-11-20T18:00:00Z").unwrap());
        for pause in [Some(Pause::UntilResumed), Some(end), None] {
            home.save_pause(pause).unwrap();
            let saved = home.joined().unwrap();
            assert_eq!(saved.pause.as_ref().map(PauseConfig::as_pause), pause);
            assert_eq!(Config { pause: None, ..saved }, config);
        }
        #[cfg(unix)]
        for file in ["token", "config.toml", PENDING_ACCOUNT] {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(home.dir().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        home.end_account().unwrap();
        home.end_account().unwrap();
        home.forget().unwrap();
        home.forget().unwrap();
        assert_eq!((home.config().unwrap(), home.token().is_err()), (None, true));
        assert_eq!(home.pending_account().unwrap(), None);
    }
}
