//! The arithmetic of Foveate behind one [`Backend`] trait.
//!
//! A backend computes what a bidirectional transformer needs: linears with their activations, norms, attention over
//! any mask that is a list of spans, sums and moves of rows, and the ranking of candidate tokens. It knows nothing of
//! models, pictures, requests or strategies; `foveate-core` builds those on it.
//!
//! Three rules hold for every implementation and are tested:
//!
//! 1. **A row's result has the same bits** whatever other rows are in the call, at any number of rows,
//!    tile size or thread count. Batch ≡ single and any-thread-count determinism follow from it.
//! 2. **A probe never changes the output bits** of the attention it watches.
//! 3. **Only [`Backend::weight`], [`Backend::buf`], [`Backend::resize`], [`Backend::kv_rows`], [`Backend::gather_kv`]
//!    and [`Backend::plan`] allocate** what outlives a call; [`Backend::memory`] of [`Cpu`] counts it all.
//!
//! [`Reference`] is written as plain loops and is the oracle; [`Cpu`] is the fast one; [`Timed`] wraps either and keeps
//! accounts of time, arithmetic and bytes.
//!
//! Also here, since backends and engine must agree on them: what quantized weights mean ([`quant`]), stored matrices
//! ([`TensorView`]), and noise that is a function of its coordinates ([`Noise`]).

mod backend;
mod cpu;
mod draw;
mod error;
mod memory;
mod noise;
pub mod quant;
mod reference;
mod rounding;
mod rows;
mod tensor;
mod timed;

pub use backend::{
    Act, Ask, Backend, Guess, Heads, Hidden, Into, KernelName, Layout, Memory, Norm, NormKind,
    Pick, Plan, Qkv, Rank, Rotation, RowMap, Span, Sum,
};
pub use cpu::cycles::{CycleCounter, CycleUnit};
pub use cpu::{Cpu, Isa};
pub use draw::draw_row;
pub use error::{Error, Result};
pub use noise::{Noise, uniform};
pub use quant::Format;
pub use reference::{Reference, erf};
pub use tensor::{Dtype, TensorView};
pub use timed::{Ledger, Spent, Timed, Work};
