//! The epilogue of a linear: bias, activation and residual, applied to sums before they leave the cache.

use super::exp::{gate, gelu_erf, gelu_tanh};
use super::gemm::OutputBlock;
use super::isa::{Kernel, Simd};
use super::lines::{LANES, Line};
use super::shared_slice::SharedSlice;
use crate::backend::{Act, Into};

/// The kernel that turns one block of sums into outputs.
pub(super) struct Epilogue<'a> {
    /// `x · wᵀ`, gate and up in neighbouring panels.
    pub(super) block: OutputBlock<'a>,
    /// One line per panel, or none.
    pub(super) bias: &'a [Line],
    /// Applied after the bias.
    pub(super) act: Act,
    /// Whether outputs replace what is in `out` or are added to it.
    pub(super) into: Into,
    /// `[rows, outputs]`
    pub(super) out: &'a SharedSlice<'a, f32>,
    /// Width of an output row.
    pub(super) outputs: usize,
}

impl Kernel for Epilogue<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.block.rows.len();
        // Gate and up are neighbours and make one output.
        let step = if self.act == Act::SwiGlu { 2 } else { 1 };
        let first_column = self.block.panels.start / step * LANES;
        let width = (self.block.panels.len() / step * LANES).min(self.outputs - first_column);
        for (i, row) in self.block.rows.clone().enumerate() {
            let at = row * self.outputs + first_column;
            // SAFETY: every block of rows and group of panels is finished once.
            let out = unsafe { self.out.part(at..at + width) };
            for (o, slot) in out.chunks_mut(LANES).enumerate() {
                let value = |panel: usize| {
                    let sum = s.load(&self.block.sums[panel * rows + i]);
                    match self.bias.get(self.block.panels.start + panel) {
                        Some(bias) => s.add(sum, s.load(bias)),
                        None => sum,
                    }
                };
                let x = value(o * step);
                let x = match self.act {
                    Act::None => x,
                    Act::SwiGlu => s.mul(gate(s, x, x), value(o * step + 1)),
                    Act::GeluTanh => gelu_tanh(s, x),
                    Act::GeluErf => gelu_erf(s, x),
                };
                put(s, x, slot, self.into);
            }
        }
    }
}

/// Stores the first lanes of `x`, or adds them to what is there.
#[inline(always)]
fn put<S: Simd>(s: S, x: S::V, slot: &mut [f32], into: Into) {
    if let Ok(slot) = <&mut [f32; LANES]>::try_from(&mut *slot) {
        let x = match into {
            Into::Store => x,
            Into::Add => s.add(s.load(slot), x),
        };
        s.store(x, slot);
    } else {
        for (slot, x) in slot.iter_mut().zip(s.array(x)) {
            *slot = match into {
                Into::Store => x,
                Into::Add => *slot + x,
            };
        }
    }
}
