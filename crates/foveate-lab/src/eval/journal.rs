//! `--resume FILE`: every answer is appended as it comes, and read back by a run that was interrupted.
//!
//! The first line says which model and which questions; each other line is one answer under one setting.
//! Scores are not kept: they follow from the answers.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::exit::{note, usage};

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
    /// Opens or begins a file. Answers of other settings than `settings` are refused, and so is a file
    /// that another run appends to.
    pub(super) fn open(path: &Path, header: &Header, settings: &[&str]) -> Result<(Self, Known)> {
        let reading = || format!("--resume {}", path.display());
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            let name = path.display();
            return Err(usage(format!(
                "--resume {name}: expected a file, got a folder or a device; name another"
            )));
        }
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path);
        let mut file = file.with_context(reading)?;
        lock(path, &file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(reading)?;
        let (known, length) = parse(path, &bytes, header, settings)?;
        if length < bytes.len() {
            // A last line that was cut off is written over.
            file.set_len(length as u64).with_context(reading)?;
        }
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

/// Keeps other runs away from a file as long as it is open.
fn lock(path: &Path, file: &File) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(usage(format!(
            "--resume {}: another run is writing to it; wait for its end, or name another file",
            path.display()
        ))),
        // Some network file systems have no locks.
        Err(TryLockError::Error(error)) => {
            let name = path.display();
            note(&format!(
                "--resume {name} is not locked ({error}); let no other run use it"
            ));
            Ok(())
        }
    }
}

/// The answers of a file and the length of its whole lines.
fn parse(path: &Path, bytes: &[u8], header: &Header, settings: &[&str]) -> Result<(Known, usize)> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    let length = end.map_or(0, |end| end + 1);
    let mut known = Known::new();
    let name = path.display();
    let refuse = || {
        usage(format!(
            "--resume {name}: expected a file that an earlier run wrote, this is no file of results; \
             name another"
        ))
    };
    let Some(end) = end else {
        // Empty, or begun by this very evaluation and cut off in its first line; nothing else is cut.
        let whole = serde_json::to_string(header)?;
        return if whole.as_bytes().starts_with(bytes) {
            Ok((known, 0))
        } else {
            Err(refuse())
        };
    };
    let mut lines = bytes[..end].split(|byte| *byte == b'\n').enumerate();
    let first = lines.next().map(|(_, line)| line).unwrap_or_default();
    let found: Header = serde_json::from_slice(first).map_err(|_| refuse())?;
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
        let entry: Entry = match serde_json::from_slice(line) {
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
        drop(journal);
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
        for other in [&b"my notes\n"[..], b"my notes", b"\xff\xfe\n", b"\n"] {
            fs::write(&path, other).expect("written");
            let reason = refused(&header("1"), &["a"]).expect("refused");
            assert!(reason.contains("no file of results"), "{reason}");
            assert_eq!(fs::read(&path).expect("bytes"), other);
        }
        let folder = Journal::open(folder.path(), &header("1"), &["a"]);
        let reason = folder.err().expect("refused").to_string();
        assert!(reason.contains("expected a file"), "{reason}");
    }

    #[test]
    fn a_file_cut_inside_a_character_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results.jsonl");
        let (mut journal, _) = Journal::open(&path, &header("1"), &["a"]).expect("begun");
        journal.append("a", 0, &answer("cat")).expect("written");
        journal.append("a", 1, &answer("Straße")).expect("written");
        drop(journal);
        let whole = fs::read(&path).expect("bytes");
        let inside = whole.iter().position(|byte| *byte == 0xc3).expect("an ß") + 1;
        fs::write(&path, &whole[..inside]).expect("cut");
        let (mut journal, known) = Journal::open(&path, &header("1"), &["a"]).expect("opened");
        assert_eq!(known.len(), 1);
        journal.append("a", 1, &answer("Straße")).expect("written");
        assert_eq!(fs::read(&path).expect("bytes"), whole);
    }

    #[test]
    fn only_a_first_line_of_this_evaluation_is_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results.jsonl");
        drop(Journal::open(&path, &header("1"), &[]).expect("begun"));
        let whole = fs::read(&path).expect("bytes");
        for length in [0, 1, 12, whole.len() - 1] {
            fs::write(&path, &whole[..length]).expect("cut");
            drop(Journal::open(&path, &header("1"), &[]).expect("begun anew"));
            assert_eq!(fs::read(&path).expect("bytes"), whole, "{length}");
        }
        for other in [
            "{\"model\": \"gpt\", \"messages\": []}",
            "{\"model\":\"nano\",\"notes\":1}",
        ] {
            fs::write(&path, other).expect("written");
            let refused = Journal::open(&path, &header("1"), &[]).err();
            let refused = refused.expect("refused").to_string();
            assert!(refused.contains("no file of results"), "{refused}");
            assert_eq!(fs::read_to_string(&path).expect("text"), other);
        }
    }

    #[test]
    fn two_runs_do_not_write_to_one_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results.jsonl");
        let (mut journal, _) = Journal::open(&path, &header("1"), &["a"]).expect("begun");
        let second = Journal::open(&path, &header("1"), &["a"]).err();
        let second = second.expect("refused").to_string();
        assert!(second.contains("another run is writing to it"), "{second}");
        journal.append("a", 0, &answer("cat")).expect("written");
        drop(journal);
        let (_, known) = Journal::open(&path, &header("1"), &["a"]).expect("opened");
        assert_eq!(known.len(), 1);
    }
}
