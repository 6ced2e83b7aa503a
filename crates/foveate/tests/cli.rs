//! `foveate run` from outside: answers on standard output, reasons on standard error, exit status.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::{assert_refused, foveate, golden, object, run, stderr, stdout};

const QUESTION: &str = "Is there a red circle in the picture? Answer yes or no.";

/// `foveate run` on the tiny golden model.
fn tiny() -> Command {
    let mut command = foveate();
    command
        .arg("run")
        .arg("-m")
        .arg(golden("checkpoints/llada-v-tiny-a"));
    command
}

/// The same with its picture, a question and a short answer.
fn tiny_with_picture() -> Command {
    let mut command = tiny();
    command
        .arg("--image")
        .arg(golden("lladav_small_1x1/image_0.png"));
    command.args(["-i", QUESTION, "--gen-length", "16", "--steps", "16"]);
    command
}

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
    assert_eq!(report["options"]["policy"], "threshold=1");
    assert_eq!(report["forwards"], 16);
    assert_eq!(report["tokens_per_forward"], 1.0);
    let report =
        object(tiny_with_picture().args(["--policy", "eb=100", "--max-forwards", "7", "--json"]));
    assert_eq!(report["forwards"], 1);
    assert_eq!(report["tokens_per_forward"], 16.0);
    assert_eq!(report["options"]["max_forwards"], 7);
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
fn flags_that_cannot_be_are_usage_errors() {
    let cases: [(&[&str], &str); 27] = [
        (
            &["--prune", "redvtp", "--keep", "0"],
            "above 0 and at most 1",
        ),
        (
            &["--prune", "redvtp", "--keep", "NaN"],
            "above 0 and at most 1",
        ),
        (
            &["--prune", "redvtp", "--keep", "2"],
            "above 0 and at most 1",
        ),
        (
            &["--prune", "redvtp", "--keep", "-0.5"],
            "above 0 and at most 1",
        ),
        (&["--keep", "0.5"], "add --prune"),
        (&["--prune-layer", "2"], "add --prune"),
        (
            &["--prune", "fastv", "--prune-layer", "99"],
            "expected 1 to 5",
        ),
        (
            &["--prune", "random", "--prune-at", "step=0"],
            "count from 1",
        ),
        (&["--prune", "magic"], "possible values"),
        (&["--steps", "0"], "--steps"),
        (&["--policy", "threshold=2"], "expected a probability"),
        (&["--policy", "boldly"], "threshold=TAU"),
        (
            &["--policy", "eb=1", "--remasking", "random"],
            "low-confidence",
        ),
        (&["--max-forwards", "0"], "max-forwards"),
        (&["--template", "no slot"], "expected a slot"),
        (&["--template", "{slot:0}"], "from 1 on"),
        (&["--template", "{slot:2"], "without its }"),
        (
            &["--template", "{slot:20}", "--gen-length", "8"],
            "--gen-length",
        ),
        (&["--template", "{slot:2}", "--choices", "A"], "no {choice}"),
        (&["--choices", "A,"], "no token"),
        (&["--gen-length", "0"], "--gen-length"),
        (
            &["--gen-length", "16", "--block-length", "8", "--steps", "7"],
            "multiple of the 2 blocks",
        ),
        (
            &["--gen-length", "16", "--block-length", "5", "--steps", "3"],
            "divisor of gen-length",
        ),
        (&["--temperature", "inf"], "temperature"),
        (&["--gen-length", "17000"], "the model reads 16384"),
        (
            &["--dtype", "q5"],
            "[possible values: auto, f32, bf16, q8, q4]",
        ),
        (&["--overlay", "out.png"], "add --image"),
    ];
    for (flags, reason) in cases {
        assert_refused(tiny().args(["-i", "Hi"]).args(flags), 2, reason);
    }
    assert_refused(&mut tiny(), 2, "-i");
    assert_refused(
        tiny_with_picture().args(["--overlay", "out.png"]),
        2,
        "add --prune",
    );
    assert_refused(
        tiny().args(["-i", "Hi", "--image", "-", "--image", "-"]),
        2,
        "holds one",
    );
    assert_refused(foveate().arg("paint"), 2, "paint");
}

#[test]
fn a_blank_question_is_refused() {
    for blank in ["", " \n\t"] {
        assert_refused(tiny().args(["-i", blank]), 2, "the question is blank");
    }
}

#[test]
fn wrong_settings_fail_before_the_weights_are_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for part in ["llada-v-tiny-a", "siglip2-tiny-patch14-84"] {
        let copy = folder.path().join(part);
        std::fs::create_dir(&copy).expect("made");
        for file in std::fs::read_dir(golden("checkpoints").join(part)).expect("golden data") {
            let file = file.expect("an entry").path();
            let name = file.file_name().expect("named");
            std::fs::copy(&file, copy.join(name)).expect("copied");
        }
    }
    let model = folder.path().join("llada-v-tiny-a");
    // A checkpoint without a tensor opens, but cannot be loaded.
    let nothing = [&8_u64.to_le_bytes()[..], b"{}      "].concat();
    std::fs::write(model.join("model.safetensors"), nothing).expect("written");
    let ask = |flags: &[&str]| {
        let mut command = foveate();
        command.arg("run").arg("-m").arg(&model);
        command.args(["-i", "Hi"]).args(flags);
        command
    };
    assert_refused(&mut ask(&[]), 1, "tensor");
    for (flags, reason) in [
        (
            ["--gen-length", "16", "--block-length", "5"],
            "divisor of gen-length",
        ),
        (
            ["--gen-length", "16", "--temperature", "inf"],
            "temperature",
        ),
        (["--prune", "redvtp", "--keep", "2"], "at most 1"),
    ] {
        assert_refused(&mut ask(&flags), 2, reason);
    }
}

#[test]
fn missing_models_and_pictures_fail_with_their_names() {
    let nowhere = ["run", "-m", "/nowhere/model", "-i", "Hi"];
    assert_refused(foveate().args(nowhere), 1, "/nowhere/model");
    let picture = ["-i", "Hi", "--image", "/nowhere/a.png"];
    assert_refused(tiny().args(picture), 1, "cannot read /nowhere/a.png");
}

#[test]
fn pictures_that_are_none_or_too_large_fail_with_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = folder.path().join("text.png");
    std::fs::write(&text, "no picture").expect("written");
    assert_refused(
        tiny().args(["-i", "Hi", "--image"]).arg(&text),
        1,
        "is not PNG",
    );
    let wide = folder.path().join("wide.png");
    image::GrayImage::new(20_000, 1)
        .save(&wide)
        .expect("written");
    assert_refused(
        tiny().args(["-i", "Hi", "--image"]).arg(&wide),
        1,
        "limit is 16384",
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
    for text in ["<|mdm_mask|>", "<|eot_id|>", "<image>", "<|startoftext|>"] {
        let report = object(tiny().args(["-i", text, "--gen-length", "8", "--json"]));
        assert_eq!(report["visual_tokens"]["seen"], 0, "{text}");
        assert!(report["steps"].as_u64().expect("a count") > 0, "{text}");
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
fn a_quantised_folder_is_written_inspected_and_answers() {
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
