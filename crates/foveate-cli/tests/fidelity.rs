//! `fidelity` from outside.

mod common;

use std::process::Command;

use common::{assert_refused, foveate, object, run, stderr, stdout};
use serde_json::Value;

fn fidelity(arguments: &[&str]) -> Command {
    let mut command = foveate();
    command.args(["fidelity", "--suite", "nano-test", "--limit", "1"]);
    command.args(arguments);
    command
}

fn dtypes(object: &Value) -> &Vec<Value> {
    object["dtypes"].as_array().expect("a list of dtypes")
}

#[test]
fn a_model_agrees_with_itself_on_every_token_at_every_dtype() {
    for dtype in ["f32", "q4"] {
        let same = object(&mut fidelity(&[
            "--json", "--dtype", dtype, "--dtypes", dtype,
        ]));
        let row = &dtypes(&same)[0];
        for part in ["committed", "of_the_answer"] {
            assert_eq!(row[part]["same"], row[part]["of"], "{dtype} {row}");
            assert!(row[part]["of"].as_u64().expect("a count") > 14, "{row}");
        }
        for kept in row["kept"].as_array().expect("ratios") {
            assert_eq!(kept["overlap"], 1.0, "{dtype}");
        }
        assert_eq!(row["choices"], 14, "a question of each of 14 families");
    }
}

#[test]
fn fewer_bits_take_less_memory_and_lose_more_of_gaussian_linears() {
    let order = ["f32", "bf16", "q8", "q4"];
    let compared = object(&mut fidelity(&["--json", "--dtypes", &order.join(",")]));
    assert_eq!(compared["followed_dtype"], "f32");
    let rows = dtypes(&compared);
    assert_eq!(rows.len(), order.len());
    for pair in rows.windows(2) {
        let [more, fewer] = [&pair[0], &pair[1]].map(|row| row["weight_bytes"].as_u64());
        assert!(fewer > Some(0) && fewer < more, "{pair:?}");
    }
    let linears = compared["linears"].as_array().expect("linears");
    assert_eq!(linears.len(), 4);
    for linear in linears {
        let errors = order.map(|dtype| linear["relative_error"][dtype].as_f64());
        assert_eq!(errors[0], Some(0.0), "{linear}");
        assert!(errors.is_sorted_by(|more, fewer| more < fewer), "{linear}");
        // More than this is lost only where the outputs have nothing to do with the weights.
        assert!(errors[3] < Some(0.5), "{linear}");
    }
}

#[test]
fn the_report_names_its_command_and_judges_its_goals() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fidelity.md");
    let path = path.to_str().expect("a name");
    let mut command = fidelity(&["--markdown", path]);
    let output = run(command.env("FOVEATE_DTYPES", "q8"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("same token"),
        "{}",
        stdout(&output)
    );
    let report = std::fs::read_to_string(path).expect("a report");
    assert!(
        report.contains("$ FOVEATE_DTYPES=q8 foveate fidelity --suite nano-test"),
        "{report}"
    );
    assert!(report.contains("q8, same token ≥ 99.5 %"), "{report}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let nothing = &mut foveate();
    assert_refused(nothing.arg("fidelity"), 2, "nothing to ask");
    assert_refused(&mut fidelity(&["--keeps", "0.5,0"]), 2, "--keeps");
    assert_refused(&mut fidelity(&["--keeps", "NaN"]), 2, "--keeps");
    let nowhere = &mut fidelity(&["--markdown", "/no/where.md"]);
    assert_refused(nowhere, 2, "--markdown: there is no folder /no");
}
