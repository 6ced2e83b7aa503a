//! The few operations that a device implements, and the plain data they take.
//!
//! The trait is what the engine knows of a device: it holds no model, no request and no strategy, and everything it is
//! told is numbers and indices. A new device implements it and passes this crate's tests against
//! [`Reference`](crate::Reference).

mod plan;
mod rank;
mod row_map;

use std::ops::Range;

pub use plan::{Ask, Hidden, Plan, Rotation, Span, Sum};
pub use rank::{Guess, Pick, Rank};
pub use row_map::RowMap;

use crate::error::Result;
use crate::quant::Format;
use crate::tensor::{Dtype, TensorView};

/// One device's arithmetic. Rows of activations are f32; weights are whatever [`Backend::weight`] made.
///
/// Shapes are written `[rows, width]`. Every operation resizes its output to the rows it writes,
/// except those with an `at`, which write into rows that exist. Rows are named by `u32` indices, since indices travel
/// to devices; counts are `usize`.
///
/// What does not fit is refused with [`Error::Shape`](crate::Error::Shape), and memory that is not there with
/// [`Error::Memory`](crate::Error::Memory); after an error the outputs hold unspecified numbers, and the backend can be
/// used on. A number that is no number is computed with as IEEE says: the engine looks for it where tokens are ranked.
///
/// An operation generic over the backend, here the end of a residual branch:
///
/// ```
/// use foveate_kernels::{Act, Backend, Dtype, Format, Into, Layout, Reference, Result, TensorView};
///
/// /// Adds `x · wᵀ` to the stream.
/// fn project<B: Backend>(b: &mut B, x: &B::Buf, w: &B::Weight, stream: &mut B::Buf) -> Result<()> {
///     b.linear(x, w, Act::None, Into::Add, stream)
/// }
///
/// # fn main() -> Result<()> {
/// let mut b = Reference::default();
/// let bytes: Vec<u8> = [2.0_f32, 0.0, 0.0, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
/// let part = TensorView::new(Dtype::F32, 2, 2, &bytes)?;
/// let w = b.weight(&[part], &[], Layout::Linear, Format::Auto)?;
/// let (mut x, mut stream) = (b.buf(1, 2)?, b.buf(1, 2)?);
/// b.write(&[1.0, 2.0], &mut x, 0)?;
/// b.write(&[10.0, 10.0], &mut stream, 0)?;
/// project(&mut b, &x, &w, &mut stream)?;
/// let mut row = Vec::new();
/// b.read(&stream, 0..1, &mut row)?;
/// assert_eq!(row, [12.0, 14.0]);
/// # Ok(())
/// # }
/// ```
pub trait Backend: Send + 'static {
    /// Activations `[rows, width]`, with room for more rows than are in use.
    type Buf: Send + Sync + 'static;
    /// Keys and values of some rows, stored from step to step, in the device's own layout. A cache has one of them
    /// for each layer and request.
    type KvRows: Send + Sync + 'static;
    /// A linear's or table's parameters in the device's own layout and format.
    type Weight: Send;
    /// The tables of one step (spans, rotations, asks), made once by [`Backend::plan`] and used by every layer.
    type Plan: Send;

    /// `reference`, `cpu`, …: what the command line and reports call it.
    fn name(&self) -> &'static str;
    /// Which kernel serves each operation on this machine, in the order of the trait.
    fn kernels(&self) -> Vec<KernelName>;

    /// Packs `parts` (each `[outputs, inputs]`) and the optional biases, one per part. A linear then
    /// computes with the numbers that `format` leaves of them.
    ///
    /// Called once for every weight of a model, while it is loaded; the bytes of `parts` may go afterwards. Refuses
    /// parts of different widths, biases of another length, and quantized blocks that are damaged.
    fn weight(
        &self,
        parts: &[TensorView<'_>],
        biases: &[TensorView<'_>],
        layout: Layout,
        format: Format,
    ) -> Result<Self::Weight>;
    /// A buffer of `rows` rows of `width` zeros. The engine makes its buffers once and resizes them.
    fn buf(&self, rows: usize, width: usize) -> Result<Self::Buf>;
    /// Keys and values of `rows` rows, zeros at first, stored as `dtype`: [`Dtype::F32`] or [`Dtype::Bf16`]
    /// (rounded to the nearest, ties to even). Other formats are refused.
    fn kv_rows(&self, rows: usize, heads: &Heads, dtype: Dtype) -> Result<Self::KvRows>;
    /// Changes the rows in use; grows the memory only when they never fitted before. Rows that stay in use keep their
    /// numbers, and new ones are zero.
    fn resize(&self, buf: &mut Self::Buf, rows: usize) -> Result<()>;
    /// Empties a buffer and gives its rows another width; the memory stays.
    fn reshape(&self, buf: &mut Self::Buf, width: usize);
    /// Prepares the tables of a step for all its layers. Refuses spans that share queries, hidden keys and asks that
    /// are outside of their span, and rows without a position.
    fn plan(&mut self, plan: &Plan) -> Result<Self::Plan>;

    /// Copies host rows, one after another, into `out` from row `at` on.
    fn write(&mut self, rows: &[f32], out: &mut Self::Buf, at: usize) -> Result<()>;
    /// Copies rows `rows` of `x` to the end of `out`. With [`Backend::rank`] and [`Backend::least_alike`] the only way
    /// for numbers to come back from a device, so the only calls that wait for it.
    fn read(&mut self, x: &Self::Buf, rows: Range<usize>, out: &mut Vec<f32>) -> Result<()>;

    /// Looks up `ids` in a [`Layout::Table`] and writes the rows from `at` on.
    fn embed(
        &mut self,
        table: &Self::Weight,
        ids: &[u32],
        out: &mut Self::Buf,
        at: usize,
    ) -> Result<()>;
    /// Writes weighted sums of rows of `x` into `out` from row `at` on: gather, splice, pool, prune, merge, guide.
    /// Sums are added up in the order of the map.
    fn combine(
        &mut self,
        x: &Self::Buf,
        map: &RowMap,
        out: &mut Self::Buf,
        at: usize,
    ) -> Result<()>;
    /// Puts row `from[i]` of `x` into row `to[i]` of `out`, or adds it there; the other rows of `out` stay. Rows that
    /// meet in one slot come in the order of `i`.
    fn scatter(
        &mut self,
        x: &Self::Buf,
        from: &[u32],
        to: &[u32],
        into: Into,
        out: &mut Self::Buf,
    ) -> Result<()>;
    /// Stores row `from[i]` of `kv` `[rows, 2 · kv_heads · dim]` (keys, then values; keys not yet rotated) as
    /// row `to[i]`; the other stored rows stay.
    fn write_kv(
        &mut self,
        kv: &Self::Buf,
        from: &[u32],
        to: &[u32],
        stored: &mut Self::KvRows,
    ) -> Result<()>;
    /// A copy of these rows of `stored`, in this order, bit for bit: what is left of a store after pruning, or a fork's
    /// own store.
    fn gather_kv(&mut self, stored: &Self::KvRows, rows: &[u32]) -> Result<Self::KvRows>;
    /// The `count` rows of `kv` among `rows` whose values are least like those of their counterparts, row
    /// `to[i]` of `stored` for the `i`th, ascending: lowest cosine similarity, accumulated in f64; the lower
    /// row among equals.
    fn least_alike(
        &mut self,
        kv: &Self::Buf,
        rows: Range<usize>,
        stored: &Self::KvRows,
        to: &[u32],
        count: usize,
    ) -> Result<Vec<u32>>;
    /// Normalises all rows of `x`, or the listed ones in that order: `[rows, width] → [rows or listed, width]`.
    fn norm(
        &mut self,
        x: &Self::Buf,
        rows: Option<&[u32]>,
        norm: &Norm<'_, Self::Buf>,
        out: &mut Self::Buf,
    ) -> Result<()>;
    /// `act(x · wᵀ + bias)`, stored or added to `out`; `[rows, inputs] → [rows, outputs]`.
    ///
    /// With [`Into::Add`] row `r` of the result goes to row `r` of `out`, which must have these rows.
    fn linear(
        &mut self,
        x: &Self::Buf,
        w: &Self::Weight,
        act: Act,
        into: Into,
        out: &mut Self::Buf,
    ) -> Result<()>;
    /// Attention of queries over fresh keys and values, or over stored ones. Softmax runs over each span's
    /// whole key range.
    ///
    /// Queries `[rows, heads · dim]` that are in no span give zeros. Query and key are rotated by the plan's positions
    /// first, and scores are scaled by `1/√dim`. With a probe, adds the head-averaged attention mass that the plan asks
    /// for to it: a `[1, n]` buffer with each [`Ask`]'s block in order. A probe never changes the output.
    fn attend(
        &mut self,
        qkv: &Qkv<'_, Self::Buf, Self::KvRows>,
        heads: &Heads,
        plan: &Self::Plan,
        probe: Option<&mut Self::Buf>,
        out: &mut Self::Buf,
    ) -> Result<()>;
    /// Head, forbidden ids, noise, argmax and confidence in one; the logits are never stored whole. Appends one
    /// [`Guess`] per row of `x`.
    fn rank(
        &mut self,
        x: &Self::Buf,
        head: &Self::Weight,
        rank: &Rank<'_>,
        out: &mut Vec<Guess>,
    ) -> Result<()>;

    /// Bytes held now, by all that this backend has made and that still lives.
    fn memory(&self) -> Memory;
}

/// The kernel behind one operation, for reports (`inspect`, `bench`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelName {
    /// The [`Backend`] method.
    pub operation: &'static str,
    /// The implementation chosen on this machine, for example `avx2+fma 6x16, f32 panels`.
    pub kernel: String,
}

/// What a weight is used for, which decides how it lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Parts stacked along the outputs, for [`Backend::linear`] and [`Backend::rank`]: `[q; k; v]`.
    Linear,
    /// Two parts, gate and up, for [`Act::SwiGlu`]; the linear has as many outputs as one part.
    Gated,
    /// Rows to be looked up by id, for [`Backend::embed`]; a table cannot multiply.
    Table,
}

/// What [`Backend::linear`] applies to each output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    None,
    /// `silu(gate) · up`; needs [`Layout::Gated`].
    SwiGlu,
    /// Gaussian error linear unit, tanh form (`SigLIP`).
    GeluTanh,
    /// Gaussian error linear unit, erf form (projector).
    GeluErf,
}

/// What happens to the numbers that an output holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// Replaces the output.
    Store,
    /// Is added to it (residual stream). The output must have the rows already.
    Add,
}

/// A normalisation and its parameters, each `[1, width]`.
#[derive(Debug)]
pub struct Norm<'a, Buf> {
    /// Which formula.
    pub kind: NormKind,
    /// Multiplied after normalising.
    pub scale: &'a Buf,
    /// Added last ([`NormKind::Layer`] only).
    pub shift: Option<&'a Buf>,
    /// Added to the variance.
    pub eps: f32,
}

/// The two normalisations in use: root mean square in decoders, layer norm in vision towers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `x / sqrt(mean(x²) + eps)`.
    Rms,
    /// `(x - mean) / sqrt(var + eps)`.
    Layer,
}

/// The rows of an attention: queries, and keys and values that were just computed or stored.
#[derive(Debug)]
pub struct Qkv<'a, Buf, KvRows> {
    /// Queries, `[query rows, heads · dim]`, not yet rotated.
    pub q: &'a Buf,
    /// Keys and values, `[key rows, 2 · kv_heads · dim]` (keys, then values; keys not yet rotated).
    pub kv: &'a Buf,
    /// More keys and values. A plan counts keys through the rows of `kv`, then through these; those of a span
    /// are all in one of them.
    pub stored: &'a [&'a KvRows],
}

impl<'a, Buf, KvRows> Qkv<'a, Buf, KvRows> {
    /// No stored keys and values, only fresh ones.
    pub fn fresh(q: &'a Buf, kv: &'a Buf) -> Self {
        let stored = &[];
        Self { q, kv, stored }
    }
}

/// The geometry of an attention. With fewer key heads than query heads it is a grouped one (Ainslie et al., 2023).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub count: usize,
    /// Key and value heads; query head `h` reads `h / (count / kv_count)`.
    pub kv_count: usize,
    /// Width of one head.
    pub dim: usize,
}

impl Heads {
    /// Numbers of a row of keys and values: `2 · kv_count · dim`.
    pub fn kv_width(&self) -> usize {
        2 * self.kv_count * self.dim
    }
}

/// Bytes held by a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Packed weights, biases included.
    pub weights: usize,
    /// Buffers at their capacity, stored keys and values, tables of plans, and scratch memory.
    pub buffers: usize,
}
