//! A run that nobody measured: what tests render. Its figures follow from simple formulas and a
//! noise that is always the same.

use super::figures::{Machine, Named, Picture, Row, Run, SeenBy, Settings, Topology};

/// A full run: N = 2 … 10, three rounds, browsers with a few numbers of people, an overloaded
/// machine at the end of the line, and one row that came to nothing.
pub fn run() -> Run {
    let mut rows = Vec::new();
    for round in 1..=3 {
        for n in 2..=10 {
            rows.extend(Topology::ALL.map(|topology| bulk(topology, n, round)));
            if [2, 4, 6].contains(&n) {
                rows.extend(CHOSEN.map(|topology| browsers(topology, n, round)));
            }
        }
    }
    rows.push(Row {
        failed: Some("1 of 10 clients did not join: <timeout> & \"nothing\" came".into()),
        ..Row::new(Topology::Mesh, 10, 4)
    });
    Run { rows, ..empty() }
}

/// The same without a row.
pub fn empty() -> Run {
    let named = |(name, value): (&str, &str)| Named {
        name: name.into(),
        value: value.into(),
    };
    Run {
        version: "0.1.0 (synthetic: nobody measured these figures)".into(),
        date: "2026-11-27T03:00:00Z".into(),
        machine: Machine {
            cpu: "Imaginary <E5> @ 2.00GHz & \"friends\"".into(),
            cores: 2,
            memory: 8_217_346_048,
            kernel: "Linux 6.1.0".into(),
        },
        software: [("Chromium", "156.0"), ("GStreamer", "1.22.0")]
            .map(named)
            .to_vec(),
        settings: Settings {
            quick: false,
            seconds: 10.0,
            rounds: 3,
            topologies: Topology::ALL.to_vec(),
            people: (2..=10).collect(),
            sent: picture(640, 360, 20, 500),
            mix: picture(640, 360, 20, 500),
            more: [("Codec", "VP8"), ("Simulcast", "640x360 and 320x180")]
                .map(named)
                .to_vec(),
        },
        rows: vec![],
    }
}

/// Those that are also measured with browsers.
const CHOSEN: [Topology; 3] = [Topology::Mesh, Topology::Sfu, Topology::Mcu];

fn picture(width: u32, height: u32, fps: u32, kbps: u32) -> Picture {
    Picture {
        width,
        height,
        fps,
        kbps,
    }
}

/// About 1, a few hundredths off, always the same for the same row.
fn noise(topology: Topology, n: u8, round: u32, of: u32) -> f64 {
    let seed = (topology as u32 + 1) * 7_919 + u32::from(n) * 104_729 + round * 1_299_709 + of * 31;
    let mixed = seed.wrapping_mul(2_654_435_761) >> 16;
    1.0 + (f64::from(mixed % 1_000) / 1_000.0 - 0.5) * 0.06
}

/// Measured, with as many digits as are read back from JSON to the last bit.
fn figure(value: f64) -> Option<f64> {
    Some((value * 1e4).round() / 1e4)
}

fn bulk(topology: Topology, n: u8, round: u32) -> Row {
    let people = f64::from(n);
    let others = people - 1.0;
    let near = |of| noise(topology, n, round, of);
    let (up, down) = match topology {
        Topology::Mesh => (others, others),
        Topology::Sfu => (1.0, others),
        Topology::Mcu => (1.0, 1.0),
        Topology::Hybrid => (1.0, (others + 1.0) / 2.0),
    };
    let (cores, base, wait) = match topology {
        Topology::Mesh => (0.004, 24.0, 1.5),
        Topology::Sfu => (0.012 * people * others + 0.01, 26.0, 1.0),
        Topology::Mcu => (0.11 * people + 0.04, 62.0, 2.0),
        Topology::Hybrid => (0.006 * people * others + 0.06 * people + 0.04, 45.0, 1.8),
    };
    let (kbps_up, kbps_down) = (540.0 * up, 540.0 * down);
    let relayed = topology != Topology::Mesh;
    Row {
        busy: figure(((cores + 0.07 * people + 0.01 * up * people) / 2.0 * near(1)).min(1.0)),
        fps_got: Some(if topology == Topology::Mcu && n > 9 {
            17.5
        } else {
            19.9
        }),
        fps_wanted: Some(20.0),
        uplinks: Some(up),
        downlinks: Some(down),
        client_kbps_up: figure(kbps_up * near(2)),
        client_kbps_down: figure(kbps_down * near(3)),
        client_cores_bulk: figure((0.004 + 0.003 * (up + down)) * near(4)),
        server_cores: figure(cores * near(5)),
        server_kbps_in: figure(if relayed { kbps_up * people } else { 2.0 } * near(6)),
        server_kbps_out: figure(if relayed { kbps_down * people } else { 2.0 } * near(7)),
        latency_p50_ms: figure((base + wait * people) * near(8)),
        latency_p95_ms: figure((base * 1.4 + wait * 2.0 * people) * near(9)),
        ssim: (topology != Topology::Hybrid).then_some(()).and_then(|()| {
            figure(match topology {
                Topology::Mcu => 0.93 - 0.003 * people + (near(10) - 1.0) * 0.05,
                _ => 0.965 + (near(10) - 1.0) * 0.05,
            })
        }),
        seen_by: Some(match topology {
            Topology::Mesh => SeenBy::Nobody,
            Topology::Sfu => SeenBy::ForwardingServer,
            Topology::Mcu | Topology::Hybrid => SeenBy::MixingServer,
        }),
        ..Row::new(topology, n, round)
    }
}

fn browsers(topology: Topology, n: u8, round: u32) -> Row {
    let others = f64::from(n - 1);
    let cores = match topology {
        Topology::Mesh => 0.10 + 0.11 * others,
        Topology::Sfu => 0.16 + 0.04 * others,
        Topology::Mcu | Topology::Hybrid => 0.2,
    };
    Row {
        busy: Some((0.3 + 0.05 * f64::from(n)).min(1.0)),
        fps_got: Some(19.8),
        fps_wanted: Some(20.0),
        client_cores_chromium: figure(cores * noise(topology, n, round, 11)),
        ..Row::new(topology, n, round)
    }
}
