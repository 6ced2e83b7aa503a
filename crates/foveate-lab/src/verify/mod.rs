//! `foveate verify`: replays golden cases of the original Python implementations.
//!
//! Ids and kept indices come from exactly the code path of `run`; floats are read through the tap.

mod check;
mod compare;
mod geometry;
mod manifest;
mod options;
mod preprocess;
mod record;
mod replay;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use check::{Report, Status};
use manifest::Manifest;

use crate::exit;

/// Replays golden cases and compares ids, kept tokens and floats.
#[derive(clap::Args, Debug)]
pub struct VerifyArgs {
    /// Case folders, folders of cases, or geometry files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print one JSON line per case
    #[arg(long)]
    json: bool,
    /// Which arithmetic to check
    #[arg(long, default_value = "cpu", env = "FOVEATE_BACKEND", value_parser = crate::args::backends())]
    backend: foveate::BackendKind,
    /// Worker threads
    #[arg(long, env = "FOVEATE_THREADS")]
    threads: Option<std::num::NonZeroUsize>,
}

/// Exit status 1 if a case fails, else 3 if one is skipped, else 0.
pub fn main(args: &VerifyArgs) -> Result<ExitCode> {
    let mut reports = Vec::new();
    for path in &args.paths {
        for case in expand(path)? {
            let report = verify(&case, args);
            exit::print(&if args.json {
                format!("{}\n", serde_json::to_string(&report)?)
            } else {
                report.to_string()
            })?;
            reports.push(report);
        }
    }
    let count = |status| reports.iter().filter(|r| r.status == status).count();
    exit::note(&format!(
        "{} passed, {} failed, {} skipped, {} deliberate",
        count(Status::Pass),
        count(Status::Fail),
        count(Status::Skipped),
        count(Status::Deliberate)
    ));
    Ok(match (count(Status::Fail), count(Status::Skipped)) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(3),
        _ => ExitCode::FAILURE,
    })
}

/// A folder without a manifest stands for the cases in it, one named `geometry` for its files.
fn expand(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() || path.join("manifest.json").is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| {
        format!(
            "cannot read {}; expected a case or a folder of cases",
            path.display()
        )
    })?;
    let is_geometry = path.file_name().is_some_and(|n| n == "geometry");
    let mut cases = Vec::new();
    for entry in entries {
        let entry = entry?.path();
        if entry.join("manifest.json").is_file() || (is_geometry && entry.is_file()) {
            cases.push(entry);
        } else if entry.file_name().is_some_and(|n| n == "geometry") {
            for file in std::fs::read_dir(&entry)? {
                cases.push(file?.path());
            }
        }
    }
    anyhow::ensure!(
        !cases.is_empty(),
        "{}: no case with a manifest.json in it",
        path.display()
    );
    cases.sort();
    Ok(cases)
}

/// One case; whatever goes wrong is a failure of that case, with the reason.
fn verify(path: &Path, args: &VerifyArgs) -> Report {
    let mut report = Report::new(path);
    let outcome = if path.is_file() {
        geometry::verify(path, &mut report)
    } else {
        Manifest::read(path).and_then(|manifest| match manifest.unsupported() {
            Some(reason) => {
                report.skip(reason);
                Ok(())
            }
            None if manifest.is_preprocessing() => preprocess::verify(&manifest, &mut report),
            None => replay::verify(&manifest, args, &mut report),
        })
    };
    if let Err(error) = outcome {
        report.fail(format!("{error:#}"));
    }
    report
}
