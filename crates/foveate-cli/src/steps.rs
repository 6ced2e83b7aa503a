//! A progress bar over the steps of an answer.

use foveate::Observer;
use foveate_core::{Denoiser, Step};
use foveate_lab::progress;
use indicatif::ProgressBar;

/// A bar over all layers of all steps, with the step and the surviving visual tokens beside it.
pub(crate) struct Steps {
    bar: ProgressBar,
    of: usize,
    layers: usize,
    visual_tokens: usize,
}

impl Steps {
    /// For an answer of at most `steps` steps about `visual_tokens` visual tokens.
    pub(crate) fn new(steps: usize, layers: usize, visual_tokens: usize) -> Self {
        let bar = progress::bar("{bar:32} {msg}");
        bar.set_length((steps * layers) as u64);
        let new = Self {
            bar,
            of: steps,
            layers,
            visual_tokens,
        };
        new.say(0, visual_tokens);
        new
    }

    fn say(&self, done: usize, kept: usize) {
        let mut message = format!("step {done}/{}", self.of);
        if self.visual_tokens > 0 {
            message = format!("{message} kept {kept}/{}", self.visual_tokens);
        }
        self.bar.set_position((done * self.layers) as u64);
        self.bar.set_message(message);
    }
}

impl Observer for Steps {
    fn layer(&mut self, layer: usize, of: usize) {
        let whole_steps = self.bar.position() as usize / self.layers.max(1);
        self.bar.set_position((whole_steps * of + layer) as u64);
    }

    fn step(&mut self, denoiser: &Denoiser, step: &Step) -> foveate::Result<()> {
        self.say(step.step, denoiser.outcome().visual_tokens_kept);
        Ok(())
    }

    fn finish(&mut self) -> foveate::Result<()> {
        self.bar.finish_and_clear();
        Ok(())
    }
}
