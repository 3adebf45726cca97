//! Bringing a file to its place.

use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::StatusCode;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientOptions, MultipartUpload, ObjectStore, ObjectStoreExt as _, RetryConfig,
};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::store::http::{Connector, Refusal, words};
use crate::store::target::Target;

/// Longer files go in parts of this size: stores want 5 MB at least, and memory has to hold one.
const PART: u64 = 8 * 1024 * 1024;
/// As many parts as stores take of one file.
const MOST_PARTS: u64 = 10_000;
/// A part that fails is tried again so often before the whole file is.
const TRIES: usize = 3;

/// A place to put files.
pub struct Store {
    inner: Box<dyn ObjectStore>,
    prefix: Key,
    refusal: Refusal,
}

/// Why a file is not there. None of the words are a secret, nor where things lie on this machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store said no.
    #[error("{host} answers {status}{}", in_brackets(.code))]
    Refused {
        /// Who.
        host: String,
        /// How.
        status: StatusCode,
        /// In S3's word, such as `NoSuchBucket`.
        code: Option<String>,
    },
    /// There is no store, in our words.
    #[error("{0}")]
    Unreachable(String),
    /// Reading or writing failed, in the system's words.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What is put there is not wanted any more.
    #[error("it is deleted")]
    Unwanted,
    /// There is nothing to put anywhere.
    #[error("there is no file to upload")]
    Nothing,
    /// Something else.
    #[error("the store cannot be used")]
    Other,
}

fn in_brackets(code: &Option<String>) -> String {
    let code = code.as_ref();
    code.map_or(String::new(), |code| format!(" ({code})"))
}

impl Error {
    /// Whether only somebody who changes a setting or a right can mend it.
    pub fn is_final(&self) -> bool {
        // What passes: a request that took too long, a conflict, too many requests.
        let passes = [408, 409, 425, 429];
        match self {
            Self::Refused { status, .. } => {
                status.is_client_error() && !passes.contains(&status.as_u16())
            }
            Self::Unwanted | Self::Nothing => true,
            _ => false,
        }
    }
}

impl Store {
    /// Opens a folder, which must be there: where the disk that has it is not mounted, another one
    /// must not be filled. Credentials of a bucket are those of the environment.
    pub fn open(target: &Target) -> Result<Self, Error> {
        let refusal = Refusal::default();
        let (inner, prefix): (Box<dyn ObjectStore>, _) = match target {
            Target::Folder(folder) => {
                if !folder.metadata()?.is_dir() {
                    return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
                }
                let opened = LocalFileSystem::new_with_prefix(folder);
                let opened = opened.map_err(|error| explain(&error, &refusal))?;
                (Box::new(opened.with_fsync(true)), Key::default())
            }
            Target::Bucket {
                bucket,
                prefix,
                endpoint,
            } => {
                let retry = RetryConfig {
                    backoff: BackoffConfig::default(),
                    max_retries: TRIES - 1,
                    retry_timeout: Duration::from_secs(300),
                };
                let types = ClientOptions::new()
                    .with_content_type_for_suffix("mp4", "video/mp4")
                    .with_content_type_for_suffix("m4a", "audio/mp4")
                    .with_content_type_for_suffix("json", "application/json");
                let connector = Connector {
                    refusal: refusal.clone(),
                };
                let mut builder = AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    .with_retry(retry)
                    .with_client_options(types)
                    .with_http_connector(connector);
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
                }
                let opened = builder.build();
                let opened = opened.map_err(|error| explain(&error, &refusal))?;
                let prefix = Key::from_url_path(prefix).map_err(|_| Error::Other)?;
                (Box::new(opened), prefix)
            }
        };
        Ok(Self {
            inner,
            prefix,
            refusal,
        })
    }

    /// Puts some bytes there, over what is there under that name.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        self.forget();
        let put = self.inner.put(&self.key(name), bytes.into()).await;
        put.map(drop).map_err(|error| self.explain(&error))
    }

    /// Puts a file there as long as it is `wanted`. Either all of it is there afterwards, or
    /// nothing under that name is any other than before.
    pub async fn put_file(
        &self,
        name: &str,
        path: &Path,
        wanted: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let mut file = File::open(path).await?;
        let length = file.metadata().await?.len();
        if length <= PART {
            let bytes = read(&mut file, length).await?;
            return self.put(name, bytes).await;
        }
        self.forget();
        let begun = self.inner.put_multipart(&self.key(name)).await;
        let mut upload = begun.map_err(|error| self.explain(&error))?;
        let done = self.parts(&mut *upload, file, length, wanted).await;
        if done.is_err() {
            // What stays all the same is for the store's own rules to clean up.
            let _ = upload.abort().await;
        }
        done
    }

    async fn parts(
        &self,
        upload: &mut dyn MultipartUpload,
        mut file: File,
        length: u64,
        wanted: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let size = PART.max(length.div_ceil(MOST_PARTS));
        let mut left = length;
        while left > 0 {
            if !wanted() {
                return Err(Error::Unwanted);
            }
            let part = read(&mut file, left.min(size)).await?;
            left -= part.len() as u64;
            let put = upload.put_part(part.into()).await;
            put.map_err(|error| self.explain(&error))?;
        }
        let complete = upload.complete().await;
        complete.map(drop).map_err(|error| self.explain(&error))
    }

    fn key(&self, name: &str) -> Key {
        self.prefix.clone().join(name)
    }

    fn forget(&self) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn explain(&self, error: &object_store::Error) -> Error {
        explain(error, &self.refusal)
    }
}

/// The next `length` bytes, which must be there.
async fn read(file: &mut File, length: u64) -> io::Result<Bytes> {
    let mut bytes = BytesMut::zeroed(length as usize);
    file.read_exact(&mut bytes).await?;
    Ok(bytes.freeze())
}

/// An error in words that may be shown: the library's own have whole answers in them, and those of
/// S3 have the name of the key, and what was signed.
fn explain(error: &object_store::Error, refusal: &Refusal) -> Error {
    if let Some(words) = words(error) {
        return Error::Unreachable(words);
    }
    let refusal = refusal.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((host, status)) = refusal.clone() {
        let code = named(&error.to_string());
        return Error::Refused { host, status, code };
    }
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let kind = error.kind();
            let number = error.raw_os_error().map(io::Error::from_raw_os_error);
            return Error::Io(number.unwrap_or_else(|| kind.into()));
        }
        next = error.source();
    }
    Error::Other
}

/// The word in `<Code>…</Code>` of an answer of S3.
fn named(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("<Code>")?;
    let (word, _) = rest.split_once("</Code>")?;
    let plain = word.len() <= 64 && word.chars().all(|c| c.is_ascii_alphanumeric());
    (plain && !word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_of_an_answer_is_shown() {
        let answer = "403: <Error><Code>SignatureDoesNotMatch</Code>\
                      <AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        assert_eq!(named(answer).as_deref(), Some("SignatureDoesNotMatch"));
        assert_eq!(named("<Code>a b</Code>"), None);
        assert_eq!(named("<Code></Code>"), None);
        assert_eq!(named("busy"), None);
    }

    #[test]
    fn who_has_to_mend_it_is_told_from_what_passes() {
        let refused = |status| Error::Refused {
            host: "films.example".into(),
            status: StatusCode::from_u16(status).unwrap(),
            code: None,
        };
        for (status, finally) in [(403, true), (404, true), (429, false), (503, false)] {
            assert_eq!(refused(status).is_final(), finally, "{status}");
        }
        assert!(!Error::Unreachable("gone".into()).is_final());
    }

    #[tokio::test]
    async fn long_files_arrive_whole_and_unwanted_ones_not_at_all() {
        let folder = std::env::temp_dir().join(format!("quilt-store-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("to")).unwrap();
        let (from, to) = (folder.join("from"), folder.join("to"));
        let bytes: Vec<u8> = (0..PART * 2 + 5).map(|at| (at / 7) as u8).collect();
        std::fs::write(&from, &bytes).unwrap();
        let store = Store::open(&Target::Folder(to.clone())).unwrap();
        let unwanted = store.put_file("a.mp4", &from, || false).await;
        assert!(matches!(unwanted, Err(Error::Unwanted)), "{unwanted:?}");
        assert_eq!(std::fs::read_dir(&to).unwrap().count(), 0);
        store.put_file("a.mp4", &from, || true).await.unwrap();
        assert!(std::fs::read(to.join("a.mp4")).unwrap() == bytes);
        std::fs::remove_dir_all(&to).unwrap();
        let missing = Store::open(&Target::Folder(to)).err().unwrap();
        assert_eq!(
            missing.to_string(),
            "No such file or directory (os error 2)"
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
