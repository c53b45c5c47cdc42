//! `skep-server completions` and `skep-server man`: made from the same table as `--help`, so that they cannot fall behind.

use skep_platform::talk::{Complaint, Exit};
use skep_types::product;

use crate::admin::print;
use crate::args::command_line;

/// Prints completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> Result<(), Complaint> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command_line(), product::SERVER, &mut text);
    print(&[String::from_utf8_lossy(&text).trim_end().to_owned()])
}

/// Prints the manual page: the program, then the help of every command.
pub fn manual() -> Result<(), Complaint> {
    let failed = |error| Complaint::new(Exit::Failed, "E-OUTPUT", format!("Cannot make the manual: {error}."));
    let mut page = Vec::new();
    let mut command = command_line();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(failed)?;
    let mut text = String::from_utf8_lossy(&page).trim_end().to_owned();
    text.push_str("\n.SH EACH COMMAND\n");
    explain_verbs(&mut text, &mut command);
    print(&[text.trim_end().to_owned()])
}

/// Commands are two words deep at most, so this comes to an end soon.
fn explain_verbs(text: &mut String, command: &mut clap::Command) {
    for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        if verb.has_subcommands() {
            explain_verbs(text, verb);
            continue;
        }
        let name = verb.get_bin_name().unwrap_or(verb.get_name()).to_owned();
        text.push_str(&format!(".SS {}\n.nf\n", in_roff(&name)));
        for line in verb.render_long_help().to_string().lines() {
            text.push_str(&in_roff(line));
            text.push('\n');
        }
        text.push_str(".fi\n");
    }
}

/// A line that roff shows as it is.
fn in_roff(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_manual_and_no_line_is_taken_for_a_request() {
        let mut command = command_line();
        command.build();
        let mut text = String::new();
        explain_verbs(&mut text, &mut command);
        for verb in ["skep\\-server run", "skep\\-server user add", "skep\\-server config show", "skep\\-server man"] {
            assert!(text.contains(&format!(".SS {verb}\n")), "{verb}");
        }
        assert_eq!(in_roff(".x 'y' \\z -a"), "\\&.x 'y' \\ez \\-a");
    }
}
