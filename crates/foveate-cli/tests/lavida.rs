//! LaViDa from outside: its own defaults, schedules, rankings and filters, and drafts.

mod common;

use std::process::Command;

use common::{assert_refused, foveate, golden, object};

fn run_on(model: &str) -> Command {
    let mut command = foveate();
    command.arg("run").arg("-m").arg(golden(model));
    command.args(["-i", "What is it?", "--json"]);
    command
}

fn dream() -> Command {
    let mut command = run_on("checkpoints/lavida-dream-tiny-a");
    let picture = golden("lavida_dream_maskgit_plus/image_0.png");
    command.arg("--image").arg(picture);
    command
}

fn llada_v() -> Command {
    run_on("checkpoints/llada-v-tiny-a")
}

#[test]
fn a_family_brings_its_own_settings() {
    let report = object(&mut dream());
    let options = &report["options"];
    let denoise = &options["denoise"];
    assert_eq!(denoise["schedule"], "timesteps");
    assert_eq!(denoise["remasking"], "margin");
    assert_eq!(denoise["top_k"], 50);
    assert_eq!(options["stop"].as_array().map(Vec::len), Some(0));
    assert_eq!(denoise["steps"], options["max_tokens"]);
    assert_eq!(
        object(&mut llada_v())["options"]["denoise"]["schedule"],
        "linear"
    );
}

#[test]
fn schedules_and_steps_are_chosen_by_flags() {
    let report = object(dream().args([
        "--gen-length",
        "12",
        "--step-ratio",
        "0.5",
        "--schedule",
        "shift",
        "--schedule-shift",
        "0.33",
        "--remasking",
        "maskgit-plus",
        "--cache",
        "prefix",
    ]));
    assert_eq!(report["options"]["denoise"]["schedule_shift"], 0.33);
    assert_eq!(report["options"]["denoise"]["remasking"], "low-confidence");
    assert_eq!(report["steps"], 6);
    // The prompt's own pass gives the first token.
    assert_eq!(report["forwards"], 7);
    let report = object(llada_v().args([
        "--gen-length",
        "8",
        "--block-length",
        "4",
        "--steps-per-block",
        "2",
    ]));
    assert_eq!(report["steps"], 4);
}

#[test]
fn a_draft_begins_the_answer() {
    let report =
        object(llada_v().args(["--draft", "I see {slot:3}, {{so}}", "--gen-length", "24"]));
    let answer = report["answer"].as_str().expect("a text");
    assert!(
        answer.starts_with("I see ") && answer.contains(", {so}"),
        "{answer:?}"
    );
    assert_eq!(report["options"]["draft"], "I see {slot:3}, {{so}}");
}

#[test]
fn settings_that_do_not_fit_are_refused_with_the_reason() {
    let cases: [(&[&str], &str); 8] = [
        (&["--schedule-shift", "2"], "--schedule shift"),
        (
            &["--schedule", "shift", "--schedule-shift", "0"],
            "schedule-shift",
        ),
        (&["--step-ratio", "0.5", "--steps", "4"], "--step"),
        (&["--top-k", "3"], "lavida-dream"),
        (&["--remasking", "origin"], "timesteps"),
        (&["--fim"], "--draft"),
        (&["--draft", "<|mdm_mask|>"], "mask token"),
        (&["--draft", "a", "--template", "{slot:2}"], "--template"),
    ];
    for (flags, reason) in cases {
        assert_refused(llada_v().args(flags), 2, reason);
    }
}
