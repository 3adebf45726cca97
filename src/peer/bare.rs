//! The least that sending can cost: packets are protected and sent in a loop that does nothing
//! else. The bench holds a viewer's price against it.
//!
//! The loop sends what viewers get, when they get it: to each an address and a cipher of their own,
//! pictures in bursts and sound between them, to sockets whose readers sleep until something comes.
//! One that sends without a pause to one socket is several times cheaper a packet, for all is in
//! the caches, nobody has to be woken, and what the reader is too slow for is dropped early.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rtc::crypto;
use rtc::rtp;
use rtc::shared::marshal::Marshal as _;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;
use tokio::sync::oneshot;

use super::Error;
use crate::stats::thread_cpu_seconds;

/// How often the loop looks what is due: sound every second time, pictures when their time has come.
const TICK: Duration = Duration::from_millis(10);
const TICKS_A_SECOND: u32 = 100;
/// Ticks between two packets of sound.
const SOUND: u32 = 2;
/// Bytes of sound in a packet.
const SOUND_PAYLOAD: usize = 80;

/// What every viewer is sent.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many there are.
    pub viewers: usize,
    /// Pictures a second; at most one a tick.
    pub pictures: f64,
    /// Packets of a picture, on average.
    pub packets: f64,
    /// Bytes of payload of such a packet.
    pub payload: usize,
}

/// One who is sent to.
struct Viewer {
    address: SocketAddr,
    context: Context,
    sequence: u16,
}

/// Cores that one viewer takes: what protecting (AES-128-GCM) and sending takes for so many seconds,
/// on loopback, shared by all.
///
/// # Errors
/// If there is no socket, or the library refuses.
pub fn serve(load: Load, seconds: u32) -> Result<f64, Error> {
    let open = |_| {
        let socket = UdpSocket::bind("127.0.0.1:0");
        socket.map_err(Error::at("open a socket on loopback"))
    };
    let near = open(0)?;
    let far = (0..load.viewers).map(open).collect::<Result<Vec<_>, _>>()?;
    let viewers = far.iter().map(Viewer::of).collect::<Result<Vec<_>, _>>()?;
    let (end, ended) = oneshot::channel::<()>();
    let reading = std::thread::spawn(move || read(far, ended));
    let spent = protect_and_send(&near, viewers, load, seconds);
    drop(end);
    // A panic in it would be no matter of ours.
    let _ = reading.join();
    Ok(spent? / f64::from(seconds) / load.viewers.max(1) as f64)
}

/// Reads all of these, as clients would, until the end.
fn read(sockets: Vec<UdpSocket>, ended: oneshot::Receiver<()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let Ok(runtime) = runtime.enable_io().build() else {
        return;
    };
    runtime.block_on(async {
        for socket in sockets {
            tokio::spawn(read_one(socket));
        }
        // An error is the end, too.
        let _ = ended.await;
    });
}

async fn read_one(socket: UdpSocket) -> io::Result<Infallible> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut packet = [0; 2048];
    loop {
        socket.recv(&mut packet).await?;
    }
}

/// CPU seconds of all of it.
fn protect_and_send(
    socket: &UdpSocket,
    mut viewers: Vec<Viewer>,
    load: Load,
    seconds: u32,
) -> Result<f64, Error> {
    let (video, sound) = (vec![5_u8; load.payload], vec![6_u8; SOUND_PAYLOAD]);
    let (mut pictures, mut packets) = (0.0, 0.0);
    let began = Instant::now();
    let before = thread_cpu_seconds();
    for tick in 0..seconds * TICKS_A_SECOND {
        std::thread::sleep((began + TICK * tick).saturating_duration_since(Instant::now()));
        let mut burst = 0;
        pictures += load.pictures / f64::from(TICKS_A_SECOND);
        if pictures >= 1.0 {
            pictures -= 1.0;
            packets += load.packets;
            burst = packets as u32;
            packets -= f64::from(burst);
        }
        for viewer in &mut viewers {
            for _ in 0..burst {
                viewer.send(socket, &video, tick)?;
            }
            if tick % SOUND == 0 {
                viewer.send(socket, &sound, tick)?;
            }
        }
    }
    Ok(thread_cpu_seconds() - before)
}

impl Viewer {
    /// Whoever reads this socket.
    fn of(socket: &UdpSocket) -> Result<Self, Error> {
        let provider = crypto::default_provider().map_err(Error::at("find a cipher"))?;
        let profile = ProtectionProfile::AeadAes128Gcm;
        let (key, salt) = (
            vec![7_u8; profile.key_len()],
            vec![9_u8; profile.salt_len()],
        );
        let context = Context::new(&key, &salt, profile, None, None, provider.crypto());
        let address = socket.local_addr();
        Ok(Self {
            address: address.map_err(Error::at("read a socket's address"))?,
            context: context.map_err(Error::at("set a cipher up"))?,
            sequence: 0,
        })
    }

    fn send(&mut self, socket: &UdpSocket, payload: &[u8], tick: u32) -> Result<(), Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let packet = rtp::Packet {
            header: rtp::Header {
                version: 2,
                payload_type: 96,
                sequence_number: self.sequence,
                timestamp: tick,
                ssrc: 1,
                ..Default::default()
            },
            payload: payload.to_vec().into(),
        };
        let plain = packet.marshal().map_err(Error::at("write a packet"))?;
        let protected = self
            .context
            .encrypt_rtp_with_header(&plain, &packet.header)
            .map_err(Error::at("protect a packet"))?;
        let sent = socket.send_to(&protected, self.address);
        sent.map_err(Error::at("send a packet"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_takes_some_microseconds() {
        let load = Load {
            viewers: 10,
            pictures: 20.0,
            packets: 3.0,
            payload: 1_000,
        };
        let cores = serve(load, 1).expect("it works");
        // 110 packets a second to each.
        let packet = cores / 110.0;
        assert!((0.2e-6..1e-3).contains(&packet), "{packet} s a packet");
    }
}
