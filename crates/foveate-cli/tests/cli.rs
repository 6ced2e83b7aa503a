//! `foveate run` from outside: answers on standard output, reasons on standard error, exit status.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::{
    QUESTION, assert_refused, foveate, golden, object, run, stderr, stdout, tiny, tiny_with_picture,
};
use foveate_core::{Checkpoint, Tokenizer};

#[test]
fn help_names_every_command_and_its_flags() {
    let output = run(foveate().arg("--help"));
    assert!(output.status.success());
    for word in [
        "run",
        "inspect",
        "bench",
        "verify",
        "quantize",
        "completions",
        "Exit status",
        "FOVEATE_",
    ] {
        assert!(stdout(&output).contains(word), "{word}");
    }
    let output = run(foveate().args(["run", "--help"]));
    for flag in [
        "--model",
        "--image",
        "--input",
        "--gen-length",
        "--block-length",
        "--steps",
        "--remasking",
        "--template",
        "--choices",
        "--policy",
        "--max-forwards",
        "--stop-at-end",
        "--temperature",
        "--cfg-scale",
        "--stop",
        "--generation-suffix",
        "--seed",
        "--think",
        "--prune",
        "--keep",
        "--positions",
        "--prune-layer",
        "--prune-queries",
        "--prune-at",
        "--threads",
        "--backend",
        "--dtype",
        "--ignore-exif",
        "--visual",
        "--overlay",
        "--json",
    ] {
        let variable = format!("FOVEATE_{}", flag[2..].to_uppercase().replace('-', "_"));
        assert!(stdout(&output).contains(flag), "{flag}");
        assert!(stdout(&output).contains(&variable), "{variable}");
    }
}

#[test]
fn an_answer_is_all_that_standard_output_gets() {
    let output = run(&mut tiny_with_picture());
    assert!(output.status.success(), "{}", stderr(&output));
    // The text that the original implementation gave for this case.
    assert_eq!(
        stdout(&output),
        "ccc\u{fffd}\n3| returns========pepepec====_\n"
    );
    assert_eq!(stderr(&output), "");
}

#[test]
fn flags_can_be_set_by_variables() {
    let mut command = foveate();
    command
        .arg("run")
        .env("FOVEATE_MODEL", golden("checkpoints/llada-v-tiny-a"));
    command.env("FOVEATE_IMAGE", golden("lladav_small_1x1/image_0.png"));
    command
        .env("FOVEATE_INPUT", QUESTION)
        .env("FOVEATE_JSON", "1");
    command
        .env("FOVEATE_GEN_LENGTH", "16")
        .env("FOVEATE_STEPS", "16");
    assert_eq!(object(&mut command)["steps"], 16);
    command.env("FOVEATE_JSON", "0");
    assert!(stdout(&run(&mut command)).starts_with("ccc"));
}

#[test]
fn json_is_one_object_with_the_documented_keys() {
    let report =
        object(tiny_with_picture().args(["--prune", "redvtp", "--keep", "0.25", "--json"]));
    let keys: Vec<&String> = report.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        [
            "answer",
            "finish_reason",
            "visual_tokens",
            "steps",
            "forwards",
            "tokens_per_forward",
            "rows_computed",
            "timings_ms",
            "peak_bytes",
            "model",
            "backend",
            "dtype",
            "options",
        ]
    );
    let phases = report["timings_ms"].as_object().expect("phases");
    let phases: Vec<&String> = phases.keys().collect();
    assert_eq!(
        phases,
        [
            "load", "image", "vision", "decoder", "head", "prune", "total"
        ]
    );
    let seen = report["visual_tokens"]["seen"].as_u64().expect("a count");
    assert_eq!(report["visual_tokens"]["kept"], (seen as f64 * 0.25) as u64);
    assert_eq!(report["finish_reason"], "length");
    let prune = serde_json::json!({
        "method": "redvtp", "keep": 0.25, "positions": "compact",
        "layer": null, "queries": "masked", "at": "step=1",
    });
    assert_eq!(report["options"]["prune"], prune);
    let report = object(tiny_with_picture().args(["--prune", "llada-fastv", "--json"]));
    let prune = serde_json::json!({
        "method": "llada-fastv", "keep": 0.5, "positions": "original",
        "layer": 3, "queries": "all", "at": "layer=3",
    });
    assert_eq!(report["options"]["prune"], prune);
}

#[test]
fn a_policy_is_named_with_its_forwards_and_tokens_per_forward() {
    let report = object(tiny_with_picture().args(["--policy", "threshold=1", "--json"]));
    assert_eq!(report["options"]["denoise"]["policy"], "threshold=1");
    assert_eq!(report["forwards"], 16);
    assert_eq!(report["tokens_per_forward"], 1.0);
    let report =
        object(tiny_with_picture().args(["--policy", "eb=100", "--max-forwards", "7", "--json"]));
    assert_eq!(report["forwards"], 1);
    assert_eq!(report["tokens_per_forward"], 16.0);
    assert_eq!(report["options"]["denoise"]["max_forwards"], 7);
    let report = object(tiny_with_picture().args(["--max-forwards", "7", "--json"]));
    assert_eq!(report["forwards"], 7);
    assert_eq!(report["finish_reason"], "max-forwards");
}

#[test]
fn a_template_keeps_its_text_and_names_its_choice() {
    let report = object(tiny().args([
        "-i",
        "Which?",
        "--template",
        "I say {choice}, {{{slot:3}}}.",
        "--choices",
        "A,B,C D",
        "--policy",
        "threshold=0.5",
        "--json",
    ]));
    let answer = report["answer"].as_str().expect("text");
    assert!(answer.starts_with("I say "), "{answer}");
    assert!(answer.ends_with("}."), "{answer}");
    let chosen = report["choices"][0]["option"].as_u64().expect("an index");
    let chosen = ["A", "B", "C D"][chosen as usize];
    assert!(
        answer.starts_with(&format!("I say {chosen}, {{")),
        "{answer}"
    );
    assert_eq!(
        report["options"]["template"],
        "I say {choice}, {{{slot:3}}}."
    );
    let output = run(tiny().args(["-i", "Which?", "--choices", "yes,no"]));
    assert!(["yes\n", "no\n"].contains(&stdout(&output).as_str()));
}

#[test]
fn guidance_makes_two_forwards_a_step() {
    let report = object(tiny_with_picture().args(["--cfg-scale", "0.5", "--json"]));
    assert_eq!(
        (&report["steps"], &report["forwards"]),
        (&16.into(), &32.into())
    );
}

#[test]
fn a_picture_can_come_from_standard_input() {
    let picture = std::fs::read(golden("lladav_small_1x1/image_0.png")).expect("golden data");
    let mut command = tiny();
    command.args([
        "--image",
        "-",
        "-i",
        QUESTION,
        "--gen-length",
        "16",
        "--steps",
        "16",
    ]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&picture).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(stdout(&output).starts_with("ccc"));
}

#[test]
fn text_that_spells_special_tokens_is_only_text() {
    let checkpoint = Checkpoint::open(golden("checkpoints/llada-v-tiny-a")).expect("golden data");
    let tokenizer = Tokenizer::open(&checkpoint).expect("its tokenizer");
    let ids = |text: &str| tokenizer.encode_user(text).expect("encodes").len() as u64;
    let asked = |text: &str| {
        let mut command = tiny();
        command
            .args(["--image"])
            .arg(golden("lladav_small_1x1/image_0.png"));
        command.args(["-i", text, "--gen-length", "8", "--steps", "1", "--json"]);
        let report = object(&mut command);
        let rows = report["rows_computed"].as_u64().expect("a count");
        (report["visual_tokens"]["seen"].clone(), rows)
    };
    // Every id of the question is a row of as many layers.
    let (ordinary, longer) = ("Why?", "Why are there so many?");
    let (seen, rows) = asked(ordinary);
    let layers = (asked(longer).1 - rows) / (ids(longer) - ids(ordinary));
    assert!(layers > 0);
    for text in ["<|mdm_mask|>", "<|eot_id|>", "<image>", "<|startoftext|>"] {
        let expected = rows + layers * ids(text) - layers * ids(ordinary);
        assert_eq!(asked(text), (seen.clone(), expected), "{text}");
    }
}

#[test]
fn without_a_terminal_the_frames_are_lines_on_standard_error() {
    let output = run(tiny_with_picture().arg("--visual"));
    let frames = stderr(&output);
    assert_eq!(frames.lines().count(), 16, "{frames}");
    assert!(frames.starts_with("step 1/16") && frames.contains('░') && !frames.contains('\x1b'));
}

#[test]
fn several_overlays_are_numbered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = tiny();
    for image in ["image_0.png", "image_1.png"] {
        command
            .arg("--image")
            .arg(golden("lladav_two_images").join(image));
    }
    command.args([
        "-i",
        "Compare.",
        "--gen-length",
        "4",
        "--prune",
        "redvtp",
        "--overlay",
    ]);
    let output = run(command.arg(folder.path().join("out.png")));
    assert!(output.status.success(), "{}", stderr(&output));
    for name in ["out-1.png", "out-2.png"] {
        let sheet = image::open(folder.path().join(name)).expect("a picture");
        assert!(sheet.width() > 800, "{name}");
    }
}

#[test]
fn a_quantized_folder_is_written_inspected_and_answers() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("q4");
    let mut quantize = foveate();
    quantize
        .args(["quantize", "-m"])
        .arg(golden("checkpoints/llada-v-tiny-a"));
    assert_refused(quantize.arg("-o").arg(&folder), 2, "add --dtype q8");
    assert!(!folder.exists());
    let written = run(quantize.args(["--dtype", "q4"]));
    assert!(written.status.success(), "{}", stderr(&written));
    let inspected = object(foveate().args(["inspect", "--json", "-m"]).arg(&folder));
    assert!(inspected.to_string().contains("q4"), "{inspected}");
    let answer = |command: &mut Command| {
        let report = object(command.args(["-i", QUESTION, "--gen-length", "16", "--json"]));
        report["answer"].clone()
    };
    let stored = answer(foveate().args(["run", "-m"]).arg(&folder));
    let original = answer(tiny().args(["--dtype", "q4"]));
    assert_eq!(stored, original);
}
