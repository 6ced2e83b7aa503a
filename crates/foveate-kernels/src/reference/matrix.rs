//! What a weight means: row-major f32, whatever it was stored as.
//!
//! A weight that is quantized while it is packed goes through the bytes of its format and back, so that the oracle
//! computes with the very numbers that other backends have.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::math::dot;
use crate::backend::Layout;
use crate::error::{Result, same};
use crate::memory::Held;
use crate::quant::{Format, check_blocks, encode_row};
use crate::rounding::round_row;
use crate::tensor::{Dtype, TensorView};

/// Row-major f32 with the bias beside it.
#[derive(Debug)]
pub struct Matrix {
    /// What it is used for.
    pub(super) layout: Layout,
    /// Rows of all parts.
    pub(super) outputs: usize,
    /// Columns.
    pub(super) inputs: usize,
    data: Vec<f32>,
    bias: Vec<f32>,
    /// Inputs are rounded as beside q4.
    rounds: bool,
    #[expect(dead_code, reason = "counts the bytes until it is dropped")]
    held: Held,
}

impl Matrix {
    /// Decodes the parts one below the other; refuses those that do not fit.
    pub(super) fn new(
        parts: &[TensorView<'_>],
        biases: &[TensorView<'_>],
        layout: Layout,
        format: Format,
        total: &Arc<AtomicUsize>,
    ) -> Result<Self> {
        let inputs = parts.first().map_or(0, TensorView::cols);
        let dtype = format.of(parts);
        let mut data = Vec::new();
        for part in parts {
            same("inputs of a fused weight", inputs, part.cols())?;
            check_blocks(part)?;
            if dtype == Dtype::F32 || dtype == part.dtype() {
                data.extend(part.to_f32());
                continue;
            }
            let mut row = vec![0.0; inputs];
            for r in 0..part.rows() {
                part.read_row(r, &mut row);
                let mut stored = Vec::new();
                encode_row(dtype, &row, &mut stored);
                data.extend(TensorView::new(dtype, 1, inputs, &stored)?.to_f32());
            }
        }
        let bias: Vec<f32> = biases.iter().flat_map(TensorView::to_f32).collect();
        let outputs = data.len().checked_div(inputs).unwrap_or(0);
        if !bias.is_empty() {
            same("bias of a linear", outputs, bias.len())?;
        }
        if layout == Layout::Gated {
            same("parts of a gated weight", 2, parts.len())?;
            same("outputs of gate and up", parts[0].rows(), parts[1].rows())?;
        }
        let held = Held::new(total, (data.len() + bias.len()) * size_of::<f32>());
        Ok(Self {
            layout,
            outputs,
            inputs,
            data,
            bias,
            rounds: dtype == Dtype::Q4,
            held,
        })
    }

    /// Row `r` of all parts.
    pub(super) fn row(&self, r: usize) -> &[f32] {
        &self.data[r * self.inputs..(r + 1) * self.inputs]
    }

    /// An input row as it is multiplied.
    pub(super) fn input(&self, x: &[f32]) -> Vec<f32> {
        let mut x = x.to_vec();
        if self.rounds {
            round_row(&mut x);
        }
        x
    }

    /// The inner product of row `r` and `x`, with the bias, rounded once.
    pub(super) fn dot(&self, r: usize, x: &[f32]) -> f32 {
        let sum = dot(self.row(r), x) + f64::from(self.bias.get(r).copied().unwrap_or(0.0));
        sum as f32
    }
}
