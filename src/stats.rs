//! The figures Quilt keeps about itself, in Prometheus text (`GET /metrics`).

pub mod budget;
pub mod uploads;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::media::{Kind, Tier, VideoCodec};

/// `kind="audio"` or `kind="video"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// `audio` or `video`.
    pub kind: &'static str,
}

/// `tier="…"`: what listeners get.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TierLabel {
    /// `high`, `medium`, `low` or `audio`.
    pub tier: &'static str,
}

/// `queue="…"`: which bounded queue dropped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QueueLabel {
    /// The queue's name, fixed in code.
    pub queue: &'static str,
}

/// `pipeline="…"`: which kind of pipeline failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PipelineLabel {
    /// The pipeline file's name without its ending.
    pub pipeline: &'static str,
}

/// `protocol="…"`: how somebody came in without the page.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProtocolLabel {
    /// `whip` or `whep`.
    pub protocol: &'static str,
}

/// Who encodes a codec, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EncoderLabel {
    /// `h264` or `vp8`.
    pub codec: &'static str,
    /// GStreamer's element, or `none`.
    pub encoder: &'static str,
    /// Why this one, in words.
    pub reason: String,
}

/// Who decodes a codec, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DecoderLabel {
    /// `h264` or `vp8`.
    pub codec: &'static str,
    /// GStreamer's element, or `none`.
    pub decoder: &'static str,
    /// Why this one, in words.
    pub reason: String,
}

/// What outputs there may be.
pub const OUTPUTS: [&str; 3] = ["hls", "rtmp", "srt"];

/// Every metric, shared by reference; recording never blocks.
#[derive(Debug)]
pub struct Stats {
    registry: Registry,
    /// Rooms with somebody in them.
    pub rooms: Gauge,
    /// People in rooms, without those who only watch.
    pub participants: Gauge,
    /// Consumers attached to a fan-out of video or audio, each counted once.
    pub listeners: Gauge,
    tier_listeners: Family<TierLabel, Gauge>,
    http_sessions: Family<ProtocolLabel, Gauge>,
    decoders: Family<KindLabel, Gauge>,
    encoders: Family<KindLabel, Gauge>,
    outputs: Family<KindLabel, Gauge>,
    video_encoder: Family<EncoderLabel, Gauge>,
    video_decoder: Family<DecoderLabel, Gauge>,
    /// Work of one video tick (scale and compose), seconds.
    pub mix_seconds: Histogram,
    /// Video ticks of all rooms.
    pub mix_ticks: Counter,
    /// Video ticks that began more than half a period after they were due.
    pub mix_late_ticks: Counter,
    /// Last packet of a source frame in, first packet of the picture that shows it out, seconds.
    pub video_latency: Histogram,
    /// Packet of an uplink in, the same packet to somebody who takes it as it is out, seconds.
    pub forward_latency: Histogram,
    /// What clients' lines are believed to carry, bit/s, once a second each.
    pub line: Histogram,
    dropped: Family<QueueLabel, Counter>,
    pipeline_errors: Family<PipelineLabel, Counter>,
    /// The processor's budget.
    pub budget: budget::Budget,
    /// Copies of recordings in a store.
    pub uploads: uploads::Uploads,
}

impl Default for Stats {
    fn default() -> Self {
        let mut registry = Registry::default();
        let rooms = Gauge::default();
        registry.register("quilt_rooms", "Rooms with somebody in them", rooms.clone());
        let participants = Gauge::default();
        registry.register(
            "quilt_participants",
            "People in rooms, without those who only watch",
            participants.clone(),
        );
        let listeners = Gauge::default();
        registry.register(
            "quilt_listeners",
            "Consumers attached to a mix",
            listeners.clone(),
        );
        let tier_listeners = Family::default();
        registry.register(
            "quilt_tier_listeners",
            "Consumers attached to a mix, by the quality they get",
            tier_listeners.clone(),
        );
        let http_sessions = Family::default();
        registry.register(
            "quilt_http_sessions",
            "Senders and players that came by WHIP and WHEP",
            http_sessions.clone(),
        );
        let decoders = Family::default();
        registry.register("quilt_decoders", "Decode pipelines", decoders.clone());
        let encoders = Family::default();
        registry.register(
            "quilt_encoders",
            "Encoders: one for each distinct mix",
            encoders.clone(),
        );
        let outputs = Family::default();
        registry.register(
            "quilt_outputs",
            "What gets a room's common mix and is nobody in it",
            outputs.clone(),
        );
        let video_encoder = Family::default();
        registry.register(
            "quilt_video_encoder_info",
            "Who encodes each codec, and why; always 1",
            video_encoder.clone(),
        );
        let video_decoder = Family::default();
        registry.register(
            "quilt_video_decoder_info",
            "Who decodes each codec, and why; always 1",
            video_decoder.clone(),
        );
        let mix_seconds = Histogram::new([
            0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.08,
        ]);
        registry.register(
            "quilt_mix_seconds",
            "Work of one video tick: scale and compose",
            mix_seconds.clone(),
        );
        let mix_ticks = Counter::default();
        registry.register("quilt_mix_ticks", "Video ticks", mix_ticks.clone());
        let mix_late_ticks = Counter::default();
        registry.register(
            "quilt_mix_late_ticks",
            "Video ticks that began more than half a period late",
            mix_late_ticks.clone(),
        );
        // Every 5 ms to 100 ms, then coarser.
        let video_latency = Histogram::new(
            (1..=20)
                .map(|n| n as f64 * 0.005)
                .chain([0.12, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0]),
        );
        registry.register(
            "quilt_video_latency_seconds",
            "Last packet of a source frame in to first packet of the mix picture out",
            video_latency.clone(),
        );
        let forward_latency = Histogram::new([
            1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5,
        ]);
        registry.register(
            "quilt_forward_latency_seconds",
            "Packet of an uplink in to the same packet out, where it is forwarded",
            forward_latency.clone(),
        );
        let line = Histogram::new([1e5, 2e5, 3e5, 5e5, 7e5, 1e6, 1.5e6, 2e6, 3e6, 5e6, 1e7]);
        registry.register(
            "quilt_line_bits_per_second",
            "What each client's line is believed to carry, once a second",
            line.clone(),
        );
        let dropped = Family::default();
        registry.register(
            "quilt_dropped",
            "Items dropped by a bounded queue",
            dropped.clone(),
        );
        let pipeline_errors = Family::default();
        registry.register(
            "quilt_pipeline_errors",
            "Pipelines that ended with an error",
            pipeline_errors.clone(),
        );
        let budget = budget::Budget::register(&mut registry);
        let uploads = uploads::Uploads::register(&mut registry);
        registry.register_collector(Box::new(ProcessCollector));
        let stats = Self {
            registry,
            rooms,
            participants,
            listeners,
            tier_listeners,
            http_sessions,
            decoders,
            encoders,
            outputs,
            video_encoder,
            video_decoder,
            mix_seconds,
            mix_ticks,
            mix_late_ticks,
            video_latency,
            forward_latency,
            line,
            dropped,
            pipeline_errors,
            budget,
            uploads,
        };
        for kind in [Kind::Audio, Kind::Video] {
            // Gauges exist at 0.
            stats.decoders(kind);
            stats.encoders(kind);
        }
        for tier in [Tier::High, Tier::Medium, Tier::Low, Tier::Audio] {
            stats.tier_listeners(tier);
        }
        stats.http_sessions("whip");
        stats.http_sessions("whep");
        for kind in OUTPUTS {
            stats.outputs(kind);
        }
        stats
    }
}

impl Stats {
    /// The gauge of listeners that get a tier.
    pub fn tier_listeners(&self, tier: Tier) -> Gauge {
        let tier = match tier {
            Tier::High => "high",
            Tier::Medium => "medium",
            Tier::Low => "low",
            Tier::Audio => "audio",
        };
        let label = TierLabel { tier };
        self.tier_listeners.get_or_create(&label).clone()
    }

    /// The gauge of those who came by a protocol over HTTP.
    pub fn http_sessions(&self, protocol: &'static str) -> Gauge {
        let label = ProtocolLabel { protocol };
        self.http_sessions.get_or_create(&label).clone()
    }

    /// The gauge of decode pipelines of a kind.
    pub fn decoders(&self, kind: Kind) -> Gauge {
        self.decoders.get_or_create(&label(kind)).clone()
    }

    /// The gauge of encoders of a kind.
    pub fn encoders(&self, kind: Kind) -> Gauge {
        self.encoders.get_or_create(&label(kind)).clone()
    }

    /// Decode and encode pipelines that there are.
    pub fn pipelines(&self) -> i64 {
        let kinds = [Kind::Audio, Kind::Video].into_iter();
        kinds
            .map(|kind| self.decoders(kind).get() + self.encoders(kind).get())
            .sum()
    }

    /// The gauge of outputs of a kind, one of [`OUTPUTS`].
    pub fn outputs(&self, kind: &'static str) -> Gauge {
        self.outputs.get_or_create(&KindLabel { kind }).clone()
    }

    /// Shows who encodes a codec, and why.
    pub fn video_encoder(&self, codec: VideoCodec, element: &'static str, reason: &str) {
        let label = EncoderLabel {
            codec: codec_label(codec),
            encoder: element,
            reason: reason.into(),
        };
        self.video_encoder.get_or_create(&label).set(1);
    }

    /// Shows who decodes a codec, and why.
    pub fn video_decoder(&self, codec: VideoCodec, element: &'static str, reason: &str) {
        let label = DecoderLabel {
            codec: codec_label(codec),
            decoder: element,
            reason: reason.into(),
        };
        self.video_decoder.get_or_create(&label).set(1);
    }

    /// Counts items dropped by a bounded queue.
    pub fn dropped(&self, queue: &'static str, items: u64) {
        if items > 0 {
            self.dropped
                .get_or_create(&QueueLabel { queue })
                .inc_by(items);
        }
    }

    /// Counts a pipeline that ended with an error.
    pub fn pipeline_error(&self, pipeline: &'static str) {
        self.pipeline_errors
            .get_or_create(&PipelineLabel { pipeline })
            .inc();
    }

    /// All metrics in the Prometheus (OpenMetrics) text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// A gauge that is one higher while this lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// Raises the gauge until dropped.
    pub fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn label(kind: Kind) -> KindLabel {
    KindLabel {
        kind: match kind {
            Kind::Audio => "audio",
            Kind::Video => "video",
        },
    }
}

fn codec_label(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::H264 => "h264",
        VideoCodec::Vp8 => "vp8",
    }
}

/// Reads the kernel's own figures when asked, so that they cost nothing in between.
#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let cpu = ConstCounter::new(process_cpu_seconds());
        let metric = encoder.encode_descriptor(
            "process_cpu",
            "User and system CPU time of the process",
            Some(&Unit::Seconds),
            prometheus_client::metrics::MetricType::Counter,
        )?;
        cpu.encode(metric)?;
        let memory = ConstGauge::new(process_resident_bytes() as i64);
        let metric = encoder.encode_descriptor(
            "process_resident_memory",
            "Resident memory of the process",
            Some(&Unit::Bytes),
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        memory.encode(metric)?;
        for (name, help, value) in [
            ("process_threads", "Threads of the process", entries("task")),
            (
                "process_open_fds",
                "Open files, sockets and pipes of the process",
                entries("fd"),
            ),
            ("quilt_tasks", "Tasks of the async runtime", tasks()),
        ] {
            let kind = prometheus_client::metrics::MetricType::Gauge;
            let metric = encoder.encode_descriptor(name, help, None, kind)?;
            ConstGauge::new(value as i64).encode(metric)?;
        }
        Ok(())
    }
}

/// Entries of a folder of `/proc/self`; 0 where it cannot be read.
fn entries(folder: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{folder}")).map_or(0, Iterator::count)
}

/// Tasks of the runtime this is called in; 0 outside of one.
fn tasks() -> usize {
    tokio::runtime::Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks())
}

/// User and system CPU time of this process, seconds.
pub fn process_cpu_seconds() -> f64 {
    cpu_seconds(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// User and system CPU time of the thread that asks, seconds.
pub fn thread_cpu_seconds() -> f64 {
    cpu_seconds(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn cpu_seconds(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec that outlives the call.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Resident memory of this process, bytes; 0 where `/proc` cannot be read.
pub fn process_resident_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .map_or(0, |pages| pages * 4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_exist_at_zero_and_names_are_the_contract() {
        let text = Stats::default().render();
        for line in [
            "quilt_rooms 0",
            "quilt_participants 0",
            "quilt_listeners 0",
            "quilt_tier_listeners{tier=\"low\"} 0",
            "quilt_decoders{kind=\"video\"} 0",
            "quilt_encoders{kind=\"audio\"} 0",
            "quilt_mix_ticks_total 0",
            "quilt_mix_late_ticks_total 0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(text.contains("process_cpu_seconds_total "));
        assert!(text.contains("process_resident_memory_bytes "));
        assert!(text.contains("quilt_tasks 0\n"), "there is no runtime");
    }

    #[tokio::test]
    async fn what_the_process_holds_is_counted() {
        let stats = Stats::default();
        let value = |name: &str| -> f64 {
            let text = stats.render();
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.expect(name).trim().parse().expect("a number")
        };
        let names = ["quilt_tasks ", "process_open_fds ", "process_threads "];
        let before = names.map(value);
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || stopped.recv());
        let task = tokio::spawn(std::future::pending::<()>());
        let file = std::fs::File::open("/proc/self/stat").expect("a file");
        let after = names.map(value);
        // Other tests of this process have threads and files, too.
        assert_eq!(after[0], before[0] + 1.0);
        assert!(after[1] > 1.0 && after[2] > 1.0, "{after:?}");
        task.abort();
        drop((file, stop));
        assert!(thread.join().expect("no panic").is_err(), "nothing is sent");
    }
}
