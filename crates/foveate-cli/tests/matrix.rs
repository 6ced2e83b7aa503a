//! `bench --matrix` from outside.

mod common;

use std::path::Path;
use std::process::Command;

use common::{assert_refused, foveate, golden, rows, run, stderr, stdout};

fn matrix(arguments: &[&str]) -> Command {
    let mut command = foveate();
    command
        .args(["bench", "--matrix", "--rounds", "1"])
        .args(arguments);
    command
}

/// Asks the built-in model about a shipped picture.
fn demo(arguments: &[&str]) -> Command {
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/two-squares.png");
    let mut command = matrix(&["-i", "What is at the top left?", "--image"]);
    command.arg(picture).args(arguments);
    command
}

#[test]
fn rows_are_the_product_after_the_baseline_without_repetitions() {
    let rows = rows(&mut demo(&[
        "--json",
        "--sweep",
        "prune=none,redvtp,uniform",
        "keep=0.5,0.25",
    ]));
    let swept: Vec<String> = rows.iter().map(|row| row["sweep"].to_string()).collect();
    let expected = [
        "{}",
        r#"{"prune":"redvtp","keep":"0.5"}"#,
        r#"{"prune":"redvtp","keep":"0.25"}"#,
        r#"{"prune":"uniform","keep":"0.5"}"#,
        r#"{"prune":"uniform","keep":"0.25"}"#,
    ];
    assert_eq!(
        swept, expected,
        "without pruning a keep ratio changes nothing"
    );
    let baseline = &rows[0];
    assert_eq!(
        (&baseline["status"], &baseline["agreement"]),
        (&"baseline".into(), &1.0.into())
    );
    assert_eq!(baseline["answers"], serde_json::json!(["yellow square"]));
    assert_eq!(
        rows[2]["visual_tokens"],
        serde_json::json!({"seen": 36, "kept": 9})
    );
    for row in &rows {
        for key in ["time_ms", "times_faster", "tokens_per_forward", "agreement"] {
            assert!(
                row[key].as_f64().is_some_and(f64::is_finite),
                "{key}: {row}"
            );
        }
        assert!(
            row["forwards"].as_u64() > Some(0) && row["peak_cache_bytes"].is_u64(),
            "{row}"
        );
    }
}

#[test]
fn agreement_is_one_exactly_when_the_answer_is_the_same() {
    let rows = rows(&mut demo(&[
        "--json",
        "--sweep",
        "prune=redvtp",
        "keep=1,0.03",
    ]));
    assert_eq!(
        rows[1]["answers"], rows[0]["answers"],
        "keep 1 is no pruning"
    );
    assert_eq!(rows[1]["agreement"], 1.0);
    assert_ne!(
        rows[2]["answers"], rows[0]["answers"],
        "one token shows too little"
    );
    assert!(rows[2]["agreement"].as_f64() < Some(1.0));
}

#[test]
fn combinations_that_cannot_be_are_rows_with_the_reason() {
    let sweep = [
        "--sweep",
        "prune=fastv,redvtp",
        "prune-layer=1,99",
        "--keep",
        "0.5",
    ];
    let rows = rows(demo(&["--json"]).args(sweep));
    let refused: Vec<(String, String)> = rows
        .iter()
        .filter(|row| row["status"] == "refused")
        .map(|row| {
            (
                row["sweep"].to_string(),
                row["reason"].as_str().unwrap_or_default().into(),
            )
        })
        .collect();
    let reasons = [
        (
            r#"{"prune":"fastv","prune_layer":"99"}"#,
            "prune-layer: expected 1 to",
        ),
        (
            r#"{"prune":"redvtp","prune_layer":"1"}"#,
            "only llada-fastv and fastv have a layer",
        ),
        (
            r#"{"prune":"redvtp","prune_layer":"99"}"#,
            "only llada-fastv and fastv have a layer",
        ),
    ];
    assert_eq!(refused.len(), reasons.len(), "{refused:?}");
    for ((sweep, reason), (expected, part)) in refused.iter().zip(reasons) {
        assert!(
            sweep == expected && reason.contains(part),
            "{sweep}: {reason}"
        );
    }
    let table = stdout(&run(demo(&[]).args(sweep)));
    assert!(
        table.contains("refused: prune fastv, prune-layer 99: "),
        "{table}"
    );
}

#[test]
fn caches_and_policies_combine_with_pruning() {
    let sweep = "prune=none,llada-fastv,fastv cache=none,fast-dllm policy=fixed,threshold=0";
    let rows = rows(demo(&["--json", "--keep", "0.5", "--sweep"]).args(sweep.split(' ')));
    assert_eq!(rows.len(), 12);
    for row in &rows[1..] {
        let (sweep, status) = (&row["sweep"], &row["status"]);
        if sweep["prune"] == "fastv" && sweep["cache"] == "fast-dllm" {
            assert_eq!(*status, "refused");
            assert!(
                row["reason"].to_string().contains("cannot be combined"),
                "{row}"
            );
            continue;
        }
        assert_eq!(*status, "measured", "{row}");
        assert_eq!(
            sweep["cache"] == "fast-dllm",
            row["peak_cache_bytes"].as_u64() > Some(0),
            "{row}"
        );
        if sweep["policy"] == "threshold=0" {
            assert_eq!(row["forwards"], 1, "every candidate is sure enough");
        }
    }
}

#[test]
fn a_file_of_questions_is_answered_and_compared_with_its_answers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/two-squares.png");
    std::fs::copy(demo, folder.path().join("a.png")).expect("copied");
    let file = folder.path().join("questions.jsonl");
    let lines = [
        r#"{"image": "a.png", "question": "What is at the top left?", "answer": "yellow square"}"#,
        r#"{"image": ["a.png"], "question": "What is at the top left?", "answer": "a dog"}"#,
        "",
        r#"{"image": "a.png", "question": "Describe the image."}"#,
    ];
    std::fs::write(&file, lines.join("\n")).expect("written");
    let mut command = matrix(&["--json", "--sweep", "prune=none,uniform", "--jsonl"]);
    let rows = rows(command.arg(&file));
    assert_eq!(rows[0]["questions"], 3);
    assert_eq!(rows[0]["exact_match"], 0.5);
    assert_eq!(rows[0]["visual_tokens"]["seen"], 108);
    assert_eq!(rows[0]["answers"].as_array().map(Vec::len), Some(3));
    for (line, reason) in [
        (
            r#"{"image": "a.png"}"#,
            "questions.jsonl, line 1: missing field `question`",
        ),
        (
            r#"{"image": "a.png", "question": " "}"#,
            "line 1: the question is blank",
        ),
        (
            r#"{"image": "a.png", "question": "?", "x": 1}"#,
            "unknown field `x`",
        ),
        ("[]", "line 1"),
    ] {
        std::fs::write(&file, line).expect("written");
        assert_refused(matrix(&["--jsonl"]).arg(&file), 2, reason);
    }
    std::fs::write(&file, r#"{"image": "b.png", "question": "?"}"#).expect("written");
    assert_refused(matrix(&["--jsonl"]).arg(&file), 1, "b.png");
    std::fs::write(&file, "\n").expect("written");
    assert_refused(matrix(&["--jsonl"]).arg(&file), 1, "has no question");
}

#[test]
fn charts_are_drawn_as_svg_and_png() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["out.svg", "out.png"] {
        let path = folder.path().join(name);
        let output = run(demo(&["--sweep", "prune=none,uniform", "--chart"]).arg(&path));
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains(name) && stdout(&output).contains("agreement"));
    }
    let svg = std::fs::read_to_string(folder.path().join("out.svg")).expect("written");
    assert!(svg.starts_with("<svg") && svg.contains("baseline") && svg.contains("prune uniform"));
    assert!(
        image::open(folder.path().join("out.png"))
            .expect("a picture")
            .width()
            > 900
    );
}

#[test]
fn a_shape_with_random_weights_can_be_swept_too() {
    let shape = "--layers 2 --hidden 32 --heads 2 --mlp 48 --vocabulary 64 --visual-tokens 40 --text-tokens 8";
    let generation = "--gen-length 8 --steps 4 --json --sweep prune=none,redvtp";
    let words: Vec<&str> = shape.split(' ').chain(generation.split(' ')).collect();
    let rows = rows(&mut matrix(&words));
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["visual_tokens"]["kept"], 20);
}

#[test]
fn sweeps_that_mean_nothing_are_usage_errors() {
    for (flags, reason) in [
        (&["--sweep", "magic=1"][..], "expected one of"),
        (&["--sweep", "threads=1,2"], "expected one of"),
        (&["--sweep", "json=1"], "expected one of"),
        (&["--sweep", "keep"], "FLAG=VALUE"),
        (&["--sweep", "keep=0.5"], "sweep prune too"),
        (&["--sweep", "steps=4", "steps=8"], "given twice"),
        (
            &["--sweep", "steps=4,8", "--steps", "4"],
            "--steps is given and swept",
        ),
        (&["--sweep", "prune=magic"], "possible values"),
        (&["--sweep", "steps=four"], "invalid value"),
        (
            &["--prune", "uniform", "--keep", "1,0.5"],
            "takes one value",
        ),
        (&["--chart", "out.jpg"], "SVG or PNG"),
        (&["--shape", "mid"], "looks at nothing"),
        (
            &["--gen-length", "16", "--block-length", "5"],
            "divisor of gen-length",
        ),
    ] {
        assert_refused(demo(&[]).args(flags), 2, reason);
    }
    assert_refused(
        &mut matrix(&[]),
        2,
        "give --image FILE, --jsonl FILE or --shape",
    );
    assert_refused(
        foveate().args(["bench", "--sweep", "keep=1"]),
        2,
        "--matrix",
    );
    let picture = golden("lladav_small_1x1/image_0.png");
    assert_refused(matrix(&["-i", " ", "--image"]).arg(picture), 2, "blank");
    let mut both = demo(&["--jsonl"]);
    assert_refused(both.arg(golden("README.md")), 2, "leave --image out");
}
