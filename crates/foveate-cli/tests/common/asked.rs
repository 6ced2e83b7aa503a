//! Running `foveate eval` on a few questions about one picture.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::foveate;

pub(crate) fn eval(arguments: &[&str]) -> Command {
    let mut command = foveate();
    command.arg("eval").args(arguments);
    command
}

pub(crate) fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo")
}

pub(crate) const TOP_LEFT: &str = "What is at the top left?";

/// Three questions about the picture with a yellow square at the top left.
pub(crate) fn questions() -> (TempDir, PathBuf) {
    let lines = [
        json!({"image": "two-squares.png", "question": TOP_LEFT, "answer": "yellow square", "family": "at"}),
        json!({"images": ["two-squares.png"], "question": TOP_LEFT, "answer": ["a dog", "yellow squares"],
            "family": "read", "metric": "anls"}),
        json!({"image": "two-squares.png", "question": TOP_LEFT, "answer": "Yellow square", "family": "at"}),
    ];
    written(&lines.map(|line| line.to_string()).join("\n"))
}

pub(crate) fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("questions.jsonl");
    fs::write(&file, text).expect("written");
    (folder, file)
}

pub(crate) fn ask(file: &Path, arguments: &[&str]) -> Command {
    let mut command = eval(&["--jsonl"]);
    command.arg(file).arg("--image-root").arg(demo());
    command.args(arguments);
    command
}

pub(crate) fn mean(row: &Value, part: &str) -> f64 {
    let part = row.pointer(part).unwrap_or_else(|| panic!("{part}: {row}"));
    part["score"]["mean"].as_f64().expect("a number")
}
