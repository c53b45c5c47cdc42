//! The socket itself: a Unix socket in the home, on Windows a named pipe whose name is kept there.

use std::io;

use crate::home::Home;

#[cfg(unix)]
pub use unix::{Listener, Stream, connect};
#[cfg(windows)]
pub use windows::{Listener, Stream, connect};

#[cfg(unix)]
mod unix {
    use super::*;
    use skep_platform::own_files;
    use tokio::net::{UnixListener, UnixStream};

    /// One connection.
    pub type Stream = UnixStream;

    /// Takes connections. Whoever may enter the home may connect: the home is its owner's only.
    pub struct Listener(UnixListener);

    impl Listener {
        /// Listens in `home`, whose lock the caller holds: a socket that is there is a dead daemon's.
        pub fn bind(home: &Home) -> io::Result<Listener> {
            let path = home.socket();
            own_files::remove(&path)?;
            UnixListener::bind(&path).map(Listener)
        }

        /// The next connection.
        pub async fn accept(&mut self) -> io::Result<Stream> {
            self.0.accept().await.map(|(stream, _)| stream)
        }
    }

    /// Connects to the daemon of `home`.
    pub async fn connect(home: &Home) -> io::Result<Stream> {
        UnixStream::connect(home.socket()).await
    }
}

#[cfg(windows)]
mod windows {
    use super::*;
    use skep_platform::{Entropy, own_files, runtime::SystemEntropy};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions};

    use std::path::PathBuf;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// One connection, from either end.
    pub enum Stream {
        /// The daemon's end.
        Server(NamedPipeServer),
        /// A command's end.
        Client(NamedPipeClient),
    }

    /// Takes connections on a pipe whose name nobody can guess, kept in the home.
    pub struct Listener {
        name: String,
        next: NamedPipeServer,
    }

    fn name_file(home: &Home) -> PathBuf {
        home.dir().join("skep.pipe")
    }

    impl Listener {
        /// Listens for commands of `home`.
        pub fn bind(home: &Home) -> io::Result<Listener> {
            let random: [u8; 16] = SystemEntropy.bytes();
            let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            let name = format!(r"\\.\pipe\skep-{digits}");
            let next = ServerOptions::new().first_pipe_instance(true).create(&name)?;
            own_files::replace(&name_file(home), name.as_bytes())?;
            Ok(Listener { name, next })
        }

        /// The next connection.
        pub async fn accept(&mut self) -> io::Result<Stream> {
            self.next.connect().await?;
            let next = ServerOptions::new().create(&self.name)?;
            Ok(Stream::Server(std::mem::replace(&mut self.next, next)))
        }
    }

    /// Connects to the daemon of `home`.
    pub async fn connect(home: &Home) -> io::Result<Stream> {
        let name = own_files::read(&name_file(home))?.ok_or(io::ErrorKind::NotFound)?;
        let name = String::from_utf8(name).map_err(|_| io::ErrorKind::InvalidData)?;
        ClientOptions::new().open(name).map(Stream::Client)
    }

    impl AsyncRead for Stream {
        fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            match self.get_mut() {
                Stream::Server(pipe) => Pin::new(pipe).poll_read(cx, buffer),
                Stream::Client(pipe) => Pin::new(pipe).poll_read(cx, buffer),
            }
        }
    }

    impl AsyncWrite for Stream {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            match self.get_mut() {
                Stream::Server(pipe) => Pin::new(pipe).poll_write(cx, bytes),
                Stream::Client(pipe) => Pin::new(pipe).poll_write(cx, bytes),
            }
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            match self.get_mut() {
                Stream::Server(pipe) => Pin::new(pipe).poll_flush(cx),
                Stream::Client(pipe) => Pin::new(pipe).poll_flush(cx),
            }
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            match self.get_mut() {
                Stream::Server(pipe) => Pin::new(pipe).poll_shutdown(cx),
                Stream::Client(pipe) => Pin::new(pipe).poll_shutdown(cx),
            }
        }
    }
}
