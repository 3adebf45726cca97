//! What a run of `quilt load` found: JSON for programs (`tests/load-report.schema.json`) and a
//! table for people.

use std::fmt::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::metrics::Metrics;
use crate::id::{ParticipantId, RoomName};

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of Quilt that wrote this.
    pub version: &'static str,
    /// The room.
    pub room: RoomName,
    /// Of the content and the phases.
    pub seed: u64,
    /// How long was counted, from when everybody had joined.
    pub seconds: f64,
    /// Everybody, publishers first.
    pub clients: Vec<Client>,
    /// The clients that decode, taken together.
    pub sample: Option<Sample>,
    /// By its own metrics, while it was counted.
    pub server: Server,
    /// CPU time of this process while it was counted, seconds.
    pub load_cpu_seconds: f64,
}

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sends and receives.
    Publisher,
    /// Receives.
    Viewer,
}

/// One client.
#[derive(Debug, Clone, Serialize)]
pub struct Client {
    /// Its display name; viewers have none in the room.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Who it was in the room, if it came so far.
    pub participant: Option<ParticipantId>,
    /// Why it did not join, or did not stay.
    pub error: Option<String>,
    /// From opening the WebSocket to a connected transport (ICE and DTLS), ms.
    pub join_ms: Option<f64>,
    /// From a connected transport to the first picture that could be shown, ms.
    pub first_picture_ms: Option<f64>,
    /// Complete pictures that could be shown (nothing missing back to a keyframe).
    pub pictures_per_second: f64,
    /// As W3C's `freezeCount`.
    pub freezes: u32,
    /// All freezes together, ms.
    pub frozen_ms: f64,
    /// RTP payload of the video, 1000 bits a second.
    pub video_kbps: f64,
    /// Video packets that never came, or 500 ms too late.
    pub lost_packets: u64,
    /// Audio packets with a payload.
    pub audio_packets_per_second: f64,
    /// If this client decodes.
    pub sample: Option<Sample>,
}

/// What was seen and heard in decoded media.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Decoded pictures, fresh or not.
    pub pictures_per_second: f64,
    /// Every source that was seen.
    pub tiles: Vec<TileSample>,
    /// Marks of another source than the tile map says, more than 12 pictures in a row.
    pub strange_marks: u64,
    /// From the moment a publisher had handed a picture's last packet to its WebRTC client, to
    /// the moment the first picture of the mix that shows it left the receiver's decoder (jitter
    /// buffer included, display not).
    pub video_latency_ms: Option<Percentiles>,
    /// From the moment a publisher had handed over the packet that begins with the beep, to the
    /// moment a player that plays each block as it leaves the decoder (jitter buffer included)
    /// comes to the onset.
    pub audio_latency_ms: Option<Percentiles>,
    /// How much later the beep is than the picture it was sent with, on the time line of the
    /// downlink's sender reports: what a receiver that synchronises by them plays.
    pub skew_ms: Option<Percentiles>,
    /// The same without its sign.
    pub skew_abs_ms: Option<Percentiles>,
    /// How true the mix is to the sources: SSIM of luma, 1 is the same (see [`album`](super::album)).
    pub ssim: Option<f64>,
}

/// One source as one or several clients saw it.
#[derive(Debug, Clone, Serialize)]
pub struct TileSample {
    /// The publisher's name.
    pub source: String,
    /// Fresh pictures of it: shown for the first time. Repeats do not count. Over several
    /// clients: the least any of them saw.
    pub marks_per_second: f64,
    /// As in [`Sample::video_latency_ms`].
    pub latency_ms: Option<Percentiles>,
}

/// The server's metrics: differences over the run, or values at its end.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Server {
    /// User and system.
    pub cpu_seconds: f64,
    /// The same for each second of the run: 1 is one core.
    pub cpu_cores: f64,
    /// At the start, bytes.
    pub resident_bytes_start: f64,
    /// At the end, bytes.
    pub resident_bytes_end: f64,
    /// Video ticks.
    pub ticks: f64,
    /// Of them, begun more than half a period late.
    pub late_ticks: f64,
    /// `quilt_video_latency_seconds`: upper edge of the bucket that holds the median.
    pub video_latency_p50_ms: Option<f64>,
    /// Upper edge of the bucket that holds the 95th percentile.
    pub video_latency_p95_ms: Option<f64>,
    /// Video encoders at the end.
    pub video_encoders: f64,
    /// Items dropped by bounded queues.
    pub dropped: f64,
    /// Pipelines that failed.
    pub pipeline_errors: f64,
}

/// Nearest-rank percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many values.
    pub count: usize,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Largest.
    pub max: f64,
}

impl Percentiles {
    /// Of these values; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let rank = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.max(1) - 1).copied()
        };
        Some(Self {
            count: sorted.len(),
            p50: rank(0.5)?,
            p95: rank(0.95)?,
            max: *sorted.last()?,
        })
    }

    /// Of durations, in milliseconds.
    pub fn of_durations(values: &[Duration]) -> Option<Self> {
        let millis: Vec<f64> = values.iter().map(|d| d.as_secs_f64() * 1e3).collect();
        Self::of(&millis)
    }
}

impl Server {
    /// What happened between two readings of the metrics that lie `seconds` apart.
    pub fn between(before: &Metrics, after: &Metrics, seconds: f64) -> Self {
        let since = |name| after.value(name) - before.value(name);
        let summed = |name| after.sum(name) - before.sum(name);
        let memory = "process_resident_memory_bytes";
        let latency = |q| {
            let edge = after.quantile_since(before, "quilt_video_latency_seconds", q)?;
            // The last bucket has no edge, and JSON no infinity.
            Some(edge * 1e3).filter(|ms| ms.is_finite())
        };
        let cpu_seconds = since("process_cpu_seconds_total");
        Self {
            cpu_seconds,
            cpu_cores: cpu_seconds / seconds,
            resident_bytes_start: before.value(memory),
            resident_bytes_end: after.value(memory),
            ticks: since("quilt_mix_ticks_total"),
            late_ticks: since("quilt_mix_late_ticks_total"),
            video_latency_p50_ms: latency(0.5),
            video_latency_p95_ms: latency(0.95),
            video_encoders: after.value("quilt_encoders{kind=\"video\"}"),
            dropped: summed("quilt_dropped_total"),
            pipeline_errors: summed("quilt_pipeline_errors_total"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "room {} for {:.1} s\n\n{:<12} {:>8} {:>8} {:>7} {:>7} {:>8} {:>6} {:>8}",
            self.room,
            self.seconds,
            "client",
            "join ms",
            "1st pic",
            "pic/s",
            "freezes",
            "kbit/s",
            "lost",
            "audio/s"
        )?;
        for client in &self.clients {
            let millis = |ms: Option<f64>| ms.map_or("-".into(), |ms| format!("{ms:.0}"));
            writeln!(
                f,
                "{:<12} {:>8} {:>8} {:>7.2} {:>7} {:>8.0} {:>6} {:>8.1}{}",
                client.name,
                millis(client.join_ms),
                millis(client.first_picture_ms),
                client.pictures_per_second,
                client.freezes,
                client.video_kbps,
                client.lost_packets,
                client.audio_packets_per_second,
                client
                    .error
                    .as_ref()
                    .map_or(String::new(), |e| format!("  {e}")),
            )?;
        }
        if let Some(sample) = &self.sample {
            writeln!(f, "\n{sample}")?;
        }
        let Server { cpu_cores, .. } = self.server;
        writeln!(
            f,
            "server: {cpu_cores:.3} cores, {:.0} MB, {} late of {} ticks, {} video encoders, \
             packet to packet p50 {} p95 {} ms\nload: {:.3} cores",
            self.server.resident_bytes_end / 1e6,
            self.server.late_ticks,
            self.server.ticks,
            self.server.video_encoders,
            at_most(self.server.video_latency_p50_ms),
            at_most(self.server.video_latency_p95_ms),
            self.load_cpu_seconds / self.seconds.max(f64::MIN_POSITIVE),
        )
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut marks = String::new();
        for tile in &self.tiles {
            write!(marks, " {} {:.2}", tile.source, tile.marks_per_second)?;
        }
        writeln!(f, "fresh marks a second, least seen:{marks}")?;
        let strange = self.strange_marks;
        if strange > 0 {
            writeln!(f, "{strange} marks of a source that should not be there")?;
        }
        let line = |p: &Option<Percentiles>| match p {
            Some(p) => format!(
                "p50 {:.1} p95 {:.1} max {:.1} ms of {}",
                p.p50, p.p95, p.max, p.count
            ),
            None => "nothing measured".into(),
        };
        writeln!(f, "mark to mark: {}", line(&self.video_latency_ms))?;
        writeln!(f, "beep to beep: {}", line(&self.audio_latency_ms))?;
        writeln!(f, "sound after picture: {}", line(&self.skew_ms))?;
        match self.ssim {
            Some(ssim) => write!(f, "SSIM of the sources in the mix: {ssim:.4}"),
            None => write!(f, "SSIM of the sources in the mix: nothing compared"),
        }
    }
}

fn at_most(millis: Option<f64>) -> String {
    millis.map_or("-".into(), |ms| format!("<= {ms:.0}"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Checks the part of JSON Schema that the report's schema uses.
    fn check(schema: &Value, root: &Value, value: &Value, at: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let definition = root.pointer(name.trim_start_matches('#')).unwrap();
            return check(definition, root, value, at);
        }
        if let Some(any) = schema["anyOf"].as_array() {
            let fitting = any
                .iter()
                .find(|one| (one["type"] == "null") == value.is_null());
            return check(fitting.unwrap(), root, value, at);
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(n) if n.is_u64() || n.is_i64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let allowed = |word: &Value| word == kind || (word == "number" && kind == "integer");
        match &schema["type"] {
            Value::Array(words) => assert!(words.iter().any(allowed), "{at}: {value}"),
            Value::Null => assert!(schema["enum"].as_array().unwrap().contains(value), "{at}"),
            word => assert!(allowed(word), "{at}: {value} is no {word}"),
        }
        if let Some(minimum) = schema["minimum"].as_f64() {
            assert!(value.as_f64().is_none_or(|value| value >= minimum), "{at}");
        }
        if let Value::Array(items) = value {
            for item in items {
                check(&schema["items"], root, item, at);
            }
        }
        if let Value::Object(fields) = value {
            for (name, field) in fields {
                let known = schema["properties"].get(name);
                check(
                    known.unwrap_or_else(|| panic!("{at}.{name}")),
                    root,
                    field,
                    name,
                );
            }
            for name in schema["required"].as_array().unwrap() {
                assert!(
                    fields.contains_key(name.as_str().unwrap()),
                    "{at} lacks {name}"
                );
            }
        }
    }

    fn report() -> Report {
        let percentiles = Percentiles::of(&[1.0, 2.5]);
        let sample = Sample {
            pictures_per_second: 25.0,
            tiles: vec![TileSample {
                source: "Load 0".into(),
                marks_per_second: 24.9,
                latency_ms: percentiles,
            }],
            strange_marks: 1,
            video_latency_ms: percentiles,
            audio_latency_ms: None,
            skew_ms: percentiles,
            skew_abs_ms: percentiles,
            ssim: Some(0.95),
        };
        let failed = Client {
            name: "Load 1".into(),
            role: Role::Viewer,
            participant: None,
            error: Some("nobody is there".into()),
            join_ms: None,
            first_picture_ms: None,
            pictures_per_second: 0.0,
            freezes: 0,
            frozen_ms: 0.0,
            video_kbps: 0.0,
            lost_packets: 0,
            audio_packets_per_second: 0.0,
            sample: None,
        };
        let joined = Client {
            participant: Some(ParticipantId(3)),
            role: Role::Publisher,
            join_ms: Some(12.0),
            sample: Some(sample.clone()),
            error: None,
            ..failed.clone()
        };
        Report {
            version: "0",
            room: RoomName::new("r").unwrap(),
            seed: 1,
            seconds: 2.0,
            clients: vec![joined, failed],
            sample: Some(sample),
            server: Server::default(),
            load_cpu_seconds: 0.5,
        }
    }

    #[test]
    fn the_json_is_what_its_schema_says() {
        let schema: Value =
            serde_json::from_str(include_str!("../../tests/load-report.schema.json")).unwrap();
        let mut full = report();
        check(
            &schema,
            &schema,
            &serde_json::to_value(&full).unwrap(),
            "report",
        );
        full.sample = None;
        full.server.video_latency_p95_ms = Some(75.0);
        check(
            &schema,
            &schema,
            &serde_json::to_value(&full).unwrap(),
            "report",
        );
    }

    #[test]
    fn the_table_names_everybody_and_what_went_wrong() {
        let text = report().to_string();
        for part in [
            "Load 0 24.90",
            "Load 1",
            "nobody is there",
            "p95 2.5",
            "nothing measured",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        assert_eq!(Percentiles::of(&[]), None);
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let found = Percentiles::of(&values).unwrap();
        assert_eq!((found.p50, found.p95, found.max), (50.0, 95.0, 100.0));
        let one = Percentiles::of_durations(&[Duration::from_millis(7)]).unwrap();
        assert_eq!((one.count, one.p50, one.p95), (1, 7.0, 7.0));
    }
}
