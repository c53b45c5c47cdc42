//! What values of settings mean: times, networks, names.

use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// Milliseconds of a day.
pub const DAY_MS: u64 = 24 * 3_600_000;
/// Letters of units, with their milliseconds, from the longest.
const UNITS: [(char, u64); 5] = [('w', 7 * DAY_MS), ('d', DAY_MS), ('h', 3_600_000), ('m', 60_000), ('s', 1_000)];

/// Times such as `180d`.
#[derive(Debug)]
pub struct Durations;

impl Durations {
    /// The milliseconds of a number with a unit.
    pub fn parse(text: &str) -> Option<u64> {
        let unit = UNITS.iter().find(|(letter, _)| text.ends_with(*letter))?;
        let number: u64 = text.strip_suffix(unit.0)?.parse().ok()?;
        number.checked_mul(unit.1).filter(|length_ms| *length_ms <= LONGEST_MS)
    }

    /// As short as it can be said.
    pub fn text(length_ms: u64) -> String {
        let unit = UNITS.iter().skip(1).find(|(_, unit_ms)| length_ms.is_multiple_of(*unit_ms));
        unit.map_or_else(|| format!("{length_ms}ms"), |(letter, unit_ms)| format!("{}{letter}", length_ms / unit_ms))
    }
}

/// Whether a text is a name for which a certificate can be ordered: not an address, and not this machine by itself.
pub fn is_domain(text: &str) -> bool {
    let is_name = matches!(ServerName::try_from(text), Ok(ServerName::DnsName(_)));
    is_name && text != "localhost" && !text.ends_with('.')
}

/// Units of sizes, with their bytes, from the longest: in powers of ten and of two.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Sizes such as `256MiB`.
#[derive(Debug)]
pub struct Sizes;

impl Sizes {
    /// The bytes of a number with a unit.
    pub fn parse(text: &str) -> Option<u64> {
        let unit = SIZE_UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
        let number: u64 = text.strip_suffix(unit.0)?.parse().ok()?;
        number.checked_mul(unit.1)
    }
}

/// A century, a hundred times over: longer than any disk, shorter than what overflows a clock.
const LONGEST_MS: u64 = 3_652_500 * DAY_MS;

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix_bits: u32,
}

impl Network {
    /// Whether that address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differing = base.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix_bits
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differing = base.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix_bits
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let wrong = || format!("holds `{text}`, which is no address or network such as 127.0.0.1 or 10.0.0.0/8");
        let (base, prefix) = text.split_once('/').map_or((text, None), |(base, prefix)| (base, Some(prefix)));
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let bits = if base.is_ipv4() { 32 } else { 128 };
        let prefix_bits = prefix.map_or(Ok(bits), str::parse).map_err(|_| wrong())?;
        if prefix_bits > bits { Err(wrong()) } else { Ok(Network { base, prefix_bits }) }
    }
}

/// The parts of a list.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// Addresses and networks between commas.
pub fn networks(text: &str) -> Result<Vec<Network>, String> {
    words(text).map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_number_and_a_unit() {
        for (text, length_ms) in [("1d", DAY_MS), ("36h", DAY_MS * 3 / 2), ("2w", 14 * DAY_MS), ("90m", 5_400_000)] {
            assert_eq!(Durations::parse(text), Some(length_ms), "{text}");
        }
        for text in ["", "d", "1", "-1d", "1.5d", "1 d", "99999999999999d", "1d2h", "9000000d"] {
            assert_eq!(Durations::parse(text), None, "{text}");
        }
        assert_eq!(Durations::text(DAY_MS), "1d");
        assert_eq!(Durations::text(DAY_MS * 3 / 2), "36h");
    }

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        for (text, bytes) in [("256MiB", 256 << 20), ("50GB", 50_000_000_000), ("1TB", 1_000_000_000_000), ("7B", 7)] {
            assert_eq!(Sizes::parse(text), Some(bytes), "{text}");
        }
        for text in ["", "5", "B", "5G", "-1B", "1.5GB", "1 GB", "99999999999TiB"] {
            assert_eq!(Sizes::parse(text), None, "{text}");
        }
    }

    #[test]
    fn networks_hold_what_begins_with_their_bits() {
        let holds =
            |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
        assert!(holds("127.0.0.0/8", "127.9.9.9") && !holds("127.0.0.0/8", "128.0.0.1"));
        assert!(holds("10.0.0.1", "10.0.0.1") && !holds("10.0.0.1", "10.0.0.2"));
        assert!(holds("10.0.0.1", "::ffff:10.0.0.1"), "an IPv4 peer of a socket for both");
        assert!(holds("::1", "::1") && !holds("::1", "127.0.0.1") && holds("fd00::/8", "fdaa::1"));
        assert!(holds("0.0.0.0/0", "1.2.3.4"));
        for text in ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
