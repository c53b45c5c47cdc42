//! What can go wrong, and how devices are told.

use skep_blobstore::BlobError;
use skep_metastore::StoreError;
use skep_platform::Gone;
use skep_protocol::{BodyError, Code, ErrorReply, FrameError};
use skep_types::DeviceId;

use crate::join::turned_away;

/// An administrative call failed; nothing of it was done.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The metadata store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content store failed.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// A job panicked or the server is stopping.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// Not a login name.
    #[error("`{name}` cannot be a user name: {reason}")]
    BadUserName {
        /// What was asked for.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// Not a password that this server takes.
    #[error("the password cannot be used: {0}")]
    BadPassword(&'static str),
    /// There are accounts, so there is no first one to make.
    #[error("this server has accounts already")]
    HasAccounts,
    /// Nobody knocks with this code, or not any more.
    #[error("no computer asks to be let in with this code: it is mistyped, was used, or is older than 15 minutes")]
    NoSuchKnock,
    /// The knock was answered a moment ago, and the new computer has not read it yet.
    #[error("this computer is being answered just now, try again in a moment")]
    KnockIsAnswered,
    /// The new computer's folder shows a drive of another account.
    #[error("the folder of that computer belongs to another account")]
    FolderOfAnother,
    /// No account has that name.
    #[error("there is no user `{0}`")]
    UnknownUser(String),
    /// No device has that name or id.
    #[error("there is no device `{0}`")]
    UnknownDevice(String),
    /// Devices of several accounts have that name.
    #[error("`{name}` is the name of {} devices; say which by id: {}", ids.len(), ids.iter().map(DeviceId::to_string).collect::<Vec<_>>().join(", "))]
    AmbiguousDevice {
        /// What was asked for.
        name: String,
        /// Who has that name.
        ids: Vec<DeviceId>,
    },
}

impl From<ServiceError> for ErrorReply {
    fn from(error: ServiceError) -> ErrorReply {
        match error {
            ServiceError::Store(error) => store_refusal(&error),
            ServiceError::Blobs(error) => blob_refusal(&error),
            ServiceError::Gone(gone) => gone_refusal(gone),
            ServiceError::NoSuchKnock => ErrorReply::new(Code::JoinCode, error.to_string()),
            ServiceError::KnockIsAnswered => turned_away(Code::Busy, &error.to_string(), 3_000),
            ServiceError::FolderOfAnother => ErrorReply::new(Code::NotFound, error.to_string()),
            other => ErrorReply::new(Code::BadRequest, other.to_string()),
        }
    }
}

/// Tells a device that the metadata store failed. The log has the details, the device does not need them.
pub(crate) fn store_refusal(error: &StoreError) -> ErrorReply {
    tracing::error!(%error, "the metadata store failed");
    match error {
        StoreError::NoSpace => ErrorReply::new(Code::NoSpace, "the server's disk is full"),
        StoreError::Damaged(_) => ErrorReply::new(Code::Damaged, "the server's metadata is damaged"),
        _ => ErrorReply::new(Code::Internal, "the server's metadata store failed"),
    }
}

/// Tells a device that the content store failed.
pub(crate) fn blob_refusal(error: &BlobError) -> ErrorReply {
    tracing::error!(%error, "the content store failed");
    match error {
        BlobError::NoSpace => ErrorReply::new(Code::NoSpace, "the server's disk is full"),
        _ => ErrorReply::new(Code::Internal, "the server's content store failed"),
    }
}

/// Tells a device that a job of the server ended without an answer.
pub(crate) fn gone_refusal(_: Gone) -> ErrorReply {
    tracing::error!("a job of the server ended without an answer");
    ErrorReply::new(Code::Internal, "the server failed to answer")
}

/// Tells a device what is wrong with the body that it sends.
pub(crate) fn body_refusal(error: &BodyError) -> ErrorReply {
    let code = match error {
        BodyError::Frame(FrameError::TooLong(_)) => Code::TooLarge,
        _ => Code::BadRequest,
    };
    ErrorReply::new(code, error.to_string())
}

/// The token does not count, or no longer.
pub(crate) fn signed_out() -> ErrorReply {
    ErrorReply::new(Code::SignIn, "this device is not signed in")
}
