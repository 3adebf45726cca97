//! The pipeline texts of this process: those built into the binary, or a folder's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gstreamer::prelude::*;
use rust_embed::RustEmbed;

use super::template::fill;
use super::{Error, Pipeline, Value, init};

/// Ending of pipeline texts.
const ENDING: &str = ".gst";

#[derive(RustEmbed)]
#[folder = "pipelines/"]
struct Embedded;

/// Pipeline texts by name; cheap to clone.
#[derive(Debug, Clone)]
pub struct Library {
    texts: Arc<BTreeMap<String, String>>,
}

impl Library {
    /// The texts the binary was built with.
    pub fn embedded() -> Self {
        let texts = Embedded::iter()
            .filter_map(|file| {
                let name = file.strip_suffix(ENDING)?.to_owned();
                let text = Embedded::get(&file)?.data;
                Some((name, String::from_utf8_lossy(&text).into_owned()))
            })
            .collect();
        Self {
            texts: Arc::new(texts),
        }
    }

    /// The texts of a folder, read once, now. Nothing is taken from the embedded ones: what a
    /// folder lacks is an error when it is asked for.
    pub fn from_dir(path: &Path) -> Result<Self, Error> {
        let error = |path: &Path, error: std::io::Error| Error::Read {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        let mut texts = BTreeMap::new();
        for entry in std::fs::read_dir(path).map_err(|e| error(path, e))? {
            let file = entry.map_err(|e| error(path, e))?.path();
            let name = file.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.and_then(|name| name.strip_suffix(ENDING)) {
                let text = std::fs::read_to_string(&file).map_err(|e| error(&file, e))?;
                texts.insert(name.to_owned(), text);
            }
        }
        Ok(Self {
            texts: Arc::new(texts),
        })
    }

    /// The names of all texts, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }

    /// Fills and parses a text. Every placeholder wants a value and every value a placeholder.
    /// Takes some 2 ms; 100 ms when GStreamer must first load the plugins.
    pub fn build(&self, name: &'static str, values: &[(&str, Value)]) -> Result<Pipeline, Error> {
        init()?;
        let line = self.line(name, values)?;
        let refuse = |reason: String| Error::Parse { name, reason };
        let flags = gstreamer::ParseFlags::FATAL_ERRORS;
        let element = gstreamer::parse::launch_full(&line, None, flags)
            .map_err(|error| refuse(error.to_string()))?;
        // A text of a single element parses to that element.
        match element.downcast::<gstreamer::Pipeline>() {
            Ok(pipeline) => Ok(Pipeline::new(name, pipeline)),
            Err(_) => Err(refuse("a pipeline has at least two elements".into())),
        }
    }

    /// Fills a text without parsing it, for those who make one pipeline of several.
    pub fn line(&self, name: &'static str, values: &[(&str, Value)]) -> Result<String, Error> {
        fill(
            name,
            self.texts.get(name).ok_or(Error::Unknown(name))?,
            values,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> std::path::PathBuf {
        let unique = format!("quilt-pipelines-{}-{}", std::process::id(), files.len());
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            std::fs::write(path.join(name), text).unwrap();
        }
        path
    }

    #[test]
    fn a_folder_replaces_the_embedded_texts() {
        let path = folder(&[("mine.gst", "# c\nfakesrc ! fakesink"), ("README.md", "no")]);
        let library = Library::from_dir(&path).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        assert_eq!(library.names().collect::<Vec<_>>(), ["mine"]);
        assert!(library.build("mine", &[]).is_ok());
        assert!(matches!(
            library.build("decode-vp8", &[]),
            Err(Error::Unknown("decode-vp8"))
        ));
        assert!(matches!(Library::from_dir(&path), Err(Error::Read { .. })));
    }

    #[test]
    fn errors_name_the_text_and_what_is_wrong() {
        let path = folder(&[
            ("syntax.gst", "fakesrc ! ! fakesink"),
            ("missing.gst", "fakesrc ! nosuchelement ! fakesink"),
            ("single.gst", "fakesink"),
        ]);
        let library = Library::from_dir(&path).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        for name in ["syntax", "missing", "single"] {
            let error = library.build(name, &[]).unwrap_err();
            assert!(matches!(error, Error::Parse { .. }), "{error}");
        }
        let error = library.build("missing", &[]).unwrap_err().to_string();
        assert!(error.contains("nosuchelement"), "{error}");
    }
}
