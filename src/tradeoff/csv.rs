//! The rows as CSV (RFC 4180), one line each, with a head. What was not measured is an empty field.

use super::figures::{Row, Run, SeenBy};
use super::points::{Because, saturated};
use super::quantity::Quantity;

/// Writes all rows of a run.
pub fn csv(run: &Run) -> String {
    let first = ["topology", "n", "round"].map(str::to_owned);
    let quantities = Quantity::ALL.map(|quantity| quantity.about().key.to_owned());
    let last = [
        "seen_by",
        "busy",
        "fps_got",
        "fps_wanted",
        "saturated",
        "failed",
    ];
    let head = [&first[..], &quantities, &last.map(str::to_owned)].concat();
    let mut out = line(&head);
    for row in &run.rows {
        out.push_str(&line(&fields(row)));
    }
    out
}

fn fields(row: &Row) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let sane = |value: Option<f64>| number(value.filter(|value| value.is_finite()));
    let mut fields = vec![
        row.topology.key().to_owned(),
        row.n.to_string(),
        row.round.to_string(),
    ];
    fields.extend(Quantity::ALL.map(|quantity| number(quantity.of(row))));
    fields.push(row.seen_by.map_or(String::new(), |by| {
        let name = match by {
            SeenBy::Nobody => "nobody",
            SeenBy::ForwardingServer => "forwarding_server",
            SeenBy::MixingServer => "mixing_server",
        };
        name.to_owned()
    }));
    fields.extend([row.busy, row.fps_got, row.fps_wanted].map(sane));
    fields.push(saturated(row).map_or(String::new(), |saturated| {
        let because = match saturated.because {
            Because::Failed { .. } => "failed",
            Because::Busy { .. } => "busy",
            Because::Frames { .. } => "frames",
            Because::Unknown => "unknown",
        };
        because.to_owned()
    }));
    fields.push(row.failed.clone().unwrap_or_default());
    fields
}

fn line(fields: &[String]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| quoted(field)).collect();
    fields.join(",") + "\r\n"
}

fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tradeoff::figures::Topology;
    use crate::tradeoff::sample;

    #[test]
    fn a_line_for_each_row_and_nothing_for_what_was_not_measured() {
        let measured = Row {
            busy: Some(0.5),
            fps_got: Some(20.0),
            fps_wanted: Some(20.0),
            uplinks: Some(1.0),
            server_cores: Some(0.0),
            ssim: Some(f64::NAN),
            seen_by: Some(SeenBy::MixingServer),
            ..Row::new(Topology::Mcu, 2, 1)
        };
        let failed = Row {
            failed: Some("it said \"no\", twice\nand left".into()),
            ..Row::new(Topology::Mesh, 10, 3)
        };
        let run = Run {
            rows: vec![measured, failed],
            ..sample::empty()
        };
        let expected = "topology,n,round,uplinks,downlinks,client_kbps_up,client_kbps_down,\
            client_cores_chromium,client_cores_bulk,server_cores,server_kbps_in,server_kbps_out,\
            latency_p50_ms,latency_p95_ms,ssim,seen_by,busy,fps_got,fps_wanted,saturated,failed\r\n\
            mcu,2,1,1,,,,,,0,,,,,,mixing_server,0.5,20,20,,\r\n\
            mesh,10,3,,,,,,,,,,,,,,,,,failed,\"it said \"\"no\"\", twice\nand left\"\r\n";
        assert_eq!(csv(&run), expected);
    }

    #[test]
    fn every_line_has_as_many_fields_as_the_head() {
        let mut run = sample::run();
        // Its text has a comma, which is none between fields.
        run.rows.retain(|row| row.failed.is_none());
        let text = csv(&run);
        let commas: Vec<_> = text.lines().map(|line| line.matches(',').count()).collect();
        assert_eq!(commas.len(), run.rows.len() + 1);
        assert!(commas.iter().all(|count| *count == commas[0]));
    }
}
