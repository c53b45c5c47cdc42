//! `skep daemon install` and `uninstall`: the background service as a systemd user unit.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use skep_platform::own_files;
use skep_platform::talk::{Complaint, Exit};
use skep_types::product;

use crate::args::Global;
use crate::daemon::say;
use crate::home::Home;
use crate::terminal;

/// There where systemd runs the system.
const SYSTEMD_RUNS: &str = "/run/systemd/system";

/// Starts the service at every log-in, and now.
pub async fn install(home: &Home, global: &Global, only_print: bool) -> Result<Exit, Complaint> {
    home.joined()?;
    let program = env::current_exe().map_err(|error| failed(&error.to_string()))?;
    let unit = unit_text(&program, home.dir());
    if only_print || !own_files::is_there(Path::new(SYSTEMD_RUNS)) {
        terminal::print(&unit)?;
        if only_print {
            return Ok(Exit::Done);
        }
        return say(
            global,
            "systemd does not run here: nothing was installed. Start the service by what does, as above.",
        );
    }
    let path = unit_path(home)?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    let written = own_files::make_dir(dir).and_then(|()| own_files::replace(&path, unit.as_bytes()));
    written.map_err(|error| failed(&format!("`{}`: {error}", path.display())))?;
    let name = unit_name(home);
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--now", &name])?;
    say(global, &format!("The background service starts at every log-in, and runs now: {name}"))
}

/// Stops the service and starts it no more.
pub async fn uninstall(home: &Home, global: &Global) -> Result<Exit, Complaint> {
    let path = unit_path(home)?;
    if !own_files::is_there(&path) {
        return say(global, "The background service is not installed.");
    }
    if own_files::is_there(Path::new(SYSTEMD_RUNS)) {
        systemctl(&["disable", "--now", &unit_name(home)])?;
    }
    own_files::remove(&path).map_err(|error| failed(&format!("`{}`: {error}", path.display())))?;
    say(global, "The background service is off, and starts no more by itself.")
}

fn unit_text(program: &Path, home: &Path) -> String {
    let (program, home) = (quoted(program.as_os_str()), quoted(home.as_os_str()));
    format!(
        "[Unit]\nDescription=Skep: keeps a folder equal with its server\n\n\
         [Service]\nExecStart={program} --home {home} daemon run\nRestart=on-failure\nRestartSec=5\n\n\
         [Install]\nWantedBy=default.target\n"
    )
}

/// As systemd reads one word.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

/// Each home has a service of its own.
fn unit_name(home: &Home) -> String {
    let is_usual = Home::find(None).is_ok_and(|usual| usual == *home);
    let own = home.dir().file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let own: String = own.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
    if is_usual { format!("{}.service", product::NAME) } else { format!("{}-{own}.service", product::NAME) }
}

fn unit_path(home: &Home) -> Result<PathBuf, Complaint> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let config = config.ok_or_else(|| failed("neither HOME nor XDG_CONFIG_HOME tells where units are"))?;
    Ok(config.join("systemd/user").join(unit_name(home)))
}

fn systemctl(arguments: &[&str]) -> Result<(), Complaint> {
    let mut process = Process::new("systemctl");
    process.arg("--user").args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let output = process.output().map_err(|error| failed(&format!("systemctl: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(failed(&format!("systemctl {}: {}", arguments.join(" "), words.trim())))
}

fn failed(why: &str) -> Complaint {
    Complaint::new(Exit::Failed, "E-INSTALL", format!("The background service cannot be installed or removed: {why}."))
        .hint("See the unit:   skep daemon install --print")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_one_word_for_systemd() {
        let text = unit_text(Path::new("/opt/a b/skep"), Path::new("/h/100%\"$x"));
        assert!(text.contains("ExecStart=\"/opt/a b/skep\" --home \"/h/100%%\\\"$$x\" daemon run\n"), "{text}");
    }
}
