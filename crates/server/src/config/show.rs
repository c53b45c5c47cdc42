//! `skep-server config show|check|doc`: what holds and why, whether it can work, and what there is.

use std::fmt::Write as _;

use serde_json::{Map, json};
use skep_platform::talk::Complaint;

use super::keys::{KEYS, Key};
use super::{Origin, Resolved, Tls, resolve_command};
use crate::acme;
use crate::admin::{identity, print, say};
use crate::args::{ConfigCommand, ConfigShowArgs};

/// Shows, checks or explains settings.
pub fn config(command: ConfigCommand) -> Result<(), Complaint> {
    match command {
        ConfigCommand::Show(args) => show(&args),
        ConfigCommand::Check(data) => check(&resolve_command(&data)?),
        ConfigCommand::Doc => print(&[reference().trim_end().to_owned()]),
    }
}

fn show(args: &ConfigShowArgs) -> Result<(), Complaint> {
    let resolved = resolve_command(&args.data)?;
    if args.json {
        let rows = KEYS.iter().map(|key| {
            let (text, origin) = resolved.get(key.name).unzip();
            let mut row = Map::new();
            row.insert("value".into(), json!(text));
            row.insert("origin".into(), json!(origin.unwrap_or(&Origin::Default).word()));
            if let Some(place) = origin.and_then(Origin::place) {
                row.insert("place".into(), json!(place));
            }
            (key.name.to_owned(), row.into())
        });
        let settings: Map<String, serde_json::Value> = rows.collect();
        return print(&[json!({ "schema": 1, "settings": settings }).to_string()]);
    }
    let lines = KEYS.iter().map(|key| {
        let (text, origin) = resolved.get(key.name).unwrap_or(("", &Origin::Default));
        let line = format!("{} = {}", key.name, key.in_file(text));
        if args.origin { format!("{line:<50} # {}", origin.told()) } else { line }
    });
    print(&lines.collect::<Vec<_>>())
}

/// What can be known without starting: that values are understood, and that a certificate and its key can be used.
fn check(resolved: &Resolved) -> Result<(), Complaint> {
    let settings = resolved.settings()?;
    match &settings.tls {
        Tls::OwnKey => {}
        Tls::Acme(acme) => {
            acme.check_roots()?;
            let standing = acme::standing_of(acme, &settings.site.data_dir.join("keys"));
            if let Some(told) = standing.told(acme::now()) {
                say(&told);
            }
        }
        Tls::Files { .. } | Tls::Off { .. } => drop(identity(&settings)?),
    }
    say(&match &resolved.file {
        Some(path) => format!("The settings in `{}` are fine.", path.display()),
        None => "There is no file of settings; what else is said is fine.".to_owned(),
    });
    Ok(())
}

impl Origin {
    fn word(&self) -> &'static str {
        match self {
            Origin::Flag(_) => "flag",
            Origin::Environment(_) => "environment",
            Origin::File(_) => "file",
            Origin::Default => "default",
        }
    }

    fn place(&self) -> Option<String> {
        match self {
            Origin::Flag(flag) => Some((*flag).to_owned()),
            Origin::Environment(variable) => Some(variable.clone()),
            Origin::File(path) => Some(path.display().to_string()),
            Origin::Default => None,
        }
    }

    fn told(&self) -> String {
        self.place().map_or_else(|| self.word().to_owned(), |place| format!("{} {place}", self.word()))
    }
}

/// A file that explains every setting, and in which each is commented out.
pub(super) fn reference() -> String {
    let mut text = String::from(
        "# server.toml: everything is optional, and what stands behind `#! ` is what holds anyway.\n\
         # A flag outweighs the environment, the environment this file. In the environment the names are those in brackets.\n",
    );
    let mut section = "";
    for key in &KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != section {
            section = of;
            write!(text, "\n[{section}]\n").expect("writing to a string cannot fail");
        }
        explain(&mut text, key, name);
    }
    text
}

fn explain(text: &mut String, key: &Key, name: &str) {
    let about = format!("{} [{}]", key.about, key.variable());
    let mut line = String::from("#");
    for word in about.split_whitespace() {
        if line.len() + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    writeln!(text, "{line}\n#! {name} = {}", key.in_file(key.default)).expect("writing to a string cannot fail");
}

/// Columns of the reference.
const WIDTH: usize = 100;
