//! Progress bars on standard error, hidden when nobody can see them move.

use anyhow::Result;
use foveate_core::{Denoiser, Step};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::answer::Watcher;

/// A bar over the layers of a model.
pub(crate) fn layers(what: &'static str) -> ProgressBar {
    bar("{msg} {bar:32} layer {pos}/{len}").with_message(what)
}

/// A bar over the bytes of a file.
#[cfg(feature = "hub")]
pub(crate) fn bytes(name: &str, size: u64) -> ProgressBar {
    let bar = bar("{msg} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    bar.set_length(size);
    bar.with_message(name.to_owned())
}

/// A bar over bytes of a number that is known later.
pub(crate) fn written(what: &'static str) -> ProgressBar {
    bar("{msg} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta}").with_message(what)
}

/// A bar over things of a known number.
pub(crate) fn counted(what: &'static str, of: usize) -> ProgressBar {
    let bar = bar("{msg} {bar:32} {pos}/{len}").with_message(what);
    bar.set_length(of as u64);
    bar
}

/// Moves a bar whose length is known only now.
pub(crate) fn set(bar: &ProgressBar, done: usize, of: usize) {
    bar.set_length(of as u64);
    bar.set_position(done as u64);
}

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
        let bar = bar("{bar:32} {msg}");
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

impl Watcher for Steps {
    fn layer(&mut self, layer: usize, of: usize) {
        let whole_steps = self.bar.position() as usize / self.layers.max(1);
        self.bar.set_position((whole_steps * of + layer) as u64);
    }

    fn step(&mut self, denoiser: &Denoiser, step: &Step) -> Result<()> {
        self.say(step.step, denoiser.outcome().visual_tokens_kept);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.bar.finish_and_clear();
        Ok(())
    }
}

fn bar(template: &str) -> ProgressBar {
    // `stderr` hides the bar by itself when it is not a terminal.
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    bar.set_style(style);
    bar
}
