//! `--resume FILE`: every answer is appended as it comes, and read back by a run that was interrupted.
//!
//! The first line says which model and which questions; each other line is one answer under one setting.
//! Scores are not kept: they follow from the answers.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::exit::usage;

/// What all answers of a file have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) model: String,
    pub(super) model_fingerprint: String,
    pub(super) questions: String,
    pub(super) questions_fingerprint: String,
}

/// One answer and its cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer {
    #[serde(rename = "answer")]
    pub(super) text: String,
    /// Tokens before its end.
    pub(super) tokens: usize,
    /// Of these, still masked after the first denoising step.
    pub(super) masked_after_step_1: usize,
    pub(super) forwards: usize,
    pub(super) visual_tokens_seen: usize,
    pub(super) visual_tokens_kept: usize,
    /// Denoising alone, as a share of its batch.
    pub(super) time_ms: f64,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    /// Fingerprint of the settings.
    settings: String,
    question: usize,
    #[serde(flatten)]
    answer: Answer,
}

/// An open file of answers.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
}

/// Answers by settings and question.
pub(super) type Known = BTreeMap<(String, usize), Answer>;

impl Journal {
    /// Opens or begins a file. Answers of other settings than `settings` are refused.
    pub(super) fn open(path: &Path, header: &Header, settings: &[&str]) -> Result<(Self, Known)> {
        let reading = || format!("--resume {}", path.display());
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(reading),
        };
        let (known, length) = parse(path, &text, header, settings)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path);
        let mut file = file.with_context(reading)?;
        // A last line that was cut off is written over.
        file.set_len(length as u64).with_context(reading)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).with_context(reading)?;
        let mut journal = Self {
            file,
            path: path.to_path_buf(),
        };
        if length == 0 {
            journal.write(header)?;
        }
        Ok((journal, known))
    }

    /// Appends an answer.
    pub(super) fn append(
        &mut self,
        settings: &str,
        question: usize,
        answer: &Answer,
    ) -> Result<()> {
        self.write(&Entry {
            settings: settings.to_owned(),
            question,
            answer: answer.clone(),
        })
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(line)? + "\n";
        let written = self.file.write_all(line.as_bytes());
        written.with_context(|| format!("writing {}", self.path.display()))
    }
}

/// The answers of a file and the length of its whole lines.
fn parse(path: &Path, text: &str, header: &Header, settings: &[&str]) -> Result<(Known, usize)> {
    let length = text.rfind('\n').map_or(0, |end| end + 1);
    let mut lines = text[..length].lines().enumerate();
    let mut known = Known::new();
    let name = path.display();
    let Some((_, first)) = lines.next() else {
        // Begun and cut off in its first line, or not a file of answers at all.
        if !text.is_empty() && !text.starts_with("{\"model\":") {
            return Err(usage(format!(
                "--resume {name}: this is no file of results; name another"
            )));
        }
        return Ok((known, 0));
    };
    let Ok(found) = serde_json::from_str::<Header>(first) else {
        return Err(usage(format!(
            "--resume {name}: this is no file of results; name another"
        )));
    };
    for (what, found, now) in [
        (
            "another model",
            (&found.model, &found.model_fingerprint),
            (&header.model, &header.model_fingerprint),
        ),
        (
            "other questions",
            (&found.questions, &found.questions_fingerprint),
            (&header.questions, &header.questions_fingerprint),
        ),
    ] {
        if found.1 != now.1 {
            return Err(usage(format!(
                "--resume {name}: it has results of {what}: {} ({}), now {} ({}); name another file",
                found.0, found.1, now.0, now.1
            )));
        }
    }
    for (index, line) in lines {
        let entry: Entry = match serde_json::from_str(line) {
            Ok(entry) => entry,
            Err(error) => bail!("--resume {name}, line {}: {error}", index + 1),
        };
        if !settings.contains(&entry.settings.as_str()) {
            return Err(usage(format!(
                "--resume {name}, line {}: it has results of settings that are not asked for now; \
                 repeat the same flags and sweeps, or name another file",
                index + 1
            )));
        }
        known.insert((entry.settings, entry.question), entry.answer);
    }
    Ok((known, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(fingerprint: &str) -> Header {
        Header {
            model: "nano".into(),
            model_fingerprint: fingerprint.into(),
            questions: "q.jsonl".into(),
            questions_fingerprint: "2".into(),
        }
    }

    fn answer(text: &str) -> Answer {
        Answer {
            text: text.into(),
            tokens: 4,
            masked_after_step_1: 2,
            forwards: 3,
            visual_tokens_seen: 36,
            visual_tokens_kept: 9,
            time_ms: 1.5,
        }
    }

    #[test]
    fn answers_come_back_and_a_line_cut_off_is_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results.jsonl");
        let (mut journal, known) = Journal::open(&path, &header("1"), &["a"]).expect("begun");
        assert!(known.is_empty());
        journal.append("a", 0, &answer("cat")).expect("written");
        journal
            .append("a", 1, &answer("a \"dog\"\n"))
            .expect("written");
        drop(journal);
        let whole = fs::read_to_string(&path).expect("text");
        for cut in [1, 2, 20] {
            fs::write(&path, &whole[..whole.len() - cut]).expect("cut");
            let (mut journal, known) =
                Journal::open(&path, &header("1"), &["a", "b"]).expect("opened");
            assert_eq!(known.len(), 1, "{cut}");
            assert_eq!(known[&("a".to_owned(), 0)], answer("cat"));
            journal
                .append("a", 1, &answer("a \"dog\"\n"))
                .expect("written");
            assert_eq!(fs::read_to_string(&path).expect("text"), whole);
        }
    }

    #[test]
    fn results_of_something_else_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results.jsonl");
        let (mut journal, _) = Journal::open(&path, &header("1"), &["a"]).expect("begun");
        journal.append("a", 0, &answer("cat")).expect("written");
        let refused = |header: &Header, settings: &[&str]| {
            Journal::open(&path, header, settings)
                .err()
                .map(|error| error.to_string())
        };
        let other_model = refused(&header("9"), &["a"]).expect("refused");
        assert!(
            other_model.contains("another model: nano (1), now nano (9)"),
            "{other_model}"
        );
        let other_settings = refused(&header("1"), &["b"]).expect("refused");
        assert!(
            other_settings.contains("line 2: it has results of settings"),
            "{other_settings}"
        );
        fs::write(&path, "my notes\n").expect("written");
        assert!(
            refused(&header("1"), &["a"])
                .expect("refused")
                .contains("no file of results")
        );
        fs::write(&path, "my notes").expect("written");
        assert!(
            refused(&header("1"), &["a"])
                .expect("refused")
                .contains("no file of results")
        );
    }
}
