//! Which rows leave the last layer, and which of them the head reads.

use foveate_kernels::RowMap;

use super::Pass;
use crate::denoise::Denoiser;
use crate::sequence::Origin;
use crate::tap::{Signal, Tap};

/// Packed rows that leave the last layer, ascending.
#[derive(Default)]
pub(crate) struct OutputRows {
    pub(super) rows: Vec<u32>,
}

impl OutputRows {
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
    ) -> OutputRows {
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
            let denoiser = &denoisers[lane.owner];
            let read = denoiser.read().into_iter().map(Origin::Response);
            let revocable = denoiser.revocable().into_iter();
            let read = read.chain(revocable.map(|(position, _)| Origin::Shadow(position)));
            let about = |origin| self.row_about(i, denoiser, origin);
            rows.extend(read.filter_map(about).map(|r| r as u32));
            if let Some(outputs) = lane.write(span.start).and_then(|v| v.outputs) {
                rows.extend(outputs.rows.map(|r| r as u32));
            }
        }
        for probe in self.active(layer) {
            for (_, ask) in self.asks(probe).iter().filter(|(image, _)| *image == 0) {
                rows.extend(ask.queries.clone().map(|r| r as u32));
            }
        }
        rows.sort_unstable();
        rows.dedup();
        OutputRows { rows }
    }

    /// The packed row of lane `lane` whose logits are about a response position or its shadow.
    fn row_about(&self, lane: usize, denoiser: &Denoiser, origin: Origin) -> Option<usize> {
        let sequence = &self.lanes[lane].sequence;
        let row = match origin {
            Origin::Response(position) => denoiser.row_before(sequence.row_of(position)),
            Origin::Shadow(position) => sequence.shadow_of(position)?,
            Origin::Text(_) | Origin::Visual { .. } => return None,
        };
        Some(self.span(lane).start + self.lanes[lane].packed(row)?)
    }

    /// Final rows of `wanted` response positions or shadows: plain copies, or guided mixtures
    /// `(1 + s) · conditional - s · unconditional` (LLaDA, `cfg_scale`).
    pub(super) fn mix(
        &self,
        denoisers: &[&mut Denoiser],
        leaving: &OutputRows,
        wanted: &[(usize, Origin)],
    ) -> RowMap {
        let mut map = RowMap {
            starts: vec![0],
            ..RowMap::default()
        };
        for &(owner, origin) in wanted {
            let scale = denoisers[owner].recipe.cfg_scale as f32;
            for unconditional in [false, true] {
                let Some(lane) = self.lane(owner, unconditional) else {
                    continue;
                };
                let Some(row) = self.row_about(lane, denoisers[owner], origin) else {
                    continue;
                };
                map.from.push(leaving.index(row));
                map.weight
                    .push(if unconditional { -scale } else { 1.0 + scale });
            }
            map.starts.push(map.from.len() as u32);
        }
        map
    }

    /// The same for the position of every computed row of every conditional lane; only valid when
    /// every row left.
    pub(super) fn mix_all(&self, denoisers: &[&mut Denoiser], leaving: &OutputRows) -> RowMap {
        let mut map = RowMap {
            starts: vec![0],
            ..RowMap::default()
        };
        for lane in (0..self.lanes.len()).filter(|&l| !self.lanes[l].unconditional) {
            let owner = self.lanes[lane].owner;
            let scale = denoisers[owner].recipe.cfg_scale as f32;
            let twin = self.lane(owner, true);
            for &row in &self.lanes[lane].rows {
                let about = denoisers[owner].row_before(row as usize);
                let own = self.lanes[lane].packed(row as usize);
                let Some(r) = self.lanes[lane].packed(about).or(own) else {
                    continue;
                };
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
