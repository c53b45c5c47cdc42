//! What the kernel's error numbers mean to callers.

use rustix::io::Errno;

use crate::{FileError, FileErrorKind};

/// The error in the system's words, without Rust's "(os error 2)".
pub(super) fn file_error(errno: Errno) -> FileError {
    with_kind(kind(errno), errno)
}

/// The same for a call in which this error means something else than usual.
pub(super) fn with_kind(kind: FileErrorKind, errno: Errno) -> FileError {
    let text = std::io::Error::from(errno).to_string();
    let words = text.rsplit_once(" (os error").map_or(text.as_str(), |(words, _)| words);
    FileError::new(kind, words)
}

/// `EINVAL` is about the name: where a call can fail with it for another reason, the call looks at it first.
fn kind(errno: Errno) -> FileErrorKind {
    match errno {
        Errno::NOENT | Errno::STALE => FileErrorKind::NotFound,
        Errno::EXIST => FileErrorKind::Exists,
        Errno::NOTEMPTY => FileErrorKind::NotEmpty,
        Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO => FileErrorKind::WrongKind,
        Errno::NOSPC | Errno::DQUOT => FileErrorKind::NoSpace,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => FileErrorKind::Denied,
        Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => FileErrorKind::BadName,
        Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV => FileErrorKind::Unsupported,
        _ => FileErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_in_the_systems_words() {
        assert_eq!(file_error(Errno::NOSPC), FileError::new(FileErrorKind::NoSpace, "No space left on device"));
        assert_eq!(file_error(Errno::IO).kind, FileErrorKind::Other);
        assert_eq!(file_error(Errno::DQUOT).kind, FileErrorKind::NoSpace);
        assert_eq!(file_error(Errno::ROFS).kind, FileErrorKind::Denied);
        assert_eq!(file_error(Errno::ILSEQ).kind, FileErrorKind::BadName);
    }
}
