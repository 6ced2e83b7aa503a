//! `eval` from outside.

mod common;

use std::fs;
use std::path::Path;

use common::asked::{ask, demo, eval, mean, questions, written};
use common::{assert_refused, rows, run, stderr, stdout};
use serde_json::{Value, json};

#[test]
fn families_are_scored_by_their_metrics() {
    let (_folder, file) = questions();
    let rows = rows(&mut ask(&file, &["--json"]));
    assert_eq!(rows.len(), 1);
    let close = |part: &str, expected: f64| {
        let score = mean(&rows[0], part);
        assert!((score - expected).abs() < 1e-9, "{part}: {score}");
    };
    let almost = 1.0 - 1.0 / 14.0;
    close("/families/at", 0.5);
    close("/families/read", almost);
    close("/overall", (1.0 + almost) / 3.0);
    assert_eq!(rows[0]["families"]["read"]["metric"], "anls");
    assert_eq!(rows[0]["overall"]["questions"], 3);
    assert_eq!(rows[0]["overall"]["visual_tokens_kept"], 36.0);
    let limited = stdout(&run(&mut ask(&file, &["--limit", "1"])));
    assert!(
        limited.contains("2 questions") && limited.contains("0.929"),
        "{limited}"
    );
}

#[test]
fn a_sweep_is_compared_with_the_baseline_and_keep_one_is_the_baseline() {
    let (_folder, file) = questions();
    let sweep = ["--json", "--sweep", "prune=redvtp,uniform", "keep=1,0.03"];
    let rows = rows(&mut ask(&file, &sweep));
    let swept: Vec<String> = rows.iter().map(|row| row["sweep"].to_string()).collect();
    let expected = [
        "{}",
        r#"{"prune":"redvtp","keep":"1"}"#,
        r#"{"prune":"redvtp","keep":"0.03"}"#,
        r#"{"prune":"uniform","keep":"1"}"#,
        r#"{"prune":"uniform","keep":"0.03"}"#,
    ];
    assert_eq!(swept, expected);
    assert_eq!(rows[0]["status"], "baseline");
    for kept in [1, 3] {
        assert_eq!(rows[kept]["overall"], rows[0]["overall"]);
    }
    for pruned in [2, 4] {
        let (score, plain) = (mean(&rows[pruned], "/overall"), mean(&rows[0], "/overall"));
        let difference = rows[pruned]["overall"]["difference"]["mean"].as_f64();
        assert!((difference.expect("a number") - (score - plain)).abs() < 1e-9);
        assert_eq!(rows[pruned]["overall"]["visual_tokens_kept"], 1.0);
        assert!(score < plain, "one token shows too little");
    }
}

/// Answers and what they took, but for time, by question; in the order of the file.
fn answered(file: &Path, arguments: &[&str]) -> (Vec<Value>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let results = folder.path().join("results.jsonl");
    let mut command = ask(file, &["--resume"]);
    let output = run(command.arg(&results).args(arguments));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(&results).expect("results");
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        line.as_object_mut().expect("an object").remove("time_ms");
        line
    };
    (text.lines().skip(1).map(line).collect(), stdout(&output))
}

#[test]
fn a_shared_first_step_changes_no_answer_and_is_counted() {
    let (_folder, file) = questions();
    let sweep = [
        "--sweep",
        "prune=redvtp,llada-fastv,random",
        "keep=0.5,0.1",
        "prune-at=step=1",
    ];
    let (mut together, printed) = answered(&file, &sweep);
    // Seven settings: the plain one begins as the two random ones do, and each scorer with itself.
    assert!(printed.contains("12 of them shared"), "{printed}");
    let mut alone = Vec::new();
    for prune in ["redvtp", "llada-fastv", "random"] {
        for keep in ["0.5", "0.1"] {
            let flags = ["--prune", prune, "--keep", keep, "--prune-at", "step=1"];
            alone.extend(answered(&file, &flags).0);
        }
    }
    alone.extend(answered(&file, &[]).0);
    let order = |line: &Value| line.to_string();
    together.sort_by_key(order);
    alone.sort_by_key(order);
    assert_eq!(together.len(), 21);
    assert_eq!(together, alone);
}

#[test]
fn what_a_cache_keeps_is_not_shared() {
    let (_folder, file) = questions();
    let sweep = [
        "--cache",
        "fast-dllm",
        "--prune",
        "redvtp",
        "--sweep",
        "keep=0.5,0.25",
    ];
    let (answers, printed) = answered(&file, &sweep);
    assert_eq!(answers.len(), 9);
    assert!(printed.contains(" 0 of them shared"), "{printed}");
}

#[test]
fn how_the_prompt_asks_for_reasoning_can_be_swept() {
    let (_folder, file) = questions();
    let rows = rows(&mut ask(&file, &["--json", "--sweep", "think=none,think"]));
    let swept: Vec<String> = rows.iter().map(|row| row["sweep"].to_string()).collect();
    assert_eq!(swept, ["{}", r#"{"think":"think"}"#]);
}

#[test]
fn every_layer_can_be_swept_and_questions_are_split_by_what_is_masked() {
    let (_folder, file) = questions();
    let sweep = [
        "--json",
        "--prune",
        "llada-fastv",
        "--sweep",
        "prune-layer=1,2,3,4",
        "keep=0.25",
    ];
    let rows = rows(&mut ask(&file, &sweep));
    assert_eq!(rows.len(), 5);
    for (layer, row) in (1..=3).zip(&rows[1..]) {
        assert_eq!(row["options"]["prune"]["layer"], layer, "{row}");
        let parts = ["half_masked", "short"].map(|part| row[part]["questions"].as_u64());
        assert_eq!(parts.into_iter().flatten().sum::<u64>(), 3, "{row}");
    }
    assert_eq!(rows[4]["status"], "refused", "the model has three layers");
}

#[test]
fn answers_do_not_depend_on_what_is_denoised_together() {
    let lines = [
        json!({"image": "two-squares.png", "question": "What is at the top left?", "answer": "x"}),
        json!({"image": "circle-cat-42.png", "question": "Is there a red circle?", "answer": "x"}),
        json!({"image": "two-squares.png", "question": "How many squares are there?", "answer": "x"}),
        json!({"images": ["circle-cat-42.png", "two-squares.png"], "question": "Describe.", "answer": "x"}),
        json!({"image": "four-things.png", "question": "What is at the top left?", "answer": "x"}),
    ];
    let (_folder, file) = written(&lines.map(|line| line.to_string()).join("\n"));
    let sweep = [
        "--sweep",
        "prune=redvtp,random",
        "keep=0.5",
        "cache=none,fast-dllm",
        "--batch",
    ];
    let answers = |batch| {
        let (mut answers, _) = answered(&file, &[&sweep[..], &[batch]].concat());
        answers.sort_by_key(Value::to_string);
        answers
    };
    let alone = answers("1");
    assert_eq!(alone.len(), 5 * 5);
    for batch in ["2", "3", "8"] {
        assert_eq!(answers(batch), alone, "{batch} together");
    }
}

#[test]
fn settings_that_cannot_be_are_rows_with_the_reason() {
    let (_folder, file) = questions();
    let sweep = [
        "--sweep",
        "prune=fastv,redvtp",
        "prune-layer=1",
        "--keep",
        "0.5",
    ];
    let rows = rows(ask(&file, &sweep).arg("--json"));
    assert_eq!(rows[1]["status"], "measured");
    assert_eq!(rows[2]["status"], "refused");
    assert!(
        rows[2]["reason"].to_string().contains("have a layer"),
        "{}",
        rows[2]
    );
    let text = stdout(&run(&mut ask(&file, &sweep)));
    assert!(
        text.contains("refused: prune redvtp, prune-layer 1: "),
        "{text}"
    );
}

#[test]
fn a_sweep_of_which_nothing_is_left_says_so_at_its_end() {
    let (_folder, file) = questions();
    let sweep = ["--json", "--sweep", "prune=redvtp,random"];
    for (keeps, status) in [("keep=0", 3), ("keep=0,0.5", 0)] {
        let output = run(ask(&file, &sweep).arg(keeps));
        assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
        let text = stdout(&output);
        assert_eq!(text.matches("\"refused\"").count(), 2, "{text}");
        assert_eq!(text.matches("\"baseline\"").count(), 1, "{text}");
    }
}

#[test]
fn a_mark_of_the_byte_order_is_no_part_of_the_first_question() {
    let line = json!({"image": "two-squares.png", "question": "?", "answer": "x"});
    let (_folder, file) = written(&format!("\u{feff}{line}\n"));
    let rows = rows(&mut ask(&file, &["--json"]));
    assert_eq!(rows[0]["overall"]["questions"], 1);
}

#[test]
fn the_built_in_suite_is_the_frozen_test_set() {
    let rows = rows(&mut eval(&[
        "--suite",
        "nano-test",
        "--limit",
        "2",
        "--json",
    ]));
    let families = rows[0]["families"].as_object().expect("families");
    let mut names: Vec<&str> = families.keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "caption",
        "chart",
        "color",
        "count",
        "easy-vqa",
        "exists",
        "naming",
        "naming-unseen",
        "number",
        "receipt",
        "relation",
        "shape",
        "what-at",
        "where",
    ];
    assert_eq!(names, expected);
    assert_eq!(families["caption"]["metric"], "set-f1");
    assert_eq!(rows[0]["overall"]["questions"], 28);
    assert!(
        mean(&rows[0], "/overall") > 0.5,
        "the built-in model is trained on such questions"
    );
}

#[test]
fn bad_files_of_questions_are_refused_with_the_line() {
    let good = json!({"image": "two-squares.png", "question": "?", "answer": "x"}).to_string();
    for (line, status, reason) in [
        ("{\"image\": ", 2, "line 3: EOF"),
        (
            r#"{"image": "two-squares.png", "answer": "x"}"#,
            2,
            "line 3: missing field `question`",
        ),
        (
            r#"{"image": "two-squares.png", "question": "?"}"#,
            2,
            "line 3: missing field `answer`",
        ),
        (
            r#"{"question": "?", "answer": "x"}"#,
            2,
            "line 3: missing field `image`",
        ),
        (
            r#"{"image": "two-squares.png", "question": " ", "answer": "x"}"#,
            2,
            "line 3: the question is blank",
        ),
        (
            r#"{"image": "two-squares.png", "question": "?", "answer": []}"#,
            2,
            "line 3: answer: expected at least one",
        ),
        (
            r#"{"image": "two-squares.png", "question": "?", "answer": 17}"#,
            2,
            "line 3: invalid type: integer `17`, expected a string or a list of strings at column",
        ),
        (
            r#"{"image": "two-squares.png", "question": "?", "answer": ["x", 17]}"#,
            2,
            "line 3: invalid type: integer `17`, expected a string at column",
        ),
        (
            r#"{"image": "two-squares.png", "question": "?", "answer": "x", "metric": "bleu"}"#,
            2,
            "line 3: metric: expected one of exact, anls, relaxed, set-f1, got \"bleu\"",
        ),
        (
            r#"{"image": "two-squares.png", "question": "?", "answer": "x", "y": 1}"#,
            2,
            "unknown field `y`",
        ),
        (
            r#"{"image": "none.png", "question": "?", "answer": "x"}"#,
            1,
            "line 3: there is no image",
        ),
    ] {
        let (_folder, file) = written(&format!("{good}\n\n{line}\n"));
        assert_refused(&mut ask(&file, &[]), status, reason);
    }
    let (_folder, file) = written("\n");
    assert_refused(&mut ask(&file, &[]), 1, "has no question");
    assert_refused(
        &mut ask(Path::new("no-such-file.jsonl"), &[]),
        1,
        "no-such-file.jsonl",
    );
}

#[test]
fn tiny_test_asks_about_every_family_by_its_own_metric() {
    let rows = rows(&mut eval(&[
        "--suite",
        "tiny-test",
        "--limit",
        "1",
        "--json",
    ]));
    let families = rows[0]["families"].as_object().expect("families");
    assert_eq!(families.len(), 20);
    for (family, metric) in [
        ("words", "anls"),
        ("charts", "relaxed"),
        ("caption", "set-f1"),
        ("naming-unseen", "exact"),
    ] {
        assert_eq!(families[family]["metric"], metric, "{family}");
    }
}

#[test]
fn pictures_that_cannot_be_read_are_named_with_their_line() {
    let good = json!({"image": "two-squares.png", "question": "?", "answer": "x"}).to_string();
    let bad = json!({"image": "bad.png", "question": "?", "answer": "x"}).to_string();
    let (folder, file) = written(&format!("{good}\n{bad}\n"));
    let (whole, place) = (demo().join("two-squares.png"), folder.path());
    fs::copy(&whole, place.join("two-squares.png")).expect("copied");
    let asked = || {
        let mut command = eval(&["--limit", "9", "--resume"]);
        let results = place.join("results.jsonl");
        command.arg(&results).arg("--jsonl").arg(&file);
        (command, results)
    };
    // Known from the header, so before any work.
    fs::write(place.join("bad.png"), "no picture").expect("written");
    let (mut command, results) = asked();
    assert_refused(&mut command, 1, "questions.jsonl, line 2: ");
    assert!(!results.exists());
    // Known only from the pixels.
    let whole = fs::read(whole).expect("bytes");
    fs::write(place.join("bad.png"), &whole[..whole.len() / 2]).expect("written");
    assert_refused(&mut asked().0, 1, "questions.jsonl, line 2: ");
}

#[test]
fn flags_that_mean_nothing_are_usage_errors() {
    let (_folder, file) = questions();
    for (flags, reason) in [
        (&["--keep", "0.5"][..], "--keep says how to prune"),
        (&["--prune", "uniform", "--keep", "0"], "keep"),
        (&["--sweep", "keep=0.5"], "sweep prune too"),
        (&["--sweep", "limit=1,2"], "expected one of"),
        (
            &["--sweep", "stop-at-end=true"],
            "--sweep stop-at-end: the flag takes no value",
        ),
        (&["--sweep", "prune=magic"], "possible values"),
        (
            &["--sweep", "steps=4,8", "--steps", "4"],
            "--steps is given and swept",
        ),
        (&["--chart", "out.jpg"], "SVG or PNG"),
        (&["--suite", "nano-test"], "cannot be used with"),
        (&["--batch", "0"], "invalid value"),
    ] {
        assert_refused(&mut ask(&file, flags), 2, reason);
    }
    let rooted = &mut eval(&["--suite", "nano-test", "--image-root", "demo"]);
    assert_refused(
        rooted,
        2,
        "--image-root says where the images of --jsonl lie",
    );
    let list = &mut ask(&file, &["--sweep", "limit=1,2"]);
    let offered = stderr(&run(list));
    assert!(
        offered.contains("steps") && !offered.contains("stop-at-end"),
        "{offered}"
    );
    assert_refused(&mut eval(&[]), 2, "give --jsonl FILE or --suite nano-test");
    assert_refused(&mut eval(&["--suite", "huge-test"]), 2, "possible values");
}
