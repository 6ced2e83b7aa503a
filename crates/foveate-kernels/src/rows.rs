//! Rows of activations in ordinary memory: the buffers of both [`Reference`](crate::Reference) and
//! [`Cpu`](crate::Cpu).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::error::{Error, Result, same};
use crate::memory::{Held, reserve};

/// Activations `[rows, width]`, row-major without gaps, whose capacity is counted while they live.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "rows and width are its shape")]
pub struct Rows {
    /// Rows in use.
    pub(crate) rows: usize,
    /// Floats of a row.
    pub(crate) width: usize,
    /// The rows in use; capacity beyond them stays for later.
    pub(crate) data: Vec<f32>,
    held: Held,
}

impl Rows {
    /// Zeros, counted in `total`.
    pub(crate) fn new(rows: usize, width: usize, total: &Arc<AtomicUsize>) -> Result<Self> {
        let mut new = Self {
            rows: 0,
            width,
            data: Vec::new(),
            held: Held::new(total, 0),
        };
        new.resize(rows)?;
        Ok(new)
    }

    /// Changes the rows in use; new ones are zero. Memory is never given back.
    pub(crate) fn resize(&mut self, rows: usize) -> Result<()> {
        let floats = rows.checked_mul(self.width).ok_or(Error::Memory {
            what: "activations",
            bytes: usize::MAX,
        })?;
        if floats > self.data.len() {
            let more = floats - self.data.len();
            reserve(&mut self.data, more, "activations")?;
        }
        self.data.resize(floats, 0.0);
        self.rows = rows;
        self.held.set(self.data.capacity() * size_of::<f32>());
        Ok(())
    }

    /// No rows, of another width, in the same memory.
    pub(crate) fn reshape(&mut self, width: usize) {
        self.data.clear();
        (self.rows, self.width) = (0, width);
    }

    /// Row `row`, which must be in use.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.width..(row + 1) * self.width]
    }

    /// Row `row`, which must be in use, to be written.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.width..(row + 1) * self.width]
    }

    /// The floats of `count` rows from `at` on; an error that names `what` if there are fewer.
    pub(crate) fn place(
        &mut self,
        what: &'static str,
        at: usize,
        count: usize,
    ) -> Result<&mut [f32]> {
        if at.checked_add(count).is_none_or(|end| end > self.rows) {
            return Err(Error::shape(
                what,
                format!("at most {}", self.rows),
                format!("{at} + {count}"),
            ));
        }
        Ok(&mut self.data[at * self.width..(at + count) * self.width])
    }

    /// [`Backend::write`](crate::Backend::write).
    pub(crate) fn write(&mut self, rows: &[f32], at: usize) -> Result<()> {
        let width = self.width.max(1);
        same("floats beyond whole rows written", 0, rows.len() % width)?;
        self.place("rows written", at, rows.len() / width)?
            .copy_from_slice(rows);
        Ok(())
    }

    /// [`Backend::read`](crate::Backend::read).
    pub(crate) fn read(&self, rows: Range<usize>, out: &mut Vec<f32>) -> Result<()> {
        if rows.start > rows.end || rows.end > self.rows {
            return Err(Error::shape(
                "rows read",
                format!("inside 0..{}", self.rows),
                format!("{rows:?}"),
            ));
        }
        out.extend_from_slice(&self.data[rows.start * self.width..rows.end * self.width]);
        Ok(())
    }
}

/// Refuses rows that cannot go from `x` to `out`, as both backends' `scatter` must.
pub(crate) fn check_scatter(x: &Rows, from: &[u32], to: &[u32], out: &Rows) -> Result<()> {
    same("width of scattered rows", x.width, out.width)?;
    same("slots of scattered rows", from.len(), to.len())?;
    check_rows("rows scattered", from, x.rows)?;
    check_rows("slots of scattered rows", to, out.rows)
}

/// Refuses a row index of `wanted` that is not below `rows`; the error names `what`.
pub(crate) fn check_rows(what: &'static str, wanted: &[u32], rows: usize) -> Result<()> {
    match wanted.iter().max() {
        Some(&row) if row as usize >= rows => Err(Error::shape(what, format!("below {rows}"), row)),
        _ => Ok(()),
    }
}
