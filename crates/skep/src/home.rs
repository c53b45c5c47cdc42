//! The client's home: `config.toml`, `token`, socket, lock, log. Many clients live on one machine, each in a home of its own.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skep_client::{Pause, RootId};
use skep_platform::own_files;
use skep_platform::talk::{Complaint, Exit, utc_text};
use skep_protocol::{ClassicId, Fingerprint, ParseFingerprintError};
use skep_types::{AccountId, DeviceId, DriveId, product};

use crate::clock;
use crate::link::ServerAddress;
use crate::safety::SafetyConfig;

/// Where an account that is being made is kept.
const PENDING_ACCOUNT: &str = "new-account.toml";

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
        own_files::make_private_dir(&self.dir).map_err(|error| failed(&self.dir, &error))
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
        for name in ["token", "state.db-wal", "state.db-shm", "state.db", "config.toml"] {
            let path = self.dir.join(name);
            own_files::remove(&path).map_err(|error| failed(&path, &error))?;
        }
        Ok(())
    }

    /// Keeps how long syncing pauses.
    pub fn save_pause(&self, pause: Option<Pause>) -> Result<(), Complaint> {
        let config = Config { pause: pause.map(PauseConfig::from), ..self.joined()? };
        let path = self.dir.join("config.toml");
        own_files::replace(&path, to_toml(&config)?.as_bytes()).map_err(|error| failed(&path, &error))
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
