//! From the errors of files to those of a store.

use std::io;

use skep_platform::{FileError, FileErrorKind};

use crate::BlobError;

/// A call on files failed.
pub(super) fn file_error(error: FileError) -> BlobError {
    match error.kind {
        FileErrorKind::NoSpace => BlobError::NoSpace,
        _ => BlobError::Disk(error.message),
    }
}

/// A write failed. Writers give the system's error, or a [`FileError`] inside of one.
pub(super) fn write_error(error: &io::Error) -> BlobError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<FileError>());
    match (error.kind(), inner) {
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => BlobError::NoSpace,
        (_, Some(inner)) => file_error(inner.clone()),
        _ => BlobError::Disk(error.to_string()),
    }
}
