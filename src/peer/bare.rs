//! The least that sending can cost: packets are protected and sent in a loop that does nothing
//! else. The bench holds a viewer's price against it.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use rtc::crypto;
use rtc::rtp;
use rtc::shared::marshal::Marshal as _;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;

use super::Error;
use crate::stats::thread_cpu_seconds;

/// The receiving end is read by somebody, as a client would; it looks up that often whether there
/// is an end to it.
const LOOK: Duration = Duration::from_millis(50);

/// CPU seconds of protecting (AES-128-GCM) and sending each of `packets` packets with so many
/// bytes of payload, on loopback.
///
/// # Errors
/// If there is no socket, or the library refuses.
pub fn send(packets: u32, payload: usize) -> Result<f64, Error> {
    let socket = |error: io::Error| Error::at("open a socket on loopback")(error);
    let near = UdpSocket::bind("127.0.0.1:0").map_err(socket)?;
    let far = UdpSocket::bind("127.0.0.1:0").map_err(socket)?;
    let address = far.local_addr().map_err(socket)?;
    near.connect(address).map_err(socket)?;
    far.set_read_timeout(Some(LOOK)).map_err(socket)?;
    let reading = std::thread::spawn(move || {
        let mut packet = [0; 2048];
        while far.recv(&mut packet).is_ok() {}
    });
    let spent = protect_and_send(&near, packets, payload)?;
    // It ends by itself; a panic in it would be no matter of ours.
    let _ = reading.join();
    Ok(spent)
}

fn protect_and_send(socket: &UdpSocket, packets: u32, payload: usize) -> Result<f64, Error> {
    let provider = crypto::default_provider().map_err(Error::at("find a cipher"))?;
    let profile = ProtectionProfile::AeadAes128Gcm;
    let (key, salt) = (
        vec![7_u8; profile.key_len()],
        vec![9_u8; profile.salt_len()],
    );
    let context = Context::new(&key, &salt, profile, None, None, provider.crypto());
    let mut context = context.map_err(Error::at("set a cipher up"))?;
    let mut packet = rtp::Packet {
        header: rtp::Header {
            version: 2,
            payload_type: 96,
            ssrc: 1,
            ..Default::default()
        },
        payload: vec![5_u8; payload].into(),
    };
    let before = thread_cpu_seconds();
    for number in 0..packets {
        packet.header.sequence_number = number as u16;
        packet.header.timestamp = number * 3_000;
        let plain = packet.marshal().map_err(Error::at("write a packet"))?;
        let protected = context.encrypt_rtp_with_header(&plain, &packet.header);
        let protected = protected.map_err(Error::at("protect a packet"))?;
        socket
            .send(&protected)
            .map_err(Error::at("send a packet"))?;
    }
    Ok((thread_cpu_seconds() - before) / f64::from(packets.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_takes_some_microseconds() {
        let spent = send(1_000, 1_000).expect("it works");
        assert!((0.2e-6..1e-3).contains(&spent), "{spent}");
    }
}
