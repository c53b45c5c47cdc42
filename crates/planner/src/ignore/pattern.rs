//! One line of a file of rules.

use skep_types::Name;

use super::glob::{Glob, Token, tokens};

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Where it stands, from 1.
    pub(super) line: usize,
    /// As it is written.
    pub(super) text: Vec<u8>,
    /// What fits is not ignored.
    pub(super) is_negated: bool,
    /// Only directories fit.
    for_directories: bool,
    place: Place,
}

/// What a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The name of the entry, at any depth.
    Name(Glob),
    /// The path of the entry.
    Path(Vec<Part>),
}

/// A part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Any number of directories, also none.
    Directories,
    /// Whatever is beneath: at least one name.
    Everything,
    /// One name.
    Name(Glob),
}

impl Pattern {
    /// Understands a line; `None` if it holds no rule.
    pub(super) fn parse(number: usize, line: &[u8]) -> Result<Option<Pattern>, &'static str> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first() == Some(&b'#') {
            return Ok(None);
        }
        let line = without_trailing_spaces(line);
        let (is_negated, rest) = match line.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (for_directories, rest) = match rest.strip_suffix(b"/") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (is_rooted, rest) = match rest.strip_prefix(b"/") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        if rest.is_empty() {
            return Ok(None);
        }
        let tokens = tokens(rest)?;
        let place = match !is_rooted && !rest.contains(&b'/') {
            true => Place::Name(Glob::new(&tokens)),
            false => Place::Path(parts(&tokens)),
        };
        Ok(Some(Pattern { line: number, text: line.to_vec(), is_negated, for_directories, place }))
    }

    /// Whether it depends on more than the name of an entry.
    pub(super) fn goes_by_path(&self) -> bool {
        matches!(self.place, Place::Path(_))
    }

    /// Whether the entry `name` of the directory at `path` fits.
    pub(super) fn fits(&self, path: &[Name], name: &Name, is_dir: bool) -> bool {
        if self.for_directories && !is_dir {
            return false;
        }
        match &self.place {
            Place::Name(glob) => glob.fits(name.as_bytes()),
            Place::Path(parts) => path_fits(parts, path, name),
        }
    }
}

/// A trailing space counts only behind a backslash.
fn without_trailing_spaces(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while at < line.len() {
        let is_space = line[at] == b' ';
        at = (at + if line[at] == b'\\' { 2 } else { 1 }).min(line.len());
        if !is_space {
            end = at;
        }
    }
    &line[..end]
}

fn parts(tokens: &[Token]) -> Vec<Part> {
    let names: Vec<&[Token]> = tokens.split(|token| *token == Token::Slash).collect();
    let last = names.len() - 1;
    let part = |(at, name): (usize, &&[Token])| match name {
        [Token::Stars(count)] if *count > 1 && at == last => Part::Everything,
        [Token::Stars(count)] if *count > 1 => Part::Directories,
        name => Part::Name(Glob::new(name)),
    };
    names.iter().enumerate().map(part).collect()
}

/// Whether a path fits: name by name; where it does not go on, the last `**` takes one directory more.
fn path_fits(parts: &[Part], path: &[Name], name: &Name) -> bool {
    let count = path.len() + 1;
    let named = |at: usize| path.get(at).unwrap_or(name).as_bytes();
    let (mut part, mut at) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    loop {
        match parts.get(part) {
            None if at == count => return true,
            Some(Part::Everything) if at < count => return true,
            Some(Part::Directories) => {
                again = Some((part, at));
                part += 1;
                continue;
            }
            Some(Part::Name(glob)) if at < count && glob.fits(named(at)) => {
                (part, at) = (part + 1, at + 1);
                continue;
            }
            _ => {}
        }
        match again {
            Some((directories, from)) if from + 1 < count => {
                again = Some((directories, from + 1));
                (part, at) = (directories + 1, from + 1);
            }
            _ => return false,
        }
    }
}
