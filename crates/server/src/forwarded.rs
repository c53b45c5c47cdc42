//! For whom a proxy speaks.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::config::values::Network;

/// The header in which proxies say it: addresses, each proxy adding at the end from whom it has the request.
pub const FORWARDED_FOR: &str = "x-forwarded-for";
/// Addresses that are looked at from the end: more proxies than that stand before no server.
const HOPS_MAX: usize = 16;

/// Who really asks: the last address in the header that is not that of a trusted proxy, if `peer` is one; else `peer` itself, whatever
/// the header says. What a stranger writes stands before what the proxy adds, and is never reached.
pub fn client_of(peer: SocketAddr, headers: &HeaderMap, trusted: &[Network]) -> SocketAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer.ip()) {
        return peer;
    }
    let lines: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
    let mut client = peer;
    for word in lines.iter().rev().flat_map(|line| line.rsplit(',')).take(HOPS_MAX) {
        let Some(address) = address_of(word.trim()) else { return client };
        client = address;
        if !is_trusted(client.ip()) {
            return client;
        }
    }
    client
}

/// An address with or without a port.
fn address_of(word: &str) -> Option<SocketAddr> {
    let bare =
        || word.trim_start_matches('[').trim_end_matches(']').parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, 0));
    word.parse().ok().or_else(bare)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<Network> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        client_of(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_for_whom_it_speaks() {
        let proxy = ["127.0.0.1"];
        assert_eq!(client("127.0.0.1:9", &["203.0.113.7"], &proxy), "203.0.113.7:0");
        assert_eq!(client("127.0.0.1:9", &["203.0.113.7"], &[]), "127.0.0.1:9");
        assert_eq!(client("198.51.100.1:9", &["203.0.113.7"], &proxy), "198.51.100.1:9");
        assert_eq!(client("127.0.0.1:9", &[], &proxy), "127.0.0.1:9");
    }

    #[test]
    fn what_a_stranger_writes_before_the_proxy_does_is_not_believed() {
        let proxies = ["127.0.0.1", "10.0.0.0/8"];
        assert_eq!(client("127.0.0.1:9", &["1.1.1.1, 203.0.113.7"], &proxies), "203.0.113.7:0");
        assert_eq!(client("127.0.0.1:9", &["1.1.1.1, 203.0.113.7, 10.0.0.2"], &proxies), "203.0.113.7:0");
        assert_eq!(client("127.0.0.1:9", &["1.1.1.1", "203.0.113.7"], &proxies), "203.0.113.7:0");
        assert_eq!(client("127.0.0.1:9", &["garbage, 10.0.0.2"], &proxies), "10.0.0.2:0");
        assert_eq!(client("127.0.0.1:9", &["[2001:db8::1]:443"], &proxies), "[2001:db8::1]:443");
        assert_eq!(client("127.0.0.1:9", &["2001:db8::1"], &proxies), "[2001:db8::1]:0");
    }
}
