//! Lanes whose attention is watched from step to step: where it moved, the layers behind are refreshed.

use foveate_kernels::{Ask, Sum};

use super::Pass;
use crate::error::Result;
use crate::network::{Network, ReturningRows};

impl Pass {
    /// Whether some lane is watched in `layer` (from 0); behind the last there is nothing to refresh.
    pub(super) fn watches_drift(&self, layer: usize, layers: usize) -> bool {
        layer + 1 < layers && self.lanes.iter().any(|l| l.similarity.is_some())
    }

    /// What is asked for it, lane by lane: the computed response's attention to every row, and that of
    /// the watched row.
    pub(super) fn drift_asks(&self, layer: usize) -> Vec<Ask> {
        let watched = (0..self.lanes.len()).filter(|&l| self.lanes[l].similarity.is_some());
        watched.flat_map(|l| self.lane_asks(l, layer)).collect()
    }

    fn lane_asks(&self, lane: usize, layer: usize) -> Vec<Ask> {
        let (start, keys) = (self.span(lane).start, self.keys(lane));
        let lane = &self.lanes[lane];
        let index = |row: usize| lane.rows.partition_point(|&r| (r as usize) < row);
        let response = lane.sequence.response();
        let keys = keys..keys + lane.sequence.rows().len();
        let answer = Ask {
            queries: start + index(response.start)..start + index(response.end),
            keys: keys.clone(),
            sum: Sum::OverRows,
        };
        let row = lane
            .drift
            .row(layer)
            .and_then(|row| lane.packed(row as usize));
        let watched = row.map(|row| Ask {
            queries: start + row..start + row + 1,
            keys,
            sum: Sum::PerRow,
        });
        std::iter::once(answer).chain(watched).collect()
    }

    /// Compares the attention of `layer`, of which `mass` is all that was asked, with the last step's; where
    /// it moved, the next layers compute every row. `true` if rows came back.
    pub(super) fn refresh(
        &mut self,
        mass: &[f32],
        network: &mut dyn Network,
        layer: usize,
    ) -> Result<bool> {
        // What is asked for drift comes last.
        let asked: usize = self.drift_asks(layer).iter().map(Ask::len).sum();
        let mut rest = &mass[mass.len() - asked..];
        let mut moved = Vec::new();
        for l in 0..self.lanes.len() {
            let Some(similarity) = self.lanes[l].similarity else {
                continue;
            };
            let mut parts = self.lane_asks(l, layer).into_iter().map(|ask| {
                let (part, more) = rest.split_at(ask.len());
                rest = more;
                part
            });
            let (answer, watched) = (parts.next().unwrap_or_default(), parts.next());
            drop(parts);
            let lane = &mut self.lanes[l];
            let prompt = &answer[..lane.sequence.response().start];
            if lane.drift.moved(layer, prompt, watched, similarity) {
                lane.drift.forget(layer + 1);
                if lane.rows.len() < lane.sequence.rows().len() {
                    moved.push(l);
                }
            }
        }
        if moved.is_empty() {
            return Ok(false);
        }
        let (mut to, mut returning, mut at) = (Vec::new(), Vec::new(), 0);
        for (l, lane) in self.lanes.iter_mut().enumerate() {
            if let (true, Some(store)) = (moved.contains(&l), lane.store) {
                let all = 0..lane.sequence.rows().len() as u32;
                let from: Vec<u32> = all
                    .clone()
                    .filter(|r| lane.rows.binary_search(r).is_err())
                    .collect();
                to.extend(lane.rows.iter().map(|r| at + r));
                returning.push(ReturningRows {
                    store,
                    to: from.iter().map(|r| at + r).collect(),
                    from,
                });
                lane.rows = all.collect();
            } else {
                to.extend((0..lane.rows.len() as u32).map(|r| at + r));
            }
            at += lane.rows.len() as u32;
        }
        network.expand(layer + 1, at as usize, &to, &returning)?;
        Ok(true)
    }
}
