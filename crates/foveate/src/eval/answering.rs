//! Answering: picture by picture, so that each is encoded once, and under every setting that is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use foveate_core::{
    Denoiser, Engine, Error, Message, Options, Orientation, Progress, ThinkMode, VisualTokens,
};
use indicatif::ProgressBar;

use super::fingerprint;
use super::journal::{Answer, Journal};
use super::questions::Questions;
use crate::args::Storage;
use crate::report;
use crate::sweep::Setup;

/// All questions under one setting.
pub(super) struct Run {
    /// Fingerprint of the setting.
    pub(super) settings: String,
    options: Options,
    think: ThinkMode,
    /// Why it cannot be.
    pub(super) refused: Option<String>,
    /// One per question.
    pub(super) answers: Vec<Option<Answer>>,
}

impl Run {
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
    storage: Storage,
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
        let said = format!("{resolved} {:?} {storage:?}", setup.think);
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

/// Fills in every answer that is missing.
pub(super) fn answer_all(
    job: &Job<'_>,
    runs: &mut [Run],
    mut journal: Option<&mut Journal>,
) -> Result<()> {
    let groups = job.questions.by_pictures();
    let mut encoded = Encoded::new(job, &groups);
    for (place, group) in groups.iter().enumerate() {
        let pending = |run: &Run| -> Vec<usize> {
            let missing = |index: &&usize| run.answers[**index].is_none();
            group.iter().filter(missing).copied().collect()
        };
        if runs
            .iter()
            .any(|run| run.refused.is_none() && !pending(run).is_empty())
        {
            let images = encoded.images(job, &job.questions.list[group[0]].pictures)?;
            for run in runs.iter_mut() {
                for batch in pending(run).chunks(job.batch) {
                    if run.refused.is_some() {
                        break;
                    }
                    answer_batch(job, run, batch, &images, journal.as_deref_mut())?;
                }
            }
        }
        encoded.forget(place);
    }
    Ok(())
}

/// Denoises questions about `images` together. Settings that cannot be refuse the run, not the evaluation.
fn answer_batch(
    job: &Job<'_>,
    run: &mut Run,
    batch: &[usize],
    images: &[Arc<VisualTokens>],
    journal: Option<&mut Journal>,
) -> Result<()> {
    let answers = match denoise(job, run, batch, images) {
        Ok(answers) => answers,
        Err(error) => match error.downcast_ref::<Error>() {
            Some(Error::Request { .. }) => {
                run.refused = Some(error.to_string());
                return Ok(());
            }
            _ => return Err(error),
        },
    };
    let mut journal = journal;
    for (index, answer) in batch.iter().zip(answers) {
        if let Some(journal) = &mut journal {
            journal.append(&run.settings, *index, &answer)?;
        }
        run.answers[*index] = Some(answer);
        job.bar.inc(1);
    }
    Ok(())
}

fn denoise(
    job: &Job<'_>,
    run: &Run,
    batch: &[usize],
    images: &[Arc<VisualTokens>],
) -> Result<Vec<Answer>> {
    let engine = job.engine;
    let start = |index: &usize| {
        let message = Message::user(&job.questions.list[*index].text, images.len());
        let prompt = engine.prompt(&[message], run.think)?;
        let options = Options {
            // Without seeds of their own, all questions would lose the same random tokens.
            seed: run.options.seed.wrapping_add(*index as u64),
            ..run.options.clone()
        };
        engine.start_from(&prompt, images, &options)
    };
    let denoisers: Result<Vec<Denoiser>, Error> = batch.iter().map(start).collect();
    let mut denoisers = denoisers?;
    let clock = Instant::now();
    loop {
        let mut together: Vec<&mut Denoiser> = denoisers.iter_mut().collect();
        let progress = engine.step(&mut together)?;
        if progress
            .iter()
            .any(|one| matches!(one, Progress::Cancelled))
        {
            bail!("the evaluation was cancelled");
        }
        if progress.iter().all(|one| matches!(one, Progress::Finished)) {
            break;
        }
    }
    // To the microsecond: numbers of few digits are read back exactly.
    let time_ms = report::to_milliseconds(clock.elapsed().as_secs_f64() / batch.len() as f64);
    let finished = |denoiser: &Denoiser| {
        let outcome = denoiser.outcome();
        Ok(Answer {
            text: engine.answer(&outcome)?,
            forwards: outcome.forwards,
            visual_tokens_seen: outcome.visual_tokens_seen,
            visual_tokens_kept: outcome.visual_tokens_kept,
            time_ms,
        })
    };
    denoisers.iter().map(finished).collect()
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
