//! Where a server is.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use skep_types::product;

/// Host and port of a server. Always reached over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// Name or address; an IPv6 address in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// The text is no address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of a server")]
pub struct ParseAddressError(String);

impl ServerAddress {
    /// The host without brackets, for name servers and certificates.
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Host and port, as they stand in a URL.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}:{}", self.host, self.port)
    }
}

/// Takes a URL or `HOST[:PORT]`. A bare host is at Skep's own port, a URL without one at that of HTTPS.
impl FromStr for ServerAddress {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<ServerAddress, ParseAddressError> {
        let wrong = || ParseAddressError(text.to_owned());
        let has_scheme = text.contains("://");
        let url = if has_scheme { text.to_owned() } else { format!("https://{text}/") };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let has_odd_port = uri.port().is_none() && uri.authority().is_some_and(|all| all.as_str().len() > host.len());
        if uri.scheme_str() != Some("https") || uri.path() != "/" || uri.query().is_some() || has_user || has_odd_port {
            return Err(wrong());
        }
        let default_port = if has_scheme { 443 } else { product::PORT };
        let port = uri.port_u16().unwrap_or(default_port);
        if port == 0 { Err(wrong()) } else { Ok(ServerAddress { host: host.to_owned(), port }) }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should stop at once")]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_in_the_forms_that_people_type() {
        for (text, address) in [
            ("https://127.0.0.1:4000", "https://127.0.0.1:4000"),
            ("https://attic.example.org/", "https://attic.example.org:443"),
            ("attic", "https://attic:7537"),
            ("attic:80", "https://attic:80"),
            ("[::1]:9", "https://[::1]:9"),
            ("[::1]", "https://[::1]:7537"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), address, "{text}");
        }
        for text in
            ["", "http://attic", "https://", "attic:x", "attic:0", "attic:", "me@attic", "https://attic/sub", "a b"]
        {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
        assert_eq!("[::1]".parse::<ServerAddress>().unwrap().bare_host(), "::1");
    }
}
