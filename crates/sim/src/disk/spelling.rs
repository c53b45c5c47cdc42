//! How names are given to a disk, and which of them it takes for one.

use skep_platform::{FileError, FileErrorKind};
use skep_types::{Alphabet, Name};
use unicode_normalization::UnicodeNormalization;

use super::DiskConfig;
use super::state::error;

impl DiskConfig {
    /// How a name is spelled in a new entry. Fails if the disk cannot hold it.
    pub(super) fn spell(&self, name: &Name) -> Result<Name, FileError> {
        let refused = || error(FileErrorKind::BadName);
        let mut bytes = name.as_bytes().to_vec();
        if self.alphabet != Alphabet::Bytes {
            let mut text = String::from_utf8(bytes).map_err(|_| refused())?;
            if self.alphabet == Alphabet::Windows {
                let is_refused = |c: char| c < ' ' || "<>:\"\\|?*".contains(c);
                // Without a word.
                text.truncate(text.trim_end_matches(['.', ' ']).len());
                if text.is_empty() || text.contains(is_refused) || is_device(&text) {
                    return Err(refused());
                }
            }
            bytes = if self.decomposes_names { text.nfd().collect::<String>().into() } else { text.into() };
        }
        let spelled = Name::new(bytes).map_err(|_| refused())?;
        if spelled.as_bytes().len() > self.name_bytes_max { Err(refused()) } else { Ok(spelled) }
    }

    /// Whether several spellings are one name.
    pub(super) fn folds(&self) -> bool {
        self.name_rules().folds
    }

    /// What names have in common that are one to this disk.
    pub(super) fn fold(&self, name: &Name) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(name.as_bytes()) else { return name.as_bytes().to_vec() };
        let text = if self.is_case_insensitive { text.to_lowercase() } else { text.to_owned() };
        let has_one_form = self.is_form_insensitive || self.decomposes_names;
        if has_one_form { text.nfc().collect::<String>().into() } else { text.into() }
    }
}

/// Whether it is the name of a device, whatever its extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_uppercase();
    let is_port =
        |kind: &str| stem.strip_prefix(kind).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit());
    ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) || is_port("COM") || is_port("LPT")
}
