//! Where the report goes: three files, each of them whole at any time.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::tradeoff::{Report, csv, html};

/// Below the data folder; the server shows what is there.
pub const FOLDER: &str = "tradeoff";
/// For programs, and what the server reads.
pub const JSON: &str = "report.json";
/// For spreadsheets.
pub const CSV: &str = "report.csv";
/// For people.
pub const HTML: &str = "report.html";

/// Writes a report below `data`, instead of what was there; says where.
///
/// # Errors
/// Which file or folder could not be written.
pub fn write(data: &Path, report: &Report) -> anyhow::Result<[PathBuf; 3]> {
    let folder = data.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    // The server reads the first: when it is there, so are the others.
    let texts = [
        (HTML, html::html(report)),
        (CSV, csv::csv(&report.run)),
        (JSON, report.json()),
    ];
    let mut written = Vec::new();
    for (name, text) in texts {
        let path = folder.join(name);
        replace(&path, &text).with_context(|| format!("writing {}", path.display()))?;
        written.push(path);
    }
    written.reverse();
    let written: [PathBuf; 3] = written.try_into().expect("there are three");
    Ok(written)
}

fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = path.parent().context("it has a folder")?;
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tradeoff::sample;

    #[test]
    fn a_report_takes_the_place_of_the_one_before() {
        let data = tempfile::tempdir().expect("a folder");
        for run in [sample::empty(), sample::run()] {
            let report = Report::of(run);
            let [json, csv, html] = write(data.path(), &report).expect("it can be written");
            let text = fs::read_to_string(json).expect("it is there");
            assert!(Report::read(&text).expect("a report") == report);
            assert!(
                fs::read_to_string(csv)
                    .expect("it is there")
                    .starts_with("topology")
            );
            assert!(
                fs::read_to_string(html)
                    .expect("it is there")
                    .starts_with("<!DOCTYPE html>")
            );
        }
        let folder = fs::read_dir(data.path().join(FOLDER)).expect("it is there");
        assert_eq!(folder.count(), 3, "nothing is left behind");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = write(file.path(), &Report::of(sample::empty())).expect_err("no folder");
        assert!(format!("{error:#}").contains("tradeoff"), "{error:#}");
    }
}
