//! Where files are put, as settings say it. Pure.

use std::fmt;
use std::path::PathBuf;

use url::Url;

/// A folder, or a bucket and what names in it begin with.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// Of this machine, such as a mounted disk.
    Folder(PathBuf),
    /// Of S3, or of what speaks like it.
    Bucket {
        /// Its name.
        bucket: String,
        /// What names begin with, without a slash at its end; may be empty.
        prefix: String,
        /// Who has it; none: as the environment says, else Amazon.
        endpoint: Option<Url>,
    },
}

/// What is wrong with a target. It repeats nothing: somebody may have written a secret there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither of the two.
    #[error("file:///a/folder or s3://bucket/prefix")]
    Scheme,
    /// Names and passwords are for the environment.
    #[error(
        "without name, password, '?' and '#': credentials come from AWS_ACCESS_KEY_ID and the like"
    )]
    Extra,
    /// Nobody can be asked there.
    #[error("http://host:port or https://host")]
    Endpoint,
}

impl Target {
    /// `file:///a/folder` or `s3://bucket/prefix`; the latter maybe at an endpoint of its own.
    pub fn new(text: &str, endpoint: Option<&str>) -> Result<Self, Error> {
        let url = plain(text, Error::Scheme)?;
        match url.scheme() {
            "file" => {
                let folder = url.to_file_path().map_err(|()| Error::Scheme)?;
                match endpoint {
                    None => Ok(Self::Folder(folder)),
                    // Whoever gives one means something else than a folder.
                    Some(_) => Err(Error::Scheme),
                }
            }
            "s3" => {
                let bucket = url.host_str().filter(|host| !host.is_empty());
                let endpoint = endpoint.map(|text| plain(text, Error::Endpoint));
                let endpoint = endpoint.transpose()?;
                let reachable = |url: &Url| {
                    matches!(url.scheme(), "http" | "https") && url.host_str().is_some()
                };
                if !endpoint.as_ref().is_none_or(reachable) {
                    return Err(Error::Endpoint);
                }
                Ok(Self::Bucket {
                    bucket: bucket.ok_or(Error::Scheme)?.to_owned(),
                    prefix: url.path().trim_matches('/').to_owned(),
                    endpoint,
                })
            }
            _ => Err(Error::Scheme),
        }
    }
}

fn plain(text: &str, otherwise: Error) -> Result<Url, Error> {
    let url: Url = text.parse().map_err(|_| otherwise)?;
    let named = !url.username().is_empty() || url.password().is_some();
    match named || url.query().is_some() || url.fragment().is_some() {
        true => Err(Error::Extra),
        false => Ok(url),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Bucket { bucket, prefix, .. } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_buckets_are_targets() {
        let folder = Target::new("file:///mnt/all%20films", None);
        assert_eq!(folder, Ok(Target::Folder("/mnt/all films".into())));
        let bucket = Target::new("s3://films/quilt/a/", Some("http://127.0.0.1:9000"));
        let bucket = bucket.unwrap();
        assert_eq!(bucket.to_string(), "s3://films/quilt/a");
        let Target::Bucket { endpoint, .. } = bucket else {
            panic!("{bucket}")
        };
        assert_eq!(endpoint.unwrap().as_str(), "http://127.0.0.1:9000/");
        let whole = Target::new("s3://films", None).unwrap();
        assert_eq!(whole.to_string(), "s3://films/");
    }

    #[test]
    fn others_are_refused_and_not_repeated() {
        for (text, endpoint, wrong) in [
            ("films", None, Error::Scheme),
            ("s3://", None, Error::Scheme),
            ("s3:///a", None, Error::Scheme),
            ("file://elsewhere/a", None, Error::Scheme),
            ("file:///a", Some("http://b"), Error::Scheme),
            ("https://films.example/a", None, Error::Scheme),
            ("s3://key:secret@films/a", None, Error::Extra),
            ("s3://films/a?secret=1", None, Error::Extra),
            ("s3://films/a#b", None, Error::Extra),
            ("s3://films", Some("films.example"), Error::Endpoint),
            ("s3://films", Some("ftp://films.example"), Error::Endpoint),
            ("s3://films", Some("https://key:secret@films"), Error::Extra),
        ] {
            assert_eq!(
                Target::new(text, endpoint),
                Err(wrong),
                "{text} {endpoint:?}"
            );
            assert!(!wrong.to_string().contains("secret"));
        }
    }
}
