//! How a connection's media keys become known: by what the library asks its cryptography for.
//!
//! The library takes whatever provider of cryptography it is given, which is ours: it has the
//! default one do everything, and looks on while SRTP's keys are made. For each direction there is
//! a master key, of which a block cipher makes four values (RFC 3711 section 4.3), told apart by a
//! label; the ciphers for RTP and for RTCP are then made of the first two. Nothing else of the
//! library's uses that block cipher, and a cipher that is not made of what it has just yielded (DTLS
//! has some) is none of SRTP's. Ours come first, then those of the other side.
//!
//! The ciphers that the library is given for its RTP and their RTCP are shared with it from then
//! on ([`srtp`](super::srtp)). All of this goes for AES-128-GCM; whoever agrees on anything else is
//! served by the library alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rtc::crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CbcAlgorithm, CbcCipher,
    CryptoAlgorithm, CryptoError, HashAlgorithm, HmacAlgorithm, KeyExchangeAlgorithm, Mac,
    PublicKey, RTCCrypto, RTCCryptoProvider, RTCRandom, SecretVec, SignatureScheme, SigningKey,
    StreamCipher, StreamCipherAlgorithm,
};

use super::srtp::{Opener, Salt, Sealer, TAG};

/// What SRTP's values are made for. A salt's label is two more than that of its key.
const RTP_KEY: u8 = 0;
const RTCP_KEY: u8 = 3;
const BLOCK: usize = 16;

/// What is known of a connection's keys.
#[derive(Default)]
pub(super) struct Learned {
    sealer: OnceLock<Arc<Mutex<Sealer>>>,
    opener: OnceLock<Arc<Mutex<Opener>>>,
    /// Other keys came, or keys in an order that is not SRTP's.
    spoiled: AtomicBool,
}

impl Learned {
    /// Protects what we send.
    pub fn sealer(&self) -> Option<&Arc<Mutex<Sealer>>> {
        self.sealer.get().filter(|_| !self.is_spoiled())
    }

    /// Opens what is said of it.
    pub fn opener(&self) -> Option<&Arc<Mutex<Opener>>> {
        self.opener.get().filter(|_| !self.is_spoiled())
    }

    fn is_spoiled(&self) -> bool {
        self.spoiled.load(Ordering::Acquire)
    }
}

/// The cryptography of one connection.
pub(super) struct Provider {
    library: Arc<dyn RTCCryptoProvider>,
    crypto: Crypto,
}

struct Crypto {
    library: Arc<dyn RTCCryptoProvider>,
    learned: Arc<Learned>,
    learning: Mutex<Learning>,
}

impl Provider {
    /// Tells `learned` what it sees.
    pub fn new(learned: Arc<Learned>) -> Result<Self, CryptoError> {
        let library = rtc::crypto::default_provider()?;
        Ok(Self {
            library: library.clone(),
            crypto: Crypto {
                library,
                learned,
                learning: Mutex::default(),
            },
        })
    }
}

impl RTCCryptoProvider for Provider {
    fn name(&self) -> &'static str {
        self.library.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        &self.crypto
    }

    fn random(&self) -> &dyn RTCRandom {
        self.library.random()
    }
}

/// What was seen so far.
#[derive(Default)]
struct Learning {
    next: Next,
    /// What the block cipher yielded last.
    last: Option<Expanded>,
    /// The value of which the last cipher for RTP was made.
    rtp: Option<Expanded>,
}

/// The cipher that is made next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    #[default]
    OurRtp,
    OurRtcp,
    TheirRtp,
    TheirRtcp,
    Nothing,
}

/// A value made of a master key.
struct Expanded {
    master: SecretVec,
    input: [u8; BLOCK],
    output: SecretVec,
}

impl Expanded {
    /// Whether both are made of one master key and salt, this one with the label.
    fn is_label(&self, label: u8, of: &Self) -> bool {
        self.master.as_ref() == of.master.as_ref() && self.input == labelled(of.input, label)
    }

    /// Of a master salt of twelve bytes, and the first of its kind.
    fn begins(&self) -> bool {
        self.input[12..] == [0; 4]
    }
}

impl Learning {
    /// A cipher is made of `key`: which one, and of what. `Err`: it is SRTP's, and none that was
    /// expected.
    fn cipher(&mut self, key: &[u8]) -> Result<Option<Next>, ()> {
        let last = self.last.take();
        let Some(made) = last.filter(|last| last.output.as_ref() == key) else {
            return Ok(None);
        };
        let (now, rtp) = (self.next, self.rtp.as_ref());
        let (fits, next) = match now {
            Next::OurRtp => (made.begins(), Next::OurRtcp),
            Next::OurRtcp => (
                rtp.is_some_and(|rtp| made.is_label(RTCP_KEY, rtp)),
                Next::TheirRtp,
            ),
            Next::TheirRtp => (
                made.begins() && rtp.is_some_and(|rtp| rtp.master.as_ref() != made.master.as_ref()),
                Next::TheirRtcp,
            ),
            Next::TheirRtcp => (
                rtp.is_some_and(|rtp| made.is_label(RTCP_KEY, rtp)),
                Next::Nothing,
            ),
            Next::Nothing => (false, Next::Nothing),
        };
        if !fits {
            (self.next, self.rtp) = (Next::Nothing, None);
            return Err(());
        }
        self.next = next;
        if matches!(now, Next::OurRtp | Next::TheirRtp) {
            self.rtp = Some(made);
        }
        Ok(Some(now))
    }
}

fn labelled(mut input: [u8; BLOCK], label: u8) -> [u8; BLOCK] {
    input[7] ^= label;
    input
}

/// The value of a label. `input`: the one of label 0, which is the master salt.
pub(super) fn expand(
    crypto: &dyn RTCCrypto,
    master: &[u8],
    input: [u8; BLOCK],
    label: u8,
) -> Result<[u8; BLOCK], CryptoError> {
    let mut block = labelled(input, label);
    crypto.block_encrypt(BlockCipherAlgorithm::Aes128, master, &mut block)?;
    Ok(block)
}

impl Crypto {
    fn library(&self) -> &dyn RTCCrypto {
        self.library.crypto()
    }

    fn salt(&self, of: &Expanded, key: u8) -> Result<Salt, CryptoError> {
        let block = expand(self.library(), of.master.as_ref(), of.input, key + 2)?;
        let mut salt = Salt::default();
        salt.copy_from_slice(&block[..12]);
        Ok(salt)
    }

    /// The cipher that the library gets for one that it asked for.
    fn shared(&self, key: &[u8], cipher: Box<dyn AeadCipher>) -> Result<Boxed, CryptoError> {
        let mut learning = lock(&self.learning);
        let which = learning.cipher(key);
        let Some(rtp) = &learning.rtp else {
            if which.is_err() {
                self.learned.spoiled.store(true, Ordering::Release);
            }
            return Ok(cipher);
        };
        match which {
            Ok(Some(Next::OurRtp)) => {
                let sealer = Sealer::new(cipher, self.salt(rtp, RTP_KEY)?);
                let sealer = Arc::new(Mutex::new(sealer));
                // It is empty: this is the first.
                let _ = self.learned.sealer.set(sealer.clone());
                Ok(Box::new(Seals(sealer)))
            }
            Ok(Some(Next::TheirRtcp)) => {
                let opener = Opener::new(cipher, self.salt(rtp, RTCP_KEY)?);
                let opener = Arc::new(Mutex::new(opener));
                // Likewise.
                let _ = self.learned.opener.set(opener.clone());
                // Nothing is left to be learned.
                learning.rtp = None;
                Ok(Box::new(Opens(opener)))
            }
            _ => Ok(cipher),
        }
    }
}

type Boxed = Box<dyn AeadCipher>;

impl RTCCrypto for Crypto {
    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        self.library().supports(algorithm)
    }

    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.library().hash(algorithm, data)
    }

    fn block_encrypt(
        &self,
        algorithm: BlockCipherAlgorithm,
        key: &[u8],
        block: &mut [u8],
    ) -> Result<(), CryptoError> {
        let input = <[u8; BLOCK]>::try_from(&*block);
        self.library().block_encrypt(algorithm, key, block)?;
        let made = input.ok().filter(|_| key.len() == BLOCK);
        lock(&self.learning).last = made.map(|input| Expanded {
            master: SecretVec::new(key.to_vec()),
            input,
            output: SecretVec::new(block.to_vec()),
        });
        Ok(())
    }

    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        self.library().new_hmac(algorithm, key)
    }

    fn new_stream_cipher(
        &self,
        algorithm: StreamCipherAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn StreamCipher>, CryptoError> {
        self.library().new_stream_cipher(algorithm, key)
    }

    fn new_aead(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<Boxed, CryptoError> {
        let cipher = self.library().new_aead(algorithm, key)?;
        match algorithm {
            AeadAlgorithm::Aes128Gcm => self.shared(key, cipher),
            _ => Ok(cipher),
        }
    }

    fn new_cbc(
        &self,
        algorithm: CbcAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn CbcCipher>, CryptoError> {
        self.library().new_cbc(algorithm, key)
    }

    fn start_key_exchange(
        &self,
        algorithm: KeyExchangeAlgorithm,
    ) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.library().start_key_exchange(algorithm)
    }

    fn generate_signing_key(
        &self,
        scheme: SignatureScheme,
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.library().generate_signing_key(scheme)
    }

    fn import_signing_key(
        &self,
        scheme: SignatureScheme,
        pkcs8_der: &[u8],
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.library().import_signing_key(scheme, pkcs8_der)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        public_key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.library()
            .verify_signature(scheme, public_key, message, signature)
    }
}

/// The library's way to the [`Sealer`]. Its nonces are by its own count, which misses what did not
/// go its way.
struct Seals(Arc<Mutex<Sealer>>);

impl AeadCipher for Seals {
    fn tag_len(&self) -> usize {
        TAG
    }

    fn seal_in_place(
        &mut self,
        _nonce: &[u8],
        header: &[u8],
        payload: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), CryptoError> {
        lock(&self.0).seal(header, payload, tag)
    }

    fn open_in_place(
        &mut self,
        _nonce: &[u8],
        _known: &[u8],
        _text: &mut [u8],
        _tag: &[u8],
    ) -> Result<(), CryptoError> {
        // What we send is nothing that we read.
        Err(CryptoError::AuthenticationFailed)
    }
}

/// The library's way to the [`Opener`].
struct Opens(Arc<Mutex<Opener>>);

impl AeadCipher for Opens {
    fn tag_len(&self) -> usize {
        TAG
    }

    fn seal_in_place(
        &mut self,
        _nonce: &[u8],
        _known: &[u8],
        _text: &mut [u8],
        _tag: &mut [u8],
    ) -> Result<(), CryptoError> {
        // Nor does anybody else send by the other side's key.
        Err(CryptoError::AuthenticationFailed)
    }

    fn open_in_place(
        &mut self,
        _nonce: &[u8],
        known: &[u8],
        text: &mut [u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        lock(&self.0).open(known, text, tag)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in a cipher leaves nothing here half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use rtc::rtcp;
    use rtc::rtp;
    use rtc::shared::marshal::Marshal as _;
    use rtc::srtp::context::Context;
    use rtc::srtp::protection_profile::ProtectionProfile;

    use super::*;

    const GCM: ProtectionProfile = ProtectionProfile::AeadAes128Gcm;
    const SHA1: ProtectionProfile = ProtectionProfile::Aes128CmHmacSha1_80;

    fn context(crypto: &dyn RTCCrypto, key: u8, profile: ProtectionProfile) -> Context {
        let (key, salt) = (vec![key; 16], vec![key + 1; profile.salt_len()]);
        Context::new(&key, &salt, profile, None, None, crypto).unwrap()
    }

    fn provider() -> (Provider, Arc<Learned>) {
        let learned = Arc::<Learned>::default();
        (Provider::new(learned.clone()).unwrap(), learned)
    }

    /// What a packet is on the wire when it goes past the library.
    fn sealed(learned: &Learned, sequence: u16) -> Vec<u8> {
        let header = rtp::Header {
            version: 2,
            sequence_number: sequence,
            ssrc: 77,
            ..Default::default()
        };
        let mut bytes = header.marshal().unwrap().to_vec();
        let (mut payload, mut tag) = (vec![5; 30], [0; TAG]);
        let sealer = learned.sealer().expect("the key is known");
        lock(sealer).seal(&bytes, &mut payload, &mut tag).unwrap();
        bytes.extend(payload);
        bytes.extend(tag);
        bytes
    }

    fn plain(sequence: u16) -> Vec<u8> {
        let header = rtp::Header {
            version: 2,
            sequence_number: sequence,
            ssrc: 77,
            ..Default::default()
        };
        let packet = rtp::Packet {
            header,
            payload: vec![5; 30].into(),
        };
        packet.marshal().unwrap().to_vec()
    }

    #[test]
    fn either_way_takes_over_after_any_number_of_packets() {
        let (provider, learned) = provider();
        // As DTLS makes ciphers of its own, before and between.
        let dtls = || {
            provider
                .crypto()
                .new_aead(AeadAlgorithm::Aes128Gcm, &[3; 16])
        };
        assert!(dtls().is_ok() && learned.sealer().is_none());
        let mut ours = context(provider.crypto(), 1, GCM);
        assert!(learned.opener().is_none());
        let _theirs = context(provider.crypto(), 50, GCM);
        assert!(dtls().is_ok());
        let default = rtc::crypto::default_provider().unwrap();
        let mut receiver = context(default.crypto(), 1, GCM);
        for n in 60_000..400_000_u32 {
            // Each way for a while, and longer than half a rollover.
            let protected = match n / 50_000 % 2 {
                0 => sealed(&learned, n as u16),
                _ => ours.encrypt_rtp(&plain(n as u16)).unwrap().to_vec(),
            };
            let read = receiver.decrypt_rtp(&protected);
            assert_eq!(read.ok().as_deref(), Some(&plain(n as u16)[..]), "{n}");
        }
    }

    #[test]
    fn what_the_other_side_says_is_read_by_either_and_once() {
        let (provider, learned) = provider();
        let _ours = context(provider.crypto(), 1, GCM);
        let mut theirs = context(provider.crypto(), 50, GCM);
        let default = rtc::crypto::default_provider().unwrap();
        let mut sender = context(default.crypto(), 50, GCM);
        let report = rtcp::receiver_report::ReceiverReport::default();
        let report = report.marshal().unwrap();
        let opener = learned.opener().expect("their key is known");
        for n in 0..100 {
            let sent = sender.encrypt_rtcp(&report).unwrap();
            let mut library = || theirs.decrypt_rtcp(&sent).ok().map(|read| read.to_vec());
            let ours = || lock(opener).packet(&sent);
            let (first, again) = match n % 2 {
                0 => (ours(), library()),
                _ => (library(), ours()),
            };
            assert_eq!(first.as_deref(), Some(&report[..]));
            assert_eq!(again, None);
        }
    }

    #[test]
    fn other_profiles_are_left_to_the_library() {
        let (provider, learned) = provider();
        let mut ours = context(provider.crypto(), 1, SHA1);
        let _theirs = context(provider.crypto(), 50, SHA1);
        assert!(learned.sealer().is_none() && learned.opener().is_none());
        let default = rtc::crypto::default_provider().unwrap();
        let mut receiver = context(default.crypto(), 1, SHA1);
        let protected = ours.encrypt_rtp(&plain(9)).unwrap();
        assert_eq!(receiver.decrypt_rtp(&protected).unwrap()[..], plain(9));
    }

    #[test]
    fn other_keys_than_the_first_end_it() {
        let (provider, learned) = provider();
        let _ours = context(provider.crypto(), 1, GCM);
        let _theirs = context(provider.crypto(), 50, GCM);
        assert!(learned.sealer().is_some() && learned.opener().is_some());
        let mut ours = context(provider.crypto(), 100, GCM);
        assert!(learned.sealer().is_none() && learned.opener().is_none());
        let default = rtc::crypto::default_provider().unwrap();
        let mut receiver = context(default.crypto(), 100, GCM);
        let protected = ours.encrypt_rtp(&plain(9)).unwrap();
        assert_eq!(receiver.decrypt_rtp(&protected).unwrap()[..], plain(9));
    }
}
