//! `[safety]` in `config.toml`: guards against mishaps, as a person wants them.

use serde::{Deserialize, Serialize};
use skep_types::Limits;

/// What guards against mishaps. What is not said is as shipped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafetyConfig {
    /// When deletions that nobody saw wait for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_deletes: Option<HoldDeletes>,
}

/// More files than this, and a larger part of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldDeletes {
    /// Files.
    pub files: u64,
    /// Percent of the folder's files; more than 100 never holds.
    pub percent: u64,
}

impl SafetyConfig {
    /// `limits`, with what a person wants otherwise.
    pub fn limits(&self, limits: Limits) -> Limits {
        let hold = self.hold_deletes;
        Limits {
            hold_files: hold.map_or(limits.hold_files, |hold| hold.files),
            hold_percent: hold.map_or(limits.hold_percent, |hold| hold.percent),
            ..limits
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_shipped() {
        let nothing: SafetyConfig = toml::from_str("").unwrap();
        assert_eq!(nothing.limits(Limits::SHIPPED), Limits::SHIPPED);
        let said: SafetyConfig = toml::from_str("hold_deletes = { files = 5, percent = 50 }").unwrap();
        let limits = said.limits(Limits::SHIPPED);
        assert_eq!((limits.hold_files, limits.hold_percent), (5, 50));
        assert_eq!(toml::from_str::<SafetyConfig>(&toml::to_string(&said).unwrap()).unwrap(), said);
        assert!(toml::from_str::<SafetyConfig>("hold_delets = { files = 5, percent = 50 }").is_err());
    }
}
