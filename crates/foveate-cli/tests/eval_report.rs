//! What `eval` writes, and how to repeat it, from outside.

mod common;

use std::fs;

use common::asked::{ask, questions, written};
use common::{assert_refused, rows, run, stderr, stdout};
use serde_json::json;

#[test]
fn charts_and_reports_are_written() {
    let (folder, file) = questions();
    let (chart, report) = (folder.path().join("a.svg"), folder.path().join("a.md"));
    let sweep = ["--sweep", "prune=redvtp,random", "keep=0.5", "--chart"];
    let output = run(ask(&file, &sweep)
        .arg(&chart)
        .arg("--markdown")
        .arg(&report));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("to the baseline") && text.contains("times faster"),
        "{text}"
    );
    let chart = fs::read_to_string(chart).expect("written");
    assert!(chart.starts_with("<svg") && chart.contains("prune random"));
    let report = fs::read_to_string(report).expect("written");
    for part in [
        "# Accuracy under pruning",
        "| read | anls | 1 |",
        "| redvtp | step=1 | masked | compact |",
        "| random | decoder | – | original |",
        "## Against random",
        "## What it shows",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[test]
fn a_report_can_be_repeated_whatever_set_its_flags() {
    let (folder, file) = questions();
    let report = folder.path().join("my report.md");
    let mut command = ask(
        &file,
        &["--batch", "2", "--stop", "the end; $HOME", "--markdown"],
    );
    command.arg(&report);
    command
        .env("FOVEATE_LIMIT", "1")
        .env("FOVEATE_PRUNE", "redvtp");
    command.env("FOVEATE_GENERATION_SUFFIX", "it's over");
    command.env("FOVEATE_BATCH", "7");
    command.env("FOVEATE_RESUME", folder.path().join("results.jsonl"));
    let output = run(&mut command);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(&report).expect("written");
    let line = text.lines().find_map(|line| line.strip_prefix("$ "));
    let (variables, line) = line
        .and_then(|line| line.split_once("foveate eval "))
        .expect("a command");
    for variable in [
        "FOVEATE_LIMIT=1 ",
        "FOVEATE_PRUNE=redvtp ",
        "FOVEATE_GENERATION_SUFFIX='it'\\''s over' ",
    ] {
        assert!(variables.contains(variable), "{variables}");
    }
    assert!(!variables.contains("BATCH") && !variables.contains("RESUME"));
    assert!(
        line.contains("--batch 2 --stop 'the end; $HOME' --markdown '"),
        "{line}"
    );
    assert!(
        text.contains("with --dtype auto on --backend cpu"),
        "{text}"
    );
}

#[test]
fn rows_say_which_arithmetic_they_are_of() {
    let (_folder, file) = questions();
    let flags = ["--json", "--dtype", "q8", "--backend", "portable"];
    let sweep = ["--sweep", "prune=uniform", "keep=0,0.5"];
    for row in rows(ask(&file, &flags).args(sweep)) {
        assert_eq!(
            (&row["dtype"], &row["backend"]),
            (&json!("q8"), &json!("portable"))
        );
    }
}

#[test]
fn names_of_families_stay_in_their_cells() {
    let family = "a|b\nc";
    let line =
        json!({"image": "two-squares.png", "question": "?", "answer": "x", "family": family});
    let (folder, file) = written(&line.to_string());
    let report = folder.path().join("a.md");
    let output = run(ask(&file, &["--sweep", "steps=2", "--markdown"]).arg(&report));
    assert!(output.status.success(), "{}", stderr(&output));
    let report = fs::read_to_string(&report).expect("written");
    assert!(report.contains("| a\\|b c | exact | 1 |"), "{report}");
    assert!(report.contains("| steps | a\\|b c |"), "{report}");
}

#[test]
fn files_that_could_not_be_written_are_refused_before_the_work() {
    let (folder, file) = questions();
    let place = folder.path().to_str().expect("a name");
    for (flag, path, reason) in [
        ("--markdown", "no/a.md", "--markdown: there is no folder"),
        ("--markdown", "", "--markdown: expected a file"),
        ("--chart", "no/a.svg", "--chart: there is no folder"),
        (
            "--chart",
            "a.jpg",
            "--chart: a chart is written as SVG or PNG",
        ),
    ] {
        let path = format!("{place}/{path}");
        assert_refused(&mut ask(&file, &[flag, &path]), 2, reason);
    }
}
