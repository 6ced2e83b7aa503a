//! The questions of a matrix: one on the command line, or a file with one JSON object a line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use foveate_core::image::{DecodeLimits, decode_file};
use foveate_core::{Engine, Message, Orientation, PromptToken, ThinkMode, VisualTokens};

use crate::exit::usage;
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
    image: Images,
    question: String,
    answer: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Images {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

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
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut encoded: BTreeMap<PathBuf, Arc<VisualTokens>> = BTreeMap::new();
    let mut questions = Vec::new();
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .collect();
    let bar = progress::counted("encoding", lines.len());
    for (index, line) in lines {
        let place = || format!("{}, line {}", path.display(), index + 1);
        let line: Line = serde_json::from_str(line).map_err(|error| {
            let expected =
                "expected {\"image\": FILE or [FILE, …], \"question\": …, \"answer\": … or none}";
            usage(format!("{}: {error}; {expected}", place()))
        })?;
        if line.question.trim().is_empty() {
            return Err(usage(format!("{}: the question is blank", place())));
        }
        let files = match line.image {
            Images::One(file) => vec![file],
            Images::Several(files) => files,
        };
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
    if questions.is_empty() {
        bail!(
            "{} has no question; write one JSON object a line",
            path.display()
        );
    }
    Ok(questions)
}
