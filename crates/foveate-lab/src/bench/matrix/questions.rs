//! The questions of a matrix: one on the command line, or a file with one JSON object a line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use foveate_core::image::{DecodeLimits, decode_file};
use foveate_core::{Engine, Message, Orientation, PromptToken, ThinkMode, VisualTokens};

use crate::exit::usage;
use crate::jsonl::{self, OneOrMore};
use crate::progress;

/// A question whose images are encoded.
pub(super) struct Question {
    pub(super) text: Text,
    pub(super) images: Vec<Arc<VisualTokens>>,
    /// The right answer, if somebody knows it.
    pub(super) answer: Option<String>,
}

/// What is asked.
pub(super) enum Text {
    /// A user's words.
    Words(String),
    /// A whole prompt; models with random weights have no words.
    Prompt(Vec<PromptToken>),
}

/// A line of `--jsonl`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    image: OneOrMore<PathBuf>,
    question: String,
    answer: Option<String>,
}

const EXPECTED: &str =
    "expected {\"image\": FILE or [FILE, …], \"question\": …, \"answer\": … or none}";

impl Question {
    pub(super) fn prompt(&self, engine: &Engine, think: ThinkMode) -> Result<Vec<PromptToken>> {
        match &self.text {
            Text::Prompt(prompt) => Ok(prompt.clone()),
            Text::Words(words) => {
                let message = Message::user(words, self.images.len());
                Ok(engine.prompt(&[message], think)?)
            }
        }
    }
}

/// Reads the lines; paths of images are relative to the file. Each picture is encoded once.
pub(super) fn read(
    path: &Path,
    orientation: Orientation,
    engine: &Engine,
) -> Result<Vec<Question>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut encoded: BTreeMap<PathBuf, Arc<VisualTokens>> = BTreeMap::new();
    let mut questions = Vec::new();
    let lines: Vec<(usize, Line)> = jsonl::read(path, EXPECTED)?;
    let bar = progress::counted("encoding", lines.len());
    for (number, line) in lines {
        let place = || jsonl::place(path, number);
        if line.question.trim().is_empty() {
            return Err(usage(format!("{}: the question is blank", place())));
        }
        let files = line.image.into_vec();
        let mut images = Vec::with_capacity(files.len());
        for file in files {
            let file = folder.join(file);
            if let Some(known) = encoded.get(&file) {
                images.push(Arc::clone(known));
                continue;
            }
            let picture = decode_file(&file, orientation, &DecodeLimits::default());
            let tokens = engine
                .encode(&picture.with_context(place)?)
                .with_context(place)?;
            encoded.insert(file, Arc::clone(&tokens));
            images.push(tokens);
        }
        questions.push(Question {
            text: Text::Words(line.question),
            images,
            answer: line.answer,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(questions)
}
