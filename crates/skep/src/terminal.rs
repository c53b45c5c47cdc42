//! Talk with a person at a terminal. Data goes to standard output, talk to standard error.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::PASSWORD_CHARS_MIN;

use crate::status::SCHEMA;

/// Longest line that is taken from a person or a pipe.
const LINE_BYTES_MAX: u64 = 4 << 10;
/// Nobody is asked for ever.
const ASK_TIMES_MAX: usize = 5;

/// Whether a person can be asked.
pub fn has_person() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether a line that is written over again and again is seen as one.
pub fn shows_progress() -> bool {
    io::stderr().is_terminal()
}

/// A line that tells how far something is, and goes when that is done.
#[derive(Debug, Default)]
pub struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Writes the line over the one before.
    pub fn show(&mut self, text: &str) {
        self.is_shown = true;
        let _ = write!(io::stderr(), "\r{text}{CLEAR_TO_END}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r{CLEAR_TO_END}");
        }
    }
}

/// Clears the line from here on.
const CLEAR_TO_END: &str = "\x1b[K";

/// Says something.
pub fn say(text: &str) {
    // Nobody may be listening; the work is done all the same.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether a command has written its answer: then standard output holds one already.
static HAS_ANSWERED: AtomicBool = AtomicBool::new(false);

/// Writes a complaint as the answer of a command that was asked for JSON and has given none.
pub fn print_complaint(complaint: &Complaint) {
    if HAS_ANSWERED.load(Ordering::Relaxed) {
        return;
    }
    let Complaint { code, what, hint, .. } = complaint;
    let answer = json!({ "schema": SCHEMA, "error": { "code": code, "message": what, "hint": hint } });
    // The complaint was said already.
    let _ = print(&format!("{answer}\n"));
}

/// Writes the answer of a command.
pub fn print(text: &str) -> Result<(), Complaint> {
    HAS_ANSWERED.store(true, Ordering::Relaxed);
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read along has read enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Complaint::new(Exit::Failed, "E-OUTPUT", format!("Cannot write the answer: {error}."))),
        Ok(()) => Ok(()),
    }
}

/// Asks a question that is answered by yes or no; no by default.
pub fn confirm(question: &str) -> Result<bool, Complaint> {
    // A prompt that cannot be shown is answered by no.
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let answer = read_line()?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a line.
pub fn ask(question: &str) -> Result<String, Complaint> {
    // A prompt that cannot be shown still waits for its answer.
    let _ = write!(io::stderr(), "{question}");
    Ok(read_line()?.trim().to_owned())
}

/// Asks twice for a password that is about to be set, until it is long enough and both are the same.
pub fn ask_new_password(user: &str) -> Result<String, Complaint> {
    for _ in 0..ASK_TIMES_MAX {
        let password = ask_password(&format!("Password for {user}: "))?;
        if password.chars().count() < PASSWORD_CHARS_MIN {
            say(&format!("That is too short: at least {PASSWORD_CHARS_MIN} characters."));
            continue;
        }
        if ask_password("The same again: ")? == password {
            return Ok(password);
        }
        say("They are not the same.");
    }
    Err(Complaint::new(Exit::Usage, "E-USAGE", "No password was set. Nothing was changed."))
}

/// The first line of standard input, without its end.
pub fn read_line() -> Result<String, Complaint> {
    let mut line = String::new();
    io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line).map_err(|error| {
        Complaint::new(Exit::Usage, "E-USAGE", format!("Cannot read from standard input: {error}."))
    })?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The password on standard input.
pub fn read_password() -> Result<String, Complaint> {
    let password = read_line()?;
    if password.is_empty() {
        return Err(Complaint::new(Exit::Usage, "E-USAGE", "The password on standard input is empty.")
            .hint("Nothing was done. Write it there, as its first line"));
    }
    Ok(password)
}

/// Asks for a password without showing it.
#[cfg(unix)]
pub fn ask_password(prompt: &str) -> Result<String, Complaint> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

    let stdin = io::stdin();
    let failed = |error| Complaint::new(Exit::Failed, "E-TERMINAL", format!("Cannot hide what is typed: {error}."));
    let shown = tcgetattr(&stdin).map_err(failed)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &hidden).map_err(failed)?;
    // A prompt that cannot be shown still waits for its answer.
    let _ = write!(io::stderr(), "{prompt}");
    let password = read_line();
    tcsetattr(&stdin, OptionalActions::Now, &shown).map_err(failed)?;
    say("");
    password
}

/// Asks for a password without showing it.
#[cfg(not(unix))]
pub fn ask_password(_prompt: &str) -> Result<String, Complaint> {
    Err(Complaint::new(Exit::Usage, "E-USAGE", "A password cannot be typed here without showing it.")
        .hint("Pass it by standard input: --password-stdin"))
}
