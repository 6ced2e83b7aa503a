//! Named sets of questions that are compiled in, so that anyone can repeat a published number.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::metric::Metric;
use super::questions::{Question, Questions, Source};
use super::sheets::{Sheet, Sheets};
use crate::exit::usage;

/// The suites there are.
pub(super) const SUITES: [&str; 2] = ["nano-test", "tiny-test"];

macro_rules! frozen {
    ($file:literal) => {
        include_bytes!(concat!("../../../../training/", $file))
    };
}

/// The sheets of `heldout-tiny/`, as `questions.json` names them.
const TINY_SHEETS: [(&str, &[u8]); 16] = [
    ("scene-224.webp", frozen!("heldout-tiny/scene-224.webp")),
    ("naming-224.webp", frozen!("heldout-tiny/naming-224.webp")),
    (
        "naming-unseen-224.webp",
        frozen!("heldout-tiny/naming-unseen-224.webp"),
    ),
    ("words-224.webp", frozen!("heldout-tiny/words-224.webp")),
    (
        "receipts-224.webp",
        frozen!("heldout-tiny/receipts-224.webp"),
    ),
    (
        "receipts-448.webp",
        frozen!("heldout-tiny/receipts-448.webp"),
    ),
    ("forms-224.webp", frozen!("heldout-tiny/forms-224.webp")),
    ("forms-448.webp", frozen!("heldout-tiny/forms-448.webp")),
    ("tables-224.webp", frozen!("heldout-tiny/tables-224.webp")),
    ("tables-448.webp", frozen!("heldout-tiny/tables-448.webp")),
    ("charts-224.webp", frozen!("heldout-tiny/charts-224.webp")),
    ("charts-448.webp", frozen!("heldout-tiny/charts-448.webp")),
    ("clock-224.webp", frozen!("heldout-tiny/clock-224.webp")),
    (
        "clothing-224.webp",
        frozen!("heldout-tiny/clothing-224.webp"),
    ),
    (
        "handwriting-224.webp",
        frozen!("heldout-tiny/handwriting-224.webp"),
    ),
    (
        "easy-vqa-224.webp",
        frozen!("heldout-tiny/easy-vqa-224.webp"),
    ),
];

/// A question as the frozen sets of `training/` have it.
#[derive(serde::Deserialize)]
struct Record {
    picture: usize,
    family: String,
    question: String,
    answer: String,
    metric: Option<String>,
}

/// What `heldout-tiny/questions.json` holds.
#[derive(serde::Deserialize)]
struct Tiny {
    columns: usize,
    sheets: Vec<Listed>,
    questions: Vec<Record>,
}

#[derive(serde::Deserialize)]
struct Listed {
    file: String,
    width: usize,
    height: usize,
    pictures: usize,
}

/// The suite of this name.
pub(super) fn find(name: &str) -> Result<Questions> {
    let suite = match name {
        "nano-test" => nano_test(),
        "tiny-test" => tiny_test(),
        _ => {
            let known = SUITES.join(" or ");
            return Err(usage(format!("no suite is named {name}; expected {known}")));
        }
    };
    suite.with_context(|| format!("reading the built-in suite {name}"))
}

/// 320 questions in each of 14 families, about 60 × 60 pictures: 20 in a row.
fn nano_test() -> Result<Questions> {
    const PICTURES: usize = 1173;
    let records: Vec<Record> = serde_json::from_slice(frozen!("heldout/questions.json"))?;
    let sheet = Sheet {
        name: "nano-test".into(),
        file: frozen!("heldout/pictures.webp"),
        width: 60,
        height: 60,
        columns: 20,
        pictures: PICTURES,
    };
    questions("nano-test", vec![sheet], records)
}

/// 9,440 questions in 20 families: scenes, pictograms, text, documents, charts, clocks, clothes, digits.
fn tiny_test() -> Result<Questions> {
    let tiny: Tiny = serde_json::from_slice(frozen!("heldout-tiny/questions.json"))?;
    let sheets = tiny.sheets.into_iter().map(|listed| {
        let found = TINY_SHEETS.iter().find(|(name, _)| *name == listed.file);
        let (_, file) = found.with_context(|| format!("there is no sheet {}", listed.file))?;
        Ok(Sheet {
            name: listed.file,
            file,
            width: listed.width,
            height: listed.height,
            columns: tiny.columns,
            pictures: listed.pictures,
        })
    });
    let sheets = sheets.collect::<Result<_>>()?;
    questions("tiny-test", sheets, tiny.questions)
}

fn questions(name: &str, sheets: Vec<Sheet>, records: Vec<Record>) -> Result<Questions> {
    let sheets = Arc::new(Sheets::new(sheets));
    let questions = records.into_iter().map(|record| {
        let metric = match &record.metric {
            Some(name) => Metric::find(name).map_err(anyhow::Error::msg)?,
            None => Metric::of_family(&record.family),
        };
        Ok(Question {
            metric,
            family: record.family,
            text: record.question,
            acceptable: vec![record.answer],
            pictures: vec![record.picture],
        })
    });
    let picture = |number| Source::OnSheet(Arc::clone(&sheets), number);
    let list = questions.collect::<Result<_>>()?;
    let pictures = (0..sheets.count()).map(picture).collect();
    Ok(Questions::new(name.into(), list, pictures))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(questions: &Questions, number: usize) -> Vec<u8> {
        match &questions.pictures[number] {
            Source::OnSheet(sheets, number) => {
                sheets.picture(*number).expect("a picture").rgb().to_vec()
            }
            Source::File { path, .. } => panic!("{} is no part of a sheet", path.display()),
        }
    }

    #[test]
    fn every_question_of_nano_test_has_a_picture_of_its_own_place_on_the_sheet() {
        let suite = find("nano-test").expect("readable");
        assert_eq!((suite.list.len(), suite.pictures.len()), (4480, 1173));
        assert_eq!(suite.families().len(), 14);
        let asked = suite.list.iter().flat_map(|question| &question.pictures);
        assert_eq!(asked.max(), Some(&1172));
        assert!(pixels(&suite, 0) != pixels(&suite, 1));
        assert!(pixels(&suite, 19) != pixels(&suite, 20));
        assert_eq!(pixels(&suite, 21).len(), 3 * 60 * 60);
    }

    #[test]
    fn every_question_of_tiny_test_has_a_picture_on_one_of_its_sheets() {
        let suite = find("tiny-test").expect("readable");
        assert_eq!((suite.list.len(), suite.pictures.len()), (9440, 3829));
        assert_eq!(suite.families().len(), 20);
        let asked = suite.list.iter().flat_map(|question| &question.pictures);
        assert_eq!(asked.max(), Some(&3828));
        // The last one of the first sheet and the first one of the next; a large one.
        assert!(pixels(&suite, 695) != pixels(&suite, 696));
        let large = pixels(&suite, 696 + 500 + 500 + 311 + 60);
        assert_eq!(large.len(), 3 * 448 * 448);
    }

    #[test]
    fn no_other_suite_is_known() {
        let error = find("huge-test").err().expect("unknown");
        assert!(error.to_string().contains("nano-test or tiny-test"));
    }
}
