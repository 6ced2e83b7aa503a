//! The cache of one request between steps.

use super::{CacheView, Caching, Work};
use crate::network::Holding;
use crate::sequence::{Origin, Sequence};

/// What a request keeps from step to step.
#[derive(Clone, Debug)]
pub(crate) struct CacheState {
    pub(crate) caching: Caching,
    /// One per lane: the conditional one, then the unconditional one.
    pub(crate) holdings: [Holding; 2],
    /// Response positions committed before the last step.
    settled: Vec<bool>,
    refreshes: usize,
}

impl CacheState {
    pub(crate) fn new(caching: Caching, gen_length: usize) -> Self {
        Self {
            caching,
            holdings: Default::default(),
            settled: vec![false; gen_length],
            refreshes: 0,
        }
    }

    /// Takes note of which positions were committed before the step that is being absorbed.
    pub(crate) fn settle(&mut self, committed: impl Iterator<Item = bool>) {
        self.settled.clear();
        self.settled.extend(committed);
    }

    /// The next step's rows. `whole` asks for a refresh; `read` are rows that guesses are read from.
    pub(crate) fn work(
        &mut self,
        sequence: &Sequence,
        steps: (usize, usize),
        block: std::ops::Range<usize>,
        read: &[u32],
        whole: bool,
    ) -> Work {
        let rows = sequence.rows().len();
        let view = CacheView {
            step: steps.0,
            step_in_block: steps.1,
            block,
            response: sequence.response(),
            rows,
            settled: &self.settled,
        };
        if whole || self.holdings[0].is_empty() {
            self.refreshes = 1;
            return view.all();
        }
        let mut work = self.caching.strategy.work(&view);
        if work.rows.len() == rows {
            self.refreshes += 1;
            if !(self.refreshes - 1).is_multiple_of(self.caching.visual_refresh) {
                let text =
                    |r: &u32| !matches!(sequence.rows()[*r as usize].origin, Origin::Visual { .. });
                work.rows.retain(text);
            }
        }
        work.rows.extend(read);
        work.rows.sort_unstable();
        work.rows.dedup();
        work
    }

    /// Bytes kept.
    pub(crate) fn bytes(&self) -> usize {
        self.holdings.iter().map(Holding::bytes).sum()
    }
}
