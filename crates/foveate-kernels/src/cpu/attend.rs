//! Attention block by block: the scores of a block of queries never leave the cache.
//!
//! For every block and head: queries are rotated and packed, multiplied with all keys of their span, turned into
//! exact softmax weights (not a running one, so that a score's bits depend on nothing but its query and key),
//! watched by the probe if it is asked for, and multiplied with the values. Keys and values of as many heads as
//! fit [`GROUP_BYTES`] are packed first, by all threads together. No matrix of all queries and keys exists.

use std::iter::once;
use std::ops::Range;

use super::attention_mass::{BlockScores, merge};
use super::attention_plan::{AttentionPlan, QueryBlock};
use super::context::{Context, Scratch};
use super::isa::DetectedIsa;
use super::kv::KvRows;
use super::lines::{LANES, Line, LineBuf, floats, floats_mut};
use super::micro::{Prefetch, Tile};
use super::packed_kv::{HeadKv, KvSources, PackedKv, rotation_room};
use super::rope::Queries;
use super::shared_slice::SharedSlice;
use super::softmax::{QUERIES, Weighted, softmax};
use super::thread_pool::TaskQueue;
use crate::backend::{Heads, Qkv};
use crate::error::{Error, Result, same};
use crate::rows::Rows;

/// Bytes of packed keys and values of the heads that are worked on together.
const GROUP_BYTES: usize = 8 << 20;
/// Keys whose values stay in the first cache while a block goes by.
const DEPTH: usize = 256;
/// Numbers of a probe that one task merges.
const MERGED: usize = 1 << 12;
/// Why scratch memory cannot be too small where it is used.
const PREPARED: &str = "the scratch memory was prepared for the largest block";

/// An attention with its operands, none of which changes while threads work on it.
struct Attention<'a> {
    isa: DetectedIsa,
    q: &'a Rows,
    heads: Heads,
    plan: &'a AttentionPlan,
    sources: &'a KvSources<'a>,
    /// `[rows, heads · dim]`
    out: SharedSlice<'a, f32>,
}

/// Where attention mass goes.
struct Probe<'a> {
    /// The mass of the heads that are worked on, head after head.
    mass: &'a SharedSlice<'a, f32>,
    /// What the caller sees: all heads' mass added up.
    out: &'a SharedSlice<'a, f32>,
}

/// One head of one block of queries.
struct BlockTask<'a> {
    block: &'a QueryBlock,
    /// The query head.
    head: usize,
    kv: HeadKv<'a>,
    /// The block's keys among those of `kv`.
    keys: Range<usize>,
}

/// [`Backend::attend`](crate::Backend::attend): refuses what does not fit, then works group of heads by group.
pub(super) fn attend(
    context: &mut Context,
    qkv: &Qkv<'_, Rows, KvRows>,
    heads: &Heads,
    plan: &AttentionPlan,
    probe: Option<&mut Rows>,
    out: &mut Rows,
) -> Result<()> {
    check(qkv, heads, plan, context.isa.tile().0, out)?;
    let sources = &KvSources::new(context.isa, heads, qkv.kv, qkv.stored);
    check_sources(plan, sources)?;
    if let Some(probe) = &probe {
        same("floats of a probe", plan.probe_len, probe.data.len())?;
    }
    out.resize(qkv.q.rows)?;
    clear_unseen(plan, out);
    context.prepare(|scratch| prepare(scratch, context.isa, heads, plan))?;
    let attention = Attention {
        isa: context.isa,
        q: qkv.q,
        heads: *heads,
        plan,
        sources,
        out: SharedSlice::new(&mut out.data),
    };
    let probe = probe.filter(|_| plan.mass_len > 0);
    let probe = probe.map(|probe| SharedSlice::new(&mut probe.data));
    attention.all_heads(context, probe.as_ref())
}

fn check(
    &Qkv { q, kv, stored }: &Qkv<'_, Rows, KvRows>,
    heads: &Heads,
    plan: &AttentionPlan,
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
    same("width of keys and values", heads.kv_width(), kv.width)?;
    for stored in stored {
        let shape = &stored.shape;
        same("key heads of stored rows", heads.kv_count, shape.heads)?;
        same("width of a head of stored rows", heads.dim, shape.dim)?;
        same("rows of a tile of stored keys", tile_rows, shape.tile_rows)?;
    }
    same("width of attention output", q.width, out.width)?;
    if let Some(rope) = &plan.rope {
        rope.check(heads.dim)?;
    }
    let stored_rows: usize = stored.iter().map(|stored| stored.shape.rows).sum();
    let key_rows = kv.rows + stored_rows;
    if plan.query_rows > q.rows || plan.key_rows > key_rows {
        return Err(Error::shape(
            "rows of queries and keys",
            format!("at least {} and {}", plan.query_rows, plan.key_rows),
            format!("{} and {key_rows}", q.rows),
        ));
    }
    Ok(())
}

/// Refuses a span whose keys are not all in one place.
fn check_sources(plan: &AttentionPlan, sources: &KvSources<'_>) -> Result<()> {
    let split = |block: &&QueryBlock| sources.find(&block.keys).is_none();
    match plan.blocks.iter().find(split) {
        Some(block) => Err(Error::shape(
            "keys of a span",
            "all in the fresh rows, or all in one store of rows",
            format!("{:?}", block.keys),
        )),
        None => Ok(()),
    }
}

/// Writes zeros for the queries that no span covers.
fn clear_unseen(plan: &AttentionPlan, out: &mut Rows) {
    let last = plan.query_rows..out.rows;
    for gap in plan.gaps.iter().chain(once(&last)) {
        out.data[gap.start * out.width..gap.end * out.width].fill(0.0);
    }
}

/// Key heads to work on together, so that what is packed of them fits [`GROUP_BYTES`].
fn heads_at_once(heads: &Heads, key_rows: usize, mass_len: usize) -> usize {
    let per_row = heads.dim + heads.dim.next_multiple_of(LANES);
    let floats = key_rows * per_row + mass_len * heads.count / heads.kv_count;
    (GROUP_BYTES / (floats * size_of::<f32>()).max(1)).clamp(1, heads.kv_count)
}

/// Grows one thread's scratch memory to the largest block.
fn prepare(
    scratch: &mut Scratch,
    isa: DetectedIsa,
    heads: &Heads,
    plan: &AttentionPlan,
) -> Result<()> {
    let rows = plan.blocks.iter().map(|b| b.queries.len()).max();
    let rows = rows.unwrap_or(0);
    let panels = rows.div_ceil(LANES);
    // Tiles of keys may begin before the first key and end after the last.
    let keys = plan.longest + 2 * isa.tile().0;
    scratch.scores.lines(keys * panels)?;
    scratch.sums.lines(rows * heads.dim.div_ceil(LANES))?;
    scratch.wide.floats(rotation_room(heads.dim))?;
    scratch.queries.lines(panels * heads.dim).map(|_| ())
}

impl Attention<'_> {
    /// Query heads that read one key head.
    fn queries_per_kv(&self) -> usize {
        self.heads.count / self.heads.kv_count
    }

    fn all_heads(&self, context: &mut Context, probe: Option<&SharedSlice<'_, f32>>) -> Result<()> {
        let mass_len = probe.map_or(0, |_| self.plan.mass_len);
        let group = heads_at_once(&self.heads, self.sources.rows, mass_len);
        let mut shared = std::mem::take(&mut context.shared);
        for first in (0..self.heads.kv_count).step_by(group) {
            let kv_heads = first..(first + group).min(self.heads.kv_count);
            let mass_len = mass_len * kv_heads.len() * self.queries_per_kv();
            let mass = &SharedSlice::new(shared.mass.floats(mass_len)?);
            let packed = PackedKv::new(
                self.sources,
                self.heads,
                kv_heads.clone(),
                self.plan,
                [&mut shared.keys, &mut shared.values],
            )?;
            let probe = probe.map(|out| Probe { mass, out });
            self.some_heads(context, &packed, kv_heads, probe.as_ref());
        }
        context.shared = shared;
        Ok(())
    }

    /// All queries, for the heads that read `kv_heads`: every thread packs, then attends, then merges mass.
    fn some_heads(
        &self,
        context: &Context,
        packed: &PackedKv<'_>,
        kv_heads: Range<usize>,
        probe: Option<&Probe<'_>>,
    ) {
        let blocks = &self.plan.blocks;
        let count = kv_heads.len() * self.queries_per_kv();
        let packing = TaskQueue::new(packed.tasks());
        let attending = TaskQueue::new(blocks.len() * count);
        let merging = TaskQueue::new(self.plan.probe_len.div_ceil(MERGED));
        context.pool.broadcast(|thread| {
            let scratch = &mut context.scratch(thread);
            packing.drain(|task| packed.pack(task, &mut scratch.wide));
            packing.wait();
            attending.drain(|task| {
                // Head by head, so that one head's keys and values stay in the second cache.
                let (head, block) = (task / blocks.len(), &blocks[task % blocks.len()]);
                let source = self.sources.find(&block.keys).expect("checked before");
                let task = BlockTask {
                    block,
                    head: kv_heads.start * self.queries_per_kv() + head,
                    // SAFETY: all packing is done, so from here on everybody only reads.
                    kv: unsafe { packed.head(source, head / self.queries_per_kv()) },
                    keys: block.keys.start - source.first..block.keys.end - source.first,
                };
                let mass = probe.map(|probe| (probe.mass, head * self.plan.mass_len));
                self.block(scratch, &task, mass);
            });
            if let Some(probe) = probe {
                attending.wait();
                // SAFETY: all mass is written, so from here on everybody only reads it.
                let mass = unsafe { probe.mass.all() };
                merging.drain(|task| self.merge(task, mass, probe.out));
            }
        });
    }

    /// Adds all heads' mass to one part of the probe.
    fn merge(&self, task: usize, mass: &[f32], probe: &SharedSlice<'_, f32>) {
        let part = task * MERGED..((task + 1) * MERGED).min(self.plan.probe_len);
        // SAFETY: every part of the probe is one task's.
        let probe = unsafe { probe.part(part.clone()) };
        merge(self.plan, mass, part.start, probe);
    }

    /// One head of one block, from queries to outputs; its mass goes to the given place.
    fn block(
        &self,
        scratch: &mut Scratch,
        task: &BlockTask<'_>,
        mass: Option<(&SharedSlice<'_, f32>, usize)>,
    ) {
        let block = task.block;
        let rows = block.queries.len();
        let width = self.heads.dim;
        let panels = rows.div_ceil(LANES);
        let queries = scratch.queries.lines(panels * width).expect(PREPARED);
        let room = scratch.wide.floats(rotation_room(width)).expect(PREPARED);
        let from = Queries {
            isa: self.isa,
            q: self.q,
            width,
            rope: self.plan.rope.as_ref(),
        };
        from.pack(block.queries.clone(), task.head, room, queries);
        let (scores, inverse) = self.weights(task, queries, &mut scratch.scores);
        if let Some((mass, base)) = mass {
            let seen = BlockScores {
                isa: self.isa,
                block,
                scores,
                inverse: &inverse,
                per_head: 1.0 / self.heads.count as f32,
            };
            for wanted in &block.mass {
                seen.write_mass(wanted, mass, base);
            }
        }
        let sums = rows * width.div_ceil(LANES);
        let sums = scratch.sums.lines(sums).expect(PREPARED);
        self.weigh(task, scores, sums);
        self.isa.run(Weighted {
            sums,
            rows,
            inverse: &inverse,
            out: &self.out,
            at: block.queries.start * self.q.width + task.head * width,
            width,
            stride: self.q.width,
        });
    }

    /// Exponentials of scores, `[keys][panels]`, and one over each query's sum of them.
    fn weights<'s>(
        &self,
        task: &BlockTask<'_>,
        queries: &[Line],
        scores: &'s mut LineBuf,
    ) -> (&'s [Line], [f32; QUERIES]) {
        let (block, keys) = (task.block, &task.keys);
        let panels = block.queries.len().div_ceil(LANES);
        let tile_rows = self.isa.tile().0;
        let first_key = keys.start - keys.start % tile_rows;
        let scores_len = (keys.end - first_key).next_multiple_of(tile_rows) * panels;
        let scores = scores.lines(scores_len).expect(PREPARED);
        self.score(&task.kv, queries, panels, first_key..keys.end, scores);
        let scores = &mut scores[(keys.start - first_key) * panels..];
        let scores = &mut scores[..keys.len() * panels];
        block.hide(scores, panels, f32::NEG_INFINITY);
        let inverse = softmax(self.isa, panels, scores);
        // The exponential is never quite zero.
        block.hide(scores, panels, 0.0);
        (scores, inverse)
    }

    /// `scores[key][panel] = keys · queries`, tile by tile of keys.
    fn score(
        &self,
        head: &HeadKv<'_>,
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
                    prefetch: Prefetch::NONE,
                };
                // SAFETY: the slices above hold exactly the tile, the panels and the scores.
                unsafe { tile.compute(self.isa, rows, count) };
            }
        }
    }

    /// `sums[panel][query] = Σ scores · values`, not yet divided by the sum of the scores.
    fn weigh(&self, task: &BlockTask<'_>, scores: &[Line], sums: &mut [Line]) {
        let (head, keys) = (&task.kv, task.keys.len());
        let rows = task.block.queries.len();
        let panels = rows.div_ceil(LANES);
        let (tile_rows, tile_panels) = self.isa.tile();
        let value_panels = self.heads.dim.div_ceil(LANES);
        if keys == 0 {
            floats_mut(sums).fill(0.0);
        }
        for key in (0..keys).step_by(DEPTH) {
            let depth = DEPTH.min(keys - key);
            let scores = floats(&scores[key * panels..(key + depth) * panels]);
            for panel in (0..value_panels).step_by(tile_panels) {
                let count = tile_panels.min(value_panels - panel);
                let from = panel * head.rows + task.keys.start + key;
                let b = &head.values[from..from + (count - 1) * head.rows + depth];
                let next = if panel + count < value_panels {
                    task.next_values(key, panel + count)
                } else {
                    task.next_values(key + DEPTH, 0)
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
                        prefetch: next.part(row / tile_rows, rows.div_ceil(tile_rows)),
                    };
                    // SAFETY: `scores` holds `depth` rows of `panels` lines, which are at least
                    // `rows` floats; `b` and `c` hold exactly the panels.
                    unsafe { tile.compute(self.isa, height, count) };
                }
            }
        }
    }
}

impl BlockTask<'_> {
    /// The values that are multiplied next, from `key` on in panels from `panel` on: those that are read where
    /// they are stored may not be in a cache yet.
    fn next_values(&self, key: usize, panel: usize) -> Prefetch {
        let head = &self.kv;
        let at = panel * head.rows + self.keys.start + key;
        Prefetch {
            start: head.values[at.min(head.values.len())..].as_ptr().cast(),
            panel: head.rows * size_of::<Line>(),
            lines: DEPTH.min(self.keys.len().saturating_sub(key)),
        }
    }
}

impl QueryBlock {
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
