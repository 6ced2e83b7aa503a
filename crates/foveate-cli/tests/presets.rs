//! `--preset` and `--explain` from outside.

mod common;

use std::process::Command;

use common::{assert_refused, foveate, golden, object, run, stdout};

fn explained(flags: &[&str]) -> Command {
    let mut command = foveate();
    command
        .arg("run")
        .arg("-m")
        .arg(golden("checkpoints/llada-v-tiny-a"));
    command.arg("--explain").args(flags);
    command
}

#[test]
fn every_setting_says_where_it_comes_from() {
    let mut command = explained(&["--preset", "redvtp-lladav", "--steps", "8", "--json"]);
    let report = object(command.env("FOVEATE_SEED", "5"));
    assert_eq!(
        (&report["family"], &report["preset"]),
        (&"llada-v".into(), &"redvtp-lladav".into())
    );
    for (name, value, origin) in [
        ("steps", serde_json::json!(8), "flag"),
        ("seed", 5.into(), "variable"),
        ("gen-length", 32.into(), "preset"),
        ("think", "no-think".into(), "preset"),
        ("cfg-scale", 0.0.into(), "default"),
        ("prune", "redvtp".into(), "preset"),
        ("keep", 0.5.into(), "preset"),
        ("positions", "compact".into(), "the method's default"),
        ("prune-at", "step=1".into(), "the method's default"),
    ] {
        let setting = &report["settings"][name];
        assert_eq!(
            (&setting["value"], &setting["origin"]),
            (&value, &origin.into()),
            "{name}"
        );
    }
}

#[test]
fn what_the_checkpoint_says_is_named_as_its_own() {
    let report = object(foveate().args(["run", "--explain", "--json"]));
    assert_eq!(
        report["settings"]["gen-length"]["origin"],
        "generation_config.json"
    );
    let report = object(foveate().args(["run", "--explain", "--json", "--gen-length", "64"]));
    assert_eq!(
        report["settings"]["steps"]["origin"],
        "derived from the length"
    );
    let output = run(foveate().args(["run", "--explain", "--preset", "lladav-vqa"]));
    let text = stdout(&output);
    assert!(
        text.lines()
            .any(|line| line.trim().starts_with("gen-length") && line.ends_with("preset")),
        "{text}"
    );
}

#[test]
fn settings_are_read_from_a_file_and_the_options_of_a_run_are_such_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.json");
    let run_with = |flags: &[&str]| {
        let mut command = foveate();
        command.args(["run", "-i", "What is it?", "--json", "-m"]);
        command.arg(golden("checkpoints/llada-v-tiny-a"));
        command.arg("--image");
        command.arg(golden("lladav_small_1x1/image_0.png"));
        command.args(flags);
        command
    };
    let first = object(&mut run_with(&[
        "--preset",
        "redvtp-lladav",
        "--seed",
        "4",
        "--cache",
        "dkv",
        "--policy",
        "klass",
    ]));
    std::fs::write(&file, first["options"].to_string()).expect("written");
    let path = file.to_str().expect("a name");
    let again = object(&mut run_with(&["--settings", path]));
    for key in ["answer", "options", "visual_tokens", "rows_computed"] {
        assert_eq!(first[key], again[key], "{key}");
    }
    let overridden = object(&mut run_with(&["--settings", path, "--prune", "none"]));
    assert_eq!(overridden["options"]["prune"]["method"], "none");
    let mut explain = explained(&["--settings", path, "--seed", "5", "--json"]);
    let origins = object(&mut explain);
    assert_eq!(origins["settings"]["seed"]["origin"], "flag");
    assert_eq!(origins["settings"]["cache"]["origin"], "file");
    std::fs::write(&file, r#"{"denoise": {"stepz": 3}}"#).expect("written");
    assert_refused(
        &mut run_with(&["--settings", path]),
        2,
        "did you mean denoise.steps?",
    );
    std::fs::write(&file, "{").expect("written");
    assert_refused(
        &mut run_with(&["--settings", path]),
        2,
        "settings.json: EOF",
    );
    assert_refused(
        &mut run_with(&["--settings", "/nowhere.json"]),
        1,
        "/nowhere.json",
    );
}

#[test]
fn a_preset_runs_as_its_flags_do() {
    let answer = |flags: &[&str]| {
        let mut command = foveate();
        command
            .arg("run")
            .arg("-m")
            .arg(golden("checkpoints/llada-v-tiny-a"));
        command.args(["-i", "What is it?", "--json", "--image"]);
        command
            .arg(golden("lladav_small_1x1/image_0.png"))
            .args(flags);
        object(&mut command)
    };
    let preset = answer(&["--preset", "redvtp-lladav-vqa"]);
    let flags =
        "--gen-length 2 --block-length 2 --steps 2 --think no-think --prune redvtp --keep 0.5";
    let flags = answer(&flags.split(' ').collect::<Vec<_>>());
    for key in ["answer", "options", "visual_tokens", "rows_computed"] {
        assert_eq!(preset[key], flags[key], "{key}");
    }
}

#[test]
fn presets_are_refused_by_name() {
    assert_refused(&mut explained(&["--preset", "nothing"]), 2, "lladav-doc");
    assert_refused(
        &mut explained(&["--preset", "lladav-doc", "--block-length", "5"]),
        2,
        "divisor of gen-length (32), got 5",
    );
}

#[test]
fn presets_of_every_family_resolve_on_a_model_of_it() {
    let models = [
        (
            "llada-v-tiny-a",
            ["lladav-demo", "lladav-fast", "redvtp-lladav-demo"],
        ),
        (
            "lavida-dream-tiny-a",
            ["dream-eval", "dream-fast", "dream-fast"],
        ),
    ];
    for (model, presets) in models {
        for preset in presets {
            let mut command = foveate();
            command
                .arg("run")
                .arg("-m")
                .arg(golden("checkpoints").join(model));
            let report = object(command.args(["--explain", "--json", "--preset", preset]));
            assert_eq!(report["preset"], preset);
        }
    }
    let mut command = foveate();
    command
        .arg("run")
        .arg("-m")
        .arg(golden("checkpoints/lavida-dream-tiny-a"));
    let other = command.args(["--explain", "--preset", "lavida-coco"]);
    assert_refused(
        other,
        2,
        "this one is lavida-dream; use one of dream-eval, dream-fast",
    );
}
