//! What `foveate run` refuses: the exit status and the reason on standard error.

mod common;

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
