//! Weights as the kernels read them: sixteen outputs side by side, input after input.
//!
//! A checkpoint's `[outputs, inputs]` becomes `[panels][inputs][16]`, so that one load brings the same input's weight
//! of sixteen outputs. Gate and up of a gated linear alternate panel by panel, and one thread sees both. Tables stay
//! row-major, since their rows are looked up whole. Weights are packed once, when a model is loaded.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::lines::{LANES, Line};
use super::quant_panels::QuantPanels;
use super::shared_slice::SharedSlice;
use super::thread_pool::ThreadPool;
use super::zeroed::Zeroable;
use crate::backend::Layout;
use crate::error::{Error, Result, same};
use crate::memory::{Held, reserve};
use crate::quant::{Format, check_blocks, decode_row, encode_row};
use crate::tensor::{Dtype, TensorView};

/// Sixteen bfloat16 numbers, as stored.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Bf16Line(pub(super) [u16; LANES]);

// SAFETY: sixteen zeros.
unsafe impl Zeroable for Bf16Line {}

/// A weight packed for [`Cpu`](super::Cpu).
#[derive(Debug)]
pub struct PackedWeight {
    /// What the weight is used for.
    pub(super) layout: Layout,
    /// Outputs of the linear, or entries of the table.
    pub(super) outputs: usize,
    /// Inputs of the linear, or width of the table.
    pub(super) inputs: usize,
    /// The numbers.
    pub(super) panels: Panels,
    /// One line per panel, or none.
    pub(super) bias: Vec<Line>,
    #[expect(dead_code, reason = "counts the bytes until it is dropped")]
    held: Held,
}

/// The numbers. A panel is `inputs` lines; the last one is padded with zeros.
#[derive(Debug)]
pub(super) enum Panels {
    /// 32-bit floats.
    F32(Vec<Line>),
    /// A checkpoint's bfloat16, widened slice by slice: half the memory and the same result.
    Bf16(Vec<Bf16Line>),
    /// Row-major, for [`Layout::Table`].
    Table(Vec<f32>),
    /// Row-major bfloat16.
    TableBf16(Vec<u16>),
    /// Quantized panels.
    Quant(QuantPanels),
    /// Row-major blocks.
    TableBlocks(Dtype, Vec<u8>),
}

impl PackedWeight {
    /// Packs the parts as [`Backend::weight`](crate::Backend::weight) says, panel by panel on all threads.
    pub(super) fn new(
        parts: &[TensorView<'_>],
        biases: &[TensorView<'_>],
        layout: Layout,
        format: Format,
        pool: &ThreadPool,
        total: &Arc<AtomicUsize>,
    ) -> Result<Self> {
        parts.iter().try_for_each(check_blocks)?;
        let rows = WeightRows::new(parts, layout)?;
        let bias = rows.bias(biases)?;
        let panels = match (layout, format.of(parts)) {
            (Layout::Table, Dtype::F32 | Dtype::F16) => Panels::Table(rows.table(|x| x)?),
            (Layout::Table, Dtype::Bf16) => Panels::TableBf16(rows.table(to_bf16)?),
            (Layout::Table, dtype) => Panels::TableBlocks(dtype, rows.blocks(dtype)?),
            (_, Dtype::F32 | Dtype::F16) => Panels::F32(rows.pack(pool, Line)?),
            (_, Dtype::Bf16) => Panels::Bf16(rows.pack(pool, |x| Bf16Line(x.map(to_bf16)))?),
            (_, dtype) => Panels::Quant(QuantPanels::new(&rows, dtype, pool)?),
        };
        let bytes = panels.bytes() + bias.len() * size_of::<Line>();
        Ok(Self {
            layout,
            outputs: rows.outputs,
            inputs: rows.inputs,
            panels,
            bias,
            held: Held::new(total, bytes),
        })
    }

    /// Number of panels, gate and up counted separately.
    pub(super) fn panel_count(&self) -> usize {
        let panels = self.outputs.div_ceil(LANES);
        match self.layout {
            Layout::Gated => 2 * panels,
            Layout::Linear => panels,
            Layout::Table => 0,
        }
    }

    /// Copies entry `id` of a table, or says whether there is none.
    pub(super) fn entry(&self, id: usize, out: &mut [f32]) -> bool {
        let range = id * self.inputs..(id + 1) * self.inputs;
        match &self.panels {
            Panels::Table(rows) => rows
                .get(range)
                .map(|row| out.copy_from_slice(row))
                .is_some(),
            Panels::TableBf16(rows) => rows
                .get(range)
                .map(|row| {
                    for (o, x) in out.iter_mut().zip(row) {
                        *o = bf16_to_f32(*x);
                    }
                })
                .is_some(),
            Panels::TableBlocks(dtype, blocks) => {
                let width = dtype.row_bytes(self.inputs);
                blocks
                    .get(id * width..(id + 1) * width)
                    .map(|row| decode_row(*dtype, row, out))
                    .is_some()
            }
            Panels::F32(_) | Panels::Bf16(_) | Panels::Quant(_) => false,
        }
    }
}

impl Panels {
    /// Bytes of the numbers.
    fn bytes(&self) -> usize {
        match self {
            Self::F32(lines) => size_of_val(&lines[..]),
            Self::Bf16(lines) => size_of_val(&lines[..]),
            Self::Table(rows) => size_of_val(&rows[..]),
            Self::TableBf16(rows) => size_of_val(&rows[..]),
            Self::Quant(groups) => groups.bytes(),
            Self::TableBlocks(_, blocks) => blocks.len(),
        }
    }
}

/// The lines as plain numbers: the upper halves of floats.
pub(super) fn bf16s(lines: &[Bf16Line]) -> &[u16] {
    // SAFETY: a `Bf16Line` is exactly sixteen numbers without padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LANES) }
}

/// The lines as plain numbers, to be written.
pub(super) fn bf16s_mut(lines: &mut [Bf16Line]) -> &mut [u16] {
    // SAFETY: a `Bf16Line` is exactly sixteen numbers without padding.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
}

/// The nearest bfloat16, the even one of two; in a form that becomes vector instructions.
#[inline(always)]
pub(super) fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let quiet = bits >> 16 | 0x40;
    (if x.is_nan() { quiet } else { rounded }) as u16
}

/// A bfloat16 as a float.
#[inline(always)]
pub(super) fn bf16_to_f32(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// The rows of all parts, found by panel.
pub(super) struct WeightRows<'a, 'b> {
    parts: &'a [TensorView<'b>],
    layout: Layout,
    /// Outputs of the linear: of one part if it is gated.
    outputs: usize,
    /// Inputs of every row.
    pub(super) inputs: usize,
}

impl<'a, 'b> WeightRows<'a, 'b> {
    /// Refuses parts that cannot be stacked, or that are no gate and up.
    fn new(parts: &'a [TensorView<'b>], layout: Layout) -> Result<Self> {
        let Some(first) = parts.first() else {
            return Err(Error::shape("parts of a weight", "at least 1", 0));
        };
        for part in parts {
            same("inputs of a fused weight", first.cols(), part.cols())?;
        }
        let outputs = if layout == Layout::Gated {
            same("parts of a gated weight", 2, parts.len())?;
            same("outputs of gate and up", first.rows(), parts[1].rows())?;
            first.rows()
        } else {
            parts.iter().map(TensorView::rows).sum()
        };
        Ok(Self {
            parts,
            layout,
            outputs,
            inputs: first.cols(),
        })
    }

    /// Number of panels, gate and up counted separately.
    pub(super) fn panel_count(&self) -> usize {
        let panels = self.outputs.div_ceil(LANES);
        panels * if self.layout == Layout::Gated { 2 } else { 1 }
    }

    /// Lane `lane` of panel `panel` as a row of the parts put one after another; none in the padding.
    pub(super) fn source(&self, panel: usize, lane: usize) -> Option<usize> {
        if self.layout == Layout::Gated {
            let row = panel / 2 * LANES + lane;
            (row < self.outputs).then_some(panel % 2 * self.outputs + row)
        } else {
            let row = panel * LANES + lane;
            (row < self.outputs).then_some(row)
        }
    }

    /// The part that holds row `row` of all parts, and which of its rows that is.
    fn find(&self, mut row: usize) -> (&'a TensorView<'b>, usize) {
        for part in self.parts {
            if row < part.rows() {
                return (part, row);
            }
            row -= part.rows();
        }
        unreachable!("a row beyond all parts")
    }

    /// Row `row` of all parts, widened to f32.
    fn read(&self, row: usize, out: &mut [f32]) {
        let (part, row) = self.find(row);
        part.read_row(row, out);
    }

    /// A row as `dtype`, as it lies in its file or else made in `room`.
    pub(super) fn stored<'r>(&self, row: usize, dtype: Dtype, room: &'r mut Vec<u8>) -> &'r [u8]
    where
        'b: 'r,
    {
        let (part, row) = self.find(row);
        if part.dtype() == dtype {
            return part.row_bytes(row);
        }
        let mut numbers = vec![0.0; self.inputs];
        part.read_row(row, &mut numbers);
        room.clear();
        encode_row(dtype, &numbers, room);
        room
    }

    /// The biases as one line per panel, none if there are no biases.
    fn bias(&self, biases: &[TensorView<'_>]) -> Result<Vec<Line>> {
        if biases.is_empty() {
            return Ok(Vec::new());
        }
        let flat: Vec<f32> = biases.iter().flat_map(TensorView::to_f32).collect();
        let rows: usize = self.parts.iter().map(TensorView::rows).sum();
        same("bias of a linear", rows, flat.len())?;
        let line = |panel| {
            Line(std::array::from_fn(|lane| {
                self.source(panel, lane).map_or(0.0, |row| flat[row])
            }))
        };
        Ok((0..self.panel_count()).map(line).collect())
    }

    /// All rows one after another, each number converted.
    fn table<T>(&self, convert: impl Fn(f32) -> T) -> Result<Vec<T>> {
        let mut out = Vec::new();
        reserve(&mut out, self.outputs * self.inputs, "an embedding table")?;
        let mut row = vec![0.0; self.inputs];
        for r in 0..self.outputs {
            self.read(r, &mut row);
            out.extend(row.iter().map(|x| convert(*x)));
        }
        Ok(out)
    }

    /// All rows one after another, as quantized blocks.
    fn blocks(&self, dtype: Dtype) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let bytes = self.outputs * dtype.row_bytes(self.inputs);
        reserve(&mut out, bytes, "an embedding table")?;
        let mut room = Vec::new();
        for r in 0..self.outputs {
            out.extend(self.stored(r, dtype, &mut room));
        }
        Ok(out)
    }

    /// Packs panel by panel, each from sixteen rows read in order.
    fn pack<L: Send>(
        &self,
        pool: &ThreadPool,
        line: impl Fn([f32; LANES]) -> L + Sync,
    ) -> Result<Vec<L>> {
        let count = self.panel_count() * self.inputs;
        let mut out: Vec<L> = Vec::new();
        reserve(&mut out, count, "a weight")?;
        let shared = SharedSlice::new(&mut out.spare_capacity_mut()[..count]);
        // One line more than the row, so that sixteen rows do not share their cache sets.
        let stride = self.inputs + LANES;
        pool.for_each(self.panel_count(), |_, panel| {
            let mut rows = vec![0.0; LANES * stride];
            for lane in 0..LANES {
                if let Some(row) = self.source(panel, lane) {
                    self.read(row, &mut rows[lane * stride..][..self.inputs]);
                }
            }
            // SAFETY: each panel is packed by one task.
            let lines = unsafe { shared.part(panel * self.inputs..(panel + 1) * self.inputs) };
            for (k, slot) in lines.iter_mut().enumerate() {
                *slot = MaybeUninit::new(line(std::array::from_fn(|lane| rows[lane * stride + k])));
            }
        });
        // SAFETY: the tasks wrote every line of every panel.
        unsafe { out.set_len(count) };
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::{bf16_to_f32, to_bf16};

    #[test]
    fn to_bf16_rounds_to_the_nearest_and_the_even_one_of_two() {
        let middle = |bits: u32| f32::from_bits(bits << 16 | 0x8000);
        for bits in [0u32, 1, 0x3f80, 0x3f81, 0x7f7f, 0x8000, 0xbf81, 0xff7f] {
            for below in [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let x = f32::from_bits(bits << 16 | below);
                assert_eq!(to_bf16(x), half::bf16::from_f32(x).to_bits(), "{x:e}");
            }
            assert_eq!(to_bf16(middle(bits)) & 1, 0, "{bits:x}");
            assert_eq!(to_bf16(bf16_to_f32(bits as u16)), bits as u16);
        }
        assert!(bf16_to_f32(to_bf16(f32::NAN)).is_nan());
        assert_eq!(to_bf16(f32::INFINITY), 0x7f80);
    }
}
