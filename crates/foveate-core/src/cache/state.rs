//! The cache of one request between steps.

use std::ops::Range;

use super::{AttentionDrift, CacheView, Caching, Work};
use crate::network::KvHandle;
use crate::sequence::{Origin, Sequence};

/// What a request keeps from step to step.
#[derive(Clone, Debug)]
pub(crate) struct CacheState {
    pub(crate) caching: Caching,
    /// One per lane: the conditional one, then the unconditional one.
    pub(crate) handles: [KvHandle; 2],
    /// What each lane watches.
    pub(crate) drift: [AttentionDrift; 2],
    /// Response positions committed before the last step.
    settled: Vec<bool>,
    /// The token with which each response row was computed last.
    computed: Vec<Option<u32>>,
    refreshes: usize,
}

impl CacheState {
    pub(crate) fn new(caching: Caching, gen_length: usize) -> Self {
        Self {
            caching,
            handles: Default::default(),
            drift: Default::default(),
            settled: vec![false; gen_length],
            computed: vec![None; gen_length],
            refreshes: 0,
        }
    }

    /// Takes note of which positions were committed before the step that is being absorbed.
    pub(crate) fn settle(&mut self, committed: impl Iterator<Item = bool>) {
        self.settled.clear();
        self.settled.extend(committed);
    }

    /// Forgets everything: the next step computes every row.
    pub(crate) fn forget(&mut self) {
        self.handles = Default::default();
        self.drift = Default::default();
    }

    /// The next step's rows.
    pub(crate) fn work(&mut self, next: &Next<'_>) -> Work {
        let response = next.sequence.response();
        let work = self.choose(next, response.clone());
        for &row in &work.rows {
            if response.contains(&(row as usize)) {
                let position = row as usize - response.start;
                self.computed[position] = Some(next.tokens[position]);
            }
        }
        work
    }

    fn choose(&mut self, next: &Next<'_>, response: Range<usize>) -> Work {
        let rows = next.sequence.rows();
        let view = CacheView {
            step: next.step,
            step_in_block: next.step_in_block,
            block: next.block.clone(),
            response: response.clone(),
            rows: rows.len(),
            settled: &self.settled,
        };
        if next.whole || self.handles[0].is_empty() {
            self.refreshes = 1;
            return view.all();
        }
        let mut work = self.caching.strategy.work(&view);
        if work.rows.len() == rows.len() {
            self.refreshes += 1;
            if !(self.refreshes - 1).is_multiple_of(self.caching.visual_refresh) {
                let text = |r: &u32| !matches!(rows[*r as usize].origin, Origin::Visual { .. });
                work.rows.retain(text);
            }
        }
        let changed = |p: &usize| self.computed[*p] != Some(next.tokens[*p]);
        let changed = (0..next.tokens.len()).filter(changed);
        work.rows
            .extend(changed.map(|p| (response.start + p) as u32));
        work.rows.extend(next.read);
        work.rows
            .extend(self.drift.iter().flat_map(AttentionDrift::rows));
        work.rows.sort_unstable();
        work.rows.dedup();
        work
    }

    /// Bytes kept.
    pub(crate) fn bytes(&self) -> usize {
        self.handles.iter().map(KvHandle::bytes).sum()
    }
}

/// What a request is about to do.
pub(crate) struct Next<'a> {
    pub(crate) sequence: &'a Sequence,
    /// Response ids.
    pub(crate) tokens: &'a [u32],
    pub(crate) step: usize,
    pub(crate) step_in_block: usize,
    /// Rows of the block.
    pub(crate) block: Range<usize>,
    /// Rows that guesses are read from.
    pub(crate) read: &'a [u32],
    /// Every row must be computed.
    pub(crate) whole: bool,
}
