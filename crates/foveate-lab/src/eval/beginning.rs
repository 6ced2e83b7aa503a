//! Answers that begin alike: settings that differ only in how visual tokens are pruned after a step share
//! the first denoising step, and go on from forks of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use foveate_core::{CacheMethod, Denoiser, Moment, Options, PruneSettings, Pruned, VisualTokens};

use super::answering::{Job, Run};
use super::journal::Answer;
use crate::report::step;
use foveate::report;

/// Settings whose first denoising step is the same, but for what it reports.
pub(super) struct Beginning {
    /// Indices of the runs.
    pub(super) runs: Vec<usize>,
    /// How the first step is run; nothing leaves in it if `runs` are several.
    options: Options,
}

impl Beginning {
    fn is_shared(&self) -> bool {
        self.runs.len() > 1
    }
}

/// Every run in one beginning, in the order of their first runs.
pub(super) fn beginnings(runs: &[Run], layers: usize) -> Result<Vec<Beginning>> {
    let mut known: Vec<(Option<String>, Beginning)> = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let key = key(run, layers)?;
        let same = |(other, _): &&mut (Option<String>, Beginning)| key.is_some() && *other == key;
        if let Some((_, beginning)) = known.iter_mut().find(same) {
            beginning.runs.push(index);
            continue;
        }
        let beginning = Beginning {
            runs: vec![index],
            options: run.options.clone(),
        };
        known.push((key, beginning));
    }
    let mut beginnings: Vec<Beginning> = known.into_iter().map(|(_, it)| it).collect();
    for beginning in beginnings.iter_mut().filter(|it| it.is_shared()) {
        let watches = watched_first(&beginning.options, layers)?.is_some();
        let prune = beginning.options.prune.take().filter(|_| watches);
        // Keeping everything only reports the scores.
        beginning.options.prune = prune.map(|prune| PruneSettings { keep: 1.0, ..prune });
    }
    Ok(beginnings)
}

/// Denoising steps that a whole evaluation saves: of `questions` questions under each of `runs`.
pub(super) fn shared_steps(runs: &[Run], questions: usize, layers: usize) -> Result<usize> {
    let beginnings = beginnings(runs, layers)?;
    let measured = |run: &&usize| runs[**run].refused.is_none();
    let saved = beginnings.iter().map(|it| {
        let sharing = it.runs.iter().filter(measured).count();
        sharing.saturating_sub(1) * questions
    });
    Ok(saved.sum())
}

/// What runs with the same first step have in common; none for those that share it with nobody.
fn key(run: &Run, layers: usize) -> Result<Option<String>> {
    // What a cache keeps belongs to one answer.
    if run.refused.is_some() || run.options.cache.method != CacheMethod::None {
        return Ok(None);
    }
    let pruning = run.options.pruning(layers)?;
    if pruning.is_some_and(|pruning| !matches!(pruning.moment(), Moment::AfterStep(_))) {
        return Ok(None);
    }
    let plain = Options {
        prune: None,
        ..run.options.clone()
    };
    let watched = watched_first(&run.options, layers)?;
    Ok(Some(format!("{} {watched:?}", plain.to_json())))
}

/// The attention that the first step gathers for `options`.
fn watched_first(options: &Options, layers: usize) -> Result<Option<foveate_core::Watch>> {
    let pruning = options.pruning(layers)?;
    let first = pruning.filter(|pruning| pruning.moment() == Moment::AfterStep(1));
    Ok(first.and_then(|pruning| pruning.watch()))
}

/// Questions whose shared part is done: the first step of several runs, or nothing yet of one.
pub(super) struct Started {
    denoisers: Vec<Denoiser>,
    reported: Vec<Vec<Pruned>>,
    shared: bool,
    /// Of each question, as a share of its batch.
    time: Duration,
}

impl Started {
    /// Starts questions `batch` together, each about its `images`.
    pub(super) fn new(
        job: &Job<'_>,
        beginning: &Beginning,
        batch: &[usize],
        images: &[Vec<Arc<VisualTokens>>],
    ) -> Result<Self> {
        let ask = |(index, images): (&usize, &Vec<Arc<VisualTokens>>)| {
            let options = Options {
                // Without seeds of their own, all questions would lose the same random tokens.
                seed: beginning.options.seed.wrapping_add(*index as u64),
                ..beginning.options.clone()
            };
            job.questions.ask(job.engine, *index, images, &options)
        };
        let denoisers = batch.iter().zip(images).map(ask);
        let mut started = Self {
            denoisers: denoisers.collect::<Result<_>>()?,
            reported: vec![Vec::new(); batch.len()],
            shared: beginning.is_shared(),
            time: Duration::ZERO,
        };
        if started.shared {
            let clock = Instant::now();
            let steps = step(job.engine, &mut started.denoisers)?;
            started.time = clock.elapsed() / batch.len() as u32;
            let steps = steps.into_iter();
            started.reported = steps
                .map(|step| step.map_or(Vec::new(), |step| step.pruned))
                .collect();
        }
        Ok(started)
    }

    /// Denoises the questions at `places` to their ends under `options`.
    pub(super) fn finish(
        &self,
        job: &Job<'_>,
        options: &Options,
        places: &[usize],
    ) -> Result<Vec<Answer>> {
        let engine = job.engine;
        let pruning = options.pruning(engine.card().decoder.layers)?;
        let fork = |place: &usize| {
            let denoiser = &self.denoisers[*place];
            if self.shared {
                denoiser.fork_pruned(pruning.as_ref(), &self.reported[*place])
            } else {
                Ok(denoiser.fork())
            }
        };
        let clock = Instant::now();
        let forks: foveate_core::Result<Vec<Denoiser>> = places.iter().map(fork).collect();
        let mut denoisers = forks?;
        let mut masked: Vec<Vec<usize>> = denoisers.iter().map(masked_positions).collect();
        loop {
            let steps = step(engine, &mut denoisers)?;
            for (masked, denoiser) in masked.iter_mut().zip(&denoisers) {
                if denoiser.steps_run() <= 1 {
                    *masked = masked_positions(denoiser);
                }
            }
            if steps.iter().all(Option::is_none) {
                break;
            }
        }
        let time = self.time + clock.elapsed() / places.len() as u32;
        let finished = |(denoiser, masked): (&Denoiser, &Vec<usize>)| {
            let outcome = denoiser.outcome();
            let ends = &engine.card().end;
            let before_stop = outcome.ids[..outcome.response].iter();
            let tokens = before_stop.take_while(|id| !ends.contains(id)).count();
            Ok(Answer {
                text: engine.answer(&outcome)?,
                tokens,
                masked_after_step_1: masked.iter().filter(|p| **p < tokens).count(),
                forwards: outcome.forwards,
                visual_tokens_seen: outcome.visual_tokens_seen,
                visual_tokens_kept: outcome.visual_tokens_kept,
                // To the microsecond: numbers of few digits are read back exactly.
                time_ms: report::to_milliseconds(time.as_secs_f64()),
            })
        };
        denoisers.iter().zip(&masked).map(finished).collect()
    }
}

fn masked_positions(denoiser: &Denoiser) -> Vec<usize> {
    let ids = denoiser.ids().iter().enumerate();
    let masked = ids.filter(|(_, id)| **id == denoiser.mask());
    masked.map(|(position, _)| position).collect()
}
