//! Attention block by block: the scores of a block of queries never leave the cache.

use std::ops::Range;

use super::isa::Chosen;
use super::kv::KvRows;
use super::lines::{LANES, Line, floats, floats_mut};
use super::micro::{Ahead, Tile};
use super::pack::{Head, Operands, Sources, turn_room};
use super::plan::{Block, Schedule, check_rotation};
use super::report::Seen;
use super::share::Share;
use super::softmax::{Weighted, softmax};
use super::team::Queue;
use super::turn::Queries;
use super::workshop::{Desk, Workshop};
use crate::backend::{Heads, Qkv};
use crate::error::{Error, Result, same};
use crate::rows::Rows;

/// Bytes of packed keys and values of the heads that are worked on together.
const GROUP_BYTES: usize = 8 << 20;
/// Keys whose values stay in the first cache while a block goes by.
const DEPTH: usize = 256;
/// Numbers of a probe that one task merges.
const MERGED: usize = 1 << 12;

/// An attention with its operands.
struct Attention<'a> {
    isa: Chosen,
    q: &'a Rows,
    heads: Heads,
    schedule: &'a Schedule,
    out: Share<'a, f32>,
}

pub(super) fn attend(
    shop: &mut Workshop,
    qkv: &Qkv<'_, Rows, KvRows>,
    heads: &Heads,
    schedule: &Schedule,
    probe: Option<&mut Rows>,
    out: &mut Rows,
) -> Result<()> {
    check(qkv, heads, schedule, shop.isa.tile().0, out)?;
    let Qkv { q, kv, stored } = *qkv;
    let sources = &Sources::new(shop.isa, heads, kv, stored);
    for block in &schedule.blocks {
        if sources.find(&block.keys).is_none() {
            return Err(Error::shape(
                "keys of a span",
                "all in the fresh rows, or all in one store of rows",
                format!("{:?}", block.keys),
            ));
        }
    }
    if let Some(probe) = &probe {
        same("floats of a probe", schedule.probe_len, probe.data.len())?;
    }
    out.resize(q.rows)?;
    for gap in schedule
        .gaps
        .iter()
        .cloned()
        .chain(std::iter::once(schedule.query_rows..q.rows))
    {
        out.data[gap.start * out.width..gap.end * out.width].fill(0.0);
    }

    let probing = probe.is_some() && schedule.report_len > 0;
    let queries_per_kv = heads.count / heads.kv_count;
    let report_len = if probing { schedule.report_len } else { 0 };
    let group = group(heads, sources.rows, report_len);
    shop.prepare(|desk| prepare(desk, shop.isa, heads, schedule))?;
    let mut shared = std::mem::take(&mut shop.shared);
    let attention = Attention {
        isa: shop.isa,
        q,
        heads: *heads,
        schedule,
        out: Share::new(&mut out.data),
    };
    let probe = match probe {
        Some(probe) if probing => Some(Share::new(&mut probe.data)),
        _ => None,
    };
    for first in (0..heads.kv_count).step_by(group) {
        let kv_heads = first..(first + group).min(heads.kv_count);
        let operands = Operands::new(
            shop.isa,
            sources,
            *heads,
            kv_heads.clone(),
            schedule,
            &mut shared.keys,
            &mut shared.values,
        )?;
        let reports_len = report_len * kv_heads.len() * queries_per_kv;
        let reports = shared.reports.floats(reports_len)?;
        let reports = Share::new(reports);
        attention.heads(shop, sources, &operands, kv_heads, &reports, probe.as_ref());
    }
    shop.shared = shared;
    Ok(())
}

fn check(
    &Qkv { q, kv, stored }: &Qkv<'_, Rows, KvRows>,
    heads: &Heads,
    schedule: &Schedule,
    tile_rows: usize,
    out: &Rows,
) -> Result<()> {
    if heads.kv_count == 0 || heads.dim == 0 || !heads.count.is_multiple_of(heads.kv_count) {
        return Err(Error::shape(
            "heads",
            "query heads that divide among the key heads",
            format!("{heads:?}"),
        ));
    }
    same("width of queries", heads.count * heads.dim, q.width)?;
    let width = heads.kv_width();
    same("width of keys and values", width, kv.width)?;
    for stored in stored {
        let shape = &stored.shape;
        same("key heads of stored rows", heads.kv_count, shape.heads)?;
        same("width of a head of stored rows", heads.dim, shape.dim)?;
        same("rows of a tile of stored keys", tile_rows, shape.tile_rows)?;
    }
    let key_rows = stored
        .iter()
        .fold(kv.rows, |sum, stored| sum + stored.shape.rows);
    same("width of attention output", q.width, out.width)?;
    check_rotation(schedule.turns.as_ref(), heads.dim)?;
    if schedule.query_rows > q.rows || schedule.key_rows > key_rows {
        return Err(Error::shape(
            "rows of queries and keys",
            format!("at least {} and {}", schedule.query_rows, schedule.key_rows),
            format!("{} and {key_rows}", q.rows),
        ));
    }
    Ok(())
}

/// Key heads to work on together.
fn group(heads: &Heads, key_rows: usize, report_len: usize) -> usize {
    let per_row = heads.dim + heads.dim.next_multiple_of(LANES);
    let floats = key_rows * per_row + report_len * heads.count / heads.kv_count;
    (GROUP_BYTES / (floats * size_of::<f32>()).max(1)).clamp(1, heads.kv_count)
}

fn prepare(desk: &mut Desk, isa: Chosen, heads: &Heads, schedule: &Schedule) -> Result<()> {
    let rows = schedule
        .blocks
        .iter()
        .map(|b| b.queries.len())
        .max()
        .unwrap_or(0);
    let panels = rows.div_ceil(LANES);
    // Tiles of keys may begin before the first key and end after the last.
    let keys = schedule.longest + 2 * isa.tile().0;
    desk.scores.lines(keys * panels)?;
    desk.sums.lines(rows * heads.dim.div_ceil(LANES))?;
    desk.wide.floats(turn_room(heads.dim))?;
    desk.queries.lines(panels * heads.dim).map(|_| ())
}

impl Attention<'_> {
    /// All queries, for the heads that read `kv_heads`.
    fn heads(
        &self,
        shop: &Workshop,
        sources: &Sources<'_>,
        operands: &Operands<'_>,
        kv_heads: Range<usize>,
        reports: &Share<'_, f32>,
        probe: Option<&Share<'_, f32>>,
    ) {
        let queries_per_kv = self.heads.count / self.heads.kv_count;
        let count = kv_heads.len() * queries_per_kv;
        let packing = Queue::new(operands.tasks());
        let attending = Queue::new(self.schedule.blocks.len() * count);
        let merging = Queue::new(self.schedule.probe_len.div_ceil(MERGED));
        shop.team.all(|thread| {
            let desk = &mut shop.desk(thread);
            packing.drain(|task| operands.pack(task, &mut desk.wide));
            packing.wait();
            attending.drain(|task| {
                // Head by head, so that one head's keys and values stay in the second cache.
                let blocks = &self.schedule.blocks;
                let (head, block) = (task / blocks.len(), &blocks[task % blocks.len()]);
                let source = sources.find(&block.keys).expect("checked before");
                // SAFETY: all packing is done, so from here on everybody only reads.
                let kv = unsafe { operands.head(source, head / queries_per_kv) };
                let number = kv_heads.start * queries_per_kv + head;
                let reports = probe.map(|_| (reports, head * self.schedule.report_len));
                let keys = block.keys.start - source.first..block.keys.end - source.first;
                self.block(desk, block, number, &kv, keys, reports);
            });
            let Some(probe) = probe else { return };
            attending.wait();
            // SAFETY: all reports are written, so from here on everybody only reads.
            let reports = unsafe { reports.all() };
            merging.drain(|task| {
                let part = task * MERGED..((task + 1) * MERGED).min(self.schedule.probe_len);
                // SAFETY: every part of the probe is one task's.
                let probe = unsafe { probe.part(part.clone()) };
                merge(self.schedule, reports, part.start, probe);
            });
        });
    }

    fn block(
        &self,
        desk: &mut Desk,
        block: &Block,
        number: usize,
        head: &Head<'_>,
        keys: Range<usize>,
        reports: Option<(&Share<'_, f32>, usize)>,
    ) {
        let rows = block.queries.len();
        let width = self.heads.dim;
        let panels = rows.div_ceil(LANES);
        let prepared = "the desk was prepared for the largest block";
        let queries = desk.queries.lines(panels * width).expect(prepared);
        let room = desk.wide.floats(turn_room(width)).expect(prepared);
        let from = Queries {
            isa: self.isa,
            q: self.q,
            width,
            turns: self.schedule.turns.as_ref(),
        };
        from.pack(block.queries.clone(), number, room, queries);

        let tile_rows = self.isa.tile().0;
        let first_key = keys.start - keys.start % tile_rows;
        let scores_len = (keys.end - first_key).next_multiple_of(tile_rows) * panels;
        let scores = desk.scores.lines(scores_len).expect(prepared);
        self.score(head, queries, panels, first_key..keys.end, scores);
        let scores = &mut scores[(keys.start - first_key) * panels..];
        let scores = &mut scores[..keys.len() * panels];
        block.hide(scores, panels, f32::NEG_INFINITY);
        let inverse = softmax(self.isa, panels, scores);
        // The exponential is never quite zero.
        block.hide(scores, panels, 0.0);
        if let Some((reports, base)) = reports {
            let seen = Seen {
                isa: self.isa,
                block,
                scores,
                inverse: &inverse,
                share: 1.0 / self.heads.count as f32,
            };
            for report in &block.reports {
                seen.write(report, reports, base);
            }
        }

        let sums = desk
            .sums
            .lines(rows * width.div_ceil(LANES))
            .expect(prepared);
        self.weigh(head, rows, keys, scores, panels, sums);
        self.isa.run(Weighted {
            sums,
            rows,
            inverse: &inverse,
            out: &self.out,
            at: block.queries.start * self.q.width + number * width,
            width,
            stride: self.q.width,
        });
    }

    /// `scores[key][panel] = keys · queries`, tile by tile of keys.
    fn score(
        &self,
        head: &Head<'_>,
        queries: &[Line],
        panels: usize,
        keys: Range<usize>,
        scores: &mut [Line],
    ) {
        let (tile_rows, tile_panels) = self.isa.tile();
        let width = self.heads.dim;
        for key in keys.clone().step_by(tile_rows) {
            let rows = tile_rows.min(head.rows - key);
            let a = &head.keys[key * width..(key + tile_rows) * width];
            for panel in (0..panels).step_by(tile_panels) {
                let count = tile_panels.min(panels - panel);
                let b = &queries[panel * width..(panel + count) * width];
                let at = (key - keys.start) * panels;
                let c = &mut scores[at..at + rows * panels][panel..];
                let tile = Tile {
                    depth: width,
                    a: a.as_ptr(),
                    a_step: tile_rows,
                    b: b.as_ptr(),
                    b_panel: width,
                    c: c.as_mut_ptr(),
                    c_row: panels,
                    c_panel: 1,
                    resume: false,
                    ahead: Ahead::NOTHING,
                };
                // SAFETY: the slices above hold exactly the tile, the panels and the scores.
                unsafe { tile.compute(self.isa, rows, count) };
            }
        }
    }

    /// `sums[panel][query] = Σ scores · values`, not yet divided by the sum of the scores.
    fn weigh(
        &self,
        head: &Head<'_>,
        rows: usize,
        range: Range<usize>,
        scores: &[Line],
        panels: usize,
        sums: &mut [Line],
    ) {
        let (tile_rows, tile_panels) = self.isa.tile();
        let value_panels = self.heads.dim.div_ceil(LANES);
        let keys = range.len();
        if keys == 0 {
            floats_mut(sums).fill(0.0);
        }
        for key in (0..keys).step_by(DEPTH) {
            let depth = DEPTH.min(keys - key);
            let scores = floats(&scores[key * panels..(key + depth) * panels]);
            for panel in (0..value_panels).step_by(tile_panels) {
                let count = tile_panels.min(value_panels - panel);
                let from = panel * head.rows + range.start + key;
                let b = &head.values[from..from + (count - 1) * head.rows + depth];
                // What comes next, if these values are still where they are stored.
                let (next_key, next_panel) = if panel + count < value_panels {
                    (key, panel + count)
                } else {
                    (key + DEPTH, 0)
                };
                let next = Ahead {
                    start: head.values[(next_panel * head.rows + range.start + next_key)
                        .min(head.values.len())..]
                        .as_ptr()
                        .cast(),
                    panel: head.rows * size_of::<Line>(),
                    lines: DEPTH.min(keys.saturating_sub(next_key)),
                };
                for row in (0..rows).step_by(tile_rows) {
                    let height = tile_rows.min(rows - row);
                    let c = &mut sums[panel * rows + row..(panel + count) * rows];
                    let tile = Tile {
                        depth,
                        a: scores[row..].as_ptr(),
                        a_step: panels * LANES,
                        b: b.as_ptr(),
                        b_panel: head.rows,
                        c: c.as_mut_ptr(),
                        c_row: 1,
                        c_panel: rows,
                        resume: key > 0,
                        ahead: next.part(row / tile_rows, rows.div_ceil(tile_rows)),
                    };
                    // SAFETY: `scores` holds `depth` rows of `panels` lines, which are at least
                    // `rows` floats; `b` and `c` hold exactly the panels.
                    unsafe { tile.compute(self.isa, height, count) };
                }
            }
        }
    }
}

/// Adds the reports to the part of the probe that begins at `start`, head after head and block after
/// block.
fn merge(schedule: &Schedule, reports: &[f32], start: usize, probe: &mut [f32]) {
    for head in reports.chunks_exact(schedule.report_len) {
        for merge in &schedule.merges {
            let first = merge.to.max(start);
            let end = (merge.to + merge.len).min(start + probe.len());
            if first < end {
                let from = &head[merge.from + first - merge.to..];
                for (slot, x) in probe[first - start..end - start].iter_mut().zip(from) {
                    *slot += x;
                }
            }
        }
    }
}

impl Block {
    /// Overwrites the scores of hidden keys, `[keys, panels]` lines of sixteen queries.
    fn hide(&self, scores: &mut [Line], panels: usize, score: f32) {
        for hidden in &self.hidden {
            let (key, query) = (
                hidden.key - self.keys.start,
                hidden.query - self.queries.start,
            );
            scores[key * panels + query / LANES][query % LANES] = score;
        }
    }
}
