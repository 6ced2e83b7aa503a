//! A stored tensor as it lies in the file, and its rows widened to `f32`.

use std::ops::Range;
use std::path::Path;

use foveate_kernels::{Dtype, TensorView};

/// The element types that Foveate reads.
pub(super) fn dtype(stored: safetensors::Dtype) -> Option<Dtype> {
    match stored {
        safetensors::Dtype::F32 => Some(Dtype::F32),
        safetensors::Dtype::F16 => Some(Dtype::F16),
        safetensors::Dtype::BF16 => Some(Dtype::Bf16),
        _ => None,
    }
}

/// A tensor that still lies in its file.
#[derive(Clone, Debug)]
pub struct TensorRef<'a> {
    /// Full name in the checkpoint.
    pub name: &'a str,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Type of the stored numbers.
    pub dtype: Dtype,
    /// Little-endian numbers, row after row; not necessarily aligned.
    pub bytes: &'a [u8],
    /// The file that holds it.
    pub file: &'a Path,
}

impl<'a> TensorRef<'a> {
    /// Number of rows: the outermost size, 1 for a scalar.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Numbers in one row.
    pub fn row_len(&self) -> usize {
        // Only a tensor without elements can have a product that overflows.
        self.shape
            .iter()
            .skip(1)
            .fold(1, |product, size| product.saturating_mul(*size))
    }

    /// The stored bytes of some rows; empty for rows outside the tensor.
    pub fn row_bytes(&self, rows: Range<usize>) -> &'a [u8] {
        let width = self.dtype.row_bytes(self.row_len());
        let (start, end) = (
            rows.start.saturating_mul(width),
            rows.end.saturating_mul(width),
        );
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// All numbers, widened exactly.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut wide = Vec::new();
        self.widen_rows(0..self.rows(), &mut wide);
        wide
    }

    /// Appends some rows, widened exactly, so that a large tensor need not be copied at once.
    pub fn widen_rows(&self, rows: Range<usize>, into: &mut Vec<f32>) {
        let bytes = self.row_bytes(rows);
        let rows = bytes.len() / self.dtype.row_bytes(self.row_len()).max(1);
        let view = TensorView::new(self.dtype, rows, self.row_len(), bytes);
        into.extend(view.iter().flat_map(TensorView::to_f32));
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    #[test]
    fn every_type_widens_exactly_and_by_rows() {
        let values = [1.5_f32, -0.25, 0.0, 3.0, -2.0, 65280.0];
        for (dtype, bytes) in [
            (
                Dtype::F32,
                values
                    .iter()
                    .flat_map(|v| v.to_le_bytes())
                    .collect::<Vec<u8>>(),
            ),
            (
                Dtype::F16,
                values
                    .iter()
                    .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                    .collect(),
            ),
            (
                Dtype::Bf16,
                values
                    .iter()
                    .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                    .collect(),
            ),
        ] {
            let file = Path::new("model.safetensors");
            let tensor = TensorRef {
                name: "x",
                shape: vec![3, 2],
                dtype,
                bytes: &bytes,
                file,
            };
            assert_eq!(tensor.to_f32(), values, "{dtype:?}");
            let mut rows = Vec::new();
            tensor.widen_rows(1..3, &mut rows);
            assert_eq!(rows, values[2..], "{dtype:?}");
            assert!(
                tensor.row_bytes(2..4).is_empty() && tensor.row_bytes(0..usize::MAX).is_empty()
            );
        }
    }
}
