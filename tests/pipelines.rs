//! Every file of `pipelines/` parses, has the names and pads its user looks up, and leaves no
//! other pad unlinked. What needs hardware that is not here is parsed around a stand-in.

use std::collections::BTreeSet;
use std::path::Path;

use gstreamer::ElementFactory;
use gstreamer::prelude::*;
use quilt::gst::template::fill;
use quilt::gst::{self, Hardware, Library, Spec};

/// What every module that runs a pipeline looks up in it.
const SPECS: &[Spec] = &[
    quilt::decode::video::H264,
    quilt::decode::video::OPENH264,
    quilt::decode::video::VP8,
    quilt::decode::audio::OPUS,
    quilt::encode::aac::SPEC,
    quilt::encode::backend::X264,
    quilt::encode::backend::OPENH264,
    quilt::encode::backend::VP8,
    quilt::stream::push::srt::SPEC,
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

/// Those around elements that not every machine has.
fn hardware() -> impl Iterator<Item = &'static Hardware> {
    let encoders = quilt::encode::backend::HARDWARE.iter();
    encoders.chain(quilt::decode::video::HARDWARE)
}

fn specs() -> impl Iterator<Item = &'static Spec> {
    SPECS
        .iter()
        .chain(hardware().map(|hardware| &hardware.spec))
}

fn library() -> Library {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    Library::from_dir(&folder).expect("the folder of pipelines can be read")
}

#[test]
fn every_file_has_a_user_and_every_user_a_file() {
    let library = library();
    let files: BTreeSet<&str> = library.names().collect();
    let users: BTreeSet<&str> = specs().map(|spec| spec.name).collect();
    assert_eq!(files, users);
    assert_eq!(users.len(), specs().count(), "two specs of one name");
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
        keeps_its_contract(&pipeline, spec);
    }
}

#[test]
fn every_text_for_hardware_parses_as_far_as_it_can_here() {
    let library = library();
    for hardware in hardware() {
        let spec = &hardware.spec;
        for element in hardware.elements {
            gst::init().expect("GStreamer starts");
            let pipeline = match ElementFactory::find(element) {
                Some(_) => library.build(spec.name, &hardware.values(element)),
                None => around_a_stand_in(hardware, element),
            };
            let pipeline = pipeline.unwrap_or_else(|error| panic!("{error}"));
            keeps_its_contract(&pipeline, spec);
        }
    }
}

/// Builds a text with `stand_in` in the place of its element. What cannot be parsed, the
/// properties, is checked for grammar alone, and printed.
fn around_a_stand_in(
    hardware: &Hardware,
    element: &'static str,
) -> Result<gst::Pipeline, gst::Error> {
    let Hardware { spec, stand_in, .. } = hardware;
    let file = format!("{}/pipelines/{}.gst", env!("CARGO_MANIFEST_DIR"), spec.name);
    let text = std::fs::read_to_string(file).expect("its text can be read");
    let line = fill(spec.name, &text, &hardware.values(element))?;
    let mut links: Vec<String> = line.split(" ! ").map(str::to_owned).collect();
    let mut matching = links
        .iter_mut()
        .filter(|link| link.split(' ').next() == Some(element));
    let link = matching.next().expect("the text has its element");
    assert!(
        matching.next().is_none(),
        "{element} twice in {}",
        spec.name
    );
    let (mut name, mut unchecked) = (String::new(), Vec::new());
    for word in link.split_whitespace().skip(1) {
        let (key, value) = word.split_once('=').expect("a property has a value");
        let plain = key.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(plain && !value.is_empty(), "{word} in {}", spec.name);
        if key == "extra-controls" {
            let controls = value.trim_matches('"').parse::<gstreamer::Structure>();
            controls.unwrap_or_else(|error| panic!("{word} in {}: {error}", spec.name));
        }
        match key {
            "name" => name = format!(" {word}"),
            _ => unchecked.push(word.to_owned()),
        }
    }
    println!(
        "{}: no {element} here; not parsed: {unchecked:?}",
        spec.name
    );
    *link = format!("{stand_in}{name}");
    let folder = std::env::temp_dir().join(format!("quilt-stand-in-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(format!("{}.gst", spec.name)), links.join(" ! ")).expect("a file");
    let library = Library::from_dir(&folder);
    std::fs::remove_dir_all(&folder).expect("to clean up");
    library?.build(spec.name, &[])
}

fn keeps_its_contract(pipeline: &gst::Pipeline, spec: &Spec) {
    for element in spec.elements {
        pipeline
            .element(element)
            .unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(unlinked(pipeline), inputs(spec), "{}", spec.name);
}

#[test]
fn every_placeholder_is_required() {
    let library = library();
    let hardware = hardware().map(|h| (&h.spec, h.values(h.elements[0])));
    let all = SPECS.iter().map(|spec| (spec, spec.values.to_vec()));
    for (spec, values) in all.chain(hardware) {
        for left_out in 0..values.len() {
            let mut values = values.clone();
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
