//! A tap that keeps what a case compares.

use foveate_core::{Signal, Tap};

/// Keeps the wanted signals until they are taken out.
#[derive(Default)]
pub(crate) struct Record {
    wanted: Vec<Signal>,
    /// Every layer's hidden state.
    pub all_hidden: bool,
    /// The attention mass after every layer.
    pub all_attention: bool,
    kept: Vec<(Signal, Vec<f32>)>,
}

impl Record {
    /// Wants exactly these from now on, and forgets the rest.
    pub(crate) fn want(&mut self, signals: &[Signal]) {
        self.wanted = signals.to_vec();
        self.kept.clear();
    }

    /// The values of a signal, if it was seen.
    pub(crate) fn get(&self, signal: Signal) -> Option<&[f32]> {
        self.kept
            .iter()
            .find(|(s, _)| *s == signal)
            .map(|(_, v)| v.as_slice())
    }
}

impl Tap for Record {
    fn wants(&self, signal: Signal) -> bool {
        match signal {
            Signal::Hidden(_) if self.all_hidden => true,
            Signal::Attention { .. } if self.all_attention => true,
            _ => self.wanted.contains(&signal),
        }
    }

    fn take(&mut self, signal: Signal, values: Vec<f32>) {
        self.kept.push((signal, values));
    }
}
