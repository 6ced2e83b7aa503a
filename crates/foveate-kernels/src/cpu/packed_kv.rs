//! An attention's keys and values, laid out for the kernels.
//!
//! A plan counts keys through the rows that were just computed and then through those of every store. Each of
//! these is a [`KvSource`]. Keys are rotated by the angles of this step's positions and put into tiles; values are
//! put into panels, except for f32 values of a store, which lie in panels already and are read where they are.

use std::ops::Range;

use super::attention_plan::AttentionPlan;
use super::isa::DetectedIsa;
use super::kv::{KvRows, KvSlice};
use super::lines::{LANES, Line, LineBuf, floats_mut, prefetch};
use super::rope::{Angles, Rope};
use super::shared_slice::SharedSlice;
use super::transpose::transpose;
use crate::backend::Heads;
use crate::error::Result;
use crate::rows::Rows;

/// Tiles of keys packed by one task.
const TASK_TILES: usize = 2;
/// Rows of values that are on their way while one is packed.
const VALUES_AHEAD: usize = 4;

/// Where rows of keys and values come from.
#[derive(Clone, Copy)]
enum KvOrigin<'a> {
    /// Computed in this layer, row after row.
    Fresh(&'a Rows),
    /// Stored in an earlier step or in this layer, head by head.
    Stored(&'a KvRows),
}

/// Some of the rows that a plan counts through, and where they are packed.
pub(super) struct KvSource<'a> {
    origin: KvOrigin<'a>,
    /// The plan's number of its first row.
    pub(super) first: usize,
    /// How many rows it has.
    pub(super) rows: usize,
    /// Its first float among a head's packed keys.
    keys: usize,
    /// Its first line among a head's packed values; none if they are read where they are stored.
    values: Option<usize>,
    /// Its first task.
    task: usize,
}

/// All rows that a plan counts through.
pub(super) struct KvSources<'a> {
    isa: DetectedIsa,
    all: Vec<KvSource<'a>>,
    tile_rows: usize,
    /// How many rows they have together.
    pub(super) rows: usize,
    /// Floats of a head's packed keys.
    keys: usize,
    /// Lines of a head's packed values.
    values: usize,
    tasks: usize,
}

impl<'a> KvSources<'a> {
    /// The fresh rows first, then each store's, as [`Span::keys`](crate::Span::keys) counts them.
    pub(super) fn new(
        isa: DetectedIsa,
        heads: &Heads,
        fresh: &'a Rows,
        stored: &[&'a KvRows],
    ) -> Self {
        let mut sources = Self {
            isa,
            all: Vec::with_capacity(1 + stored.len()),
            tile_rows: isa.tile().0,
            rows: 0,
            keys: 0,
            values: 0,
            tasks: 0,
        };
        sources.push(heads, KvOrigin::Fresh(fresh), fresh.rows);
        for stored in stored {
            sources.push(heads, KvOrigin::Stored(stored), stored.shape.rows);
        }
        sources
    }

    fn push(&mut self, heads: &Heads, origin: KvOrigin<'a>, rows: usize) {
        let read_where_stored =
            matches!(origin, KvOrigin::Stored(stored) if stored.lines(0).is_some());
        self.all.push(KvSource {
            origin,
            first: self.rows,
            rows,
            keys: self.keys,
            values: (!read_where_stored).then_some(self.values),
            task: self.tasks,
        });
        self.rows += rows;
        self.keys += rows.next_multiple_of(self.tile_rows) * heads.dim;
        if !read_where_stored {
            self.values += rows * heads.dim.div_ceil(LANES);
        }
        self.tasks += rows.div_ceil(TASK_TILES * self.tile_rows);
    }

    /// The source that has all these keys, or none if they are in several.
    pub(super) fn find(&self, keys: &Range<usize>) -> Option<&KvSource<'a>> {
        let last = self
            .all
            .partition_point(|source| source.first <= keys.start);
        // Of several that begin there, only the last has rows.
        let source = &self.all[last.checked_sub(1)?];
        (keys.end <= source.first + source.rows).then_some(source)
    }
}

/// Keys and values of some heads, in memory that all threads pack and then read.
pub(super) struct PackedKv<'a> {
    sources: &'a KvSources<'a>,
    heads: Heads,
    kv_heads: Range<usize>,
    plan: &'a AttentionPlan,
    /// `[heads][sources][tiles][dim][tile rows]`
    keys: SharedSlice<'a, f32>,
    /// `[heads][sources][dim / 16][rows]`
    values: SharedSlice<'a, Line>,
}

/// One head's keys and values of one source.
pub(super) struct HeadKv<'a> {
    /// `[tiles][dim][tile rows]`, rotated; rows that fill up the last tile are unspecified.
    pub(super) keys: &'a [f32],
    /// `[dim / 16][rows]`
    pub(super) values: &'a [Line],
    /// Rows of both.
    pub(super) rows: usize,
}

impl<'a> PackedKv<'a> {
    /// Room for the key heads `kv_heads` in the given memory; nothing is packed yet.
    pub(super) fn new(
        sources: &'a KvSources<'a>,
        heads: Heads,
        kv_heads: Range<usize>,
        plan: &'a AttentionPlan,
        [keys, values]: [&'a mut LineBuf; 2],
    ) -> Result<Self> {
        let keys = keys.floats(kv_heads.len() * sources.keys)?;
        let values = values.lines(kv_heads.len() * sources.values)?;
        Ok(Self {
            sources,
            heads,
            plan,
            keys: SharedSlice::new(keys),
            values: SharedSlice::new(values),
            kv_heads,
        })
    }

    /// How many calls of [`PackedKv::pack`] pack everything.
    pub(super) fn tasks(&self) -> usize {
        self.sources.tasks
    }

    /// Packs some rows of all heads, unless no query reads them. `room` is for rotated rows, and for widened ones.
    pub(super) fn pack(&self, task: usize, room: &mut LineBuf) {
        let sources = &self.sources.all;
        let source = &sources[sources.partition_point(|source| source.task <= task) - 1];
        let step = TASK_TILES * self.sources.tile_rows;
        let first = (task - source.task) * step;
        let rows = first..(first + step).min(source.rows);
        let counted = source.first + rows.start..source.first + rows.end;
        if !self.plan.reads(&counted) {
            return;
        }
        let room = room
            .floats(rotation_room(self.heads.dim))
            .expect("the scratch memory was prepared for two times sixteen rows");
        for tile in rows.clone().step_by(self.sources.tile_rows) {
            let tile = tile..(tile + self.sources.tile_rows).min(rows.end);
            match source.origin {
                KvOrigin::Fresh(fresh) => self.pack_keys(source, fresh, tile, room),
                KvOrigin::Stored(stored) => self.rotate_stored(source, stored, tile, room),
            }
        }
        match (source.origin, source.values) {
            (KvOrigin::Fresh(fresh), Some(at)) => self.pack_values(source, fresh, rows, at),
            (KvOrigin::Stored(stored), Some(at)) => self.widen_values(source, stored, &rows, at),
            (_, None) => {}
        }
    }

    /// The packed tile that begins with row `row` of a source, of the `head`th of these heads.
    ///
    /// # Safety
    /// No tile of a head may be taken twice at a time.
    #[expect(clippy::mut_from_ref, reason = "a part of what tasks share")]
    unsafe fn tile(&self, source: &KvSource<'_>, head: usize, row: usize) -> &mut [f32] {
        let at = head * self.sources.keys + source.keys + row * self.heads.dim;
        // SAFETY: the caller's promise.
        unsafe {
            self.keys
                .part(at..at + self.sources.tile_rows * self.heads.dim)
        }
    }

    /// The angles of some of a source's rows, if keys are rotated.
    fn angles(&self, source: &KvSource<'_>, rows: &Range<usize>) -> Option<Angles<'_>> {
        let rope = self.plan.rope.as_ref()?;
        Some(rope.keys(source.first + rows.start..source.first + rows.end))
    }

    /// Rotates a tile of fresh rows and puts them side by side: `[tile rows][dim]` becomes `[dim][tile rows]`.
    fn pack_keys(&self, source: &KvSource<'_>, fresh: &Rows, tile: Range<usize>, room: &mut [f32]) {
        let width = self.heads.dim;
        for head in self.kv_heads.clone() {
            // Heads of one row are far from those of the next, where hardware does not look ahead.
            for row in tile.end..(tile.end + tile.len()).min(source.rows) {
                prefetch(&fresh.row(row)[head * width..(head + 1) * width]);
            }
            self.sources.isa.run(Rope {
                x: &fresh.data[tile.start * fresh.width + head * width..],
                stride: fresh.width,
                rows: tile.len(),
                width,
                angles: self.angles(source, &tile),
                scale: 1.0,
                out: room,
            });
            // SAFETY: every tile of every head is packed by one task.
            let out = unsafe { self.tile(source, head - self.kv_heads.start, tile.start) };
            let step = self.sources.tile_rows;
            transpose(room, width + LANES, tile.len(), width, out, step);
        }
    }

    /// Rotates rows that are stored side by side already: as one long row, by the angles side by side.
    fn rotate_stored(
        &self,
        source: &KvSource<'_>,
        stored: &KvRows,
        tile: Range<usize>,
        room: &mut [f32],
    ) {
        let (width, step) = (self.heads.dim, self.sources.tile_rows);
        let (beside, wide) = room.split_at_mut(LANES * (width + LANES));
        let angles = self.angles(source, &tile).map(|(table, half)| {
            transpose(table, 2 * half, tile.len(), 2 * half, beside, step);
            (&beside[..2 * half * step], half * step)
        });
        for head in self.kv_heads.clone() {
            // Heads are far from each other, where hardware does not look ahead.
            if head + 1 < self.kv_heads.end {
                stored.keys(head + 1, tile.start / step).prefetch();
            } else if tile.end < source.rows {
                stored
                    .keys(self.kv_heads.start, tile.start / step + 1)
                    .prefetch();
            }
            let x = match stored.keys(head, tile.start / step) {
                KvSlice::F32(x) => x,
                bf16 @ KvSlice::Bf16(_) => {
                    bf16.write(&mut wide[..width * step]);
                    &wide[..width * step]
                }
            };
            // SAFETY: every tile of every head is packed by one task.
            let out = unsafe { self.tile(source, head - self.kv_heads.start, tile.start) };
            self.sources.isa.run(Rope {
                x,
                stride: 0,
                rows: 1,
                width: width * step,
                angles,
                scale: 1.0,
                out,
            });
        }
    }

    /// Lines of the `panel`th panel of the `head`th of these heads' packed values.
    ///
    /// # Safety
    /// No line may be taken twice at a time.
    #[expect(clippy::mut_from_ref, reason = "a part of what tasks share")]
    unsafe fn lines(
        &self,
        (source, at): (&KvSource<'_>, usize),
        head: usize,
        panel: usize,
        rows: &Range<usize>,
    ) -> &mut [Line] {
        let first = head * self.sources.values + at + panel * source.rows;
        // SAFETY: the caller's promise.
        unsafe { self.values.part(first + rows.start..first + rows.end) }
    }

    /// Copies rows of fresh values into panels, the last of which is filled up with zeros.
    fn pack_values(&self, source: &KvSource<'_>, fresh: &Rows, rows: Range<usize>, at: usize) {
        let width = self.heads.dim;
        let skipped = self.heads.kv_count + self.kv_heads.start;
        let columns = skipped * width..(skipped + self.kv_heads.len()) * width;
        for row in rows {
            let ahead = row + VALUES_AHEAD;
            if ahead < source.rows {
                prefetch(&fresh.row(ahead)[columns.clone()]);
            }
            let heads = fresh.row(row)[columns.clone()].chunks_exact(width);
            for (head, values) in heads.enumerate() {
                for (panel, values) in values.chunks(LANES).enumerate() {
                    // SAFETY: every row of every head is packed by one task.
                    let lines = unsafe { self.lines((source, at), head, panel, &(row..row + 1)) };
                    if let Ok(values) = <&[f32; LANES]>::try_from(values) {
                        lines[0].0 = *values;
                    } else {
                        lines[0].fill(0.0);
                        lines[0][..values.len()].copy_from_slice(values);
                    }
                }
            }
        }
    }

    /// Widens bf16 values, which lie in panels already, to f32.
    fn widen_values(&self, source: &KvSource<'_>, stored: &KvRows, rows: &Range<usize>, at: usize) {
        for head in self.kv_heads.clone() {
            for panel in 0..self.heads.dim.div_ceil(LANES) {
                let here = head - self.kv_heads.start;
                // SAFETY: every row of every head is packed by one task.
                let lines = unsafe { self.lines((source, at), here, panel, rows) };
                stored.values(head, panel, rows).write(floats_mut(lines));
            }
        }
    }

    /// Packed keys and values of the `head`th of these heads.
    ///
    /// # Safety
    /// All tasks must have been packed, and nobody may pack any more.
    pub(super) unsafe fn head(&self, source: &KvSource<'a>, head: usize) -> HeadKv<'_> {
        let keys = source.rows.next_multiple_of(self.sources.tile_rows) * self.heads.dim;
        let lines = source.rows * self.heads.dim.div_ceil(LANES);
        let first_key = head * self.sources.keys + source.keys;
        // SAFETY: nobody writes, by the caller's promise.
        let (all_keys, all_values) = unsafe { (self.keys.all(), self.values.all()) };
        let values = match (source.values, source.origin) {
            (Some(at), _) => &all_values[head * self.sources.values + at..][..lines],
            (None, KvOrigin::Stored(stored)) => {
                let lines = stored.lines(self.kv_heads.start + head);
                lines.expect("values that are not packed are read where they are stored")
            }
            (None, KvOrigin::Fresh(_)) => unreachable!("the values of fresh rows are packed"),
        };
        HeadKv {
            keys: &all_keys[first_key..first_key + keys],
            values,
            rows: source.rows,
        }
    }
}

/// Floats of room that packing needs for heads of `dim` numbers: twice sixteen rotated rows.
pub(super) fn rotation_room(dim: usize) -> usize {
    2 * LANES * (dim + LANES)
}
