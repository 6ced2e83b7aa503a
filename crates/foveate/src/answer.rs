//! The denoising loop of one question, and what it cost.

use anyhow::{Context, Result, bail};
use foveate_core::{Denoiser, Engine, NoTap, Outcome, PhaseTimes, Progress, Pruned, Step};

/// Looks on while an answer is denoised.
pub(crate) trait Watcher {
    /// A layer of the next step begins.
    fn layer(&mut self, layer: usize, of: usize);
    /// A step is done.
    fn step(&mut self, denoiser: &Denoiser, step: &Step) -> Result<()>;
    /// The answer is finished; whatever was drawn for the moment goes.
    fn finish(&mut self) -> Result<()>;
}

/// A finished answer with its account.
pub(crate) struct Answered {
    pub(crate) outcome: Outcome,
    /// The last choice of visual tokens, per image that lost any.
    pub(crate) pruned: Vec<Pruned>,
    /// Rows summed over the layers they went through, over all steps.
    pub(crate) rows_computed: usize,
    /// Seconds per phase, over all steps.
    pub(crate) times: PhaseTimes,
}

/// Steps until the answer is finished.
pub(crate) fn answer(
    engine: &Engine,
    mut denoiser: Denoiser,
    watcher: &mut dyn Watcher,
) -> Result<Answered> {
    let mut times = PhaseTimes::default();
    let mut rows_computed = 0;
    let mut pruned: Vec<Pruned> = Vec::new();
    loop {
        let progress = engine.step_tapped(&mut [&mut denoiser], &mut NoTap, &mut |layer, of| {
            watcher.layer(layer, of);
        });
        let progress =
            progress.with_context(|| format!("denoising step {}", denoiser.steps_run() + 1))?;
        match progress.into_iter().next() {
            Some(Progress::Stepped(step)) => {
                watcher.step(&denoiser, &step)?;
                times.decoder += step.times.decoder;
                times.head += step.times.head;
                times.prune += step.times.prune;
                rows_computed += step.rows_computed;
                for choice in step.pruned {
                    pruned.retain(|earlier| earlier.image != choice.image);
                    pruned.push(choice);
                }
            }
            Some(Progress::Finished) => break,
            Some(Progress::Cancelled) | None => bail!("the answer was cancelled"),
        }
    }
    watcher.finish()?;
    Ok(Answered {
        outcome: denoiser.outcome(),
        pruned,
        rows_computed,
        times,
    })
}
