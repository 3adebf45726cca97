//! Which encoder a server uses, from the outside: one that does not work is passed over, or is an
//! error if it was asked for; where only VP8 is encoded, all get VP8; where hardware gives up,
//! software goes on.

mod common;

use std::path::PathBuf;

use clap::Parser;
use common::{Server, program};
use gstreamer::prelude::*;
use gstreamer::{Element, ElementFactory, Rank};
use quilt::load;

/// A copy of the pipelines with other texts in the place of some.
struct Pipelines(PathBuf);

impl Pipelines {
    /// One in which x264 cannot work.
    fn without_x264(name: &str) -> Self {
        Self::new(name, |file, text| match file {
            "encode-h264.gst" => text.replace("x264enc", "brokenenc"),
            _ => text,
        })
    }

    fn new(name: &str, change: impl Fn(&str, String) -> String) -> Self {
        let folder = std::env::temp_dir().join(format!("quilt-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let pipelines = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("pipelines");
        for file in std::fs::read_dir(pipelines).expect("the pipelines") {
            let file = file.expect("a file").path();
            let text = std::fs::read_to_string(&file).expect("a text");
            let name = file.file_name().and_then(|name| name.to_str());
            let name = name.expect("a name");
            std::fs::write(folder.join(name), change(name, text)).expect("to write");
        }
        Self(folder)
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("to clean up");
    }
}

#[test]
fn one_that_is_asked_for_and_does_not_work_is_an_error() {
    let broken = Pipelines::without_x264("forced");
    let output = program::serve()
        .args(["--video-encoder", "x264", "--pipelines-dir"])
        .arg(&broken.0)
        .output()
        .expect("quilt runs");
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "it never listened");
    let said = String::from_utf8_lossy(&output.stderr);
    let error = said.lines().last().unwrap_or_default();
    let start = "quilt: --video-encoder x264 does not work here: x264enc: ";
    assert!(
        error.starts_with(start) && error.contains("brokenenc"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_work_is_passed_over() {
    let broken = Pipelines::without_x264("passed-over");
    let server = Server::start(&format!("pipelines-dir = {:?}", broken.0)).await;
    let text = server.stats.render();
    let used = text
        .lines()
        .find(|line| line.starts_with(r#"quilt_video_encoder_info{codec="h264","#))
        .unwrap_or_else(|| panic!("{text}"));
    // Where there is hardware, it is used before both.
    if !used.contains("openh264enc") {
        assert!(!used.contains(r#"encoder="x264enc""#), "{used}");
    } else {
        assert!(
            used.contains("x264enc: ") && used.contains("brokenenc"),
            "{used}"
        );
    }
    server.stop().await;
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: load::Options,
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_vp8_is_encoded_all_get_vp8() {
    let server = Server::start("video-encoder = \"vp8\"").await;
    // They send VP8 and would rather get H.264.
    let line = format!(
        "load --url {} --publishers 2 --seconds 1 --settle 0 --codec vp8 --downlink h264 --decode 0",
        server.url()
    );
    let options = Line::parse_from(line.split(' ')).options;
    let report = load::run(options).await.expect("a report");
    assert_eq!(report.clients.len(), 2);
    for client in &report.clients {
        let error = client.error.as_deref().unwrap_or_default();
        assert_eq!(error, "Some(Vp8) comes instead of Some(H264)");
    }
    server.stop().await;
}

/// Has GStreamer make `element` whenever `hardware` is asked for.
fn pretend(hardware: &str, element: &str) {
    let factory = ElementFactory::find(element).expect("an element");
    let factory = factory.load().expect("its plugin");
    let factory = factory.downcast::<ElementFactory>().expect("a factory");
    Element::register(None, hardware, Rank::NONE, factory.element_type()).expect("to register");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_hardware_gives_up_software_goes_on() {
    quilt::gst::init().expect("GStreamer");
    pretend("vah264enc", "openh264enc");
    pretend("vah264dec", "avdec_h264");
    // They pass the trial and fail after two seconds.
    let fails = "! identity error-after=50";
    let pipelines = Pipelines::new("gives-up", |file, text| match file {
        "encode-va.gst" => {
            let text = include_str!("../pipelines/encode-openh264.gst");
            let text = text.replace("openh264enc name", "{element} name");
            let text = text.replace("name=source", "name=source blocksize={buffer}");
            text.replace("{bps}", "{kbps}000")
                .replace("! rtph264pay", &format!("{fails} ! rtph264pay"))
        }
        "decode-h264-stateless.gst" => text
            .replace(" compliance=flexible", " max-threads=1")
            .replace("! appsink", &format!("{fails} ! appsink")),
        _ => text,
    });
    let server = Server::start(&format!("pipelines-dir = {:?}", pipelines.0)).await;
    for line in [
        r#"quilt_video_encoder_info{codec="h264",encoder="vah264enc",reason="the first choice"}"#,
        r#"quilt_video_decoder_info{codec="h264",decoder="vah264dec",reason="the first choice"}"#,
    ] {
        assert_eq!(server.metric(line), 1.0);
    }
    let line = format!(
        "load --url {} --publishers 2 --seconds 2 --settle 5 --codec h264",
        server.url()
    );
    let options = Line::parse_from(line.split(' ')).options;
    let report = load::run(options).await.expect("a report");
    for pipeline in ["encode-va", "decode-h264-stateless"] {
        let failed = format!("quilt_pipeline_errors_total{{pipeline=\"{pipeline}\"}}");
        assert!(server.metric(&failed) >= 1.0, "{pipeline} did not fail");
    }
    for client in &report.clients {
        assert_eq!(client.error, None);
        let sample = client.sample.as_ref().expect("both decode");
        let marks: Vec<_> = sample.tiles.iter().map(|t| t.marks_per_second).collect();
        assert!(marks.len() == 1 && marks[0] > 5.0, "{marks:?}");
    }
    server.stop().await;
}
