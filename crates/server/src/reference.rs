//! `skep-server completions` and `skep-server man`: made from the same table as `--help`, so that they cannot fall behind.

use skep_platform::talk::{Complaint, Exit};
use skep_shell::manual;
use skep_types::product;

use crate::admin::print;
use crate::args::command_line;

/// Prints completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> Result<(), Complaint> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command_line(), product::SERVER, &mut text);
    print(&[String::from_utf8_lossy(&text).trim_end().to_owned()])
}

/// Prints the manual page.
pub fn manual() -> Result<(), Complaint> {
    let failed = |error| Complaint::new(Exit::Failed, "E-OUTPUT", format!("Cannot make the manual: {error}."));
    print(&[manual::page(command_line()).map_err(failed)?])
}
