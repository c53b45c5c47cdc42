//! A file of rules.

use skep_types::Name;

use super::IGNORE_BYTES_MAX;
use super::pattern::Pattern;

/// Most rules of one file that count.
const PATTERNS_MAX: usize = 4096;
/// Most faults of one file that are told.
const FAULTS_MAX: usize = 16;

/// A line that is no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreFault {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// The rules of one file, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IgnoreRules {
    patterns: Vec<Pattern>,
    faults: Vec<IgnoreFault>,
}

impl IgnoreRules {
    /// Understands the text of a file. A line that is no rule is left out and told; the rest counts.
    pub fn parse(text: &[u8]) -> IgnoreRules {
        let mut rules = IgnoreRules::default();
        let (text, rest) = text.split_at(text.len().min(IGNORE_BYTES_MAX));
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        if !rest.is_empty() {
            // The last one may be cut.
            lines.pop();
            rules.fault(lines.len() + 1, "the file is too long: this line and what follows it do not count");
        }
        for (at, line) in lines.into_iter().enumerate() {
            match Pattern::parse(at + 1, line) {
                Ok(None) => {}
                Ok(Some(_)) if rules.patterns.len() == PATTERNS_MAX => {
                    rules.fault(at + 1, "the file has too many rules: this one and what follows it do not count");
                    break;
                }
                Ok(Some(pattern)) => rules.patterns.push(pattern),
                Err(what) => rules.fault(at + 1, what),
            }
        }
        rules
    }

    /// Whether there are no rules and no faults.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.faults.is_empty()
    }

    /// Lines that are no rules.
    pub fn faults(&self) -> &[IgnoreFault] {
        &self.faults
    }

    /// Whether a rule depends on more of a path than its last name.
    pub(crate) fn go_by_paths(&self) -> bool {
        self.patterns.iter().any(Pattern::goes_by_path)
    }

    /// The line that decides on the entry `name` of the directory at `path` (names from the directory of the file down), if one
    /// does: the last that fits. And whether the entry is ignored.
    pub(crate) fn decide(&self, path: &[Name], name: &Name, is_dir: bool) -> Option<(usize, bool)> {
        let fitting = self.patterns.iter().rev().find(|pattern| pattern.fits(path, name, is_dir))?;
        Some((fitting.line, !fitting.is_negated))
    }

    /// The pattern at a line, as it is written there.
    pub(crate) fn text_of(&self, line: usize) -> String {
        let found = self.patterns.iter().find(|pattern| pattern.line == line);
        found.map_or_else(String::new, |pattern| String::from_utf8_lossy(&pattern.text).into_owned())
    }

    fn fault(&mut self, line: usize, what: &'static str) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(IgnoreFault { line, what });
        }
    }
}
