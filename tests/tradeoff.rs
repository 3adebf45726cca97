//! The report of `quilt tradeoff` as others read it: JSON as its schema says.

mod schema;

use quilt::tradeoff::figures::{Machine, Picture, Run, SeenBy, Settings, Topology};
use quilt::tradeoff::{Report, Row};
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("tradeoff-report.schema.json");

fn violations(report: &Value) -> Vec<String> {
    let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    schema::violations(&schema, report)
}

fn written(rows: Vec<Row>) -> Value {
    let picture = Picture {
        width: 640,
        height: 360,
        fps: 20,
        kbps: 500,
    };
    let run = Run {
        version: "test".into(),
        date: "2026-11-27T03:00:00Z".into(),
        machine: Machine {
            cpu: "none".into(),
            cores: 2,
            memory: 1 << 33,
            kernel: "none".into(),
        },
        software: vec![],
        settings: Settings {
            quick: true,
            seconds: 5.0,
            rounds: 2,
            topologies: Topology::ALL.to_vec(),
            people: vec![2, 4],
            sent: picture,
            mix: picture,
            more: vec![],
        },
        rows,
    };
    serde_json::from_str(&Report::of(run).json()).expect("JSON")
}

/// Two rounds of each topology, with every quantity and every reason to decide nothing in it.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (place, topology) in (1..).map(f64::from).zip(Topology::ALL) {
        for n in [2, 4, 6, 8] {
            for round in [1, 2] {
                let near = place * f64::from(n) * (1.0 + f64::from(round) / 100.0);
                rows.push(Row {
                    busy: Some(if n == 6 { 0.9 } else { 0.5 }),
                    fps_got: Some(if n == 8 { 12.0 } else { 20.0 }),
                    fps_wanted: Some(20.0),
                    uplinks: Some(1.0),
                    downlinks: Some(f64::from(n) - 1.0),
                    client_kbps_up: Some(500.0 * near),
                    client_kbps_down: Some(500.0 * near),
                    client_cores_bulk: Some(0.01 * near),
                    client_cores_chromium: Some(0.2 * near),
                    server_cores: Some(0.1 * near),
                    server_kbps_in: Some(500.0 * near),
                    server_kbps_out: Some(500.0 * near),
                    latency_p50_ms: Some(20.0 * near),
                    latency_p95_ms: Some(20.0 * near),
                    ssim: Some(0.9),
                    seen_by: Some(SeenBy::MixingServer),
                    ..Row::new(topology, n, round)
                });
            }
        }
        rows.push(Row::new(topology, 9, 1));
        rows.push(Row {
            failed: Some("nobody came".into()),
            ..Row::new(topology, 10, 1)
        });
    }
    rows
}

#[test]
fn reports_are_as_the_schema_says() {
    for rows in [vec![], vec![Row::new(Topology::Sfu, 2, 1)], rows()] {
        let report = written(rows);
        assert_eq!(violations(&report), Vec::<String>::new());
    }
}

/// The whole command: real clients, a real Chromium where there is one.
#[test]
fn the_quick_version_measures_each_topology() {
    let data = tempfile::tempdir().expect("a folder");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_quilt"))
        .args(["tradeoff", "--quick", "--rounds=1", "--data-dir"])
        .arg(data.path())
        .env_clear()
        .envs(["PATH", "HOME"].map(|name| (name, std::env::var(name).unwrap_or_default())))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let file = |name: &str| std::fs::read_to_string(data.path().join("tradeoff").join(name));
    let report = file("report.json").expect("it is written");
    assert_eq!(
        violations(&serde_json::from_str(&report).expect("JSON")),
        Vec::<String>::new()
    );
    let page = file("report.html").expect("it is written");
    assert!(page.contains("<svg"), "{page}");
    let report = Report::read(&report).expect("a report");
    let rows = &report.run.rows;
    assert!(file("report.csv").expect("it is written").lines().count() > rows.len());
    for row in rows {
        assert_eq!(row.failed, None, "{row:?}");
        assert!(row.fps_got.is_some() && row.busy.is_some(), "{row:?}");
        let (sent, got) = match row.topology {
            _ if row.uplinks.is_none() => continue,
            Topology::Mesh => (f64::from(row.n) - 1.0, f64::from(row.n) - 1.0),
            Topology::Sfu => (1.0, f64::from(row.n) - 1.0),
            Topology::Mcu => (1.0, 1.0),
            // Every other one takes the mix.
            Topology::Hybrid => (1.0, f64::from(row.n) / 2.0),
        };
        assert_eq!(
            (row.uplinks, row.downlinks),
            (Some(sent), Some(got)),
            "{row:?}"
        );
        assert!(row.client_kbps_up > Some(200.0 * sent), "{row:?}");
        assert!(row.client_kbps_down > Some(200.0 * got), "{row:?}");
        assert!(
            row.latency_p50_ms > Some(0.0) && row.ssim > Some(0.8),
            "{row:?}"
        );
        let seen_by = match row.topology {
            Topology::Mesh => SeenBy::Nobody,
            Topology::Sfu => SeenBy::ForwardingServer,
            Topology::Mcu | Topology::Hybrid => SeenBy::MixingServer,
        };
        assert_eq!(row.seen_by, Some(seen_by));
        if row.topology == Topology::Mesh {
            assert_eq!(
                (row.server_kbps_in, row.server_kbps_out),
                (Some(0.0), Some(0.0))
            );
        }
        if row.topology == Topology::Mcu {
            // The tier's bitrate and the sound, whoever is in the meeting.
            let most = 1.1 * f64::from(report.run.settings.mix.kbps);
            assert!(row.client_kbps_down < Some(most), "{row:?}");
        }
    }
    let bulk = rows.iter().filter(|row| row.uplinks.is_some()).count();
    assert_eq!(bulk, 2 * 4, "a round of two and of four people");
    let browsers: Vec<_> = rows.iter().filter(|row| row.uplinks.is_none()).collect();
    if !said.contains("There is no Chromium") {
        assert_eq!(browsers.len(), 3);
        let cores = |row: &&&Row| row.client_cores_chromium > Some(0.01);
        assert_eq!(browsers.iter().filter(cores).count(), 3, "{browsers:?}");
    }
}

#[test]
fn the_schema_refuses_what_no_report_is() {
    let good = written(rows());
    for (place, value) in [
        ("/schema", json!(2)),
        ("/run/rows/0/topology", json!("star")),
        ("/run/rows/0/ssim", json!(1.5)),
        ("/run/rows/0/busy", json!("often")),
        ("/run/machine", json!({ "cpu": "none" })),
        ("/points/0/values/uplinks/rounds", json!(0)),
        (
            "/points/0/values/uplinks",
            json!({ "median": 1.0, "other": 2 }),
        ),
        ("/overall/0/at/0/open", json!({ "why": "bored" })),
        ("/gaps", json!([1])),
    ] {
        let mut report = good.clone();
        let there = report.pointer_mut(place);
        *there.unwrap_or_else(|| panic!("nothing at {place}")) = value;
        assert_ne!(violations(&report), Vec::<String>::new(), "{place}");
    }
}
