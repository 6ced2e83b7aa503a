//! Random: the control that every scoring strategy must beat.

use std::sync::Arc;

use foveate_kernels::uniform;

use super::{Moment, Positions, Pruner, Row, Visual, Wanted, Watch};
use crate::error::Result;

pub(super) const ROW: Row = Row {
    name: "random",
    help: "A seeded random subset",
    positions: Positions::Original,
    build,
};

/// A seeded random subset.
///
/// *Keeps* tokens drawn without replacement from the request's seed and the image's index ·
/// *When* before the decoder unless told otherwise · *Cost* none · *Source* control of arXiv 2511.12428.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random {
    moment: Moment,
}

impl Pruner for Random {
    fn moment(&self) -> Moment {
        self.moment
    }

    fn watch(&self) -> Option<Watch> {
        None
    }

    fn score(&self, image: &Visual<'_>, _quota: usize) -> Vec<f32> {
        let stream = image.image as u32;
        (0..image.tokens as u32)
            .map(|t| uniform(image.seed, u32::MAX, stream, t) as f32)
            .collect()
    }
}

fn build(wanted: &Wanted<'_>) -> Result<Arc<dyn Pruner>> {
    let moment = wanted.free_moment()?;
    Ok(Arc::new(Random { moment }))
}
