//! Uniform: evenly spaced visual tokens, the control that knows nothing.

use super::{Moment, Pruner, Visual, Watch};

/// Evenly spaced tokens in sequence order.
///
/// *Keeps* the token at the middle of each of `quota` equal stretches · *When* before the decoder unless
/// told otherwise · *Cost* none · *Source* the usual spatial control.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uniform {
    pub(super) moment: Moment,
}

impl Pruner for Uniform {
    fn moment(&self) -> Moment {
        self.moment
    }

    fn watch(&self) -> Option<Watch> {
        None
    }

    fn score(&self, image: &Visual<'_>, quota: usize) -> Vec<f32> {
        let mut scores = vec![0.0; image.tokens];
        for k in 0..quota {
            let middle = (2 * k + 1) * image.tokens / (2 * quota);
            scores[middle] = 1.0;
        }
        scores
    }
}
