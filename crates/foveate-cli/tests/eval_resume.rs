//! `eval --resume` from outside.

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use common::asked::{ask, mean, questions};
use common::{assert_refused, golden, rows};
use serde_json::json;

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    let (folder, file) = questions();
    let results = folder.path().join("results.jsonl");
    let sweep = ["--json", "--sweep", "prune=uniform", "keep=0.5", "--resume"];
    let first = rows(ask(&file, &sweep).arg(&results));
    let whole = fs::read_to_string(&results).expect("results");
    assert_eq!(whole.lines().count(), 1 + 2 * 3);
    assert_eq!(
        rows(ask(&file, &sweep).arg(&results)),
        first,
        "every answer and time comes back"
    );
    assert_eq!(fs::read_to_string(&results).expect("results"), whole);
    fs::write(&results, &whole[..whole.len() - 9]).expect("cut");
    let resumed = rows(ask(&file, &sweep).arg(&results));
    assert_eq!(
        mean(&resumed[1], "/overall").to_bits(),
        mean(&first[1], "/overall").to_bits()
    );
    let again = fs::read_to_string(&results).expect("results");
    assert_eq!(
        again.lines().count(),
        1 + 2 * 3,
        "only what was cut off is asked again"
    );
}

#[test]
fn results_of_another_model_other_questions_or_settings_are_refused() {
    let (folder, file) = questions();
    let results = folder.path().join("results.jsonl");
    let resume = |arguments: &[&str]| {
        let mut command = ask(&file, arguments);
        command.arg("--resume").arg(&results);
        command
    };
    rows(resume(&["--json"]).arg("--prune").arg("uniform"));
    assert_refused(
        &mut resume(&["--prune", "uniform", "--keep", "0.25"]),
        2,
        "settings that are not asked",
    );
    assert_refused(
        &mut resume(&[]),
        2,
        "repeat the same flags and sweeps, or name another file",
    );
    let model = golden("checkpoints/llada-v-tiny-a");
    let mut other = resume(&["--prune", "uniform"]);
    assert_refused(other.arg("-m").arg(model), 2, "results of another model");
    fs::write(
        &file,
        json!({"image": "two-squares.png", "question": "?", "answer": "x"}).to_string(),
    )
    .expect("written");
    assert_refused(&mut resume(&["--prune", "uniform"]), 2, "other questions");
    fs::write(&results, "my notes\n").expect("written");
    assert_refused(&mut resume(&[]), 2, "no file of results");
}

/// The same questions with their results in a file.
fn resume(file: &Path, results: &Path, arguments: &[&str]) -> Command {
    let mut command = ask(file, arguments);
    command.arg("--resume").arg(results);
    command
}

#[test]
fn a_file_cut_inside_a_character_is_no_obstacle() {
    let (folder, file) = questions();
    let results = folder.path().join("results.jsonl");
    rows(&mut resume(&file, &results, &["--json"]));
    let whole = fs::read(&results).expect("results");
    let mut cut = whole.clone();
    cut.extend("{\"settings\":\"ß".as_bytes());
    cut.pop();
    fs::write(&results, cut).expect("cut");
    rows(&mut resume(&file, &results, &["--json"]));
    assert_eq!(fs::read(&results).expect("results"), whole);
}

#[test]
fn a_file_that_is_not_its_own_is_left_alone() {
    let (folder, file) = questions();
    let results = folder.path().join("request.json");
    let request = "{\"model\": \"nano\", \"messages\": [1, 2, 3]}";
    fs::write(&results, request).expect("written");
    let refused = &mut resume(&file, &results, &[]);
    assert_refused(refused, 2, "no file of results; name another");
    assert_eq!(fs::read_to_string(&results).expect("text"), request);
}

#[test]
fn a_file_that_another_run_writes_to_is_refused() {
    let (folder, file) = questions();
    let results = folder.path().join("results.jsonl");
    let held = File::create(&results).expect("a file");
    held.lock().expect("locked");
    let refused = &mut resume(&file, &results, &[]);
    assert_refused(refused, 2, "another run is writing to it");
    drop(held);
    rows(&mut resume(&file, &results, &["--json"]));
}

#[test]
fn answers_of_another_backend_are_not_reused() {
    let (folder, file) = questions();
    let results = folder.path().join("results.jsonl");
    rows(&mut resume(&file, &results, &["--json"]));
    let refused = &mut resume(&file, &results, &["--backend", "reference"]);
    assert_refused(refused, 2, "settings that are not asked for now");
    rows(&mut resume(
        &file,
        &results,
        &["--json", "--backend", "cpu", "--threads", "1"],
    ));
}
