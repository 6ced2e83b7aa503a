//! Gathers attention on visual tokens at every denoising step of unpruned answers.
//!
//! Strategies that keep everything change nothing and report what they would go by. Forks of an answer,
//! one for each layer, watch the step that the answer is about to take.

use std::sync::Arc;

use anyhow::Result;
use foveate_core::{
    Denoiser, Engine, Message, Method, Moment, Options, Orientation, Progress, PruneSettings,
    Pruned, Queries, Survivors, ThinkMode, VisualTokens, quota,
};
use indicatif::ProgressBar;

use super::ranks::{overlap, spearman};
use crate::eval::Questions;

/// What is watched.
pub(super) struct Job<'a> {
    pub(super) engine: &'a Engine,
    pub(super) questions: &'a Questions,
    pub(super) orientation: Orientation,
    /// Questions about the same pictures that are denoised together.
    pub(super) batch: usize,
    /// Keep ratios at which the choices of two steps are compared.
    pub(super) keeps: &'a [f64],
    pub(super) bar: &'a ProgressBar,
}

/// A mean in the making.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    sum: f64,
    pub(super) count: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    /// None of nothing.
    pub(super) fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// Attention of the response rows at one layer, over heads and rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layer {
    /// Share of the attention on visual tokens in step 1, and in all later steps.
    pub(super) visual: [Mean; 2],
    /// Step 1: the same share for one visual token.
    pub(super) per_visual_token: Mean,
    /// Step 1: the rest for one other row.
    pub(super) per_other_row: Mean,
}

/// Scores of redvtp at one step against those at step 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Likeness {
    pub(super) spearman: Mean,
    /// Per keep ratio: share of the tokens kept by step 1 that this step keeps too.
    pub(super) overlap: Vec<Mean>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    /// From the first layer on.
    pub(super) layers: Vec<Layer>,
    /// From step 2 on.
    pub(super) steps: Vec<Likeness>,
    pub(super) visual_tokens: Mean,
    pub(super) rows: Mean,
}

/// Denoises every question and watches.
pub(super) fn gather(job: &Job<'_>) -> Result<Gathered> {
    let mut gathered = Gathered {
        layers: vec![Layer::default(); job.engine.card().decoder.layers],
        ..Gathered::default()
    };
    for group in job.questions.by_pictures() {
        let pictures = &job.questions.list[group[0]].pictures;
        let encode =
            |index: &usize| job.questions.pictures[*index].encode(job.engine, job.orientation);
        let images: Result<Vec<Arc<VisualTokens>>> = pictures.iter().map(encode).collect();
        let images = images?;
        for batch in group.chunks(job.batch) {
            watch(job, batch, &images, &mut gathered)?;
            job.bar.inc(batch.len() as u64);
        }
    }
    Ok(gathered)
}

/// Watches the answers to questions about `images`, all in the same passes.
fn watch(
    job: &Job<'_>,
    batch: &[usize],
    images: &[Arc<VisualTokens>],
    gathered: &mut Gathered,
) -> Result<()> {
    let layers = gathered.layers.len();
    let options = job.engine.default_options();
    let visual: usize = images.iter().map(|image| image.len()).sum();
    let start = |index: &usize| {
        let message = Message::user(&job.questions.list[*index].text, images.len());
        let prompt = job.engine.prompt(&[message], ThinkMode::default())?;
        let options = Options {
            prune: None,
            ..options.clone()
        };
        job.engine.start_from(&prompt, images, &options)
    };
    let answers: foveate_core::Result<Vec<Denoiser>> = batch.iter().map(start).collect();
    let mut answers = answers?;
    for answer in &answers {
        gathered.visual_tokens.add(visual as f64);
        gathered.rows.add(answer.rows() as f64);
    }
    let mut first: Vec<Vec<Pruned>> = vec![Vec::new(); batch.len()];
    for step in 1.. {
        let mut forks = watching(&answers, layers, step)?;
        let progress = job.engine.step(&mut forks.iter_mut().collect::<Vec<_>>())?;
        let mut stepped = false;
        let watched = forks.chunks(layers + 1).zip(progress.chunks(layers + 1));
        for (place, (forks, progress)) in watched.enumerate() {
            answers[place] = forks[0].fork();
            let [Progress::Stepped(own), by_layer @ ..] = progress else {
                continue;
            };
            stepped = true;
            compare(job.keeps, step, &mut first[place], &own.pruned, gathered)?;
            for (layer, progress) in gathered.layers.iter_mut().zip(by_layer) {
                if let Progress::Stepped(seen) = progress {
                    layer.note(step, &seen.pruned, visual, forks[0].rows());
                }
            }
        }
        if !stepped {
            break;
        }
    }
    Ok(())
}

/// For each answer, itself under redvtp, then a fork for each layer; nothing leaves.
fn watching(answers: &[Denoiser], layers: usize, step: usize) -> Result<Vec<Denoiser>> {
    let at = |method, layer| PruneSettings {
        layer,
        queries: layer.map(|_| Queries::Response),
        moment: Some(Moment::AfterStep(step)),
        ..PruneSettings::new(method, 1.0)
    };
    let mut settings = vec![at(Method::Redvtp, None)];
    settings.extend((1..=layers).map(|layer| at(Method::LladaFastv, Some(layer))));
    let mut forks = Vec::with_capacity(answers.len() * settings.len());
    for answer in answers {
        for settings in &settings {
            forks.push(answer.fork_pruned(Some(&settings.build(layers)?), &[])?);
        }
    }
    Ok(forks)
}

impl Layer {
    fn note(&mut self, step: usize, seen: &[Pruned], visual: usize, rows: usize) {
        if seen.is_empty() {
            return;
        }
        let scores = seen.iter().flat_map(|image| &image.scores);
        let share: f64 = scores.map(|score| f64::from(*score)).sum();
        self.visual[usize::from(step > 1)].add(share);
        if step == 1 {
            self.per_visual_token.add(share / visual.max(1) as f64);
            let others = rows.saturating_sub(visual).max(1);
            self.per_other_row.add((1.0 - share) / others as f64);
        }
    }
}

/// Compares the scores of a step with those of step 1, image by image.
fn compare(
    keeps: &[f64],
    step: usize,
    first: &mut Vec<Pruned>,
    now: &[Pruned],
    gathered: &mut Gathered,
) -> Result<()> {
    if step == 1 {
        *first = now.to_vec();
        return Ok(());
    }
    let place = step - 2;
    if gathered.steps.len() <= place {
        let new = Likeness {
            overlap: vec![Mean::default(); keeps.len()],
            ..Likeness::default()
        };
        gathered.steps.resize(place + 1, new);
    }
    let likeness = &mut gathered.steps[place];
    for (first, now) in first.iter().zip(now) {
        if let Some(correlation) = spearman(&first.scores, &now.scores) {
            likeness.spearman.add(correlation);
        }
        for (keep, mean) in keeps.iter().zip(&mut likeness.overlap) {
            let quota = quota(first.of, *keep);
            let top = |image: &Pruned| Survivors::top(&image.scores, quota);
            mean.add(overlap(top(first)?.indices(), top(now)?.indices()));
        }
    }
    Ok(())
}
