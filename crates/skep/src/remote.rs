//! Short talks with the server that need no daemon.

use skep_client::{CallError, Link, LinkError};
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::{BodyError, Code, ErrorReply, Frame, FrameKind, FrameStream, Reply, Request, body_of};
use skep_types::{Limits, product};

use crate::link::{HttpLink, ServerAddress};

/// One request without a body, one reply.
pub async fn ask(link: &HttpLink, token: Option<&str>, request: &Request) -> Result<Reply, Complaint> {
    let address = link.address();
    let body = body_of(vec![Frame::cbor(FrameKind::Request, request)]);
    let answer = link.call(token, body).await.map_err(|error| complaint_of(error, address))?;
    let mut frames = FrameStream::new(answer, Limits::SHIPPED.frame_bytes_max);
    let reply = match frames.next_frame().await {
        Ok(Some(frame)) if frame.kind == FrameKind::Reply => frame.read().map_err(BodyError::from),
        Ok(_) => Err(BodyError::Cut("it gave no reply".into())),
        Err(error) => Err(error),
    };
    reply.map_err(|error| match error {
        BodyError::Refused(refused) => complaint_of(LinkError::Refused(refused), address),
        other => complaint_of(LinkError::Unreachable(other.to_string()), address),
    })
}

/// Who am I, what is there?
pub fn hello() -> Request {
    Request::Hello { features: Vec::new(), client_version: client_version() }
}

/// This program and its version, for servers to see.
pub fn client_version() -> String {
    format!("{} {}", product::NAME, env!("CARGO_PKG_VERSION"))
}

/// The answer is none to what was asked.
pub fn strange() -> Complaint {
    Complaint::new(Exit::Failed, "E-PROTOCOL", "The server answered something else than was asked.")
}

/// Why the server did not answer, told to a person.
pub fn complaint_of(error: LinkError, address: &ServerAddress) -> Complaint {
    match error {
        LinkError::Unreachable(reason) => {
            Complaint::new(Exit::Unreachable, "E-UNREACHABLE", format!("Cannot reach {address}: {reason}."))
                .hint("Check the address, and that the server runs there.")
        }
        LinkError::WrongKey(keys) => {
            let what = format!("Cannot trust this server: its key is not the one this device knows ({keys}).");
            Complaint::new(Exit::Guard, "E-KEY-CHANGED", what)
                .hint("Nothing was sent. Compare with:   skep-server fingerprint   on the server itself.")
        }
        LinkError::Refused(refused) => refusal(refused),
    }
}

/// The same of a call.
pub fn complaint_of_call(error: CallError, address: &ServerAddress) -> Complaint {
    match error {
        CallError::Unreachable(reason) => complaint_of(LinkError::Unreachable(reason), address),
        CallError::WrongKey(keys) => complaint_of(LinkError::WrongKey(keys), address),
        CallError::Refused(refused) => complaint_of(LinkError::Refused(refused), address),
        CallError::Older => {
            let what = "The server is older than the one that this computer has followed: it may be a copy that was brought back.";
            Complaint::new(Exit::Guard, "E-SERVER-OLDER", what)
                .hint("skep status   says what the background service does about it.")
        }
        CallError::Malformed(what) => {
            Complaint::new(Exit::Failed, "E-PROTOCOL", format!("The server's answer makes no sense here: {what}."))
                .hint("Server and client may be of different versions.")
        }
    }
}

fn refusal(refused: ErrorReply) -> Complaint {
    let exit = match refused.code {
        Code::SignIn | Code::NotAllowed | Code::NotOpen | Code::JoinCode | Code::Denied => Exit::NotAllowed,
        Code::NotFound => Exit::NotFound,
        Code::Quota => Exit::Guard,
        code if code.is_temporary() => Exit::Temporary,
        _ => Exit::Failed,
    };
    let hint = match refused.retry_after_ms {
        Some(wait_ms) => format!("Try again in {} s.", wait_ms.div_ceil(1000)),
        None => String::new(),
    };
    Complaint::new(exit, refused.code.as_str(), format!("The server refused: {}.", refused.message)).hint(hint)
}
