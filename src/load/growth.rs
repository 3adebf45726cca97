//! Whether a server is what it was before people came and went. Pure.

use std::fmt;

use serde::Serialize;

use super::metrics::Metrics;

/// Resident memory may end up so much higher: allocators keep holes, and these are not filled in
/// the same order twice.
const MEMORY: f64 = 1.10;
/// Failed visits that are told in words.
const TOLD: usize = 5;

/// What a server holds at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Since counting began, seconds.
    pub at: f64,
    /// Of the operating system.
    pub threads: f64,
    /// Open files, sockets, pipes.
    pub descriptors: f64,
    /// Of the async runtime.
    pub tasks: f64,
    /// Decoders and encoders.
    pub pipelines: f64,
    /// Consumers of mixes.
    pub listeners: f64,
    /// With somebody in them.
    pub rooms: f64,
    /// Resident, MB.
    pub memory: f64,
}

impl Figures {
    /// What the server says of itself.
    pub fn of(metrics: &Metrics, at: f64) -> Self {
        Self {
            at,
            threads: metrics.value("process_threads"),
            descriptors: metrics.value("process_open_fds"),
            tasks: metrics.value("quilt_tasks"),
            pipelines: metrics.sum("quilt_decoders") + metrics.sum("quilt_encoders"),
            listeners: metrics.value("quilt_listeners"),
            rooms: metrics.value("quilt_rooms"),
            memory: metrics.value("process_resident_memory_bytes") / 1e6,
        }
    }

    /// What is counted, by name.
    pub fn counts(&self) -> [(&'static str, f64); 6] {
        [
            ("threads", self.threads),
            ("descriptors", self.descriptors),
            ("tasks", self.tasks),
            ("pipelines", self.pipelines),
            ("listeners", self.listeners),
            ("rooms", self.rooms),
        ]
    }

    /// What has become more since `before`, in words.
    pub fn grown_since(&self, before: &Figures) -> Vec<String> {
        let counts = self.counts().into_iter().zip(before.counts());
        let mut grown: Vec<_> = counts
            .filter(|((_, now), (_, then))| now > then)
            .map(|((name, now), (_, then))| format!("{name}: {now} instead of {then}"))
            .collect();
        if self.memory > before.memory * MEMORY {
            let (now, then) = (self.memory, before.memory);
            grown.push(format!("memory: {now:.1} MB instead of {then:.1}"));
        }
        grown
    }
}

/// Somebody's stay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Visit {
    /// From the opened socket to the connected transport, ms.
    pub join_ms: f64,
    /// From the connected transport to the first picture, ms.
    pub first_picture_ms: f64,
}

/// All that was seen.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The program's.
    pub version: &'static str,
    /// Visits that went well, in the order they began.
    pub visits: Vec<Visit>,
    /// Why others did not.
    pub failures: Vec<String>,
    /// What happened to those who stayed.
    pub disturbed: Vec<String>,
    /// At rest, after the warm-up.
    pub before: Figures,
    /// Meanwhile.
    pub samples: Vec<Figures>,
    /// At rest, when all visitors had gone.
    pub after: Figures,
}

impl Report {
    /// What is not as it should be.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = self.after.grown_since(&self.before);
        if !self.failures.is_empty() {
            let told: Vec<_> = self.failures.iter().take(TOLD).cloned().collect();
            let count = self.failures.len();
            complaints.push(format!("{count} visits failed: {}", told.join("; ")));
        }
        complaints.extend(self.disturbed.iter().cloned());
        complaints
    }

    /// The median and the 95th percentile of the time to a picture, socket to picture, in the
    /// first and in the last quarter of the visits, ms.
    pub fn quarters(&self) -> [(f64, f64); 2] {
        let quarter = (self.visits.len() / 4).max(1);
        let of = |visits: &[Visit]| {
            let times = visits.iter().map(|v| v.join_ms + v.first_picture_ms);
            let mut times: Vec<_> = times.collect();
            times.sort_by(f64::total_cmp);
            let at = |part: f64| {
                let index = (times.len() as f64 * part) as usize;
                times
                    .get(index.min(times.len().saturating_sub(1)))
                    .copied()
                    .unwrap_or(f64::NAN)
            };
            (at(0.5), at(0.95))
        };
        let visits = &self.visits;
        let first = &visits[..quarter.min(visits.len())];
        let last = &visits[visits.len().saturating_sub(quarter)..];
        [of(first), of(last)]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8}", "s")?;
        for (name, _) in self.before.counts() {
            write!(f, " {name:>11}")?;
        }
        writeln!(f, " {:>11}", "MB")?;
        let rows = [&self.before]
            .into_iter()
            .chain(&self.samples)
            .chain([&self.after]);
        for row in rows {
            write!(f, "{:>8.0}", row.at)?;
            for (_, count) in row.counts() {
                write!(f, " {count:>11}")?;
            }
            writeln!(f, " {:>11.1}", row.memory)?;
        }
        let [(p50, p95), (late_p50, late_p95)] = self.quarters();
        writeln!(
            f,
            "{} visits; from socket to picture, ms: first quarter p50 {p50:.0}, p95 {p95:.0}; \
             last quarter p50 {late_p50:.0}, p95 {late_p95:.0}",
            self.visits.len(),
        )?;
        let complaints = self.complaints();
        for complaint in &complaints {
            writeln!(f, "{complaint}")?;
        }
        if complaints.is_empty() {
            writeln!(f, "nothing has grown")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stats;

    #[test]
    fn growth_is_named() {
        let before = Figures {
            threads: 20.0,
            tasks: 30.0,
            memory: 100.0,
            ..Default::default()
        };
        assert!(before.grown_since(&before).is_empty());
        let fewer = Figures {
            threads: 19.0,
            memory: 109.9,
            ..before
        };
        assert!(fewer.grown_since(&before).is_empty());
        let more = Figures {
            tasks: 31.0,
            memory: 111.0,
            ..before
        };
        assert_eq!(
            more.grown_since(&before),
            [
                "tasks: 31 instead of 30",
                "memory: 111.0 MB instead of 100.0"
            ]
        );
    }

    #[test]
    fn the_servers_figures_are_found() {
        let stats = Stats::default();
        stats.rooms.inc();
        stats.decoders(crate::media::Kind::Audio).inc();
        stats.encoders(crate::media::Kind::Video).inc();
        let figures = Figures::of(&Metrics::parse(&stats.render()), 5.0);
        assert_eq!((figures.rooms, figures.pipelines), (1.0, 2.0));
        let counts = [figures.threads, figures.descriptors, figures.memory];
        assert!(counts.iter().all(|count| *count > 0.0), "{figures:?}");
    }

    #[test]
    fn failures_are_complaints_and_quarters_tell_a_slow_end() {
        let visit = |ms: f64| Visit {
            join_ms: ms,
            first_picture_ms: ms,
        };
        let mut report = Report {
            version: "0",
            visits: (0..40).map(|n| visit(f64::from(n))).collect(),
            failures: vec![],
            disturbed: vec![],
            before: Figures::default(),
            samples: vec![],
            after: Figures::default(),
        };
        assert_eq!(report.quarters(), [(10.0, 18.0), (70.0, 78.0)]);
        assert!(report.complaints().is_empty());
        assert!(report.to_string().contains("nothing has grown"));
        report.failures = vec!["no way in".into(); 9];
        assert!(report.complaints()[0].starts_with("9 visits failed: no way in; "));
        report.visits.clear();
        assert!(report.quarters()[0].0.is_nan());
    }
}
