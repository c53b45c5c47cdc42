//! Somebody who means ill: speaks TLS and HTTP to a server byte by byte, from many addresses of this machine.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use skep_protocol::{CALL_PATH, ErrorReply, Frame, FrameDecoder, FrameKind, Introduction, Request};
use skep_types::Limits;

use crate::rig::{PATIENCE, Server};

/// The pace of a slow attacker.
const DRIP_EVERY: Duration = Duration::from_millis(100);

/// An address of this machine that is not that of the tests' computers.
pub fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 66, high, low)
}

/// A connection under TLS.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// The attacker of one server.
#[derive(Clone)]
pub struct Attacker {
    server: SocketAddr,
    tls: Arc<ClientConfig>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answered {
    /// 0 if it hung up without a word.
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answered {
    /// The refusal in it.
    #[track_caller]
    pub fn refusal(&self) -> ErrorReply {
        let frame = self.frame();
        assert_eq!(frame.kind, FrameKind::Error, "{self:?}");
        frame.read().unwrap()
    }

    /// The first frame.
    #[track_caller]
    pub fn frame(&self) -> Frame {
        let mut decoder = FrameDecoder::new(Limits::SHIPPED.frame_bytes_max);
        decoder.push(&self.body);
        decoder.next_frame().unwrap().unwrap_or_else(|| panic!("{self:?}"))
    }
}

impl Attacker {
    pub fn of(server: &Server) -> Attacker {
        Attacker::speaking(server, b"http/1.1")
    }

    /// One who asks for this protocol.
    pub fn speaking(server: &Server, protocol: &[u8]) -> Attacker {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let verifier = Arc::new(AnyKey(provider));
        let mut tls = builder.unwrap().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        tls.alpn_protocols = vec![protocol.to_vec()];
        Attacker { server: server.listen().parse().unwrap(), tls: Arc::new(tls) }
    }

    /// A connection from that address.
    pub fn connection(&self, from: Ipv4Addr) -> TcpStream {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from((from, 0))).unwrap();
        connect(&socket, &self.server).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// The same after the handshake.
    pub fn tls(&self, from: Ipv4Addr) -> std::io::Result<Tls> {
        let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
        let client = ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
        let mut stream = StreamOwned::new(client, self.connection(from));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Sends these bytes and takes what comes until the server hangs up.
    pub fn sends(&self, from: Ipv4Addr, bytes: &[u8]) -> Answered {
        let Ok(mut stream) = self.tls(from) else { return answered(b"") };
        // Whoever is refused in the middle may be hung up on.
        let _ = stream.write_all(bytes);
        answered(&rest(&mut stream))
    }

    /// One call, with a token or without.
    pub fn call(&self, from: Ipv4Addr, token: Option<&str>, request: &Request) -> Answered {
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let body = [Frame::cbor(FrameKind::Request, request).to_bytes(), Frame::end().to_bytes()].concat();
        let head = call_head(&format!("{authorization}Connection: close\r\n"), body.len());
        self.sends(from, &[head.as_bytes(), &body].concat())
    }

    /// A log-in.
    pub fn join(&self, from: Ipv4Addr, user: &str, password: &str) -> Answered {
        let Introduction { name: device_name, platform, client_version } = introduction();
        let (user, password) = (user.to_owned(), password.to_owned());
        self.call(from, None, &Request::Join { user, password, device_name, platform, client_version })
    }
}

/// As what an attacker's device comes.
pub fn introduction() -> Introduction {
    Introduction { name: "evil".to_owned(), platform: "none".to_owned(), client_version: "0".to_owned() }
}

/// The head of a call.
pub fn call_head(headers: &str, length: usize) -> String {
    format!("POST {CALL_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n")
}

/// Everything that still comes.
pub fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return bytes,
            Ok(len) => bytes.extend_from_slice(&piece[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server neither answers nor hangs up: {}", String::from_utf8_lossy(&bytes))
            }
            Err(_) => return bytes,
        }
    }
}

/// Sends `first`, then `drop` again and again, until the server has hung up; how long that took.
pub fn drip(mut stream: Tls, first: &[u8], drop: &[u8]) -> Duration {
    let started = Instant::now();
    let _ = stream.write_all(first);
    stream.sock.set_read_timeout(Some(DRIP_EVERY)).unwrap();
    let mut piece = [0; 4096];
    loop {
        assert!(started.elapsed() < PATIENCE, "the server does not hang up on {:?}", String::from_utf8_lossy(first));
        match stream.read(&mut piece) {
            Ok(0) => return started.elapsed(),
            Ok(_) => {}
            // The pace of what follows.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if !drop.is_empty() && stream.write_all(drop).is_err() {
                    return started.elapsed();
                }
            }
            Err(_) => return started.elapsed(),
        }
    }
}

fn answered(bytes: &[u8]) -> Answered {
    let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Answered { status: 0, head: String::from_utf8_lossy(bytes).into_owned(), body: Vec::new() };
    };
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answered { status, head, body: bytes[at + 4..].to_vec() }
}

/// An attacker takes any key.
#[derive(Debug)]
struct AnyKey(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
