//! Uniform: evenly spaced visual tokens, the control that knows nothing.

use std::sync::Arc;

use super::{Moment, Positions, Pruner, Row, Visual, Wanted, Watch};
use crate::error::Result;

pub(super) const ROW: Row = Row {
    name: "uniform",
    help: "Evenly spaced tokens",
    positions: Positions::Original,
    build,
};

/// Evenly spaced tokens in sequence order.
///
/// *Keeps* the token at the middle of each of `quota` equal stretches · *When* before the decoder unless
/// told otherwise · *Cost* none · *Source* the usual spatial control.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uniform {
    moment: Moment,
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

fn build(wanted: &Wanted<'_>) -> Result<Arc<dyn Pruner>> {
    let moment = wanted.free_moment()?;
    Ok(Arc::new(Uniform { moment }))
}
