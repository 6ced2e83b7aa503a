//! `inspect`, `bench` and `completions` from outside.

mod common;

use std::process::Stdio;

use serde_json::Value;

use common::{assert_refused, foveate, golden, object, run, stderr, stdout};

#[test]
fn inspect_tells_what_a_model_is() {
    let model = golden("checkpoints/llada-v-tiny-a");
    let mut command = foveate();
    command
        .arg("inspect")
        .arg("-m")
        .arg(&model)
        .args(["--json", "--size", "70x64"]);
    let report = object(&mut command);
    assert_eq!(report["family"], "llada-v");
    assert_eq!(report["parameters"], 675_840);
    let sizes = report["visual_tokens"].as_array().expect("a list");
    let golden = sizes.last().expect("the given size");
    assert_eq!(
        (&golden["width"], &golden["visual_tokens"]),
        (&70.into(), &78.into())
    );
    assert_refused(
        foveate().arg("inspect").args(["--size", "70"]),
        2,
        "WIDTHxHEIGHT",
    );
}

#[test]
fn bench_compares_rows_in_one_run() {
    let mut command = foveate();
    command.args([
        "bench",
        "--shape",
        "mid",
        "--layers",
        "2",
        "--hidden",
        "32",
        "--heads",
        "2",
        "--mlp",
        "48",
        "--vocabulary",
        "64",
        "--visual-tokens",
        "40",
        "--text-tokens",
        "8",
        "--gen-length",
        "8",
        "--steps",
        "4",
        "--rounds",
        "1",
        "--keep",
        "1,0.5",
        "--json",
    ]);
    let report = object(&mut command);
    let rows = report["rows"].as_array().expect("rows");
    let kept: Vec<&Value> = rows.iter().map(|row| &row["visual_tokens_kept"]).collect();
    assert_eq!(kept, [40, 20]);
    assert!(rows[0]["flops"]["linears"].as_f64() > rows[1]["flops"]["linears"].as_f64());
    assert!((rows[0]["times_faster"].as_f64().expect("a ratio") - 1.0).abs() < 1e-9);
    let uneven = ["bench", "--hidden", "32", "--heads", "3"];
    assert_refused(foveate().args(uneven), 2, "multiple of --heads");
    let both = ["bench", "-m", "x", "--layers", "2"];
    assert_refused(foveate().args(both), 2, "give --shape");
}

#[test]
fn completions_exist_for_the_common_shells() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(foveate().args(["completions", shell]));
        assert!(
            output.status.success() && stdout(&output).contains("foveate"),
            "{shell}"
        );
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut command = foveate();
    command
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
}
