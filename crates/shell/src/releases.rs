//! Whether there is a newer release, and how to get it here. Nobody is asked whom the user has not named, and nothing is ever replaced.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::USER_AGENT;
use hyper::{Request, StatusCode, Uri};
use serde_json::{Value, json};
use skep_platform::own_files;
use skep_platform::talk::{Complaint, Exit};

use crate::https::{Https, HttpsError};

/// A program that wants to know.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// As it is called.
    pub name: &'a str,
    /// As it stands in its package.
    pub version: &'a str,
    /// The command that asks.
    pub command: &'a str,
    /// Where the setting is that names a list for good.
    pub setting: &'a str,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// For people.
    pub text: String,
    /// For programs.
    pub json: Value,
    /// 0 if there is nothing to do, 8 if there is a newer release.
    pub exit: Exit,
}

/// Three numbers and perhaps a word: `1.2.3`, `1.3.0-rc.1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    numbers: [u64; 3],
    /// A release comes after everything with a word.
    is_release: bool,
    word: String,
}

/// The text is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version is written as 1.2.3")]
pub struct ParseVersionError;

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Version, ParseVersionError> {
        let (numbers, word) = text.split_once('-').unwrap_or((text, ""));
        let mut parsed = numbers.split('.').map(|number| number.parse().ok());
        let mut next = || parsed.next().flatten().ok_or(ParseVersionError);
        let numbers = [next()?, next()?, next()?];
        let is_plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if parsed.next().is_some() || !is_plain || word.len() > WORD_BYTES_MAX || text.ends_with('-') {
            return Err(ParseVersionError);
        }
        Ok(Version { numbers, is_release: word.is_empty(), word: word.to_owned() })
    }
}

const WORD_BYTES_MAX: usize = 32;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if self.is_release { Ok(()) } else { write!(f, "-{}", self.word) }
    }
}

/// The newest release of a list: `{"schema":1,"version":"1.2.3","page":"https://…"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Newest {
    version: Version,
    /// Where it is told what is new.
    page: Option<String>,
}

/// How the program came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Installed {
    Package,
    Cargo,
    Container,
    Archive,
}

impl Installed {
    /// By where the program lies. A container of ours has nothing but the program, at its root.
    fn of(name: &str, program: &Path, is_listed_by_dpkg: bool) -> Installed {
        let directory = program.parent().unwrap_or(Path::new(""));
        if is_listed_by_dpkg && directory == Path::new("/usr/bin") {
            Installed::Package
        } else if program == Path::new("/").join(name) {
            Installed::Container
        } else if directory.ends_with(".cargo/bin") {
            Installed::Cargo
        } else {
            Installed::Archive
        }
    }

    fn here(name: &str) -> Installed {
        let program = env::current_exe().unwrap_or_default();
        let list = PathBuf::from(format!("/var/lib/dpkg/info/{name}.list"));
        Installed::of(name, &program, own_files::is_there(&list))
    }

    fn word(self) -> &'static str {
        match self {
            Installed::Package => "package",
            Installed::Cargo => "cargo",
            Installed::Container => "container",
            Installed::Archive => "archive",
        }
    }

    /// What to do to get `version`.
    fn upgrade(self, name: &str, version: &str) -> String {
        match self {
            Installed::Package => format!("apt install ./{name}_{version}_amd64.deb"),
            Installed::Cargo => format!("cargo install --locked --path crates/{name}, in the sources of {version}"),
            Installed::Container => format!("run the image of {version} with the same volume"),
            Installed::Archive => {
                format!(
                    "stop it, put `{name}` of {name}-{version}-x86_64-unknown-linux-musl.tar.gz in its place, start it"
                )
            }
        }
    }
}

/// Asks `from`, a file or an HTTPS address, whether there is a newer release; without it, says how to ask and how to upgrade.
pub async fn check(program: Program<'_>, from: Option<&str>) -> Result<Checked, Complaint> {
    let newest = match from {
        Some(from) => Some(read(from).await?),
        None => None,
    };
    Ok(compare(program, Installed::here(program.name), newest))
}

fn compare(program: Program<'_>, installed: Installed, newest: Option<Newest>) -> Checked {
    let Program { name, version, command, setting } = program;
    let this: Version = version.parse().expect("a package of ours has three numbers");
    let newer = newest.as_ref().map(|newest| newest.version > this);
    let wanted = newest.as_ref().map_or("NEW".to_owned(), |newest| newest.version.to_string());
    let upgrade = installed.upgrade(name, &wanted);
    let page = newest.as_ref().and_then(|newest| newest.page.clone());
    let text = match &newest {
        None => format!(
            "This is {name} {version}. No list of releases is named, so nobody was asked whether there is a newer one.\n\
             Ask one:   {command} --from URL_OR_FILE   (for good: {setting})\nUpgrade:   {upgrade}"
        ),
        Some(newest) if newest.version > this => {
            let news = page.as_ref().map(|page| format!("\nWhat is new:   {page}")).unwrap_or_default();
            format!("{name} {wanted} is out; this is {version}.{news}\nUpgrade:   {upgrade}")
        }
        Some(newest) if newest.version == this => format!("{name} {version} is the newest release."),
        Some(_) => format!("This is {name} {version}, newer than the newest release on the list ({wanted})."),
    };
    let json = json!({ "schema": 1, "program": name, "version": version, "installed_as": installed.word(),
        "newest": newest.map(|newest| newest.version.to_string()), "newer": newer, "page": page, "upgrade": upgrade });
    let exit = if newer == Some(true) { Exit::Partly } else { Exit::Done };
    Checked { text, json, exit }
}

async fn read(from: &str) -> Result<Newest, Complaint> {
    let bytes = if from.contains("://") { fetch(from).await? } else { read_file(from)? };
    understand(&bytes).ok_or_else(|| {
        Complaint::new(Exit::Failed, "E-RELEASES", format!("What is at {from} is no list of releases."))
            .hint("It looks like this:   {\"schema\":1,\"version\":\"1.2.3\",\"page\":\"https://example.org/news\"}")
    })
}

fn understand(bytes: &[u8]) -> Option<Newest> {
    let list: Value = serde_json::from_slice(bytes).ok()?;
    let page = list["page"].as_str().filter(|page| is_page(page)).map(str::to_owned);
    (list["schema"] == 1).then_some(Newest { version: list["version"].as_str()?.parse().ok()?, page })
}

/// It is shown to people, so it must be nothing but an address.
fn is_page(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("https"))
}

fn read_file(path: &str) -> Result<Vec<u8>, Complaint> {
    let failed = |why: String| Complaint::new(Exit::NotFound, "E-RELEASES", format!("Cannot read `{path}`: {why}."));
    let read = own_files::read(Path::new(path)).map_err(|error| failed(error.to_string()))?;
    read.ok_or_else(|| failed("there is no such file".into()))
}

async fn fetch(address: &str) -> Result<Vec<u8>, Complaint> {
    let usage = || {
        Complaint::new(Exit::Usage, "E-USAGE", format!("{address} is no HTTPS address."))
            .hint("A list of releases is read from a file or over HTTPS only.")
    };
    let uri: Uri = address.parse().ok().filter(|uri: &Uri| uri.scheme_str() == Some("https")).ok_or_else(usage)?;
    let request = Request::get(uri).header(USER_AGENT, "skep").body(Empty::<Bytes>::new()).map_err(|_| usage())?;
    let failed = |error: HttpsError| {
        Complaint::new(Exit::Unreachable, "E-RELEASES", format!("Cannot read the list of releases: {error}."))
    };
    let answer = Https::new(None).map_err(failed)?.ask(request).await.map_err(failed)?;
    if answer.status() != StatusCode::OK {
        let what = format!("Cannot read the list of releases: {address} answers {}.", answer.status());
        return Err(Complaint::new(Exit::NotFound, "E-RELEASES", what));
    }
    Ok(answer.into_body().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program<'static> =
        Program { name: "skep", version: "0.3.0", command: "skep update --check", setting: "`url` in a file" };

    fn said(newest: Option<&str>) -> (String, Exit, Value) {
        let newest = newest.map(|version| Newest { version: version.parse().unwrap(), page: None });
        let Checked { text, json, exit } = compare(PROGRAM, Installed::Package, newest);
        (text.lines().next().unwrap().to_owned(), exit, json["newer"].clone())
    }

    #[test]
    fn versions_are_compared_as_numbers_and_a_release_comes_after_its_trials() {
        let order = ["0.2.9", "0.3.0-beta.1", "0.3.0-rc.1", "0.3.0", "0.10.0", "1.0.0"];
        let versions: Vec<Version> = order.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.is_sorted() && versions.windows(2).all(|pair| pair[0] != pair[1]));
        for (version, text) in versions.iter().zip(order) {
            assert_eq!(version.to_string(), text);
        }
        for wrong in ["", "1", "1.2", "1.2.3.4", "1.2.x", "v1.2.3", "1.2.3-", "1.2.3-\u{1b}[2J", "1.2.-3"] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_newer_an_equal_an_older_and_no_release_are_told_apart() {
        assert_eq!(said(Some("0.4.0")), ("skep 0.4.0 is out; this is 0.3.0.".into(), Exit::Partly, true.into()));
        assert_eq!(said(Some("0.3.0")), ("skep 0.3.0 is the newest release.".into(), Exit::Done, false.into()));
        let older = "This is skep 0.3.0, newer than the newest release on the list (0.2.0).";
        assert_eq!(said(Some("0.2.0")), (older.into(), Exit::Done, false.into()));
        let (text, exit, newer) = said(None);
        assert!(text.ends_with("nobody was asked whether there is a newer one."), "{text}");
        assert_eq!((exit, newer), (Exit::Done, Value::Null));
    }

    #[test]
    fn how_to_upgrade_depends_on_how_it_came_here() {
        let of = |program: &str, listed| Installed::of("skep-server", Path::new(program), listed);
        assert_eq!(of("/usr/bin/skep-server", true), Installed::Package);
        assert_eq!(of("/usr/bin/skep-server", false), Installed::Archive);
        assert_eq!(of("/opt/skep-server", true), Installed::Archive);
        assert_eq!(of("/skep-server", false), Installed::Container);
        assert_eq!(of("/srv/maya/.cargo/bin/skep-server", false), Installed::Cargo);
        let newest = Newest { version: "0.4.0".parse().unwrap(), page: Some("https://x.example/new".into()) };
        let text = compare(PROGRAM, Installed::Package, Some(newest)).text;
        assert!(
            text.ends_with("What is new:   https://x.example/new\nUpgrade:   apt install ./skep_0.4.0_amd64.deb"),
            "{text}"
        );
    }

    #[test]
    fn only_a_list_is_taken_and_nothing_in_it_steers_a_terminal() {
        let list = |text: &str| understand(text.as_bytes());
        assert!(list(r#"{"schema":1,"version":"1.2.3"}"#).is_some());
        for wrong in ["", "{}", r#"{"schema":2,"version":"1.2.3"}"#, r#"{"schema":1,"version":3}"#, "<html>"] {
            assert_eq!(list(wrong), None, "{wrong}");
        }
        for page in ["javascript:x", "http://a.example/", "https://a.example/\\u001b[2J", "https://a b/"] {
            let text = format!(r#"{{"schema":1,"version":"1.2.3","page":"{page}"}}"#);
            assert_eq!(list(&text).unwrap().page, None, "{page}");
        }
    }
}
