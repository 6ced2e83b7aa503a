//! Which rows leave the last layer, and which of them the head reads.

use foveate_kernels::RowMap;

use super::Pass;
use crate::denoise::Denoiser;
use crate::tap::{Signal, Tap};

/// Packed rows that leave the last layer, ascending.
#[derive(Default)]
pub(crate) struct Leaving {
    pub(super) rows: Vec<u32>,
}

impl Leaving {
    /// How many of these packed rows leave.
    pub(super) fn of(&self, rows: &std::ops::Range<usize>) -> usize {
        (self.index(rows.end) - self.index(rows.start)) as usize
    }

    /// Where packed row `row` is among the leaving ones.
    fn index(&self, row: usize) -> u32 {
        self.rows.partition_point(|&r| (r as usize) < row) as u32
    }
}

impl Pass {
    /// The packed rows that leave the last layer: those that can be committed, those whose attention is
    /// still wanted, and everything if a tap looks.
    pub(super) fn leaving(
        &self,
        denoisers: &[&mut Denoiser],
        layer: usize,
        tap: &dyn Tap,
    ) -> Leaving {
        let everything = tap.wants(Signal::Final)
            || tap.wants(Signal::Logits)
            || tap.wants(Signal::Hidden(layer + 1));
        let mut rows: Vec<u32> = Vec::new();
        for (i, lane) in self.lanes.iter().enumerate() {
            let span = self.span(i);
            if everything {
                rows.extend(span.map(|r| r as u32));
                continue;
            }
            let response = lane.sequence.response().start;
            let read = denoisers[lane.owner].read();
            let packed = |p: u32| lane.packed(response + p as usize);
            rows.extend(
                read.into_iter()
                    .filter_map(packed)
                    .map(|r| (span.start + r) as u32),
            );
            if let Some(outputs) = lane.visit(span.start).and_then(|v| v.outputs) {
                rows.extend(outputs.rows.map(|r| r as u32));
            }
        }
        for watcher in self.active(layer) {
            for (_, ask) in self.asks(watcher).iter().filter(|(image, _)| *image == 0) {
                rows.extend(ask.queries.clone().map(|r| r as u32));
            }
        }
        rows.sort_unstable();
        rows.dedup();
        Leaving { rows }
    }

    /// Final rows of `wanted` response positions: plain copies, or guided mixtures
    /// `(1 + s) · conditional - s · unconditional` (LLaDA, `cfg_scale`).
    pub(super) fn mix(
        &self,
        denoisers: &[&mut Denoiser],
        leaving: &Leaving,
        wanted: &[(usize, u32)],
    ) -> RowMap {
        let mut map = RowMap {
            starts: vec![0],
            ..RowMap::default()
        };
        for &(owner, position) in wanted {
            let scale = denoisers[owner].recipe.cfg_scale as f32;
            for unconditional in [false, true] {
                let Some(lane) = self.lane(owner, unconditional) else {
                    continue;
                };
                let response = self.lanes[lane].sequence.response().start;
                let Some(row) = self.lanes[lane].packed(response + position as usize) else {
                    continue;
                };
                map.from.push(leaving.index(self.span(lane).start + row));
                map.weight
                    .push(if unconditional { -scale } else { 1.0 + scale });
            }
            map.starts.push(map.from.len() as u32);
        }
        map
    }

    /// The same for every computed row of every conditional lane; only valid when every row left.
    pub(super) fn mix_all(&self, denoisers: &[&mut Denoiser], leaving: &Leaving) -> RowMap {
        let mut map = RowMap {
            starts: vec![0],
            ..RowMap::default()
        };
        for lane in (0..self.lanes.len()).filter(|&l| !self.lanes[l].unconditional) {
            let owner = self.lanes[lane].owner;
            let scale = denoisers[owner].recipe.cfg_scale as f32;
            let twin = self.lane(owner, true);
            for r in 0..self.lanes[lane].rows.len() {
                map.from.push(leaving.index(self.span(lane).start + r));
                map.weight.push(1.0 + scale);
                if let Some(twin) = twin {
                    map.from.push(leaving.index(self.span(twin).start + r));
                    map.weight.push(-scale);
                }
                map.starts.push(map.from.len() as u32);
            }
        }
        map
    }
}
