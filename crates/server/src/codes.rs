//! Join codes on the command line, and what a server says to the person who starts it for the first time.
//!
//! A code is shown to the one who asked for it and goes nowhere else: never into a log, so a server whose words go into one does not say it.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr, UdpSocket};

use skep_blobstore::BlobStore;
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::{Fingerprint, JoinCode};
use skep_service::{Invited, ServiceError};
use skep_types::product;

use crate::admin::{identity, print, say, told};
use crate::args::{DataArgs, InviteArgs};
use crate::config::{self, Settings, Tls};
use crate::store::{DiskService, administer, require_data};

/// An address that is never this machine's, kept for documents.
const SOME_OTHER_NETWORK: (&str, u16) = ("198.51.100.1", 9);

/// A code that makes the first account.
pub async fn setup_code(data: DataArgs) -> Result<(), Complaint> {
    let settings = config::of(&data)?;
    require_data(&settings.site.data_dir)?;
    known_key(&settings)?;
    let code = administer(&settings.site.data_dir).await?.make_setup_code().await.map_err(|error| match error {
        ServiceError::HasAccounts => {
            told(error).hint("Let somebody in:   skep-server invite   or   skep-server invite --user NAME")
        }
        other => told(other),
    })?;
    show(&code, "Whoever uses it makes the first account.")
}

/// A code that lets a computer in.
pub async fn invite(args: InviteArgs) -> Result<(), Complaint> {
    let settings = config::of(&args.data)?;
    require_data(&settings.site.data_dir)?;
    known_key(&settings)?;
    let service = administer(&settings.site.data_dir).await?;
    let (code, invited) = service.make_invitation(args.user.as_deref()).await.map_err(told)?;
    let whom = match (invited, args.user) {
        (Invited::NewDevice, Some(user)) => format!("It adds a computer to the account {user}."),
        (_, Some(user)) => format!("There is no account {user} yet: whoever uses it makes it."),
        (_, None) => "Whoever uses it makes an account.".to_owned(),
    };
    show(&code, &whom)
}

/// The code alone on standard output; what it is, to the person.
fn show(code: &JoinCode, whom: &str) -> Result<(), Complaint> {
    say(&format!("{whom} It counts once, for 15 minutes. On the other computer:   skep join SERVER CODE"));
    print(&[code.to_string()])
}

/// By which key devices see this server, if that is known.
pub fn key_of(settings: &Settings) -> Result<Option<Fingerprint>, Complaint> {
    match settings.tls {
        Tls::Off { certificate: None } => Ok(None),
        _ => identity(settings).map(|identity| Some(identity.fingerprint)),
    }
}

/// A code proves to a device that it sees the right key; so that key must be known here.
pub(crate) fn known_key(settings: &Settings) -> Result<Fingerprint, Complaint> {
    key_of(settings)?.ok_or_else(|| {
        let what = "This server does not know by which key devices see it, so a code would prove nothing to them.";
        Complaint::new(Exit::Guard, "E-NO-KEY", what)
            .hint("Name the proxy's certificate:   tls.certificate in server.toml, or SKEP_TLS__CERTIFICATE")
    })
}

/// Says how the first account is made, as long as there is none.
pub async fn welcome<B: BlobStore>(
    service: &DiskService<B>,
    settings: &Settings,
    local: SocketAddr,
) -> Result<(), Complaint> {
    let has_accounts = !service.accounts().await.map_err(told)?.is_empty();
    if has_accounts || settings.open || key_of(settings)?.is_none() {
        return Ok(());
    }
    if !io::stderr().is_terminal() {
        tracing::info!("there is no account yet; for a code that makes the first one: {} setup-code", product::SERVER);
        return Ok(());
    }
    let code = service.make_setup_code().await.map_err(told)?;
    let (client, server) = (product::NAME, product::SERVER);
    let place = match address_of(local) {
        Some(ip) if local.port() == product::PORT => ip.to_string(),
        Some(ip) => SocketAddr::new(ip, local.port()).to_string(),
        None => "SERVER".to_owned(),
    };
    let finds_nothing = if settings.discovery { "  Or, where that finds nothing" } else { "  With its address" };
    say(&format!(
        "\n  Make the first account:   {client} join {code}\n{finds_nothing}:   {client} join {place} {code}\n  \
         (counts once, for 15 minutes; again: {server} setup-code)\n"
    ));
    Ok(())
}

/// Under which address others in the network probably reach a server that listens at `local`.
fn address_of(local: SocketAddr) -> Option<IpAddr> {
    if !local.ip().is_unspecified() {
        return Some(local.ip());
    }
    // Nothing is sent: a connected datagram socket only tells from where it would be.
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(SOME_OTHER_NETWORK).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}
