//! Gathers attention on visual tokens at every denoising step of unpruned answers.
//!
//! Strategies that keep everything change nothing and report what they would go by. Forks of an answer,
//! one for each layer, watch the step that the answer is about to take.

use anyhow::Result;
use foveate_core::{
    Denoiser, Engine, Method, Moment, Options, PruneSettings, Pruned, Queries, Survivors, quota,
};

use super::ranks::{overlap, spearman};
use crate::eval::Questions;
use crate::progress;
use crate::report::step;

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

/// Denoises every question and watches; choices of two steps are compared at `keeps`.
pub(super) fn gather(engine: &Engine, questions: &Questions, keeps: &[f64]) -> Result<Gathered> {
    let mut gathered = Gathered {
        layers: vec![Layer::default(); engine.card().decoder.layers],
        ..Gathered::default()
    };
    let bar = progress::counted("watching", questions.list.len());
    for group in questions.by_pictures() {
        let images = questions.look(engine, group[0])?;
        let options = Options {
            prune: None,
            ..engine.default_options()
        };
        for batch in group.chunks(questions.batch) {
            let ask = |index: &usize| questions.ask(engine, *index, &images, &options);
            let answers = batch.iter().map(ask).collect::<Result<_>>()?;
            let visual = images.iter().map(|image| image.len()).sum();
            watch(engine, answers, visual, keeps, &mut gathered)?;
            bar.inc(batch.len() as u64);
        }
    }
    bar.finish_and_clear();
    Ok(gathered)
}

/// Watches unpruned `answers` about `visual` visual tokens, all in the same passes.
fn watch(
    engine: &Engine,
    mut answers: Vec<Denoiser>,
    visual: usize,
    keeps: &[f64],
    gathered: &mut Gathered,
) -> Result<()> {
    let layers = gathered.layers.len();
    for answer in &answers {
        gathered.visual_tokens.add(visual as f64);
        gathered.rows.add(answer.rows() as f64);
    }
    let mut first: Vec<Vec<Pruned>> = vec![Vec::new(); answers.len()];
    for number in 1.. {
        let mut forks = watching(&answers, layers, number)?;
        let steps = step(engine, &mut forks)?;
        let watched = forks.chunks(layers + 1).zip(steps.chunks(layers + 1));
        for (place, (forks, steps)) in watched.enumerate() {
            answers[place] = forks[0].fork();
            let [Some(own), by_layer @ ..] = steps else {
                continue;
            };
            compare(keeps, number, &mut first[place], &own.pruned, gathered)?;
            for (layer, seen) in gathered.layers.iter_mut().zip(by_layer) {
                let seen = seen.as_ref().map_or(&[][..], |seen| &seen.pruned);
                layer.note(number, seen, visual, forks[0].rows());
            }
        }
        if steps.iter().all(Option::is_none) {
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
