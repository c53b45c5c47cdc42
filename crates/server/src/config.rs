//! Settings: flags first, then the environment, then the file, then defaults.

use std::env;
use std::path::{Path, PathBuf};

use skep_platform::own_files;
use skep_platform::talk::{Complaint, Exit, nearest};
use skep_types::product;
use toml::{Table, Value};

use crate::args::RunArgs;

/// What may stand in `server.toml`.
const KEYS: [&str; 2] = ["data_dir", "http.listen"];

/// How the server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where to listen.
    pub listen: String,
    /// Anyone who reaches the server may make an account.
    pub open: bool,
}

/// The settings of a run.
pub fn settings(args: RunArgs) -> Result<Settings, Complaint> {
    let file = match &args.config {
        Some(path) => read_file(path)?,
        None => FileSettings::default(),
    };
    Ok(Settings {
        data_dir: data_dir(args.data_dir.or(file.data_dir))?,
        listen: args.listen.or(file.listen).unwrap_or_else(|| format!("[::]:{}", product::PORT)),
        open: args.open,
    })
}

/// The data directory: the one that was named, else the usual place.
pub fn data_dir(named: Option<PathBuf>) -> Result<PathBuf, Complaint> {
    named.or_else(usual_data_dir).ok_or_else(|| {
        Complaint::new(Exit::Usage, "E-USAGE", "There is no usual place for the server's data here.")
            .hint("Name one: --data-dir DIR")
    })
}

#[cfg(unix)]
fn usual_data_dir() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(Path::new("/var/lib").join(product::SERVER));
    }
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data_home = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data_home.join(product::SERVER))
}

#[cfg(not(unix))]
fn usual_data_dir() -> Option<PathBuf> {
    env::var_os("LOCALAPPDATA").map(|data_home| PathBuf::from(data_home).join(product::SERVER))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct FileSettings {
    data_dir: Option<PathBuf>,
    listen: Option<String>,
}

fn read_file(path: &Path) -> Result<FileSettings, Complaint> {
    let shown = path.display();
    let bytes = match own_files::read(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(Complaint::new(Exit::NotFound, "E-CONFIG", format!("There is no file `{shown}`."))),
        Err(error) => {
            return Err(Complaint::new(Exit::Failed, "E-CONFIG", format!("Cannot read `{shown}`: {error}.")));
        }
    };
    parse(&String::from_utf8_lossy(&bytes))
        .map_err(|what| Complaint::new(Exit::Usage, "E-CONFIG", format!("In `{shown}`: {what}.")))
}

fn parse(text: &str) -> Result<FileSettings, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    let mut settings = FileSettings::default();
    for (key, value) in leaves("", table) {
        match key.as_str() {
            "data_dir" => settings.data_dir = Some(PathBuf::from(text_of(&key, value)?)),
            "http.listen" => settings.listen = Some(text_of(&key, value)?),
            _ => {
                let meant = nearest(&key, KEYS).map(|known| format!("; did you mean `{known}`?"));
                return Err(format!("there is no setting `{key}`{}", meant.unwrap_or_default()));
            }
        }
    }
    Ok(settings)
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

fn text_of(key: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("`{key}` is a text in quotes, not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_settings_are_taken_and_unknown_ones_are_explained() {
        let settings = parse("data_dir = '/d'\n[http]\nlisten = '[::]:1'");
        assert_eq!(settings, Ok(FileSettings { data_dir: Some("/d".into()), listen: Some("[::]:1".into()) }));
        assert_eq!(parse(""), Ok(FileSettings::default()));
        let slip = parse("[http]\nlissten = 'x'");
        assert_eq!(slip, Err("there is no setting `http.lissten`; did you mean `http.listen`?".to_owned()));
        assert_eq!(parse("data_dir = 3"), Err("`data_dir` is a text in quotes, not 3".to_owned()));
        assert!(parse("data_dir = ").is_err());
    }
}
