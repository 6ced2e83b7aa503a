//! A matrix as it lies in a file: element type, shape and bytes.
//!
//! Checkpoints are mapped, not read, so a view borrows its bytes and nothing is widened until it is packed.

use crate::error::{Error, Result, same};
use crate::quant::decode_row;

/// How stored numbers are encoded (little endian).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit IEEE float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// The upper half of a 32-bit float (bfloat16).
    Bf16,
    /// Blocks of 8-bit codes, see [`quant`](crate::quant).
    Q8,
    /// Blocks of 4-bit codes, see [`quant`](crate::quant).
    Q4,
}

/// A row-major matrix `[rows, cols]` borrowed from a checkpoint; the bytes need no alignment.
///
/// ```
/// use foveate_kernels::{Dtype, TensorView};
///
/// let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
/// let view = TensorView::new(Dtype::F32, 2, 2, &bytes)?;
/// assert_eq!(view.head(1)?.to_f32(), [1.0, 2.0]);
/// assert!(TensorView::new(Dtype::F32, 3, 2, &bytes).is_err(), "eight bytes are missing");
/// # Ok::<(), foveate_kernels::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    dtype: Dtype,
    rows: usize,
    cols: usize,
    bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// Wraps `bytes` as `[rows, cols]`; fails if their number is not `rows` times [`Dtype::row_bytes`].
    pub fn new(dtype: Dtype, rows: usize, cols: usize, bytes: &'a [u8]) -> Result<Self> {
        let wanted = rows.checked_mul(dtype.row_bytes(cols)).ok_or_else(|| {
            Error::shape(
                "tensor",
                "a size that fits memory",
                format!("[{rows}, {cols}]"),
            )
        })?;
        same("bytes of a tensor", wanted, bytes.len())?;
        Ok(Self {
            dtype,
            rows,
            cols,
            bytes,
        })
    }

    /// How the elements are encoded.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Number of rows (outputs of a linear, entries of a table).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns (inputs of a linear, width of a table).
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The first `rows` rows only, as when a vocabulary is cut to the tokenizer; fails if there are fewer.
    pub fn head(&self, rows: usize) -> Result<Self> {
        if rows > self.rows {
            return Err(Error::shape(
                "rows of a tensor",
                format!("at least {rows}"),
                self.rows,
            ));
        }
        let bytes = &self.bytes[..rows * self.dtype.row_bytes(self.cols)];
        Ok(Self {
            rows,
            bytes,
            ..*self
        })
    }

    /// Row `row` widened to f32 into `out` (`cols` long).
    pub(crate) fn read_row(&self, row: usize, out: &mut [f32]) {
        widen(self.dtype, self.row_bytes(row), out);
    }

    /// Row `row` as it is stored.
    pub(crate) fn row_bytes(&self, row: usize) -> &'a [u8] {
        let width = self.dtype.row_bytes(self.cols);
        &self.bytes[row * width..(row + 1) * width]
    }

    /// All elements widened to f32, row after row.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * self.cols];
        for (row, out) in out.chunks_exact_mut(self.cols.max(1)).enumerate() {
            self.read_row(row, out);
        }
        out
    }
}

/// Widens a row, which is `out.len()` numbers long.
fn widen(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F32 => {
            for (o, b) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *o = f32::from_le_bytes(*b);
            }
        }
        Dtype::F16 => {
            for (o, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *o = half::f16::from_le_bytes(*b).to_f32();
            }
        }
        Dtype::Bf16 => {
            for (o, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *o = half::bf16::from_le_bytes(*b).to_f32();
            }
        }
        Dtype::Q8 | Dtype::Q4 => decode_row(dtype, bytes, out),
    }
}
