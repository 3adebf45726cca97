//! A certificate of our own making, for meetings in a house or an office: nobody vouches for it,
//! so browsers ask once; it is kept, so that they ask only once.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::server::tls;

/// Below the data folder.
const CERTIFICATE: &str = "self-signed.crt";
const KEY: &str = "self-signed.key";
/// Apple's systems refuse certificates that live for more than 825 days.
const LIFE: Duration = days(800);
/// Clocks of clients may be behind by this much.
const BEFORE: Duration = days(1);
/// At a start with less life left than this a new one is made.
const RENEWAL: Duration = days(30);

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3600)
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be kept.
    #[error(
        "cannot write {path} (data-dir is where the self-signed certificate is kept): {source}"
    )]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be made.
    #[error("cannot make a self-signed certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// What was just made cannot be read again.
    #[error("the self-signed certificate cannot be read: {0}")]
    Parse(#[from] tokio_rustls::rustls::pki_types::pem::Error),
}

/// A certificate and its key.
#[derive(Debug)]
pub struct SelfSigned {
    /// Signed by its own key.
    pub certificate: CertificateDer<'static>,
    /// ECDSA P-256.
    pub key: PrivateKeyDer<'static>,
    /// Where the certificate is, for those who want to install it on their devices.
    pub path: PathBuf,
    names: BTreeSet<String>,
    new: bool,
}

/// The certificate in `folder`, if it serves for the addresses by which clients may come and for
/// some time to come; else a new one in its place.
pub fn keep(folder: &Path, public: &[IpAddr], local: &[IpAddr]) -> Result<SelfSigned, Error> {
    let names = Names::of(public, local, host_name().as_deref());
    keep_for(folder, names, SystemTime::now())
}

fn keep_for(folder: &Path, names: Names, now: SystemTime) -> Result<SelfSigned, Error> {
    let Names { all, needed } = names;
    let (path, key_path) = (folder.join(CERTIFICATE), folder.join(KEY));
    // Whatever is wrong with what is there, a new one is the remedy.
    let kept = CertificateDer::from_pem_file(&path)
        .and_then(|certificate| Ok((certificate, PrivateKeyDer::from_pem_file(&key_path)?)));
    if let Ok((certificate, key)) = kept
        && tls::server(vec![certificate.clone()], key.clone_key()).is_ok()
        && serves(&certificate, &needed, now)
        && serves(&certificate, &needed, now + RENEWAL)
    {
        return Ok(SelfSigned {
            certificate,
            key,
            path,
            names: needed,
            new: false,
        });
    }
    let (certificate, key) = make(&all, now)?;
    fs::create_dir_all(folder).map_err(|source| Error::Write {
        path: folder.into(),
        source,
    })?;
    // The key first: a certificate without its key would be found wanting and made again.
    write(&key_path, &key, 0o600)?;
    write(&path, &certificate, 0o644)?;
    Ok(SelfSigned {
        certificate: CertificateDer::from_pem_slice(certificate.as_bytes())?,
        key: PrivateKeyDer::from_pem_slice(key.as_bytes())?,
        path,
        names: all,
        new: true,
    })
}

impl SelfSigned {
    /// Says what the person at a browser will see, and how to tell that it is us.
    pub fn explain(&self) {
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        let fingerprint = tls::fingerprint(&self.certificate);
        let made = if self.new { "made a" } else { "using the" };
        tracing::info!(
            "{made} self-signed certificate, {}, for {}",
            self.path.display(),
            names.join(", ")
        );
        tracing::info!(
            "browsers will warn once that the connection is not private, because nobody vouches \
             for this certificate: choose Advanced and go on, if the fingerprint they show is \
             SHA-256 {fingerprint}"
        );
    }
}

/// What a client on the same network may write into its address bar.
struct Names {
    /// A new certificate has all of these.
    all: BTreeSet<String>,
    /// The one that is kept must have these. IPv6 addresses of the machine's own are not among
    /// them: where privacy extensions (RFC 8981) are on, they change every day.
    needed: BTreeSet<String>,
}

impl Names {
    fn of(public: &[IpAddr], local: &[IpAddr], host: Option<&str>) -> Self {
        let loopback = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ];
        let lasting = local.iter().filter(|address| address.is_ipv4());
        let lasting = public.iter().chain(&loopback).chain(lasting);
        let mut needed: BTreeSet<_> = lasting.map(ToString::to_string).collect();
        needed.insert("localhost".into());
        if let Some(host) = host {
            needed.insert(host.to_owned());
            if !host.contains('.') {
                // Multicast DNS (RFC 6762), by which phones find a machine in the house.
                needed.insert(format!("{host}.local"));
            }
        }
        let mut all = needed.clone();
        all.extend(local.iter().map(ToString::to_string));
        Self { all, needed }
    }
}

/// This machine's name, if a certificate can carry it.
fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim().to_ascii_lowercase();
    match ServerName::try_from(name.clone()) {
        Ok(ServerName::DnsName(_)) => Some(name),
        _ => None,
    }
}

/// Whether a client that trusts this certificate takes it for each of these names at this time.
fn serves(certificate: &CertificateDer<'_>, names: &BTreeSet<String>, at: SystemTime) -> bool {
    let mut trusted = RootCertStore::empty();
    if trusted.add(certificate.clone().into_owned()).is_err() {
        return false;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(trusted), provider).build();
    let since_1970 = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let at = UnixTime::since_unix_epoch(since_1970);
    verifier.is_ok_and(|verifier| {
        names.iter().all(|name| {
            ServerName::try_from(name.as_str()).is_ok_and(|name| {
                let verified = verifier.verify_server_cert(certificate, &[], &name, &[], at);
                verified.is_ok()
            })
        })
    })
}

/// A new certificate and its key, both PEM.
fn make(names: &BTreeSet<String>, now: SystemTime) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Quilt");
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + LIFE).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Puts a whole file in its place, or leaves what is there.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let new = path.with_added_extension("new");
    let written = fs::remove_file(&new)
        .or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
        .and_then(|()| {
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true).mode(mode).open(&new)
        })
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&new, path));
    written.map_err(|source| Error::Write {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let name = format!("quilt-self-signed-{:x}", rand::random::<u64>());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Names of a machine with these addresses of its own.
    fn with(local: &[&str]) -> Names {
        let local: Vec<_> = local.iter().map(|ip| ip.parse().unwrap()).collect();
        Names::of(&["203.0.113.5".parse().unwrap()], &local, Some("attic"))
    }

    #[test]
    fn names_are_what_an_address_bar_takes() {
        let Names { all, needed } = with(&["192.168.7.9", "2001:db8::7"]);
        let expected = [
            "127.0.0.1",
            "192.168.7.9",
            "203.0.113.5",
            "::1",
            "attic",
            "attic.local",
            "localhost",
        ];
        assert!(needed.iter().eq(&expected), "{needed:?}");
        let more: Vec<_> = all.difference(&needed).collect();
        assert_eq!(more, ["2001:db8::7"]);
    }

    #[test]
    fn it_stays_the_same_until_it_no_longer_serves() {
        let folder = Folder::new();
        let start = SystemTime::now();
        let keep =
            |local: &[&str], day| keep_for(&folder.0, with(local), start + days(day)).unwrap();
        let first = keep(&["192.168.7.9", "2001:db8::7"], 0);
        assert!(first.new);
        let again = keep(&["192.168.7.9", "2001:db8::8"], 769);
        assert!(!again.new, "a daily address is no reason for a new one");
        assert_eq!(first.certificate, again.certificate);
        assert!(!keep(&[], 769).new, "nor is one that went");
        assert!(keep(&["192.168.7.9"], 771).new, "renewed in time");
        let moved = keep(&["192.168.7.10"], 771);
        assert!(moved.new, "the machine has another address");
        assert_ne!(moved.certificate, first.certificate);
        let other = make(&with(&[]).all, start).unwrap();
        fs::write(folder.0.join(KEY), other.1).unwrap();
        assert!(
            keep(&["192.168.7.10"], 771).new,
            "a key that is not its own"
        );
        assert!(!keep(&["192.168.7.10"], 771).new);
    }

    #[test]
    fn nobody_else_reads_the_key() {
        let folder = Folder::new();
        keep_for(&folder.0, with(&[]), SystemTime::now()).unwrap();
        let mode = |name| {
            let metadata = fs::metadata(folder.0.join(name)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        assert_eq!(mode(KEY), 0o600);
        assert_eq!(mode(CERTIFICATE) & 0o600, 0o600);
        assert_eq!(
            fs::read_dir(&folder.0).unwrap().count(),
            2,
            "nothing else is left"
        );
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let error = keep(Path::new("/proc/nowhere"), &[], &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/proc/nowhere") && error.contains("data-dir"),
            "{error}"
        );
    }
}
