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
