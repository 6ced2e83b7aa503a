//! Answering: picture by picture, so that each is encoded once, and under every setting that is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use foveate_core::{Engine, Error, Options, Orientation, ThinkMode, VisualTokens};
use indicatif::ProgressBar;

use super::beginning::{Beginning, Started, beginnings};
use super::fingerprint;
use super::journal::{Answer, Journal};
use super::questions::Questions;
use crate::args::MachineArgs;
use crate::report;
use crate::sweep::Setup;

/// All questions under one setting.
pub(super) struct Run {
    /// Fingerprint of the setting.
    pub(super) settings: String,
    pub(super) options: Options,
    pub(super) think: ThinkMode,
    /// Why it cannot be.
    pub(super) refused: Option<String>,
    /// One per question.
    pub(super) answers: Vec<Option<Answer>>,
}

impl Run {
    /// Whether a question is still to be answered.
    fn lacks(&self, question: usize) -> bool {
        self.refused.is_none() && self.answers[question].is_none()
    }

    /// Questions without an answer.
    pub(super) fn left(&self) -> usize {
        self.answers
            .iter()
            .filter(|answer| answer.is_none())
            .count()
    }
}

/// A setup and which run it is; none if it is refused.
pub(super) type Planned = (Setup, Option<usize>);

/// The runs that `setups` need, and which run each setup is. Keep 1 is no pruning, bit for bit, so all
/// rows with it are one run.
pub(super) fn plan(
    setups: Vec<Setup>,
    questions: &Questions,
    layers: usize,
    machine: MachineArgs,
) -> Result<(Vec<Planned>, Vec<Run>)> {
    let mut runs: Vec<Run> = Vec::new();
    let mut rows = Vec::with_capacity(setups.len());
    for setup in setups {
        if setup.refused.is_some() {
            rows.push((setup, None));
            continue;
        }
        let mut options = setup.options.clone();
        options.prune = options.prune.filter(|prune| prune.keep < 1.0);
        let resolved = report::options(&options, layers)?;
        let (storage, backend) = (machine.dtype, machine.backend.same_bits().name());
        let said = format!("{resolved} {:?} {storage:?} {backend}", setup.think);
        let settings = fingerprint::of_text(&said);
        let known = runs.iter().position(|run| run.settings == settings);
        let run = known.unwrap_or_else(|| {
            runs.push(Run {
                settings,
                options,
                think: setup.think,
                refused: None,
                answers: vec![None; questions.list.len()],
            });
            runs.len() - 1
        });
        rows.push((setup, Some(run)));
    }
    Ok((rows, runs))
}

/// What answering needs.
pub(super) struct Job<'a> {
    pub(super) engine: &'a Engine,
    pub(super) questions: &'a Questions,
    pub(super) orientation: Orientation,
    /// Questions about the same pictures that are denoised together.
    pub(super) batch: usize,
    pub(super) bar: &'a ProgressBar,
}

/// Fills in every answer that is missing; runs that begin alike share their first denoising step.
pub(super) fn answer_all(
    job: &Job<'_>,
    runs: &mut [Run],
    mut journal: Option<&mut Journal>,
) -> Result<()> {
    let layers = job.engine.card().decoder.layers;
    let beginnings = beginnings(runs, layers)?;
    let groups = job.questions.by_pictures();
    let mut encoded = Encoded::new(job, &groups);
    for (place, group) in groups.iter().enumerate() {
        let missing = |runs: &[Run], members: &[usize]| -> Vec<usize> {
            let open = |index: usize| members.iter().any(|run| runs[*run].lacks(index));
            group.iter().copied().filter(|index| open(*index)).collect()
        };
        let all: Vec<usize> = (0..runs.len()).collect();
        if !missing(runs, &all).is_empty() {
            let images = encoded.images(job, &job.questions.list[group[0]].pictures)?;
            for beginning in &beginnings {
                for batch in missing(runs, &beginning.runs).chunks(job.batch) {
                    answer_batch(job, runs, beginning, batch, &images, journal.as_deref_mut())?;
                }
            }
        }
        encoded.forget(place);
    }
    Ok(())
}

/// Answers questions about `images` under every setting of `beginning` that lacks them. Settings that
/// cannot be refuse their run, not the evaluation.
fn answer_batch(
    job: &Job<'_>,
    runs: &mut [Run],
    beginning: &Beginning,
    batch: &[usize],
    images: &[Arc<VisualTokens>],
    mut journal: Option<&mut Journal>,
) -> Result<()> {
    let first = match Started::new(job, beginning, batch, images) {
        Ok(first) => first,
        Err(error) => {
            let reason = refusal(error)?;
            for run in &beginning.runs {
                runs[*run].refused = Some(reason.clone());
            }
            return Ok(());
        }
    };
    for run in &beginning.runs {
        let run = &mut runs[*run];
        let places: Vec<usize> = (0..batch.len())
            .filter(|place| run.lacks(batch[*place]))
            .collect();
        if places.is_empty() {
            continue;
        }
        let answers = match first.finish(job, &run.options, &places) {
            Ok(answers) => answers,
            Err(error) => {
                run.refused = Some(refusal(error)?);
                continue;
            }
        };
        for (place, answer) in places.into_iter().zip(answers) {
            if let Some(journal) = &mut journal {
                journal.append(&run.settings, batch[place], &answer)?;
            }
            run.answers[batch[place]] = Some(answer);
            job.bar.inc(1);
        }
    }
    Ok(())
}

/// Why settings cannot be; other errors stay errors.
fn refusal(error: anyhow::Error) -> Result<String> {
    match error.downcast_ref::<Error>() {
        Some(Error::Request { .. }) => Ok(error.to_string()),
        _ => Err(error),
    }
}

/// Visual tokens of the pictures that are still asked about.
struct Encoded {
    tokens: BTreeMap<usize, Arc<VisualTokens>>,
    /// Per picture the last group that needs it.
    last_use: BTreeMap<usize, usize>,
}

impl Encoded {
    fn new(job: &Job<'_>, groups: &[Vec<usize>]) -> Self {
        let mut last_use = BTreeMap::new();
        for (place, group) in groups.iter().enumerate() {
            for picture in &job.questions.list[group[0]].pictures {
                last_use.insert(*picture, place);
            }
        }
        Self {
            tokens: BTreeMap::new(),
            last_use,
        }
    }

    fn images(&mut self, job: &Job<'_>, pictures: &[usize]) -> Result<Vec<Arc<VisualTokens>>> {
        let mut images = Vec::with_capacity(pictures.len());
        for index in pictures {
            if let Some(tokens) = self.tokens.get(index) {
                images.push(Arc::clone(tokens));
                continue;
            }
            let picture = job.questions.pictures[*index].open(job.orientation)?;
            let tokens = job.engine.encode(&picture);
            let tokens = tokens.with_context(|| format!("encoding picture {}", index + 1))?;
            self.tokens.insert(*index, Arc::clone(&tokens));
            images.push(tokens);
        }
        Ok(images)
    }

    fn forget(&mut self, place: usize) {
        let last_use = &self.last_use;
        self.tokens
            .retain(|picture, _| last_use.get(picture) > Some(&place));
    }
}
