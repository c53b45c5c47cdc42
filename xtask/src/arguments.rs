//! The command line of a task: words, switches and options, each taken once, nothing left over.

use std::ffi::OsString;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// What has not been taken yet.
#[derive(Debug)]
pub struct Arguments {
    left: Vec<OsString>,
}

impl Arguments {
    /// Those of this process, without the program's name.
    pub fn from_command_line() -> Arguments {
        Arguments { left: std::env::args_os().skip(1).collect() }
    }

    /// Takes the first one, if it is text.
    pub fn word(&mut self) -> Option<String> {
        let word = self.left.first()?.to_str()?.to_owned();
        self.left.remove(0);
        Some(word)
    }

    /// Takes the switch `name` if it is there.
    pub fn switch(&mut self, name: &str) -> bool {
        let found = self.left.iter().position(|argument| argument == name);
        found.map(|at| self.left.remove(at)).is_some()
    }

    /// Takes the option `name` and the value behind it, if it is there.
    pub fn option<T: FromStr<Err: Into<anyhow::Error>>>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(at) = self.left.iter().position(|argument| argument == name) else { return Ok(None) };
        if at + 1 >= self.left.len() {
            bail!("`{name}` wants a value behind it");
        }
        let value = self.left.remove(at + 1);
        self.left.remove(at);
        let value = value.to_str().with_context(|| format!("the value of `{name}` is not text"))?;
        let parsed = value.parse::<T>().map_err(Into::into);
        Ok(Some(parsed.with_context(|| format!("`{name} {value}` is not understood"))?))
    }

    /// Takes everything that is left.
    pub fn rest(&mut self) -> Vec<OsString> {
        std::mem::take(&mut self.left)
    }

    /// Fails if anything is left: a mistyped switch must not be read as "no switch".
    pub fn finish(self) -> Result<()> {
        match self.left.first() {
            None => Ok(()),
            Some(argument) => bail!("`{}` is not understood\nhint: `cargo xtask help`", argument.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn arguments(line: &str) -> Arguments {
        Arguments { left: line.split_whitespace().map(Into::into).collect() }
    }

    #[test]
    fn options_and_switches_are_taken_wherever_they_stand() {
        let mut line = arguments("sim --seeds 20 --forever 7");
        assert_eq!(line.word().as_deref(), Some("sim"));
        assert!(line.switch("--forever"));
        assert_eq!(line.option::<u64>("--seeds").ok().flatten(), Some(20));
        assert_eq!(line.word().as_deref(), Some("7"));
        assert!(line.finish().is_ok());
    }

    #[test]
    fn a_mistyped_switch_or_value_is_refused() {
        assert!(arguments("--onse").finish().is_err());
        assert!(arguments("--seeds many").option::<u64>("--seeds").is_err());
        assert!(arguments("--seeds").option::<u64>("--seeds").is_err());
    }
}
