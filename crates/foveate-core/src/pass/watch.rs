//! The attention that strategies ask a pass for: which rows, summed where, read when.

use std::ops::Range;

use foveate_kernels::{Ask, Sum};

use super::Pass;
use crate::error::Result;
use crate::network::Network;
use crate::prune::{Queries, Watch};
use crate::sequence::Sequence;
use crate::tap::{Signal, Tap};

/// Attention that one request wants from this pass.
pub(super) struct Watcher {
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

impl Watcher {
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
            Queries::All => 0..sequence.rows().len(),
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
    /// Watchers that read `layer`.
    pub(super) fn active(&self, layer: usize) -> Vec<usize> {
        let reads = |w: &Watcher| w.layer.is_none_or(|l| l == layer);
        (0..self.watchers.len())
            .filter(|&i| reads(&self.watchers[i]))
            .collect()
    }

    /// Notes that the active watchers have seen one more layer.
    pub(super) fn count_layer(&mut self, active: &[usize]) {
        for &watcher in active {
            self.watchers[watcher].layers += 1;
        }
    }

    /// One ask per image, on the conditional lane.
    pub(super) fn asks(&self, watcher: usize) -> Vec<Ask> {
        let watcher = &self.watchers[watcher];
        let Some(lane) = self.lane(watcher.owner, false) else {
            return Vec::new();
        };
        let base = self.span(lane).start;
        let sequence = &self.lanes[lane].sequence;
        let queries = watcher.query_rows(sequence);
        let shift = |r: Range<usize>| base + r.start..base + r.end;
        let sum = match watcher.queries {
            Queries::Masked => Sum::PerRow,
            Queries::Response | Queries::All => Sum::OverRows,
        };
        (0..watcher.mass.len())
            .map(|image| Ask {
                queries: shift(queries.clone()),
                keys: shift(sequence.image(image)),
                sum,
            })
            .collect()
    }

    /// Adds the mass that the backend gathered to the active watchers.
    pub(super) fn gather(&mut self, network: &mut dyn Network, active: &[usize]) -> Result<()> {
        if active.is_empty() {
            return Ok(());
        }
        let mass = network.mass()?;
        let mut at = 0;
        for &w in active {
            let asks = self.asks(w);
            let watcher = &mut self.watchers[w];
            for (image, ask) in asks.iter().enumerate() {
                watcher.rows = ask.queries.len();
                let block = &mass[at..at + ask.len()];
                at += ask.len();
                let sum = &mut watcher.mass[image];
                if sum.is_empty() {
                    sum.extend_from_slice(block);
                } else {
                    sum.iter_mut().zip(block).for_each(|(s, b)| *s += b);
                }
            }
        }
        Ok(())
    }

    pub(super) fn tap_attention(
        &self,
        network: &mut dyn Network,
        active: &[usize],
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let mut blocks = Vec::new();
        let mut at = 0;
        for &w in active {
            let request = self.watchers[w].owner;
            for (image, ask) in self.asks(w).iter().enumerate() {
                let signal = Signal::Attention {
                    layer: layer + 1,
                    request,
                    image,
                };
                if tap.wants(signal) {
                    blocks.push((signal, w, image, at..at + ask.len()));
                }
                at += ask.len();
            }
        }
        if !blocks.is_empty() {
            let mass = network.mass()?;
            for (signal, watcher, image, range) in blocks {
                let earlier = &self.watchers[watcher].mass[image];
                let now = mass[range].iter().enumerate();
                let sum = now.map(|(i, m)| m + earlier.get(i).copied().unwrap_or(0.0));
                tap.take(signal, sum.collect());
            }
        }
        Ok(())
    }

    /// Mean attention per token, one vector per image, for a strategy that prunes after the step.
    pub(crate) fn scores(&self, owner: usize, still_masked: &[u32]) -> Option<Vec<Vec<f32>>> {
        let watcher = self.watchers.iter().find(|w| w.owner == owner)?;
        watcher.scores(still_masked)
    }
}
