//! ICE candidates as text (RFC 8839 section 5.1, RFC 6544 for TCP).

use std::net::{IpAddr, SocketAddr};

use super::SdpError;

/// How a candidate is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Transport {
    /// Datagrams.
    Udp,
    /// We listen, the client connects.
    TcpPassive,
}

/// A host candidate of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) struct Candidate {
    /// Over what.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// 0 is the address clients should try first.
    pub rank: u16,
}

impl Candidate {
    /// The attribute line, without a line end.
    pub fn line(&self) -> String {
        // RFC 8445 section 5.1.2: type preference, local preference, component 1. A foundation
        // for each base and transport.
        let (name, foundation, type_preference, local_preference, suffix) = match self.transport {
            Transport::Udp => ("udp", 'u', 126u32, 65_535 - u32::from(self.rank), ""),
            // RFC 6544 section 4.2: host candidates over TCP prefer less than any UDP; direction
            // preference of passive is 4.
            Transport::TcpPassive => (
                "tcp",
                't',
                90,
                (4 << 13) + 8_191 - u32::from(self.rank.min(8_191)),
                " tcptype passive",
            ),
        };
        let priority = (type_preference << 24) | (local_preference << 8) | 255;
        format!(
            "a=candidate:{foundation}{} 1 {name} {priority} {} {} typ host{suffix}",
            self.rank,
            self.address.ip(),
            self.address.port(),
        )
    }
}

/// Whether `text` is a candidate: what follows `a=` in a description, or the `candidate` member of
/// an `RTCIceCandidate`. Empty text means that there are no more.
///
/// # Errors
/// Names the part that cannot be read.
pub(in crate::peer) fn check_candidate(text: &str) -> Result<(), SdpError> {
    let text = text.trim().trim_start_matches("a=");
    if text.is_empty() || text == "end-of-candidates" {
        return Ok(());
    }
    let error = |part| Err(SdpError::Candidate(part));
    if text.len() > 512 {
        return error("longer than 512 bytes");
    }
    let text = text.strip_prefix("candidate:").unwrap_or(text);
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [
        foundation,
        component,
        transport,
        priority,
        address,
        port,
        typ,
        kind,
        rest @ ..,
    ] = &words[..]
    else {
        return error("fewer than eight fields");
    };
    if foundation.len() > 32 {
        return error("foundation longer than 32 characters");
    }
    if !matches!(component.parse(), Ok(1u16..=256)) {
        return error("component");
    }
    if !["udp", "tcp"]
        .iter()
        .any(|t| transport.eq_ignore_ascii_case(t))
    {
        return Err(SdpError::NoWay("transport is neither udp nor tcp"));
    }
    if priority.parse::<u32>().is_err() {
        return error("priority");
    }
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    match address.parse::<IpAddr>() {
        Ok(ip) if reserved(ip) => {
            return Err(SdpError::NoWay("nobody is reached at its address"));
        }
        Err(_) if !(address.ends_with(".local") && address.bytes().all(name)) => {
            let what = "address is neither an IP address nor a .local name";
            return Err(SdpError::NoWay(what));
        }
        Ok(_) | Err(_) => {}
    }
    if port.parse::<u16>().is_err() {
        return error("port");
    }
    if *typ != "typ" || !["host", "srflx", "prflx", "relay"].contains(kind) {
        return error("type");
    }
    if !rest.len().is_multiple_of(2) {
        return error("an extension without a value");
    }
    Ok(())
}

/// Whether no single host can have this address (RFC 6890 and its registry): "this network",
/// multicast, broadcast, examples in texts, what is kept for later. Private addresses and
/// loopback are where clients of a server at home are.
fn reserved(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let first = ip.octets()[0];
            first == 0 || first >= 224 || ip.is_documentation()
        }
        IpAddr::V6(ip) => {
            let examples = matches!(ip.segments(), [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..]);
            ip.is_unspecified() || ip.is_multicast() || examples
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn udp_comes_before_tcp_and_ranks_in_order() {
        let candidate = |transport, rank| Candidate {
            transport,
            address: SocketAddr::from(([192, 0, 2, 1], 40_000)),
            rank,
        };
        assert_eq!(
            candidate(Transport::Udp, 0).line(),
            "a=candidate:u0 1 udp 2130706431 192.0.2.1 40000 typ host"
        );
        let priority = |c: Candidate| {
            let line = c.line();
            line.split(' ').nth(3).unwrap().parse::<u32>().unwrap()
        };
        let ordered = [
            candidate(Transport::Udp, 0),
            candidate(Transport::Udp, 9),
            candidate(Transport::TcpPassive, 0),
            candidate(Transport::TcpPassive, 9),
        ]
        .map(priority);
        assert!(ordered.is_sorted_by(|a, b| a > b), "{ordered:?}");
    }

    #[test]
    fn what_browsers_send_is_read_and_garbage_named() {
        let good = [
            "",
            "candidate:1 1 udp 2122260223 192.168.1.7 50000 typ host generation 0 ufrag abcd",
            "a=candidate:1 1 UDP 1 3c1f2f0e-6c3b-4a2e-9b52-0123456789ab.local 9 typ host",
            "candidate:3 1 tcp 1518214911 10.0.0.2 9 typ host tcptype active",
            "candidate:4 1 udp 1 2606:4700::1 9 typ relay raddr 0.0.0.0 rport 0",
            "candidate:5 1 udp 1 127.0.0.1 9 typ host",
            "a=end-of-candidates",
        ];
        for text in good {
            assert_eq!(check_candidate(text), Ok(()), "{text}");
        }
        let bad = [
            "candidate:1 1 udp",
            "candidate:1 0 udp 1 10.0.0.1 9 typ host",
            "candidate:1 1 sctp 1 10.0.0.1 9 typ host",
            "candidate:1 1 udp -1 10.0.0.1 9 typ host",
            "candidate:1 1 udp 1 example.com 9 typ host",
            "candidate:1 1 udp 1 10.0.0.1 99999 typ host",
            "candidate:1 1 udp 1 10.0.0.1 9 type host",
            "candidate:1 1 udp 1 10.0.0.1 9 typ host raddr",
        ];
        for text in bad {
            assert!(check_candidate(text).is_err(), "{text}");
        }
        assert!(check_candidate(&"x ".repeat(1000)).is_err());
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.251",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.2.7",
            "::",
            "::ffff:0.0.0.0",
            "::ffff:239.1.1.1",
            "ff02::fb",
            "2001:db8::1",
            "3fff:123::1",
        ] {
            let text = format!("candidate:1 1 udp 1 {address} 9 typ host");
            let refused = check_candidate(&text);
            assert_eq!(
                refused,
                Err(SdpError::NoWay("nobody is reached at its address")),
                "{text}"
            );
        }
    }
}
