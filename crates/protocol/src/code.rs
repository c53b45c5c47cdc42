//! Stable error codes: the same in API, CLI, web and logs.

use std::fmt;

use minicbor::{Decode, Encode};

/// What went wrong, for programs. The text form (`E-…`) and the number never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Code {
    /// The request makes no sense to the server.
    #[n(0)]
    BadRequest,
    /// Unknown user, wrong password, or a token that does not count (any more).
    #[n(1)]
    SignIn,
    /// Known, but not allowed.
    #[n(2)]
    NotAllowed,
    /// There is no such drive, chunk or manifest (for this account).
    #[n(3)]
    NotFound,
    /// Over a limit.
    #[n(4)]
    TooLarge,
    /// The server's disk is full.
    #[n(5)]
    NoSpace,
    /// The account's quota is used up.
    #[n(6)]
    Quota,
    /// Try again later.
    #[n(7)]
    Busy,
    /// Too many attempts.
    #[n(8)]
    RateLimit,
    /// The cursor is not in this server's history.
    #[n(9)]
    History,
    /// Stored content is damaged.
    #[n(10)]
    Damaged,
    /// The server failed.
    #[n(11)]
    Internal,
    /// That name is taken.
    #[n(12)]
    Exists,
    /// Received content is not what its id says.
    #[n(13)]
    WrongHash,
    /// The server makes no account for whoever asks.
    #[n(14)]
    NotOpen,
    /// A join code is unknown, wrong, used up or too old: which of these is not told.
    #[n(20)]
    JoinCode,
    /// Somebody who was asked has said no.
    #[n(21)]
    Denied,
}

impl Code {
    /// The code as people and scripts see it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Code::BadRequest => "E-BAD-REQUEST",
            Code::SignIn => "E-SIGN-IN",
            Code::NotAllowed => "E-NOT-ALLOWED",
            Code::NotFound => "E-NOT-FOUND",
            Code::TooLarge => "E-TOO-LARGE",
            Code::NoSpace => "E-NO-SPACE",
            Code::Quota => "E-QUOTA",
            Code::Busy => "E-BUSY",
            Code::RateLimit => "E-RATE-LIMIT",
            Code::History => "E-HISTORY",
            Code::Damaged => "E-DAMAGED",
            Code::Internal => "E-INTERNAL",
            Code::Exists => "E-EXISTS",
            Code::WrongHash => "E-WRONG-HASH",
            Code::NotOpen => "E-NOT-OPEN",
            Code::JoinCode => "E-CODE",
            Code::Denied => "E-DENIED",
        }
    }

    /// Whether the same request may succeed later without anybody doing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Code::Busy | Code::RateLimit | Code::Internal | Code::NoSpace)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: a code for programs, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Encode, Decode)]
#[error("{message} ({code})")]
pub struct ErrorReply {
    /// For programs.
    #[n(0)]
    pub code: Code,
    /// For people: what happened, to what.
    #[n(1)]
    pub message: String,
    /// Wait at least so long before trying again.
    #[n(2)]
    pub retry_after_ms: Option<u64>,
}

impl ErrorReply {
    /// A refusal with this code and sentence.
    pub fn new(code: Code, message: impl Into<String>) -> ErrorReply {
        ErrorReply { code, message: message.into(), retry_after_ms: None }
    }
}
