//! Answering: pictures in order, so that each is encoded once, and under every setting that is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use foveate_core::{Engine, Options, VisualTokens};
use indicatif::ProgressBar;

use super::beginning::{Beginning, Started, beginnings};
use super::fingerprint;
use super::journal::{Answer, Journal};
use super::questions::Questions;
use crate::args::MachineArgs;
use crate::report::refusal;
use crate::sweep::Setup;

/// All questions under one setting.
pub(super) struct Run {
    /// Fingerprint of the setting.
    pub(super) settings: String,
    pub(super) options: Options,
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

    /// Denoising steps of its answers.
    pub(super) fn steps(&self) -> usize {
        let per_step = 1 + usize::from(self.options.cfg_scale > 0.0);
        let answers = self.answers.iter().flatten();
        answers.map(|answer| answer.forwards / per_step).sum()
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
    machine: MachineArgs,
) -> (Vec<Planned>, Vec<Run>) {
    let mut runs: Vec<Run> = Vec::new();
    let mut rows = Vec::with_capacity(setups.len());
    for setup in setups {
        if setup.refused.is_some() {
            rows.push((setup, None));
            continue;
        }
        let mut options = setup.options.clone();
        options.prune = options.prune.filter(|prune| prune.keep < 1.0);
        let resolved = options.to_json();
        let (storage, backend) = (machine.dtype, machine.backend.same_bits().name());
        let said = format!("{resolved} {storage:?} {backend}");
        let settings = fingerprint::of_text(&said);
        let known = runs.iter().position(|run| run.settings == settings);
        let run = known.unwrap_or_else(|| {
            runs.push(Run {
                settings,
                options,
                refused: None,
                answers: vec![None; questions.list.len()],
            });
            runs.len() - 1
        });
        rows.push((setup, Some(run)));
    }
    (rows, runs)
}

/// What answering needs.
pub(super) struct Job<'a> {
    pub(super) engine: &'a Engine,
    pub(super) questions: &'a Questions,
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
    let open = |runs: &[Run], members: &[usize], index: usize| {
        members.iter().any(|run| runs[*run].lacks(index))
    };
    let all: Vec<usize> = (0..runs.len()).collect();
    // Questions about the same pictures follow each other, so that few are held at once.
    let order = job.questions.by_pictures().into_iter().flatten();
    let order: Vec<usize> = order.filter(|index| open(runs, &all, *index)).collect();
    let mut encoded = Encoded::new(job, &order);
    for (place, batch) in order.chunks(job.questions.batch).enumerate() {
        for beginning in &beginnings {
            let missing = batch.iter().copied();
            let missing = missing.filter(|index| open(runs, &beginning.runs, *index));
            let missing: Vec<usize> = missing.collect();
            if missing.is_empty() {
                continue;
            }
            let images = missing.iter().map(|index| encoded.images(job, *index));
            let images = images.collect::<Result<Vec<_>>>()?;
            let journal = journal.as_deref_mut();
            answer_batch(job, runs, beginning, &missing, &images, journal)?;
        }
        encoded.forget(place);
    }
    Ok(())
}

/// Answers questions, each about its `images`, under every setting of `beginning` that lacks them.
/// Settings that cannot be refuse their run, not the evaluation.
fn answer_batch(
    job: &Job<'_>,
    runs: &mut [Run],
    beginning: &Beginning,
    batch: &[usize],
    images: &[Vec<Arc<VisualTokens>>],
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

/// Visual tokens of the pictures that are still asked about.
struct Encoded {
    tokens: BTreeMap<usize, Arc<VisualTokens>>,
    /// Per picture the last batch that needs it.
    last_use: BTreeMap<usize, usize>,
}

impl Encoded {
    fn new(job: &Job<'_>, order: &[usize]) -> Self {
        let mut last_use = BTreeMap::new();
        for (place, batch) in order.chunks(job.questions.batch).enumerate() {
            for index in batch {
                let pictures = job.questions.list[*index].pictures.iter();
                last_use.extend(pictures.map(|picture| (*picture, place)));
            }
        }
        Self {
            tokens: BTreeMap::new(),
            last_use,
        }
    }

    /// The pictures of a question.
    fn images(&mut self, job: &Job<'_>, question: usize) -> Result<Vec<Arc<VisualTokens>>> {
        let pictures = &job.questions.list[question].pictures;
        let mut images = Vec::with_capacity(pictures.len());
        for index in pictures {
            let tokens = match self.tokens.get(index) {
                Some(tokens) => Arc::clone(tokens),
                None => job.questions.encode(job.engine, *index)?,
            };
            self.tokens.insert(*index, Arc::clone(&tokens));
            images.push(tokens);
        }
        Ok(images)
    }

    /// Lets go of the pictures that no later batch asks about.
    fn forget(&mut self, place: usize) {
        let last_use = &self.last_use;
        self.tokens
            .retain(|picture, _| last_use.get(picture) > Some(&place));
    }
}
