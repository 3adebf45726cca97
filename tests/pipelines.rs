//! Every file of `pipelines/` parses, has the names and pads its user looks up, and leaves no
//! other pad unlinked.

use std::collections::BTreeSet;
use std::path::Path;

use gstreamer::prelude::*;
use quilt::gst::{self, Library, Spec};

/// What every module that runs a pipeline looks up in it.
const SPECS: &[Spec] = &[
    quilt::decode::video::H264,
    quilt::decode::video::VP8,
    quilt::decode::audio::OPUS,
    quilt::encode::backend::X264,
    quilt::encode::backend::OPENH264,
    quilt::encode::backend::VP8,
    quilt::load::naive::graph::H264,
    quilt::load::naive::graph::VP8,
    quilt::load::naive::graph::OPUS,
    quilt::load::naive::graph::VIDEO_MIX,
    quilt::load::naive::graph::AUDIO_MIX,
    quilt::load::clip::H264,
    quilt::load::clip::VP8,
    quilt::load::clip::FILE,
    quilt::load::sample::H264,
    quilt::load::sample::VP8,
    quilt::load::sample::OPUS,
];

fn library() -> Library {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    Library::from_dir(&folder).expect("the folder of pipelines can be read")
}

#[test]
fn every_file_has_a_user_and_every_user_a_file() {
    let library = library();
    let files: BTreeSet<&str> = library.names().collect();
    let users: BTreeSet<&str> = SPECS.iter().map(|spec| spec.name).collect();
    assert_eq!(files, users);
    assert_eq!(users.len(), SPECS.len(), "two specs of one name");
    let embedded = Library::embedded();
    assert_eq!(embedded.names().collect::<BTreeSet<_>>(), files);
}

#[test]
fn every_file_parses_and_has_what_the_code_looks_up() {
    let library = library();
    for spec in SPECS {
        let pipeline = library
            .build(spec.name, spec.values)
            .unwrap_or_else(|error| panic!("{error}"));
        for element in spec.elements {
            pipeline
                .element(element)
                .unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(unlinked(&pipeline), inputs(spec), "{}", spec.name);
    }
}

#[test]
fn every_placeholder_is_required() {
    let library = library();
    for spec in SPECS {
        for left_out in 0..spec.values.len() {
            let mut values = spec.values.to_vec();
            let (key, _) = values.remove(left_out);
            let error = library.build(spec.name, &values).unwrap_err();
            assert!(
                matches!(&error, gst::Error::Fill { reason, .. } if reason.contains(key)),
                "{error}"
            );
        }
    }
}

/// All pads of a pipeline that are linked to nothing, as "element.pad".
fn unlinked(pipeline: &gst::Pipeline) -> BTreeSet<String> {
    pipeline
        .inner()
        .iterate_recurse()
        .into_iter()
        .map(|element| element.expect("the pipeline does not change meanwhile"))
        .flat_map(|element| element.pads())
        .filter(|pad| !pad.is_linked())
        .map(|pad| {
            let element = pad.parent().expect("a pad of an element");
            format!("{}.{}", element.name(), pad.name())
        })
        .collect()
}

fn inputs(spec: &Spec) -> BTreeSet<String> {
    spec.inputs
        .iter()
        .map(|(element, pad)| format!("{element}.{pad}"))
        .collect()
}
