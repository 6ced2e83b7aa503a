//! The rows of one request in a pass.

use std::ops::Range;

use foveate_kernels::{Hidden, Span};

use crate::cache::{AttentionDrift, AttentionMask, Keep, Partial, Work};
use crate::denoise::Denoiser;
use crate::network::{KvCheckout, KvWrite, Outputs};
use crate::prune::{Positions, Survivors};
use crate::sequence::{Origin, Sequence};

/// One sequence of a request; a guided request has two.
pub(super) struct Lane {
    pub(super) owner: usize,
    /// The second lane of a guided request: its whole prompt is masked.
    pub(super) unconditional: bool,
    pub(super) sequence: Sequence,
    /// Rows of the sequence that this pass computes, ascending.
    pub(super) rows: Vec<u32>,
    /// Which checked-out store holds the keys and values of all rows; without one, all rows are computed.
    pub(super) store: Option<usize>,
    partial: Option<Partial>,
    keep: Keep,
    mask: AttentionMask,
    /// Below which similarity the layers behind are refreshed, and what is watched for it.
    pub(super) similarity: Option<f64>,
    pub(super) drift: AttentionDrift,
}

impl Lane {
    /// Takes what the request keeps and adds it to the checkouts.
    pub(super) fn new(
        owner: usize,
        unconditional: bool,
        denoiser: &mut Denoiser,
        work: &Work,
        checkouts: &mut Vec<KvCheckout>,
    ) -> Self {
        let sequence = denoiser.sequence.clone();
        let mut lane = Self {
            owner,
            unconditional,
            rows: work.rows.clone(),
            partial: work.partial.clone(),
            store: None,
            keep: Keep::KeysAndValues,
            mask: AttentionMask::Full,
            similarity: None,
            drift: AttentionDrift::default(),
            sequence,
        };
        if let Some(cache) = &mut denoiser.cache {
            let strategy = &cache.caching.strategy;
            (lane.keep, lane.mask) = (strategy.keep(), strategy.mask());
            lane.similarity = strategy.similarity();
            lane.drift = std::mem::take(&mut cache.drift[usize::from(unconditional)]);
            lane.store = Some(checkouts.len());
            checkouts.push(KvCheckout {
                handle: std::mem::take(&mut cache.handles[usize::from(unconditional)]),
                rows: lane.sequence.rows().len(),
                outputs: lane.answer().map_or(0, |rows| rows.len()),
                inputs: lane.keep == Keep::Inputs,
                dtype: cache.caching.dtype.stored(),
            });
        }
        lane
    }

    /// Rows of the sequence whose outputs are kept: the response and what follows it.
    fn answer(&self) -> Option<Range<usize>> {
        let rows = self.sequence.response().start..self.sequence.rows().len();
        (self.keep == Keep::Outputs).then_some(rows)
    }

    /// Rows that one layer computes.
    pub(super) fn computed(&self) -> usize {
        let reused = self.partial.as_ref().map_or(0, |p| p.rows.len() - p.count);
        self.rows.len() - reused
    }

    /// Pairs of query and key in one layer, of which `leaving` rows leave if it is the last.
    pub(super) fn pairs(&self, leaving: Option<usize>) -> usize {
        let spans = self.spans(0, 0);
        let pairs = spans
            .iter()
            .map(|s| s.queries.len() * s.keys.len())
            .sum::<usize>();
        let reused = self.rows.len() - self.computed();
        match leaving {
            None => pairs - reused * self.sequence.rows().len(),
            Some(rows) => rows * self.sequence.rows().len(),
        }
    }

    /// Where row `row` of the sequence is among the computed ones.
    pub(super) fn packed(&self, row: usize) -> Option<usize> {
        self.rows.binary_search(&(row as u32)).ok()
    }

    /// Rotary positions of the computed rows.
    pub(super) fn positions(&self) -> impl Iterator<Item = u32> {
        let rows = self.sequence.rows();
        self.rows.iter().map(|&r| rows[r as usize].position)
    }

    /// Who attends to whom, for computed rows from `queries` on and keys from `keys` on.
    pub(super) fn spans(&self, queries: usize, keys: usize) -> Vec<Span> {
        let own = self.sequence.shadows().start;
        let (own, all) = (keys..keys + own, keys..keys + self.sequence.rows().len());
        let split = match self.mask {
            AttentionMask::Full => 0,
            AttentionMask::Prefix => self.sequence.response().start,
        };
        let before = self.rows.partition_point(|&r| (r as usize) < split);
        let prompt = Span {
            queries: queries..queries + before,
            keys: keys..keys + split,
        };
        let after = self.rows.partition_point(|&r| (r as usize) < own.len());
        let rest = Span {
            queries: queries + before..queries + after,
            keys: own,
        };
        let shadows = Span {
            queries: queries + after..queries + self.rows.len(),
            keys: all,
        };
        [prompt, rest, shadows]
            .into_iter()
            .filter(|s| !s.queries.is_empty())
            .collect()
    }

    /// Each shadow's own position, which it does not see.
    pub(super) fn hidden(&self, queries: usize, keys: usize) -> Vec<Hidden> {
        let hidden = |r: usize| match self.sequence.rows()[r].origin {
            Origin::Shadow(position) => Some(Hidden {
                query: queries + self.packed(r)?,
                key: keys + self.sequence.row_of(position),
            }),
            Origin::Text(_) | Origin::Visual { .. } | Origin::Response(_) => None,
        };
        self.sequence.shadows().filter_map(hidden).collect()
    }

    /// How this pass renews the store; the lane's packed rows begin at `start`.
    pub(super) fn write(&self, start: usize) -> Option<KvWrite> {
        let outputs = self.answer().map(|answer| {
            let first = start + self.rows.partition_point(|&r| (r as usize) < answer.start);
            let rows = first..start + self.rows.len();
            let count = self.partial.as_ref().map_or(rows.len(), |p| p.count);
            Outputs { rows, count }
        });
        Some(KvWrite {
            store: self.store?,
            rows: start..start + self.rows.len(),
            slots: self.rows.clone(),
            outputs,
            inputs: self.keep == Keep::Inputs,
        })
    }

    /// Drops visual rows; returns the survivors. Only passes that compute every row do that.
    pub(super) fn retain(&mut self, kept: &[(usize, Survivors)], positions: Positions) -> Vec<u32> {
        debug_assert_eq!(self.rows.len(), self.sequence.rows().len());
        let survivors = self.sequence.retain(kept, positions);
        self.drift.retain(&survivors);
        self.rows = (0..survivors.len() as u32).collect();
        survivors
    }
}
