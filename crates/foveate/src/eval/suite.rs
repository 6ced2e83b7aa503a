//! Named sets of questions that are compiled in, so that anyone can repeat a published number.

use anyhow::{Context, Result};
use foveate_core::Orientation;
use foveate_core::image::{DecodeLimits, Picture, decode_bytes};

use super::metric::Metric;
use super::questions::{Question, Questions, Source};

/// The suites there are.
pub(super) const SUITES: [&str; 1] = ["nano-test"];

/// The frozen set of `training/`: 60 × 60 pictures on one sheet, 20 in a row, and what is asked about them.
const SHEET: &[u8] = include_bytes!("../../../../training/heldout/pictures.webp");
const QUESTIONS: &str = include_str!("../../../../training/heldout/questions.json");
const SIDE: usize = 60;

#[derive(serde::Deserialize)]
struct Record {
    picture: usize,
    family: String,
    question: String,
    answer: String,
}

/// `nano-test`: 320 questions in each of eight families.
pub(super) fn nano_test() -> Result<Questions> {
    let reading = "reading the built-in suite nano-test";
    let limits = DecodeLimits::default();
    let sheet = decode_bytes("nano-test", SHEET, Orientation::Ignore, &limits).context(reading)?;
    let records: Vec<Record> = serde_json::from_str(QUESTIONS).context(reading)?;
    let count = records.iter().map(|record| record.picture + 1).max();
    let pictures = (0..count.unwrap_or(0)).map(|index| Ok(Source::Decoded(cut(&sheet, index)?)));
    let pictures = pictures.collect::<Result<Vec<_>>>().context(reading)?;
    let questions = records.into_iter().map(|record| Question {
        metric: Metric::of_family(&record.family),
        family: record.family,
        text: record.question,
        acceptable: vec![record.answer],
        pictures: vec![record.picture],
    });
    Ok(Questions {
        name: "nano-test".into(),
        list: questions.collect(),
        pictures,
    })
}

/// One picture of the sheet.
fn cut(sheet: &Picture, index: usize) -> foveate_core::Result<Picture> {
    let width = sheet.width() as usize;
    let across = (width / SIDE).max(1);
    let (left, top) = (index % across * SIDE, index / across * SIDE);
    let rows = (top..top + SIDE).filter_map(|row| {
        let start = 3 * (row * width + left);
        sheet.rgb().get(start..start + 3 * SIDE)
    });
    let rgb = rows.flatten().copied().collect();
    Picture::new("nano-test", SIDE as u32, SIDE as u32, rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_has_a_picture_of_its_own_place_on_the_sheet() {
        let suite = nano_test().expect("readable");
        assert_eq!((suite.list.len(), suite.pictures.len()), (2560, 582));
        let corner = |index: usize| match &suite.pictures[index] {
            Source::Decoded(picture) => picture.rgb().to_vec(),
            Source::File { path, .. } => panic!("{} is no part of the sheet", path.display()),
        };
        assert!(corner(0) != corner(1) && corner(19) != corner(20));
        assert_eq!(corner(21).len(), 3 * SIDE * SIDE);
    }
}
