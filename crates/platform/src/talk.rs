//! How both programs speak to people and scripts: exit codes, complaints of three lines, times as text.

use std::fmt;

use skep_types::{Civil, Timestamp};

/// How a program ends. The numbers are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// An error that no other number tells.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The daemon or the server cannot be reached.
    Unreachable = 3,
    /// There is no such thing.
    NotFound = 4,
    /// It may work later.
    Temporary = 5,
    /// Not signed in, or not allowed.
    NotAllowed = 6,
    /// A person is needed.
    NeedsPerson = 7,
    /// Done in part; what is not is listed.
    Partly = 8,
    /// Refused by a guard; nothing was changed.
    Guard = 9,
    /// The time was up.
    TimedOut = 10,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        std::process::ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked: what happened and why (with the code at the line's end), then what to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// How the program ends.
    pub exit: Exit,
    /// Stable code, `E-…`.
    pub code: &'static str,
    /// What happened, and why.
    pub what: String,
    /// What to do next.
    pub hint: String,
}

impl Complaint {
    /// A complaint without advice.
    pub fn new(exit: Exit, code: &'static str, what: impl Into<String>) -> Complaint {
        Complaint { exit, code, what: what.into(), hint: String::new() }
    }

    /// The same complaint with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Complaint {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}   {}", self.what, self.code)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n{}", self.hint) }
    }
}

impl std::error::Error for Complaint {}

/// The one of `candidates` that was probably meant by `word`, if any is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = word.chars().count() / 3 + 1;
    let distances = candidates.into_iter().map(|candidate| (edits_between(word, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= near).min().map(|(_, candidate)| candidate)
}

/// Letters to add, drop, replace or swap with their neighbour to make `b` of `a`.
fn edits_between(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut fewest = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                fewest = fewest.min(rows[i - 2][j - 2] + 1);
            }
            row.push(fewest);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// A time as `2026-11-20T14:10:04Z`.
pub fn utc_text(time: Timestamp) -> String {
    let Civil { year, month, day, hour, minute, second } = time.civil();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_write_them() {
        let text = |seconds| utc_text(Timestamp { seconds, nanoseconds: 0 });
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59Z");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(text(1_795_183_804), "2026-11-20T14:10:04Z");
        assert_eq!(text(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn a_slip_of_the_finger_is_understood_and_a_different_word_is_not() {
        let verbs = ["status", "sync", "join", "daemon"];
        assert_eq!(nearest("stauts", verbs), Some("status"));
        assert_eq!(nearest("jion", verbs), Some("join"));
        assert_eq!(nearest("frobnicate", verbs), None);
    }

    #[test]
    fn a_complaint_says_what_why_and_what_to_do() {
        let complaint = Complaint::new(Exit::Failed, "E-PORT", "Cannot listen.").hint("Try another port.");
        assert_eq!(complaint.to_string(), "Cannot listen.   E-PORT\nTry another port.");
    }
}
