//! Where a room is pushed to: a URL, taken apart and judged before anything is done with it. Pure.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::stream::rtmp::publisher;

/// The longest URL that is read, bytes.
const LONGEST: usize = 1024;
/// What SRT waits for lost packets, in milliseconds.
const LATENCY: std::ops::RangeInclusive<u32> = 20..=8000;

/// How it gets there.
#[derive(Clone, PartialEq, Eq)]
pub enum Protocol {
    /// RTMP, over TLS or not.
    Rtmp {
        /// RTMPS.
        tls: bool,
        /// What is asked for there.
        target: publisher::Target,
    },
    /// SRT, as the caller.
    Srt(Srt),
}

/// How SRT is spoken; what is absent is as the library has it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Srt {
    /// What the receiver tells streams apart by: often a secret.
    pub stream_id: Option<String>,
    /// Encrypts.
    pub passphrase: Option<String>,
    /// Bytes of the key: 16, 24 or 32.
    pub key_length: Option<u32>,
    /// How long lost packets are waited for.
    pub latency: Option<Duration>,
}

/// Where a room is pushed to. Shown without its secrets, however it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// A name or an address, without brackets.
    pub host: String,
    /// TCP for RTMP, UDP for SRT.
    pub port: u16,
    /// How it gets there.
    pub protocol: Protocol,
}

/// What is wrong with a URL. Never repeats it, for there are secrets in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No URL, or one of something else.
    #[error("url: expected rtmp://, rtmps:// or srt:// and an address")]
    Scheme,
    /// Too much of it.
    #[error("url: at most {LONGEST} bytes")]
    TooLong,
    /// There is nowhere to connect to.
    #[error("url: a host is missing")]
    Host,
    /// SRT has no port of its own.
    #[error("url: srt:// needs a port")]
    Port,
    /// Neither is there.
    #[error("url: rtmp:// needs an application and a stream key, as in rtmp://host/live/key")]
    Key,
    /// They would be sent in clear.
    #[error("url: user names and passwords are not supported")]
    Credentials,
    /// Something that SRT does not have.
    #[error("url: bad or unknown srt parameter {0}")]
    Parameter(&'static str),
}

impl Target {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > LONGEST {
            return Err(Error::TooLong);
        }
        let url = Url::parse(text.trim()).map_err(|_| Error::Scheme)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Credentials);
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or(Error::Host)?.to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let (port, protocol) = match url.scheme() {
            "rtmp" => (url.port().unwrap_or(1935), rtmp(&url, &host, false)?),
            "rtmps" => (url.port().unwrap_or(443), rtmp(&url, &host, true)?),
            "srt" => (url.port().ok_or(Error::Port)?, Protocol::Srt(srt(&url)?)),
            _ => return Err(Error::Scheme),
        };
        if port == 0 {
            return Err(Error::Port);
        }
        Ok(Self {
            host: bare.to_owned(),
            port,
            protocol,
        })
    }

    /// `rtmp` or `srt`: one of [`crate::stats::OUTPUTS`].
    pub fn kind(&self) -> &'static str {
        match self.protocol {
            Protocol::Rtmp { .. } => "rtmp",
            Protocol::Srt(_) => "srt",
        }
    }

    /// Cuts everything secret out of what somebody else said.
    pub fn without_secrets(&self, text: String) -> String {
        let secrets = match &self.protocol {
            Protocol::Rtmp { target, .. } => [Some(&target.key), None],
            Protocol::Srt(srt) => [srt.stream_id.as_ref(), srt.passphrase.as_ref()],
        };
        let secrets = secrets.into_iter().flatten().filter(|s| !s.is_empty());
        secrets.fold(text, |text, secret| text.replace(secret.as_str(), "…"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let port = self.port;
        match &self.protocol {
            Protocol::Rtmp { tls, target } => {
                let tls = if *tls { "s" } else { "" };
                write!(f, "rtmp{tls}://{host}:{port}/{}/…", target.app)
            }
            Protocol::Srt(srt) if *srt == Srt::default() => write!(f, "srt://{host}:{port}"),
            Protocol::Srt(_) => write!(f, "srt://{host}:{port}?…"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The last part of the path is the key, with the query if there is one.
fn rtmp(url: &Url, host: &str, tls: bool) -> Result<Protocol, Error> {
    let path = url.path().trim_start_matches('/');
    let (app, key) = path.rsplit_once('/').ok_or(Error::Key)?;
    if app.is_empty() || key.is_empty() {
        return Err(Error::Key);
    }
    let key = match url.query() {
        Some(query) => format!("{key}?{query}"),
        None => key.to_owned(),
    };
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let scheme = url.scheme();
    Ok(Protocol::Rtmp {
        tls,
        target: publisher::Target {
            url: format!("{scheme}://{host}{port}/{app}"),
            app: app.to_owned(),
            key,
        },
    })
}

fn srt(url: &Url) -> Result<Srt, Error> {
    let mut srt = Srt::default();
    if !matches!(url.path(), "" | "/") {
        return Err(Error::Parameter("path"));
    }
    for (name, value) in url.query_pairs() {
        match &*name {
            "streamid" if (1..=512).contains(&value.len()) => {
                srt.stream_id = Some(value.into_owned());
            }
            "streamid" => return Err(Error::Parameter("streamid")),
            "passphrase" if (10..=79).contains(&value.len()) => {
                srt.passphrase = Some(value.into_owned());
            }
            "passphrase" => return Err(Error::Parameter("passphrase")),
            "pbkeylen" => {
                let length = value.parse().ok().filter(|n| matches!(n, 16 | 24 | 32));
                srt.key_length = Some(length.ok_or(Error::Parameter("pbkeylen"))?);
            }
            "latency" => {
                let latency = value.parse().ok().filter(|ms| LATENCY.contains(ms));
                let latency: u32 = latency.ok_or(Error::Parameter("latency"))?;
                srt.latency = Some(Duration::from_millis(latency.into()));
            }
            "mode" if value == "caller" => {}
            "mode" => return Err(Error::Parameter("mode")),
            _ => {
                return Err(Error::Parameter(
                    "that is no streamid, passphrase, pbkeylen, latency or mode",
                ));
            }
        }
    }
    Ok(srt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Target {
        Target::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_url_is_taken_apart() {
        let target = parsed("rtmp://Live.Example/app/instance/s3cret?k=v");
        assert_eq!(
            (&*target.host, target.port, target.kind()),
            ("live.example", 1935, "rtmp")
        );
        let Protocol::Rtmp { tls: false, target } = target.protocol else {
            panic!("RTMP")
        };
        assert_eq!(target.url, "rtmp://live.example/app/instance");
        assert_eq!((&*target.app, &*target.key), ("app/instance", "s3cret?k=v"));
        let target = parsed("rtmps://live.example:8443/app/key");
        assert_eq!(target.port, 8443);
        assert!(matches!(target.protocol, Protocol::Rtmp { tls: true, .. }));
        let target =
            parsed("srt://[2001:db8::1]:9000?streamid=%23!::r=x&latency=500&passphrase=0123456789");
        assert_eq!(
            (&*target.host, target.port, target.kind()),
            ("2001:db8::1", 9000, "srt")
        );
        let Protocol::Srt(srt) = target.protocol else {
            panic!("SRT")
        };
        assert_eq!(srt.stream_id.as_deref(), Some("#!::r=x"));
        assert_eq!(srt.latency, Some(Duration::from_millis(500)));
    }

    #[test]
    fn no_secret_is_ever_shown() {
        for (text, shown) in [
            ("rtmp://h/app/s3cret", "rtmp://h:1935/app/…"),
            ("rtmps://h/app/s3cret?s3cret", "rtmps://h:443/app/…"),
            ("srt://h:1?streamid=s3cret", "srt://h:1?…"),
            ("srt://[::1]:1?passphrase=0123s3cret", "srt://[::1]:1?…"),
            ("srt://h:1", "srt://h:1"),
        ] {
            let target = parsed(text);
            assert_eq!(target.to_string(), shown);
            assert_eq!(format!("{target:?}"), shown);
        }
        let target = parsed("rtmp://h/app/s3cret");
        let said = target.without_secrets("no stream s3cret here".into());
        assert_eq!(said, "no stream … here");
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for (text, error) in [
            ("", Error::Scheme),
            ("http://h/app/key", Error::Scheme),
            ("file:///etc/passwd", Error::Host),
            ("rtmp:///app/key", Error::Host),
            ("rtmp://h/key", Error::Key),
            ("rtmp://h/app/", Error::Key),
            ("rtmp://h", Error::Key),
            ("rtmp://u:p@h/app/key", Error::Credentials),
            ("rtmp://h:0/app/key", Error::Port),
            ("srt://h", Error::Port),
            ("srt://h:1?mode=listener", Error::Parameter("mode")),
            ("srt://h:1?passphrase=short", Error::Parameter("passphrase")),
            ("srt://h:1?latency=1000000", Error::Parameter("latency")),
        ] {
            assert_eq!(Target::parse(text), Err(error), "{text}");
        }
        let long = format!("rtmp://h/app/{}", "x".repeat(LONGEST));
        assert_eq!(Target::parse(&long), Err(Error::TooLong));
        assert!(Target::parse("srt://h:1?localport=2").is_err());
    }
}
