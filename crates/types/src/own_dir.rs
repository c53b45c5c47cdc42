//! Directories of Skep's own, which are never part of a synced folder.

/// Why a directory is never synced as part of the folder in which it lies. Each kind says so by [`ROOT_DIR`](crate::product::ROOT_DIR)
/// in it: a synced folder by that directory with its marker, the others by a file of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnDir {
    /// Another synced folder.
    Folder,
    /// The data of a server.
    ServerData,
    /// Settings and state of a client.
    ClientHome,
}

/// First line of the file, and how far it is read.
const HEAD: &str = "skep own 1";

impl OwnDir {
    /// A longer file is none of ours.
    pub const FILE_BYTES_MAX: usize = 256;

    /// What the file says; a synced folder has none.
    pub fn file_text(self) -> Option<String> {
        let kind = match self {
            OwnDir::Folder => return None,
            OwnDir::ServerData => "server data",
            OwnDir::ClientHome => "client home",
        };
        Some(format!("{HEAD}\n{kind}\nNever synced as part of a folder. Leave this file here.\n"))
    }

    /// What a file says.
    pub fn from_file_text(text: &[u8]) -> Option<OwnDir> {
        [OwnDir::ServerData, OwnDir::ClientHome].into_iter().find(|kind| {
            let said = kind.file_text().unwrap_or_default();
            text.len() <= Self::FILE_BYTES_MAX
                && text.split(|byte| *byte == b'\n').take(2).eq(said.as_bytes().split(|byte| *byte == b'\n').take(2))
        })
    }

    /// In people's words, with its article.
    pub fn words(self) -> &'static str {
        match self {
            OwnDir::Folder => "another synced folder",
            OwnDir::ServerData => "the data of a Skep server",
            OwnDir::ClientHome => "the settings and state of a Skep client",
        }
    }

    /// The code of what is complained of.
    pub fn code(self) -> &'static str {
        match self {
            OwnDir::Folder => "E-NESTED",
            OwnDir::ServerData | OwnDir::ClientHome => "E-OWN-FILES",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_its_directory_is() {
        for kind in [OwnDir::ServerData, OwnDir::ClientHome] {
            let text = kind.file_text().map(String::into_bytes).unwrap_or_default();
            assert!(text.len() < OwnDir::FILE_BYTES_MAX);
            assert_eq!(OwnDir::from_file_text(&text), Some(kind));
        }
        for text in ["", "skep own 1", "skep own 1\nlunch", "skep root 1\nserver data\n"] {
            assert_eq!(OwnDir::from_file_text(text.as_bytes()), None, "{text}");
        }
        assert_eq!(OwnDir::Folder.file_text(), None);
    }
}
