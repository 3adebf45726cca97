//! The newest report of `quilt tradeoff` where everybody can look at it: none yet, one, a newer one,
//! and one that cannot be read.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::Server;
use common::http::ask;
use quilt::tradeoff::figures::{Machine, Named, Picture, Row, Run, Settings, Topology};
use quilt::tradeoff::{Report, csv, html};

/// A folder of its own for the data of a server, gone with the test.
struct Data(PathBuf);

impl Data {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("quilt-report-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn setting(&self) -> String {
        format!("data-dir = {:?}", self.0)
    }

    /// As the command does it: whole or not at all.
    fn write(&self, name: &str, text: &str) {
        let folder = self.0.join("tradeoff");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("part"), text).expect("to write");
        fs::rename(folder.join("part"), folder.join(name)).expect("to rename");
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(Path::new(&self.0));
    }
}

fn run(date: &str) -> Run {
    let picture = Picture {
        width: 640,
        height: 360,
        fps: 20,
        kbps: 800,
    };
    let row = |topology, round| Row {
        uplinks: Some(1.0),
        server_kbps_out: Some(1_000.0),
        ..Row::new(topology, 2, round)
    };
    Run {
        version: "0.1.0".into(),
        date: date.into(),
        machine: Machine {
            cpu: "<b>any</b>".into(),
            cores: 2,
            memory: 1 << 33,
            kernel: "Linux".into(),
        },
        software: vec![Named {
            name: "GStreamer".into(),
            value: "1.22".into(),
        }],
        settings: Settings {
            quick: true,
            seconds: 5.0,
            rounds: 2,
            topologies: vec![Topology::Sfu, Topology::Mcu],
            people: vec![2],
            sent: picture,
            mix: picture,
            more: Vec::new(),
        },
        rows: vec![row(Topology::Sfu, 1), row(Topology::Mcu, 1)],
    }
}

#[tokio::test]
async fn the_newest_report_is_shown_as_it_was_drawn() {
    let data = Data::new("newest");
    let server = Server::start(&data.setting()).await;
    let get = async |path: &str| ask(server.http, "GET", path, &[], "").await;

    let none = get("/tradeoff").await;
    assert_eq!(none.status, 404);
    assert!(none.header("content-type").starts_with("text/html"));
    assert!(none.text().contains("quilt tradeoff"));
    assert!(
        none.header("content-security-policy")
            .contains("script-src 'self'")
    );
    get("/tradeoff.json").await.refused(404);
    get("/tradeoff.csv").await.refused(404);

    for date in ["2026-11-27T03:00:00Z", "2026-11-28T03:00:01Z"] {
        let report = Report::of(run(date));
        data.write("report.csv", &csv::csv(&report.run));
        data.write("report.json", &report.json());
        for _ in 0..2 {
            let page = get("/tradeoff").await;
            assert_eq!(
                (page.status, page.text()),
                (200, html::html(&report).as_str())
            );
            let policy = page.header("content-security-policy");
            // Its own, and not that of the other pages, which would take its style away.
            assert!(
                policy.starts_with(&html::content_security_policy()),
                "{policy}"
            );
            assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
            assert_eq!(page.all("content-security-policy").count(), 1);
        }
        let json = get("/tradeoff.json").await;
        assert_eq!(
            (json.status, json.json()["run"]["date"].as_str()),
            (200, Some(date))
        );
        let rows = get("/tradeoff.csv").await;
        assert_eq!(rows.text(), csv::csv(&report.run));
        assert!(rows.header("content-disposition").starts_with("attachment"));
    }
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_a_problem_and_no_end() {
    let data = Data::new("broken");
    let server = Server::start(&data.setting()).await;
    let get = async |path: &str| ask(server.http, "GET", path, &[], "").await;
    for broken in [
        "",
        "[1]",
        "{\"schema\": 99, \"run\": {}}",
        "{\"schema\": 1, \"run\": {\"rows\": 3}}",
    ] {
        data.write("report.json", broken);
        for _ in 0..2 {
            let answer = get("/tradeoff").await;
            answer.refused(500);
            assert!(
                answer.text().contains("the newest report"),
                "{}",
                answer.text()
            );
        }
    }
    // Nobody's report is so large, and nobody waits until it was read.
    data.write("report.json", &" ".repeat(9 << 20));
    get("/tradeoff").await.refused(500);
    get("/tradeoff.json").await.refused(500);
    let bytes = [0xff; 100];
    let folder = data.0.join("tradeoff");
    fs::write(folder.join("report.json"), bytes).expect("to write");
    get("/tradeoff").await.refused(500);
    fs::remove_file(folder.join("report.json")).expect("to remove");
    fs::create_dir(folder.join("report.json")).expect("a folder");
    get("/tradeoff").await.refused(500);
    // A path of the client's choice leads nowhere.
    get("/tradeoff/../secret").await.refused(404);
    fs::remove_dir(folder.join("report.json")).expect("to remove");
    let report = Report::of(run("2026-11-27T03:00:00Z"));
    data.write("report.json", &report.json());
    assert_eq!(get("/tradeoff").await.status, 200);
    server.stop().await;
}
