//! SRTP and SRTCP with AES-128-GCM (RFC 7714) where packets pass by the library: those that go out
//! on the [`lane`](super::lane), and what receivers say of them ([`feedback`](super::feedback)).
//!
//! A nonce is a source, its rollover count and a sequence number, and must never come twice with
//! one key. So the library does not count for itself: its ciphers are these very ones
//! ([`keys`](super::keys)), and whichever way a packet goes, its place is counted here and nowhere
//! else.

use rtc::crypto::{AeadCipher, CryptoError};

use super::sources::SOURCES;

/// What a cipher appends.
pub(super) const TAG: usize = 16;
/// The part of a session salt that is used.
pub(super) type Salt = [u8; 12];

/// The header of RTP without anything that may follow.
const RTP: usize = 12;
/// What is not encrypted of RTCP: the first header, and whose it is.
const RTCP: usize = 8;
/// What follows the tag of SRTCP: whether it is encrypted, and its number.
const INDEX: usize = 4;
const ENCRYPTED: u32 = 1 << 31;
/// Packets that one key may protect of a source.
const MOST: u64 = 1 << 48;

/// Protects what goes out on one connection.
pub(super) struct Sealer {
    cipher: Box<dyn AeadCipher>,
    salt: Salt,
    /// Each source's newest packet, all rollovers counted. There are three of them.
    newest: Vec<(u32, u64)>,
}

impl Sealer {
    /// By a session's key and salt.
    pub fn new(cipher: Box<dyn AeadCipher>, salt: Salt) -> Self {
        Self {
            cipher,
            salt,
            newest: Vec::new(),
        }
    }

    /// Protects a packet of RTP in its place. One that is sent again has to be the same to the
    /// last bit.
    pub fn seal(
        &mut self,
        header: &[u8],
        payload: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), CryptoError> {
        let [_, _, s0, s1, _, _, _, _, a, b, c, d, ..] = *header else {
            return Err(CryptoError::OutputTooSmall {
                required: RTP,
                actual: header.len(),
            });
        };
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        let index = self.index(ssrc, u16::from_be_bytes([s0, s1]));
        let index = index.ok_or(CryptoError::Provider("no number is left".to_owned()))?;
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
        nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        salted(&mut nonce, &self.salt);
        self.cipher.seal_in_place(&nonce, header, payload, tag)
    }

    /// The place of a packet among all of its source: the one nearest to the newest (RFC 3711
    /// section 3.3.1), as whoever receives it takes it to be.
    fn index(&mut self, ssrc: u32, sequence: u16) -> Option<u64> {
        let at = self.newest.iter().position(|(source, _)| *source == ssrc);
        let at = at.unwrap_or_else(|| {
            self.newest.push((ssrc, sequence.into()));
            self.newest.len() - 1
        });
        let newest = &mut self.newest[at].1;
        let ahead = sequence.wrapping_sub(*newest as u16) as i16;
        let index = newest.checked_add_signed(ahead.into())?;
        if index >= MOST {
            return None;
        }
        *newest = index.max(*newest);
        Some(index)
    }
}

/// Opens what the other side sends as RTCP.
pub(super) struct Opener {
    cipher: Box<dyn AeadCipher>,
    salt: Salt,
    /// Of each source that has proven to be one.
    seen: Vec<(u32, Window)>,
}

impl Opener {
    /// By a session's key and salt.
    pub fn new(cipher: Box<dyn AeadCipher>, salt: Salt) -> Self {
        Self {
            cipher,
            salt,
            seen: Vec::new(),
        }
    }

    /// A compound as it came, opened. None: it is not genuine, or has been here before.
    pub fn packet(&mut self, protected: &[u8]) -> Option<Vec<u8>> {
        let (rest, index) = protected.split_last_chunk::<INDEX>()?;
        let (rest, tag) = rest.split_last_chunk::<TAG>()?;
        let (header, _) = rest.split_first_chunk::<RTCP>()?;
        let mut known = [0; RTCP + INDEX];
        known[..RTCP].copy_from_slice(header);
        known[RTCP..].copy_from_slice(index);
        let mut opened = rest.to_vec();
        self.open(&known, &mut opened[RTCP..], tag).ok()?;
        Some(opened)
    }

    /// Opens what is encrypted, in its place. `known`: what is not, the number last.
    pub fn open(&mut self, known: &[u8], text: &mut [u8], tag: &[u8]) -> Result<(), CryptoError> {
        let [_, _, _, _, a, b, c, d, e, f, g, h] = *known else {
            return Err(CryptoError::AuthenticationFailed);
        };
        let (ssrc, index) = (
            u32::from_be_bytes([a, b, c, d]),
            u32::from_be_bytes([e, f, g, h]),
        );
        let at = self.seen.iter().position(|(source, _)| *source == ssrc);
        let fresh = match at {
            Some(at) => self.seen[at].1.is_new(index),
            None => self.seen.len() < SOURCES,
        };
        if index & ENCRYPTED == 0 || !fresh {
            return Err(CryptoError::AuthenticationFailed);
        }
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
        nonce[8..].copy_from_slice(&(index & !ENCRYPTED).to_be_bytes());
        salted(&mut nonce, &self.salt);
        self.cipher.open_in_place(&nonce, known, text, tag)?;
        match at {
            Some(at) => self.seen[at].1.note(index),
            None => self.seen.push((ssrc, Window::new(index))),
        }
        Ok(())
    }
}

fn salted(nonce: &mut [u8; 12], salt: &Salt) {
    for (byte, salt) in nonce.iter_mut().zip(salt) {
        *byte ^= salt;
    }
}

/// The numbers seen lately (RFC 3711 section 3.3.2): what somebody sends again is not read again.
struct Window {
    newest: u32,
    /// The lowest bit is the newest.
    seen: u64,
}

impl Window {
    fn new(first: u32) -> Self {
        Self {
            newest: first,
            seen: 1,
        }
    }

    fn is_new(&self, index: u32) -> bool {
        match self.newest.checked_sub(index) {
            None => true,
            Some(back) => back < u64::BITS && self.seen & (1 << back) == 0,
        }
    }

    fn note(&mut self, index: u32) {
        match index.checked_sub(self.newest) {
            Some(ahead) => {
                self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
                self.newest = index;
            }
            None => self.seen |= 1 << (self.newest - index),
        }
    }
}

#[cfg(test)]
mod tests {
    use rtc::crypto::{AeadAlgorithm, default_provider};
    use rtc::shared::marshal::Marshal as _;
    use rtc::srtp::context::Context;
    use rtc::srtp::protection_profile::ProtectionProfile;
    use rtc::{rtcp, rtp};

    use super::super::keys::expand;
    use super::*;

    const MASTER: [u8; 16] = [7; 16];
    const SALT: Salt = [9; 12];

    fn cipher(label: u8) -> (Box<dyn AeadCipher>, Salt) {
        let provider = default_provider().unwrap();
        let crypto = provider.crypto();
        let mut input = [0; 16];
        input[..12].copy_from_slice(&SALT);
        let key = expand(crypto, &MASTER, input, label).unwrap();
        let salt = expand(crypto, &MASTER, input, label + 2).unwrap();
        let cipher = crypto.new_aead(AeadAlgorithm::Aes128Gcm, &key).unwrap();
        (cipher, salt[..12].try_into().unwrap())
    }

    fn library() -> Context {
        let provider = default_provider().unwrap();
        let profile = ProtectionProfile::AeadAes128Gcm;
        Context::new(&MASTER, &SALT, profile, None, None, provider.crypto()).unwrap()
    }

    fn packet(sequence: u16) -> (Vec<u8>, Vec<u8>) {
        let header = rtp::Header {
            version: 2,
            sequence_number: sequence,
            ssrc: 0x0102_0304,
            ..Default::default()
        };
        (header.marshal().unwrap().to_vec(), vec![sequence as u8; 40])
    }

    #[test]
    fn the_library_reads_what_is_sealed_across_rollovers() {
        let (cipher, salt) = cipher(0);
        let (mut sealer, mut library) = (Sealer::new(cipher, salt), library());
        // Four rollovers, every third packet a little late.
        let late = |n: u32| if n % 3 == 2 { n - 5 } else { n };
        for n in (10..280_000).map(late) {
            let (mut bytes, mut payload) = packet(n as u16);
            let plain = payload.clone();
            let mut tag = [0; TAG];
            sealer.seal(&bytes, &mut payload, &mut tag).unwrap();
            bytes.extend(payload);
            bytes.extend(tag);
            let read = library.decrypt_rtp(&bytes).unwrap();
            assert_eq!(read[RTP..], plain, "{n}");
        }
    }

    #[test]
    fn places_are_counted_for_each_source_and_never_below_the_first() {
        let (cipher, salt) = cipher(0);
        let mut sealer = Sealer::new(cipher, salt);
        let mut of = |ssrc, sequence| sealer.index(ssrc, sequence);
        assert_eq!(of(1, 65_535), Some(65_535));
        assert_eq!(of(2, 3), Some(3));
        assert_eq!(of(1, 1), Some(65_537));
        assert_eq!(of(1, 65_534), Some(65_534), "late");
        assert_eq!(of(1, 0), Some(65_536));
        assert_eq!(of(2, 65_535), None, "before the beginning");
        assert!(sealer.seal(&[0x80; 11], &mut [], &mut [0; TAG]).is_err());
    }

    #[test]
    fn reports_are_read_once_and_only_if_genuine() {
        let (cipher, salt) = cipher(3);
        let (mut opener, mut library) = (Opener::new(cipher, salt), library());
        let report = |ssrc| {
            let report = rtcp::receiver_report::ReceiverReport {
                ssrc,
                ..Default::default()
            };
            report.marshal().unwrap()
        };
        let sent: Vec<_> = (0..200)
            .map(|n| library.encrypt_rtcp(&report(5 + n % 2)).unwrap())
            .collect();
        assert_eq!(opener.packet(&sent[0]).as_deref(), Some(&report(5)[..]));
        assert_eq!(opener.packet(&sent[0]), None, "again");
        assert!(opener.packet(&sent[6]).is_some());
        assert!(opener.packet(&sent[4]).is_some(), "late");
        assert_eq!(opener.packet(&sent[4]), None, "again");
        assert!(opener.packet(&sent[1]).is_some(), "another source");
        assert!(opener.packet(&sent[198]).is_some());
        assert_eq!(opener.packet(&sent[8]), None, "too old to tell");
        let mut forged = sent[199].to_vec();
        for at in 0..forged.len() {
            forged[at] ^= 1;
            assert_eq!(opener.packet(&forged), None, "changed at {at}");
            forged[at] ^= 1;
        }
        for cut in 0..forged.len() {
            assert_eq!(opener.packet(&forged[..cut]), None, "cut at {cut}");
        }
        assert!(opener.packet(&forged).is_some());
    }

    #[test]
    fn sources_of_reports_are_bounded() {
        let (cipher, salt) = cipher(3);
        let (mut opener, mut library) = (Opener::new(cipher, salt), library());
        let read = (0..200u32).filter(|ssrc| {
            let mut report = vec![0x80, 201, 0, 1];
            report.extend(ssrc.to_be_bytes());
            let sent = library.encrypt_rtcp(&report).unwrap();
            opener.packet(&sent).is_some()
        });
        assert_eq!(read.count(), SOURCES);
    }
}
