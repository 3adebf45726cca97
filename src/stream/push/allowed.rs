//! Where rooms may be pushed to: by default to every public address and to no private one. Pure.
//!
//! A server inside a network reaches what those outside must not. So names say nothing: it is the
//! addresses they stand for that are judged, and then connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// One entry of the setting.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Pattern {
    /// This host.
    Name(String),
    /// Every host below this domain.
    Below(String),
    /// Addresses whose first bits are these; private ones too.
    Network(IpAddr, u8),
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is no host name, *.domain, address or network");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        if let Ok(address) = address.parse::<IpAddr>() {
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(most), |bits| bits.parse().ok());
            let bits = bits.filter(|bits| *bits <= most).ok_or_else(expected)?;
            return Ok(Self::Network(address, bits));
        }
        let text = text.to_ascii_lowercase();
        let (below, name) = match text.strip_prefix("*.") {
            Some(domain) => (true, domain.to_owned()),
            None => (false, text.clone()),
        };
        let label = |label: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            !label.is_empty() && label.chars().all(plain)
        };
        if bits.is_some() || !name.split('.').all(label) {
            return Err(expected());
        }
        Ok(if below {
            Self::Below(name)
        } else {
            Self::Name(name)
        })
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The whole setting.
#[derive(Debug, Clone, Default)]
pub struct Allowed(pub Vec<Pattern>);

impl Allowed {
    /// Whether `host`, which stands for `address`, may be connected to.
    pub fn admits(&self, host: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let network = |pattern: &Pattern| match pattern {
            Pattern::Network(network, bits) => within(address, network.to_canonical(), *bits),
            _ => false,
        };
        if self.0.iter().any(network) {
            return true;
        }
        is_public(address) && (self.0.is_empty() || self.names(host))
    }

    fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.0.iter().any(|pattern| match pattern {
            Pattern::Name(name) => name == host,
            Pattern::Below(domain) => {
                let front = host.strip_suffix(domain.as_str());
                front.is_some_and(|front| front.ends_with('.'))
            }
            Pattern::Network(..) => false,
        })
    }
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            (a.to_bits() ^ b.to_bits()) & mask == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            (a.to_bits() ^ b.to_bits()) & mask == 0
        }
        _ => false,
    }
}

/// Whether an address is one of the internet's, by the registries of special-purpose addresses (RFC
/// 6890).
fn is_public(address: IpAddr) -> bool {
    const SPECIAL: [(Ipv4Addr, u8); 14] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8),
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 0, 0, 0), 24),
        (Ipv4Addr::new(192, 0, 2, 0), 24),
        (Ipv4Addr::new(192, 88, 99, 0), 24),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
        (Ipv4Addr::new(198, 18, 0, 0), 15),
        (Ipv4Addr::new(198, 51, 100, 0), 24),
        (Ipv4Addr::new(203, 0, 113, 0), 24),
        // Multicast, reserved and broadcast.
        (Ipv4Addr::new(224, 0, 0, 0), 3),
    ];
    // Of the one part that is given out: documentation twice, and what holds IPv4 addresses.
    const GIVEN: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
    const NOT: [(Ipv6Addr, u8); 4] = [
        (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
        (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
        (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
        (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    ];
    match address {
        IpAddr::V4(_) => !SPECIAL
            .iter()
            .any(|(net, bits)| within(address, (*net).into(), *bits)),
        IpAddr::V6(_) => {
            within(address, GIVEN.0.into(), GIVEN.1)
                && !NOT
                    .iter()
                    .any(|(net, bits)| within(address, (*net).into(), *bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: &[&str]) -> Allowed {
        Allowed(patterns.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn admits(allowed: &Allowed, host: &str, address: &str) -> bool {
        allowed.admits(host, address.parse().unwrap())
    }

    #[test]
    fn by_default_all_that_is_public_and_nothing_that_is_not() {
        let any = Allowed::default();
        for public in ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(admits(&any, "live.example", public), "{public}");
        }
        for private in [
            "127.0.0.1",
            "127.1.2.3",
            "10.1.1.1",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!admits(&any, "live.example", private), "{private}");
        }
    }

    #[test]
    fn a_list_of_names_allows_these_only_and_never_their_private_addresses() {
        let some = allowed(&["live.example", "*.stream.example"]);
        let at = |host| admits(&some, host, "8.8.8.8");
        assert!(at("live.example") && at("live.example.") && at("a.b.stream.example"));
        assert!(!at("stream.example") && !at("evilstream.example") && !at("other.example"));
        assert!(!admits(&some, "live.example", "127.0.0.1"), "rebound");
    }

    #[test]
    fn a_network_is_allowed_whatever_it_is_called() {
        let some = allowed(&["live.example", "10.1.0.0/16", "::1"]);
        assert!(admits(&some, "whatever", "10.1.2.3"));
        assert!(admits(&some, "whatever", "::ffff:10.1.2.3"));
        assert!(admits(&some, "live.example", "::1"));
        assert!(!admits(&some, "whatever", "10.2.2.3"));
        assert!(!admits(&some, "whatever", "8.8.8.8"));
        let all = allowed(&["0.0.0.0/0"]);
        assert!(admits(&all, "whatever", "127.0.0.1"));
        assert!(!admits(&all, "whatever", "::1"));
    }

    #[test]
    fn nonsense_is_no_pattern() {
        for text in [
            "",
            "*",
            "*.",
            "a..b",
            "10.0.0.0/33",
            "host/8",
            "http://x",
            "a b",
        ] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
