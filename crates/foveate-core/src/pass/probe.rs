//! The attention that strategies ask a pass for: which rows, summed where, read when.

use std::ops::Range;

use foveate_kernels::{Ask, Sum};

use super::Pass;
use crate::prune::{Queries, Watch};
use crate::sequence::Sequence;
use crate::tap::{Signal, Tap};

/// Attention that one request wants from this pass.
pub(super) struct Probe {
    pub(super) owner: usize,
    queries: Queries,
    /// From 0; all layers if none.
    layer: Option<usize>,
    /// Per image: mass gathered, `[queries, tokens]` for masked queries, else `[tokens]`.
    mass: Vec<Vec<f32>>,
    /// Layers in the sums so far.
    layers: usize,
    /// Query rows of each layer.
    rows: usize,
}

impl Probe {
    /// Nothing gathered yet.
    pub(super) fn new(owner: usize, watch: Watch, images: usize) -> Self {
        Self {
            owner,
            queries: watch.queries,
            layer: watch.layer.map(|k| k - 1),
            mass: vec![Vec::new(); images],
            layers: 0,
            rows: 0,
        }
    }

    /// Query rows inside the lane.
    fn query_rows(&self, sequence: &Sequence) -> Range<usize> {
        match self.queries {
            Queries::Masked | Queries::Response => sequence.response(),
            Queries::All => 0..sequence.shadows().start,
        }
    }

    /// Mean over the queries and layers; `None` if no query row is left.
    fn scores(&self, still_masked: &[u32]) -> Option<Vec<Vec<f32>>> {
        let rows = match self.queries {
            Queries::Masked => still_masked.len(),
            Queries::Response | Queries::All => self.rows,
        };
        if rows == 0 || self.layers == 0 {
            return None;
        }
        let scale = 1.0 / (rows * self.layers) as f32;
        let mean = |mass: &Vec<f32>| -> Vec<f32> {
            match self.queries {
                Queries::Response | Queries::All => mass.iter().map(|m| m * scale).collect(),
                Queries::Masked => {
                    let tokens = mass.len() / self.rows.max(1);
                    let mut sum = vec![0.0; tokens];
                    for &row in still_masked {
                        let block = &mass[row as usize * tokens..][..tokens];
                        sum.iter_mut().zip(block).for_each(|(s, m)| *s += m);
                    }
                    for s in &mut sum {
                        *s *= scale;
                    }
                    sum
                }
            }
        };
        Some(self.mass.iter().map(mean).collect())
    }
}

impl Pass {
    /// Probes that read `layer`.
    pub(super) fn active(&self, layer: usize) -> Vec<usize> {
        let reads = |w: &Probe| w.layer.is_none_or(|l| l == layer);
        (0..self.probes.len())
            .filter(|&i| reads(&self.probes[i]))
            .collect()
    }

    /// What a probe asks of every image, on the conditional lane: one ask, or one for each part of the
    /// queries that sees other keys.
    pub(super) fn asks(&self, probe: usize) -> Vec<(usize, Ask)> {
        let probe = &self.probes[probe];
        let Some(lane) = self.lane(probe.owner, false) else {
            return Vec::new();
        };
        let (base, keys) = (self.span(lane).start, self.keys(lane));
        let lane = &self.lanes[lane];
        let wanted = probe.query_rows(&lane.sequence);
        let parts = lane.spans(base, keys).into_iter().filter_map(|span| {
            let start = span.queries.start.max(base + wanted.start);
            let end = span.queries.end.min(base + wanted.end);
            (start < end).then_some(start..end)
        });
        let parts: Vec<Range<usize>> = parts.collect();
        let sum = match probe.queries {
            Queries::Masked => Sum::PerRow,
            Queries::Response | Queries::All => Sum::OverRows,
        };
        let ask = |image, queries: &Range<usize>| {
            let tokens = lane.sequence.image(image);
            let ask = Ask {
                queries: queries.clone(),
                keys: keys + tokens.start..keys + tokens.end,
                sum,
            };
            (image, ask)
        };
        (0..probe.mass.len())
            .flat_map(|image| parts.iter().map(move |queries| (image, queries)))
            .map(|(image, queries)| ask(image, queries))
            .collect()
    }

    /// Adds one layer's `mass` to the active probes.
    pub(super) fn gather(&mut self, mass: &[f32], active: &[usize]) {
        let mut at = 0;
        for &w in active {
            let asks = self.asks(w);
            let probe = &mut self.probes[w];
            let first = asks.iter().filter(|(image, _)| *image == 0);
            probe.rows = first.map(|(_, ask)| ask.queries.len()).sum();
            probe.layers += 1;
            // Parts of the queries, too, are added within a layer first.
            let mut layer = vec![Vec::new(); probe.mass.len()];
            for (image, ask) in asks {
                add(&mut layer[image], &mass[at..at + ask.len()]);
                at += ask.len();
            }
            for (sum, layer) in probe.mass.iter_mut().zip(layer) {
                add(sum, &layer);
            }
        }
    }

    /// Hands the sums of the active probes to a tap that wants them.
    pub(super) fn tap_attention(&self, active: &[usize], layer: usize, tap: &mut dyn Tap) {
        for &w in active {
            let probe = &self.probes[w];
            for (image, sum) in probe.mass.iter().enumerate() {
                let signal = Signal::Attention {
                    layer: layer + 1,
                    request: probe.owner,
                    image,
                };
                if tap.wants(signal) {
                    tap.take(signal, sum.clone());
                }
            }
        }
    }

    /// Mean attention per token, one vector per image, for a strategy that prunes after the step.
    pub(crate) fn scores(&self, owner: usize, still_masked: &[u32]) -> Option<Vec<Vec<f32>>> {
        let probe = self.probes.iter().find(|w| w.owner == owner)?;
        probe.scores(still_masked)
    }
}

/// Adds `more` to a sum that begins empty.
fn add(sum: &mut Vec<f32>, more: &[f32]) {
    if sum.is_empty() {
        sum.extend_from_slice(more);
    } else {
        sum.iter_mut().zip(more).for_each(|(s, m)| *s += m);
    }
}
