//! Which questions a command asks: a file of lines or a built-in suite.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::{FalseyValueParser, PossibleValuesParser};
use foveate_core::Orientation;

use super::questions::Questions;
use super::suite;
use crate::exit::usage;

/// Questions and their pictures.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Evaluation")]
pub(crate) struct AskedArgs {
    /// Questions, one object {"image" or "images", "question", "answer", "family" and "metric" or none} a
    /// line; metrics are exact (but for white space at the ends), anls, relaxed and set-f1
    #[arg(long, env = "FOVEATE_JSONL", value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// Where the images of --jsonl lie; beside the file when absent
    #[arg(
        long,
        env = "FOVEATE_IMAGE_ROOT",
        value_name = "DIR",
        requires = "jsonl"
    )]
    image_root: Option<PathBuf>,
    /// Built-in questions: nano-test is the frozen test set of the built-in model, tiny-test a larger and
    /// harder one with words, documents, clocks and clothes as well
    #[arg(long, env = "FOVEATE_SUITE", value_parser = PossibleValuesParser::new(suite::SUITES), conflicts_with = "jsonl")]
    suite: Option<String>,
    /// At most this many questions of each family, the first ones
    #[arg(long, env = "FOVEATE_LIMIT", value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// Questions that are denoised together; answers do not depend on it
    #[arg(long, env = "FOVEATE_BATCH", value_name = "N", default_value = "8")]
    batch: NonZeroUsize,
    /// Leave the pixels as stored even if the camera was turned
    #[arg(long, env = "FOVEATE_IGNORE_EXIF", value_parser = FalseyValueParser::new())]
    ignore_exif: bool,
}

impl AskedArgs {
    /// Reads them.
    pub(crate) fn questions(&self) -> Result<Questions> {
        let mut questions = match (&self.jsonl, &self.suite) {
            (Some(path), _) => Questions::read(path, self.image_root.as_deref())?,
            (None, Some(suite)) => {
                if self.image_root.is_some() {
                    return Err(usage(format!(
                        "--image-root says where the images of --jsonl lie, and {suite} has its own; \
                         leave one of --image-root and --suite out"
                    )));
                }
                suite::find(suite)?
            }
            (None, None) => {
                return Err(usage(format!(
                    "nothing to ask: give --jsonl FILE or --suite {}",
                    suite::SUITES.join(" or ")
                )));
            }
        };
        if let Some(limit) = self.limit {
            questions.limit(limit.get());
        }
        questions.batch = self.batch.get();
        if self.ignore_exif {
            questions.orientation = Orientation::Ignore;
        }
        Ok(questions)
    }
}
