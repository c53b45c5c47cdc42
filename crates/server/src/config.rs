//! Settings: flags first, then the environment, then the file, then defaults. `keys` is the table of all of them.

pub mod keys;
mod show;
pub mod values;

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use skep_platform::talk::{Complaint, Exit, nearest};
use skep_platform::{machine, own_files};
use skep_service::Retention;
use skep_types::{Limits, product};
use toml::{Table, Value};

use self::keys::{KEYS, Key, Kind, key};
pub use self::show::config;
use self::values::{Durations, Network, Sizes, networks};
use crate::acme::Acme;
use crate::args::{DataArgs, RunArgs};

/// The file of settings in a data directory.
pub const FILE_NAME: &str = "server.toml";

/// Where a server's data lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Everything but perhaps the master key.
    pub data_dir: PathBuf,
    /// The master key of the packs.
    pub master_key: PathBuf,
    /// So much of its disk is left free.
    pub reserve_bytes: u64,
}

impl Site {
    /// A data directory with its master key inside.
    pub fn at(data_dir: &Path) -> Site {
        let master_key = data_dir.join("keys").join("master.key");
        Site { data_dir: data_dir.to_owned(), master_key, reserve_bytes: Limits::SHIPPED.reserve_bytes }
    }
}

/// By which key devices know the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// By one that the server makes itself.
    OwnKey,
    /// By that of a certificate.
    Files {
        /// With its chain.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// By one that the server makes itself, for which an authority gives certificates.
    Acme(Acme),
    /// Somebody before the server does TLS, perhaps with this certificate.
    Off {
        /// So that the fingerprint can be told.
        certificate: Option<PathBuf>,
    },
}

/// How the server tells its story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How the server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where everything is kept.
    pub site: Site,
    /// What people call the server.
    pub name: String,
    /// Computers in the same network may find it.
    pub discovery: bool,
    /// Where to listen.
    pub listen: String,
    /// Who may say for whom they speak.
    pub trusted_proxies: Vec<Network>,
    /// By which key devices know the server.
    pub tls: Tls,
    /// Anyone who reaches the server may make an account.
    pub open: bool,
    /// How long the past is kept.
    pub retention: Retention,
    /// Connections at a time.
    pub connections_max: usize,
    /// The same from one address.
    pub connections_of_one_place_max: usize,
    /// How much is told.
    pub log_level: String,
    /// And how.
    pub log_format: LogFormat,
    /// Where figures are told to anyone.
    pub metrics_listen: Option<String>,
    /// Who may ask for figures where devices connect.
    pub metrics_allow: Vec<Network>,
    /// Where it is told which release is the newest.
    pub update_url: Option<String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag(&'static str),
    /// A variable of the environment.
    Environment(String),
    /// The file of settings.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

/// What holds for each key, and why.
#[derive(Debug)]
pub struct Resolved {
    values: BTreeMap<&'static str, (String, Origin)>,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
}

/// The settings of a run.
pub fn of_run(args: &RunArgs) -> Result<Settings, Complaint> {
    let mut flags = data_flags(&args.data);
    flags.extend(args.listen.clone().map(|listen| ("http.listen", "--listen", listen)));
    flags.extend(args.open.then(|| ("accounts.classic_ids", "--open", "true".to_owned())));
    resolve(flags, args.data.config.as_deref(), &environment())?.settings()
}

/// The settings of a command.
pub fn of(args: &DataArgs) -> Result<Settings, Complaint> {
    resolve_command(args)?.settings()
}

/// What holds for a command.
pub fn resolve_command(args: &DataArgs) -> Result<Resolved, Complaint> {
    resolve(data_flags(args), args.config.as_deref(), &environment())
}

type Flags = Vec<(&'static str, &'static str, String)>;

fn data_flags(args: &DataArgs) -> Flags {
    let text = |path: &PathBuf| ("data_dir", "--data-dir", path.to_string_lossy().into_owned());
    args.data_dir.iter().map(text).collect()
}

fn environment() -> BTreeMap<String, String> {
    let ours = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let prefix = keys::prefix();
    ours.filter(|(name, _)| name.starts_with(&prefix)).collect()
}

fn resolve(flags: Flags, config: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Resolved, Complaint> {
    let mut values = BTreeMap::new();
    for (name, flag, text) in flags {
        values.insert(name, (text, Origin::Flag(flag)));
    }
    for (known, variable) in KEYS.iter().map(|key| (key, key.variable())) {
        let Some(text) = environment.get(&variable) else { continue };
        known.check(text).map_err(|why| usage(format!("The variable {variable} {why}.")))?;
        values.entry(known.name).or_insert_with(|| (text.clone(), Origin::Environment(variable)));
    }
    refuse_unknown_variables(environment)?;
    let named = config.map(Path::to_owned).or_else(|| environment.get(CONFIG_VARIABLE).map(PathBuf::from));
    let data_dir = values.get("data_dir").map(|(text, _)| PathBuf::from(text)).or_else(usual_data_dir);
    let found = match named {
        Some(path) => Some((read_file(&path)?.ok_or_else(|| not_there(&path))?, path)),
        None => find_file(data_dir.as_deref())?,
    };
    let file = found.as_ref().map(|(_, path)| path.clone());
    if let Some((text, path)) = found {
        let said = parse(&text).and_then(|said| refuse_moving(said, &path, data_dir.as_deref()));
        let said = said.map_err(|what| usage(format!("In `{}`: {what}.", path.display())))?;
        for (known, text) in said {
            values.entry(known.name).or_insert_with(|| (text, Origin::File(path.clone())));
        }
    }
    let usual = usual_data_dir().map(|dir| ("data_dir", dir.to_string_lossy().into_owned()));
    let defaults = KEYS.iter().filter(|key| !key.default.is_empty()).map(|key| (key.name, key.default.to_owned()));
    for (name, text) in usual.into_iter().chain(defaults) {
        values.entry(name).or_insert((text, Origin::Default));
    }
    Ok(Resolved { values, file })
}

const CONFIG_VARIABLE: &str = "SKEP_CONFIG";
/// Settings of the machine's own server, which lies in [`SYSTEM_DATA_DIR`].
const SYSTEM_FILE: &str = "/etc/skep/server.toml";
const SYSTEM_DATA_DIR: &str = "/var/lib/skep-server";

/// The file that counts if none is named: that of the data directory, then that of the machine for the machine's own server.
fn find_file(data_dir: Option<&Path>) -> Result<Option<(String, PathBuf)>, Complaint> {
    let Some(data_dir) = data_dir else { return Ok(None) };
    let system = (data_dir == Path::new(SYSTEM_DATA_DIR)).then(|| PathBuf::from(SYSTEM_FILE));
    for path in [Some(data_dir.join(FILE_NAME)), system].into_iter().flatten() {
        if let Some(text) = read_file(&path)? {
            return Ok(Some((text, path)));
        }
    }
    Ok(None)
}

/// A file that was found by the data directory cannot name another one.
fn refuse_moving(said: Said, path: &Path, data_dir: Option<&Path>) -> Result<Said, String> {
    let is_found_there = data_dir.is_some_and(|dir| path == dir.join(FILE_NAME));
    match said.iter().find(|(key, _)| key.name == "data_dir") {
        Some((_, text)) if is_found_there && data_dir != Some(Path::new(text)) => {
            Err("`data_dir` cannot name another directory than that in which the file lies".into())
        }
        _ => Ok(said),
    }
}

/// Names with `__` are keys; others may be the client's, or somebody else's.
fn refuse_unknown_variables(environment: &BTreeMap<String, String>) -> Result<(), Complaint> {
    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
    match environment.keys().find(|name| name.contains("__") && !known.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let meant = nearest(name, known.iter().map(String::as_str)).map(|known| format!(" Did you mean {known}?"));
            Err(usage(format!("There is no setting for the variable {name}.{}", meant.unwrap_or_default())))
        }
    }
}

impl Resolved {
    /// The value of a key and where it comes from; `None` if there is none.
    pub fn get(&self, name: &str) -> Option<(&str, &Origin)> {
        self.values.get(name).map(|(text, origin)| (text.as_str(), origin)).filter(|(text, _)| !text.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(|(text, _)| PathBuf::from(text))
    }

    fn text(&self, name: &str) -> String {
        self.get(name).map(|(text, _)| text.to_owned()).unwrap_or_default()
    }

    /// All of them, understood.
    pub fn settings(&self) -> Result<Settings, Complaint> {
        let data_dir = self.path("data_dir").ok_or_else(|| {
            usage("There is no usual place for the server's data here.".into()).hint("Name one: --data-dir DIR")
        })?;
        let mut site = Site::at(&data_dir);
        site.master_key = self.path("key_file").unwrap_or(site.master_key);
        let checked = "every value was checked when it was taken";
        site.reserve_bytes = Sizes::parse(&self.text("storage.reserve")).expect(checked);
        let length_ms = |name| Durations::parse(&self.text(name)).expect(checked);
        let networks = |name| networks(&self.text(name)).expect(checked);
        Ok(Settings {
            site,
            name: self.get("name").map_or_else(machine::host_name, |(text, _)| text.to_owned()),
            discovery: self.text("discovery") == "true",
            listen: self.text("http.listen"),
            trusted_proxies: networks("http.trusted_proxies"),
            tls: self.tls()?,
            open: self.text("accounts.classic_ids") == "true",
            retention: Retention {
                versions_ms: length_ms("keep.versions"),
                trash_ms: length_ms("keep.trash"),
                connections_ms: length_ms("log.connections_keep"),
                ..Retention::SHIPPED
            },
            connections_max: self.text("limits.connections").parse().expect(checked),
            connections_of_one_place_max: self.text("limits.connections_per_address").parse().expect(checked),
            log_level: self.text("log.level"),
            log_format: if self.text("log.format") == "json" { LogFormat::Json } else { LogFormat::Text },
            metrics_listen: self.get("metrics.listen").map(|(text, _)| text.to_owned()),
            metrics_allow: networks("metrics.allow"),
            update_url: self.get("update.url").map(|(text, _)| text.to_owned()),
        })
    }

    fn tls(&self) -> Result<Tls, Complaint> {
        match (self.text("tls.mode").as_str(), self.path("tls.certificate"), self.path("tls.key")) {
            ("off", certificate, _) => Ok(Tls::Off { certificate }),
            ("acme", None, None) => self.acme().map(Tls::Acme),
            ("acme", ..) => Err(usage(
                "`tls.certificate` and `tls.key` are for a certificate from elsewhere: with `tls.mode = \"acme\"` the server orders its own.".into(),
            )),
            (_, Some(certificate), Some(key)) => Ok(Tls::Files { certificate, key }),
            (_, None, None) => Ok(Tls::OwnKey),
            _ => Err(usage("`tls.certificate` and `tls.key` belong together: one of them is missing.".into())),
        }
    }
}

impl Resolved {
    fn acme(&self) -> Result<Acme, Complaint> {
        let domain = self.text("tls.acme_domain").to_ascii_lowercase();
        if !values::is_domain(&domain) {
            return Err(usage(format!("`tls.acme_domain` must be the name under which the authority finds this server, not `{domain}`."))
                .hint("Such as tls.acme_domain = \"files.example.org\". Nobody gives certificates for `localhost`, and this server orders none for addresses."));
        }
        let directory = self.text("tls.acme_directory");
        if !directory.starts_with("https://") {
            return Err(usage(format!("`tls.acme_directory` must begin with https://, not `{directory}`.")));
        }
        let email = self.get("tls.acme_email").map(|(text, _)| text.to_owned());
        Ok(Acme { domain, email, directory, roots: self.path("tls.acme_roots") })
    }
}

fn usage(what: String) -> Complaint {
    Complaint::new(Exit::Usage, "E-CONFIG", what)
}

fn not_there(path: &Path) -> Complaint {
    Complaint::new(Exit::NotFound, "E-CONFIG", format!("There is no file `{}`.", path.display()))
}

#[cfg(unix)]
fn usual_data_dir() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(SYSTEM_DATA_DIR.into());
    }
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data_home = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data_home.join(product::SERVER))
}

#[cfg(not(unix))]
fn usual_data_dir() -> Option<PathBuf> {
    env::var_os("LOCALAPPDATA").map(|data_home| PathBuf::from(data_home).join(product::SERVER))
}

fn read_file(path: &Path) -> Result<Option<String>, Complaint> {
    let shown = path.display();
    let bytes = own_files::read(path)
        .map_err(|error| Complaint::new(Exit::Failed, "E-CONFIG", format!("Cannot read `{shown}`: {error}.")))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

type Said = Vec<(&'static Key, String)>;

fn parse(text: &str) -> Result<Said, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    let mut said = Vec::new();
    for (name, value) in leaves("", table) {
        let Some(known) = key(&name) else {
            let meant =
                nearest(&name, KEYS.iter().map(|key| key.name)).map(|known| format!("; did you mean `{known}`?"));
            return Err(format!("there is no setting `{name}`{}", meant.unwrap_or_default()));
        };
        let wrong = |value: &Value| format!("`{name}` is {}, not {value}", known.wanted());
        let text = text_of(known.kind, &value).ok_or_else(|| wrong(&value))?;
        known.check(&text).map_err(|why| format!("`{name}` {why}"))?;
        if known.kind == Kind::Path && !text.is_empty() && !Path::new(&text).is_absolute() {
            return Err(format!("`{name}` must begin at the root, as /{text} does"));
        }
        said.push((known, text));
    }
    Ok(said)
}

/// Every value by its whole key.
fn leaves(prefix: &str, table: Table) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => all.extend(leaves(&format!("{prefix}{key}."), inner)),
            leaf => all.push((format!("{prefix}{key}"), leaf)),
        }
    }
    all
}

/// A value of the file as text, if it is of the right shape.
fn text_of(kind: Kind, value: &Value) -> Option<String> {
    match (kind, value) {
        (Kind::Switch, Value::Boolean(switch)) => Some(switch.to_string()),
        (Kind::Count(..), Value::Integer(count)) => Some(count.to_string()),
        (Kind::Networks, Value::Array(networks)) => {
            let words: Option<Vec<&str>> = networks.iter().map(Value::as_str).collect();
            Some(words?.join(", "))
        }
        (Kind::Text | Kind::Path | Kind::Duration(_) | Kind::Size | Kind::Choice(_), Value::String(text)) => {
            Some(text.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
