//! A matrix as it lies in a file: element type, shape and bytes.

use crate::error::{Error, Result, same};

/// How a stored element is encoded (little endian).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit IEEE float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// The upper half of a 32-bit float.
    Bf16,
}

impl Dtype {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// A row-major matrix `[rows, cols]` borrowed from a checkpoint; the bytes need no alignment.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    dtype: Dtype,
    rows: usize,
    cols: usize,
    bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// Wraps `bytes` as `[rows, cols]`; fails if the length does not match.
    pub fn new(dtype: Dtype, rows: usize, cols: usize, bytes: &'a [u8]) -> Result<Self> {
        let wanted = rows
            .checked_mul(cols)
            .and_then(|n| n.checked_mul(dtype.bytes()))
            .ok_or_else(|| {
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

    /// The first `rows` rows only, as when a vocabulary is cut to the tokenizer.
    pub fn head(&self, rows: usize) -> Result<Self> {
        if rows > self.rows {
            return Err(Error::shape(
                "rows of a tensor",
                format!("at least {rows}"),
                self.rows,
            ));
        }
        let bytes = &self.bytes[..rows * self.cols * self.dtype.bytes()];
        Ok(Self {
            rows,
            bytes,
            ..*self
        })
    }

    /// Row `row` widened to f32 into `out` (`cols` long).
    pub fn read_row(&self, row: usize, out: &mut [f32]) {
        let width = self.cols * self.dtype.bytes();
        let bytes = &self.bytes[row * width..(row + 1) * width];
        widen(self.dtype, bytes, out);
    }

    /// All elements widened to f32.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * self.cols];
        widen(self.dtype, self.bytes, &mut out);
        out
    }
}

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
    }
}
