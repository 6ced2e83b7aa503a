//! What `foveate run` refuses: the exit status and the reason on standard error.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{assert_refused, foveate, golden, tiny, tiny_with_picture};

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
        (&["--gen-length", "17000"], "expected at most 16384"),
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

/// The tiny model and its tower, to be damaged.
fn copy() -> (tempfile::TempDir, PathBuf) {
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
    (folder, model)
}

fn ask(model: &Path, flags: &[&str]) -> Command {
    let mut command = foveate();
    command.arg("run").arg("-m").arg(model);
    command.args(["-i", "Hi"]).args(flags);
    command
}

#[test]
fn numbers_that_no_machine_has_room_for_are_refused() {
    let most = "18446744073709551615";
    for number in ["99999999999", most] {
        for flag in ["--steps", "--gen-length"] {
            assert_refused(
                tiny().args(["-i", "Hi", flag, number]),
                2,
                "expected at most",
            );
        }
        for flag in [
            "--layers",
            "--mlp",
            "--vocabulary",
            "--visual-tokens",
            "--text-tokens",
        ] {
            assert_refused(
                foveate().args(["bench", flag, number]),
                2,
                "expected at most",
            );
        }
    }
    assert_refused(
        tiny().args(["-i", "Hi", "--threads", most]),
        1,
        "worker threads",
    );
    assert_refused(
        foveate().args(["bench", "--layers", "16000000"]),
        2,
        "of memory",
    );
}

#[test]
fn a_step_that_never_comes_prunes_nothing_and_is_refused() {
    let late = ["--prune", "redvtp", "--prune-at", "step=17"];
    assert_refused(tiny_with_picture().args(late), 2, "at most 16");
    let sooner = "--prune redvtp --prune-at step=4 --max-forwards 3".split(' ');
    assert_refused(tiny_with_picture().args(sooner), 2, "at most 3");
    let never = "--prune redvtp --prune-at step=99 --policy threshold=1".split(' ');
    assert_refused(tiny_with_picture().args(never), 2, "at most 16");
}

#[test]
fn a_stop_string_is_no_mask() {
    assert_refused(
        tiny().args(["-i", "Hi", "--stop", "<|mdm_mask|>"]),
        2,
        "mask token",
    );
}

#[test]
fn a_wrong_config_is_no_wrong_use() {
    let (_folder, model) = copy();
    let config = model.join("config.json");
    let text = std::fs::read_to_string(&config).expect("a config");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (key, wrong) in [
        ("mm_patch_merge_type", "sideways".into()),
        ("image_grid_pinpoints", serde_json::json!([[100, 100]])),
    ] {
        let mut json = json.clone();
        json[key] = wrong;
        std::fs::write(&config, json.to_string()).expect("written");
        assert_refused(&mut ask(&model, &[]), 1, &format!("config.json: {key}"));
    }
}

#[test]
fn weights_that_are_no_numbers_give_no_answer() {
    let (_folder, model) = copy();
    let file = model.join("model.safetensors");
    let mut bytes = std::fs::read(&file).expect("weights");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let text: serde_json::Value = serde_json::from_slice(&bytes[8..header]).expect("a header");
    let at = text["model.norm.weight"]["data_offsets"][0]
        .as_u64()
        .expect("an offset") as usize;
    bytes[header + at..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&file, bytes).expect("written");
    assert_refused(
        &mut ask(&model, &["--gen-length", "8", "--steps", "8"]),
        1,
        "not numbers",
    );
}

#[test]
fn wrong_settings_fail_before_the_weights_are_read() {
    let (_folder, model) = copy();
    // A checkpoint without a tensor opens, but cannot be loaded.
    let nothing = [&8_u64.to_le_bytes()[..], b"{}      "].concat();
    std::fs::write(model.join("model.safetensors"), nothing).expect("written");
    assert_refused(&mut ask(&model, &[]), 1, "tensor");
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
        assert_refused(&mut ask(&model, &flags), 2, reason);
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
