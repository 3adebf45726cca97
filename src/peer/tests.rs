//! The parsers of what strangers and clients send, under inputs that are almost right.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rtc::interceptor::{AttributedPacket, Packet, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::marshal::{Marshal, Unmarshal};
use rtc::{rtcp, rtp};

use super::client::Odd;
use super::link::Link;
use super::routes::Routes;
use super::rtx::Rtx;
use super::sdp::tests::CHROME;
use super::sdp::{
    self, Candidate, Description, Offer, Transport, answer, check_candidate, negotiated,
};
use super::sources::Sources;
use super::stun::{self, Binding};
use super::tap::Tap;
use super::{Fragment, OneWay, State, Uplink, Way};
use crate::clock::{MediaTime, NtpTime};
use crate::fuzz::{mutants, texts};
use crate::media::{Kind, RtpPacket, VideoCodec};

const OURS: Candidate = Candidate {
    transport: Transport::Udp,
    address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4),
    rank: 0,
};

#[test]
fn fuzz_descriptions() {
    let chrome = CHROME.as_bytes();
    let mut served = 0;
    for text in texts(&[chrome, chrome, b"v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"]) {
        let Ok(offer) = Offer::parse(&text, &[], true) else {
            continue;
        };
        served += 1;
        assert!(!offer.served().is_empty());
        let seen = offer.for_library(Some(VideoCodec::Vp8));
        // What the library gets to see is a description with one section of each kind and at
        // most one data channel, and none of the client's candidates.
        let described = Description::parse(&seen).unwrap_or_else(|e| panic!("{e}: {seen}"));
        assert!(described.sections.len() <= 3, "{seen}");
        assert!(!seen.contains("\r\na=candidate:"), "{seen}");
        // As if the library gave the offer back.
        let answered = answer(&offer, &seen, &[OURS], None).unwrap();
        let ours = Description::parse(&answered).unwrap();
        assert_eq!(
            ours.sections.len(),
            Description::parse(&text).unwrap().sections.len()
        );
        let settled = negotiated(&answered, true, None).unwrap();
        for payload_type in 0..=255 {
            settled.payload(payload_type);
        }
        assert_eq!(
            Offer::parse(&text, &offer.served(), true).map(|o| o.served()),
            Ok(offer.served())
        );
    }
    assert!(served > 1_000, "only {served} were offers at all");
}

#[test]
fn fuzz_candidates() {
    let corpus: [&[u8]; 3] = [
        b"candidate:1 1 udp 2122260223 192.168.1.7 50000 typ host generation 0 ufrag abcd",
        b"a=candidate:1 1 UDP 1 3c1f2f0e-6c3b-4a2e-9b52-0123456789ab.local 9 typ host",
        b"candidate:4 1 tcp 1 2606:4700::1 9 typ relay raddr 0.0.0.0 rport 0 tcptype active",
    ];
    let good = texts(&corpus).filter(|text| check_candidate(text).is_ok());
    assert!(good.count() > 100);
}

#[test]
fn fuzz_fragments() {
    let corpus: [&[u8]; 2] = [
        b"a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:wxyz\r\n\
          a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n",
        b"a=ice-ufrag:wxyz\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=end-of-candidates\r\n",
    ];
    let offer = CHROME.replace("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "m=text 9 x 96\r\n");
    let before = OneWay::read(&offer, Way::Sends).unwrap();
    let mut restarts = 0;
    for text in texts(&corpus) {
        let Ok(fragment) = Fragment::read(&text) else {
            continue;
        };
        if let Ok(Some(after)) = before.restarted(&fragment) {
            restarts += 1;
            // The same media, whatever the fragment says.
            let after = Offer::parse(&after.text(), &[], false).unwrap();
            let same = Offer::parse(&offer, &[], false).unwrap();
            assert_eq!(after.served(), same.served(), "{text}");
        }
    }
    assert!(restarts > 1_000, "only {restarts} restarted anything");
}

#[test]
fn fuzz_stun_and_routes() {
    let request = stun::tests::request([7; 12], "server:client");
    let success = stun::tests::message(0x0101, [9; 12], &[]);
    let corpus: [&[u8]; 3] = [&request, &success, &[0x80; 40]];
    let (mut routes, mut sources) = (Routes::default(), Sources::default());
    routes.open(1);
    routes.name(1, "server");
    let (mut known, stranger) = (0, SocketAddr::from(([192, 0, 2, 1], 9)));
    for bytes in mutants(&corpus) {
        sources.admit(&bytes);
        match stun::parse(&bytes) {
            Some(Binding::Request { ufrag, .. }) => {
                assert!(stun::is_stun(&bytes));
                known += usize::from(ufrag.and_then(|ufrag| routes.request(ufrag)).is_some());
            }
            Some(Binding::Success { transaction }) => {
                assert_eq!(routes.success(transaction, stranger), None, "nobody asked");
            }
            Some(Binding::Error { transaction }) => {
                assert_eq!(routes.response(transaction, stranger), None, "nobody asked");
            }
            Some(Binding::Indication) | None => {}
        }
        assert_eq!(routes.media(stranger), None, "nothing proves a stranger");
    }
    assert!(known > 100, "{known}");
    assert_eq!(routes.len(), (1, 1), "strangers leave nothing behind");
}

/// Checks what comes up.
#[derive(Default)]
struct Strict(Mutex<usize>);

impl Uplink for Strict {
    fn track(&self, _: Kind, _: Option<VideoCodec>) {}
    fn packet(&self, kind: Kind, packet: RtpPacket) {
        let expected: &[u8] = match kind {
            Kind::Audio => &[111],
            Kind::Video => &[102, 96],
        };
        assert!(expected.contains(&packet.payload_type), "{packet:?}");
        *self.0.lock().unwrap() += 1;
    }
    fn sender_report(&self, _: Kind, _: NtpTime, _: u32) {}
    fn keyframe_requested(&self) {}
    fn state(&self, _: State) {}
    fn bandwidth(&self, _: u64) {}
}

/// What reaches the driver decrypted, in any shape: through the library's own parsers, the
/// retransmissions and the tap.
#[test]
fn fuzz_rtp_and_rtcp() {
    let uplink = Arc::new(Strict::default());
    let link = Link::new(uplink.clone(), Arc::default());
    let offer = Offer::parse(CHROME, &[], true).unwrap();
    let answered = answer(&offer, &offer.for_library(None), &[OURS], None).unwrap();
    link.set_negotiated(sdp::negotiated(&answered, true, None).unwrap());
    let (mut rtx, mut tap) = (Rtx::new(link.clone()), Tap::new(link.clone()));
    let rtp = |payload_type: u8, ssrc: u8, payload: &[u8]| {
        // With a one-byte header extension (RFC 8285).
        let mut bytes = vec![0x90, payload_type, 0, 1, 0, 0, 0, 2, 0, 0, 0, ssrc];
        bytes.extend([0xbe, 0xde, 0, 1, 0xe0, 0x85, 0, 0]);
        bytes.extend(payload);
        bytes
    };
    let packets = [
        rtp(102, 1, &[0x65, 1, 2, 3]),
        rtp(96, 1, &[0x10, 0, 0]),
        rtp(103, 2, &[0, 7, 0x65, 1]),
        rtp(111, 3, &[0x78, 1, 2]),
    ];
    let corpus: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
    let tagged = |packet| TaggedPacket {
        now: Instant::now(),
        transport: TransportContext::default(),
        message: AttributedPacket::new(packet),
    };
    for (n, mut bytes) in mutants(&corpus).enumerate() {
        // Codecs may change, and mostly numbers go on.
        link.wire.set_arrived(MediaTime(n as u64 * 600_000_000));
        if let (Some(sequence), true) = (bytes.get_mut(2..4), n % 4 != 0) {
            sequence.copy_from_slice(&(n as u16).to_be_bytes());
        }
        if let Ok(packet) = rtp::Packet::unmarshal(&mut bytes.as_slice()) {
            rtx.handle_read(tagged(Packet::Rtp(packet))).unwrap();
            while let Some(read) = rtx.poll_read() {
                tap.handle_read(read).unwrap();
            }
        }
    }
    assert!(*uplink.0.lock().unwrap() > 1_000);

    let mut sender = super::reports::Sent::new(*link.stream(Kind::Video));
    sender.next(10, None);
    let (report, description) = sender.report(Default::default(), None, "x");
    let pli = match Odd::Pli.packet(&link) {
        Packet::Rtcp(packets) => rtcp::packet::marshal(&packets).unwrap(),
        _ => unreachable!("a PLI is RTCP"),
    };
    let compound = [report.marshal().unwrap(), description.marshal().unwrap()].concat();
    // FIR, REMB (RFC 5104; draft-alvestrand-rmcat-remb), NACK and transport-wide feedback.
    let corpus: [&[u8]; 6] = [
        &compound,
        &pli,
        &[
            0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0,
        ],
        &[
            0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 8, 0, 9, 0, 0, 0, 2,
        ],
        &[0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0xff, 0xff],
        &[
            0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 2, 0, 0, 1, 0, 0x20, 2, 4, 8,
        ],
    ];
    let mut read = 0;
    for bytes in mutants(&corpus) {
        if let Ok(packets) = rtcp::packet::unmarshal(&mut bytes.as_slice()) {
            tap.handle_read(tagged(Packet::Rtcp(packets))).unwrap();
            read += 1;
        }
    }
    assert!(read > 1_000, "{read}");
}
