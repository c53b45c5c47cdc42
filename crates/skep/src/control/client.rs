//! A command's end of the control socket.

use std::io;

use skep_platform::talk::{Complaint, Exit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::{ControlAnswer, ControlRequest, LINE_BYTES_MAX, socket};
use crate::home::Home;

/// A connection to the daemon of a home.
pub struct DaemonConnection {
    stream: BufReader<socket::Stream>,
}

impl DaemonConnection {
    /// Connects; `None` if no daemon runs.
    pub async fn open(home: &Home) -> Option<DaemonConnection> {
        let stream = socket::connect(home).await.ok()?;
        Some(DaemonConnection { stream: BufReader::new(stream) })
    }

    /// Asks, and waits for the answer as long as it takes.
    pub async fn ask(&mut self, request: &ControlRequest) -> Result<ControlAnswer, Complaint> {
        let answer = self.exchange(request).await;
        let went_away = |error: io::Error| {
            Complaint::new(Exit::Unreachable, "E-DAEMON-OFF", format!("The background service went away: {error}."))
        };
        match answer.map_err(went_away)? {
            ControlAnswer::Error { message, .. } => Err(Complaint::new(
                Exit::Failed,
                "E-DAEMON",
                format!("The background service cannot do that: {message}."),
            )
            .hint("It may be of another version; start it anew:   skep daemon stop; skep daemon start")),
            answer => Ok(answer),
        }
    }

    async fn exchange(&mut self, request: &ControlRequest) -> io::Result<ControlAnswer> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        self.stream.write_all(line.as_bytes()).await?;
        self.stream.flush().await?;
        line.clear();
        (&mut self.stream).take(LINE_BYTES_MAX).read_line(&mut line).await?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}
