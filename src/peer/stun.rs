//! The little of STUN (RFC 8489) that routing needs: is it STUN, which class, which transaction,
//! whose user name. Checking integrity stays with the ICE agent. Besides, who asks for nothing but
//! their own address is told, so that pages that meet without the server need nobody else.

use std::net::{IpAddr, SocketAddr};

/// Names one request and its response; chosen at random by whoever asks.
pub(super) type Transaction = [u8; 12];

const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const ATTRIBUTE_USERNAME: u16 = 0x0006;
const ATTRIBUTE_XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// Binding success.
const SUCCESS: u16 = 0x0101;

/// A Binding message (the only method ICE uses).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binding<'a> {
    /// A check. `ufrag` is the part of USERNAME before the colon: that of the receiving agent.
    Request {
        /// Name of this exchange.
        transaction: Transaction,
        /// The receiver's user name fragment, if there is a USERNAME.
        ufrag: Option<&'a str>,
    },
    /// The answer to a check.
    Success {
        /// The request it answers.
        transaction: Transaction,
    },
    /// An error response; belongs to a request too.
    Error {
        /// The request it answers.
        transaction: Transaction,
    },
    /// A keepalive that wants no answer.
    Indication,
}

/// Whether the first byte says STUN (RFC 7983: 0 to 3).
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| *byte <= 3)
}

/// Reads a Binding message; `None` for anything malformed or of another method.
pub(super) fn parse(datagram: &[u8]) -> Option<Binding<'_>> {
    if datagram.len() < HEADER || !is_stun(datagram) || datagram[4..8] != MAGIC_COOKIE {
        return None;
    }
    let length = u16::from_be_bytes([datagram[2], datagram[3]]) as usize;
    if !length.is_multiple_of(4) || HEADER + length != datagram.len() {
        return None;
    }
    let transaction: Transaction = datagram[8..HEADER].try_into().ok()?;
    // Method Binding (0x001) with the two class bits at 0x0100 and 0x0010.
    match u16::from_be_bytes([datagram[0], datagram[1]]) {
        0x0001 => Some(Binding::Request {
            transaction,
            ufrag: username(&datagram[HEADER..]).and_then(|name| name.split(':').next()),
        }),
        0x0011 => Some(Binding::Indication),
        SUCCESS => Some(Binding::Success { transaction }),
        0x0111 => Some(Binding::Error { transaction }),
        _ => None,
    }
}

/// The answer to whoever asks what their address is (RFC 8489 sections 5 and 14.2).
pub(super) fn reflection(transaction: Transaction, from: SocketAddr) -> Vec<u8> {
    let port = from.port() ^ u16::from_be_bytes([MAGIC_COOKIE[0], MAGIC_COOKIE[1]]);
    let mask = MAGIC_COOKIE.iter().chain(&transaction);
    let (family, address) = match from.ip().to_canonical() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let hidden = address.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    let mut value = vec![0, family];
    value.extend(port.to_be_bytes());
    value.extend(hidden);
    let mut message = SUCCESS.to_be_bytes().to_vec();
    message.extend((value.len() as u16 + 4).to_be_bytes());
    message.extend(MAGIC_COOKIE);
    message.extend(transaction);
    message.extend(ATTRIBUTE_XOR_MAPPED_ADDRESS.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message
}

fn username(mut attributes: &[u8]) -> Option<&str> {
    while let [a, b, c, d, rest @ ..] = attributes {
        let length = u16::from_be_bytes([*c, *d]) as usize;
        let value = rest.get(..length)?;
        if u16::from_be_bytes([*a, *b]) == ATTRIBUTE_USERNAME {
            return std::str::from_utf8(value).ok();
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A Binding request with an unknown attribute before the USERNAME.
    pub(in crate::peer) fn request(transaction: Transaction, username: &str) -> Vec<u8> {
        let mut attributes = vec![0x80, 0x22, 0, 3, b'q', b'l', b't', 0];
        attributes.extend(ATTRIBUTE_USERNAME.to_be_bytes());
        attributes.extend((username.len() as u16).to_be_bytes());
        attributes.extend(username.as_bytes());
        attributes.resize(attributes.len().next_multiple_of(4), 0);
        message(0x0001, transaction, &attributes)
    }

    /// Any message.
    pub(in crate::peer) fn message(kind: u16, id: Transaction, attributes: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend((attributes.len() as u16).to_be_bytes());
        bytes.extend(MAGIC_COOKIE);
        bytes.extend(id);
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn a_request_names_the_receiver_first() {
        assert_eq!(
            parse(&request([7; 12], "server:client")),
            Some(Binding::Request {
                transaction: [7; 12],
                ufrag: Some("server")
            })
        );
    }

    #[test]
    fn addresses_are_told_as_the_standard_has_it() {
        // RFC 5769 section 2.2 and 2.3: the same transaction, and its XOR-MAPPED-ADDRESS.
        let id = [
            0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
        ];
        let answer = reflection(id, "192.0.2.1:32853".parse().unwrap());
        let expected = [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        assert_eq!(answer[HEADER..], expected);
        assert_eq!(parse(&answer), Some(Binding::Success { transaction: id }));
        let six = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
        let answer = reflection(id, six.parse().unwrap());
        let expected = [
            0, 0x20, 0, 0x14, 0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79,
            0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        assert_eq!(answer[HEADER..], expected);
    }

    #[test]
    fn classes_are_told_apart() {
        let id = [1; 12];
        assert_eq!(
            parse(&message(0x0101, id, &[])),
            Some(Binding::Success { transaction: id })
        );
        assert_eq!(
            parse(&message(0x0111, id, &[])),
            Some(Binding::Error { transaction: id })
        );
        assert_eq!(parse(&message(0x0011, id, &[])), Some(Binding::Indication));
        assert_eq!(parse(&message(0x0003, id, &[])), None, "TURN Allocate");
    }

    #[test]
    fn malformed_messages_are_nobody_s() {
        let good = request([0; 12], "a:b");
        for cut in 0..good.len() {
            assert_eq!(parse(&good[..cut]), None, "cut at {cut}");
        }
        let mut long_attribute = message(0x0001, [0; 12], &[0, 6, 0xff, 0xff, b'a', b':', b'b', 0]);
        assert_eq!(
            parse(&long_attribute),
            Some(Binding::Request {
                transaction: [0; 12],
                ufrag: None
            })
        );
        long_attribute[4] = 0;
        assert_eq!(parse(&long_attribute), None, "wrong magic cookie");
        assert!(!is_stun(&[22, 254, 253]), "a DTLS record");
    }
}
