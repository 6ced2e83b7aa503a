//! An attention's keys and values, laid out for the kernels.

use std::ops::Range;

use super::isa::Chosen;
use super::kv::{KvRows, Part};
use super::lines::{LANES, Line, Scratch, floats_mut, prefetch};
use super::plan::Schedule;
use super::share::Share;
use super::transpose::transpose;
use super::turn::Turn;
use crate::backend::Heads;
use crate::error::Result;
use crate::rows::Rows;

/// Tiles of keys packed by one task.
const TASK_TILES: usize = 2;
/// Rows of values that are on their way while one is packed.
const VALUES_AHEAD: usize = 4;

/// Rows of keys and values: those just computed, or those that were stored.
#[derive(Clone, Copy)]
enum Place<'a> {
    Fresh(&'a Rows),
    Stored(&'a KvRows),
}

/// Some of the rows that a plan counts through, and where they are packed.
pub(super) struct Source<'a> {
    from: Place<'a>,
    /// The plan's number of its first row.
    pub(super) first: usize,
    pub(super) rows: usize,
    /// Its first float among a head's packed keys.
    keys: usize,
    /// Its first line among a head's packed values; none if they are read where they are stored.
    values: Option<usize>,
    /// Its first task.
    task: usize,
}

/// All rows that a plan counts through.
pub(super) struct Sources<'a> {
    parts: Vec<Source<'a>>,
    tile_rows: usize,
    pub(super) rows: usize,
    /// Floats of a head's packed keys.
    keys: usize,
    /// Lines of a head's packed values.
    values: usize,
    tasks: usize,
}

impl<'a> Sources<'a> {
    pub(super) fn new(isa: Chosen, heads: &Heads, fresh: &'a Rows, stored: &[&'a KvRows]) -> Self {
        let mut all = Self {
            parts: Vec::with_capacity(1 + stored.len()),
            tile_rows: isa.tile().0,
            rows: 0,
            keys: 0,
            values: 0,
            tasks: 0,
        };
        all.push(heads, Place::Fresh(fresh), fresh.rows);
        for stored in stored {
            all.push(heads, Place::Stored(stored), stored.shape.rows);
        }
        all
    }

    fn push(&mut self, heads: &Heads, from: Place<'a>, rows: usize) {
        let read_where_stored = matches!(from, Place::Stored(stored) if stored.lines(0).is_some());
        self.parts.push(Source {
            from,
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

    /// The one that has all these keys.
    pub(super) fn find(&self, keys: &Range<usize>) -> Option<&Source<'a>> {
        let last = self.parts.partition_point(|part| part.first <= keys.start);
        // Of several that begin there, only the last has rows.
        let part = &self.parts[last.checked_sub(1)?];
        (keys.end <= part.first + part.rows).then_some(part)
    }
}

/// Keys and values of some heads.
pub(super) struct Operands<'a> {
    isa: Chosen,
    sources: &'a Sources<'a>,
    heads: Heads,
    kv_heads: Range<usize>,
    schedule: &'a Schedule,
    /// `[heads][sources][tiles][dim][tile rows]`
    keys: Share<'a, f32>,
    /// `[heads][sources][dim / 16][rows]`
    values: Share<'a, Line>,
}

/// One head's keys and values of one source.
pub(super) struct Head<'a> {
    /// `[tiles][dim][tile rows]`
    pub(super) keys: &'a [f32],
    /// `[dim / 16][rows]`
    pub(super) values: &'a [Line],
    pub(super) rows: usize,
}

impl<'a> Operands<'a> {
    pub(super) fn new(
        isa: Chosen,
        sources: &'a Sources<'a>,
        heads: Heads,
        kv_heads: Range<usize>,
        schedule: &'a Schedule,
        keys: &'a mut Scratch,
        values: &'a mut Scratch,
    ) -> Result<Self> {
        let keys = keys.floats(kv_heads.len() * sources.keys)?;
        let values = values.lines(kv_heads.len() * sources.values)?;
        Ok(Self {
            isa,
            sources,
            heads,
            schedule,
            keys: Share::new(keys),
            values: Share::new(values),
            kv_heads,
        })
    }

    pub(super) fn tasks(&self) -> usize {
        self.sources.tasks
    }

    /// Packs some rows of all heads. `room` is for rotated rows, and for widened ones.
    pub(super) fn pack(&self, task: usize, room: &mut Scratch) {
        let parts = &self.sources.parts;
        let source = &parts[parts.partition_point(|part| part.task <= task) - 1];
        let step = TASK_TILES * self.sources.tile_rows;
        let first = (task - source.task) * step;
        let rows = first..(first + step).min(source.rows);
        let counted = source.first + rows.start..source.first + rows.end;
        if !self.schedule.reads(&counted) {
            return;
        }
        let room = room
            .floats(turn_room(self.heads.dim))
            .expect("the desk was prepared for two times sixteen rows");
        for tile in rows.clone().step_by(self.sources.tile_rows) {
            let tile = tile..(tile + self.sources.tile_rows).min(rows.end);
            match source.from {
                Place::Fresh(fresh) => self.pack_keys(source, fresh, tile, room),
                Place::Stored(stored) => self.turn_keys(source, stored, tile, room),
            }
        }
        match (source.from, source.values) {
            (Place::Fresh(fresh), Some(at)) => self.pack_values(source, fresh, rows, at),
            (Place::Stored(stored), Some(at)) => self.widen_values(source, stored, &rows, at),
            (_, None) => {}
        }
    }

    /// The packed tile that begins with row `row` of a source, of the `head`th of these heads.
    ///
    /// # Safety
    /// No tile of a head may be taken twice at a time.
    #[expect(clippy::mut_from_ref, reason = "a part of what tasks share")]
    unsafe fn tile(&self, source: &Source<'_>, head: usize, row: usize) -> &mut [f32] {
        let at = head * self.sources.keys + source.keys + row * self.heads.dim;
        // SAFETY: the caller's promise.
        unsafe {
            self.keys
                .part(at..at + self.sources.tile_rows * self.heads.dim)
        }
    }

    /// Cosines and sines of some of a source's rows.
    fn turns(&self, source: &Source<'_>, rows: &Range<usize>) -> Option<(&[f32], usize)> {
        let turns = self.schedule.turns.as_ref()?;
        Some(turns.keys(source.first + rows.start..source.first + rows.end))
    }

    /// Rotates rows and puts them side by side.
    fn pack_keys(&self, source: &Source<'_>, fresh: &Rows, tile: Range<usize>, room: &mut [f32]) {
        let width = self.heads.dim;
        for head in self.kv_heads.clone() {
            // Heads of one row are far from those of the next, where hardware does not look ahead.
            for row in tile.end..(tile.end + tile.len()).min(source.rows) {
                prefetch(&fresh.row(row)[head * width..(head + 1) * width]);
            }
            self.isa.run(Turn {
                x: &fresh.data[tile.start * fresh.width + head * width..],
                stride: fresh.width,
                rows: tile.len(),
                width,
                by: self.turns(source, &tile),
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
    fn turn_keys(
        &self,
        source: &Source<'_>,
        stored: &KvRows,
        tile: Range<usize>,
        room: &mut [f32],
    ) {
        let (width, step) = (self.heads.dim, self.sources.tile_rows);
        let (angles, wide) = room.split_at_mut(LANES * (width + LANES));
        let by = self.turns(source, &tile).map(|(table, half)| {
            transpose(table, 2 * half, tile.len(), 2 * half, angles, step);
            (&angles[..2 * half * step], half * step)
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
                Part::Floats(x) => x,
                halves @ Part::Halves(_) => {
                    halves.write(&mut wide[..width * step]);
                    &wide[..width * step]
                }
            };
            // SAFETY: every tile of every head is packed by one task.
            let out = unsafe { self.tile(source, head - self.kv_heads.start, tile.start) };
            self.isa.run(Turn {
                x,
                stride: 0,
                rows: 1,
                width: width * step,
                by,
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
        (source, at): (&Source<'_>, usize),
        head: usize,
        panel: usize,
        rows: &Range<usize>,
    ) -> &mut [Line] {
        let first = head * self.sources.values + at + panel * source.rows;
        // SAFETY: the caller's promise.
        unsafe { self.values.part(first + rows.start..first + rows.end) }
    }

    fn pack_values(&self, source: &Source<'_>, fresh: &Rows, rows: Range<usize>, at: usize) {
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

    fn widen_values(&self, source: &Source<'_>, stored: &KvRows, rows: &Range<usize>, at: usize) {
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
    pub(super) unsafe fn head(&self, source: &Source<'a>, head: usize) -> Head<'_> {
        let keys = source.rows.next_multiple_of(self.sources.tile_rows) * self.heads.dim;
        let lines = source.rows * self.heads.dim.div_ceil(LANES);
        let first_key = head * self.sources.keys + source.keys;
        // SAFETY: nobody writes, by the caller's promise.
        let (all_keys, all_values) = unsafe { (self.keys.all(), self.values.all()) };
        let values = match (source.values, source.from) {
            (Some(at), _) => &all_values[head * self.sources.values + at..][..lines],
            (None, Place::Stored(stored)) => {
                let lines = stored.lines(self.kv_heads.start + head);
                lines.expect("values that are not packed are read where they are stored")
            }
            (None, Place::Fresh(_)) => unreachable!("the values of fresh rows are packed"),
        };
        Head {
            keys: &all_keys[first_key..first_key + keys],
            values,
            rows: source.rows,
        }
    }
}

/// Floats of room that packing needs: twice sixteen rows.
pub(super) fn turn_room(dim: usize) -> usize {
    2 * LANES * (dim + LANES)
}
