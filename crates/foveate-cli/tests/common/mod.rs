//! Running the program as users do.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod asked;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) const QUESTION: &str = "Is there a red circle in the picture? Answer yes or no.";

pub(crate) fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../golden")
        .join(path)
}

/// The program without the variables of whoever runs the tests.
pub(crate) fn foveate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FOVEATE_") {
            command.env_remove(name);
        }
    }
    command
}

/// `foveate run` on the tiny golden model.
pub(crate) fn tiny() -> Command {
    let mut command = foveate();
    command
        .arg("run")
        .arg("-m")
        .arg(golden("checkpoints/llada-v-tiny-a"));
    command
}

/// The same with its picture, a question and a short answer.
pub(crate) fn tiny_with_picture() -> Command {
    let mut command = tiny();
    command
        .arg("--image")
        .arg(golden("lladav_small_1x1/image_0.png"));
    command.args(["-i", QUESTION, "--gen-length", "16", "--steps", "16"]);
    command
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.output().expect("the binary runs")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails as usage (2) or failure (1), says `reason`, prints no answer.
pub(crate) fn assert_refused(command: &mut Command, status: i32, reason: &str) {
    let output = run(command);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(status), "{command:?}: {said}");
    assert!(
        said.contains("error: ") && said.contains(reason),
        "{command:?}: {said}"
    );
    assert_eq!(stdout(&output), "", "{command:?}");
}

pub(crate) fn object(command: &mut Command) -> Value {
    let output = run(command);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).expect("one JSON object")
}

/// Every line of what is printed.
pub(crate) fn rows(command: &mut Command) -> Vec<Value> {
    let output = run(command);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
