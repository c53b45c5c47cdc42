//! Manual pages, made from the same table as `--help`, so that they cannot fall behind.

use std::io;

/// The manual page of a program: the program, then the help of every command.
pub fn page(mut command: clap::Command) -> io::Result<String> {
    let mut page = Vec::new();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    let mut text = String::from_utf8_lossy(&page).trim_end().to_owned();
    text.push_str("\n.SH EACH COMMAND\n");
    explain_verbs(&mut text, &mut command);
    Ok(text.trim_end().to_owned())
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
    use clap::Command;

    use super::*;

    #[test]
    fn every_command_is_in_the_manual_and_no_line_is_taken_for_a_request() {
        let deep = Command::new("user").subcommand(Command::new("add").about("Makes one."));
        let text = page(Command::new("a-b").subcommand(Command::new("run")).subcommand(deep)).unwrap();
        for verb in ["a\\-b run", "a\\-b user add"] {
            assert!(text.contains(&format!("\n.SS {verb}\n")), "{verb} is not in\n{text}");
        }
        assert!(text.contains("\nMakes one.\n"));
        assert_eq!(in_roff(".x 'y' \\z -a"), "\\&.x 'y' \\ez \\-a");
    }
}
