//! The list of commands in `skep --help`, by what a person wants to do.

use std::fmt::Write;

use clap::CommandFactory;
use skep_types::product;

use super::ClientArgs;

/// What people want to do, and the commands for it. Each command is in one group.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Set up", &["join", "connect", "devices", "daemon"]),
    ("See", &["status", "ls", "log", "conflicts", "holds", "doctor"]),
    ("Bring back", &["history", "get", "restore", "trash", "rewind"]),
    ("Choose what is synced, and when", &["sync", "ignore", "limit", "pause", "resume"]),
    ("Account", &["whoami", "profile", "passwd", "account-id", "logout"]),
];
/// Those for other programs.
const OTHER: [&str; 4] = ["version", "update", "completions", "man"];

/// The command line, with commands in groups.
pub(super) fn command() -> clap::Command {
    let command = ClientArgs::command();
    let width = command.get_subcommands().map(|command| command.get_name().len()).max().unwrap_or_default();
    let mut list = String::new();
    for (title, names) in GROUPS.into_iter().chain([("Other", OTHER.as_slice())]) {
        writeln!(list, "{title}:").expect(IN_MEMORY);
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            writeln!(list, "  {name:width$}  {about}").expect(IN_MEMORY);
        }
        list.push('\n');
    }
    let about = "{about}\n\n{usage-heading} {usage}\n\n";
    let more = format!("More on each: {} COMMAND --help", product::NAME);
    command.help_template(format!("{about}{list}Options:\n{{options}}\n\n{more}"))
}

const IN_MEMORY: &str = "writing to a string cannot fail";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).chain(&OTHER).copied().collect();
        grouped.sort_unstable();
        let all = ClientArgs::command();
        let mut all: Vec<&str> = all.get_subcommands().map(clap::Command::get_name).collect();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }
}
