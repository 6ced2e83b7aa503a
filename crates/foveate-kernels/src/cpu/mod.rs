//! The fast CPU implementation: packed weights, kernels chosen at run time, every core in use.
//!
//! A call goes through three layers. [`Cpu`] checks shapes and finds its operands; operations ([`gemm`], [`attend`],
//! [`rank`], [`row_ops`], [`kv`]) cut their work into tasks for the [`thread_pool`]; kernels are written once against
//! [`isa::Simd`] and compiled for every instruction set. Sums are ordered by the data alone, never by threads or by the
//! number of rows, which is how a row's result can have the same bits in any company.

#![expect(
    clippy::inline_always,
    reason = "code becomes part of a function with the features it needs only by inlining"
)]

mod attend;
mod attention_mass;
mod attention_plan;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod context;
pub(crate) mod cycles;
mod epilogue;
mod exp;
mod gemm;
mod inputs;
mod integer;
mod isa;
mod kv;
mod lines;
mod micro;
mod packed_kv;
mod panels;
mod portable;
mod quant_panels;
mod rank;
mod rope;
mod row_ops;
mod shared_slice;
mod slices;
mod softmax;
mod stream;
mod thread_pool;
mod transpose;
mod workers;
mod zeroed;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use attention_plan::AttentionPlan;
pub use isa::Isa;
use kv::KvRows;
use panels::PackedWeight;

use crate::backend::{
    Act, Backend, Guess, Heads, Into, KernelName, Layout, Memory, Norm, Plan, Qkv, Rank, RowMap,
};
use crate::error::{Result, same};
use crate::quant::Format;
use crate::rows::Rows;
use crate::tensor::{Dtype, TensorView};
use context::Context;
use epilogue::Epilogue;
use gemm::Product;
use isa::DetectedIsa;
use rank::PartialSoftmax;
use rope::RopeCache;
use shared_slice::SharedSlice;

/// Vector kernels on all cores. Weights of a bfloat16 checkpoint stay bfloat16; activations and
/// arithmetic are f32, except that a quantized weight is multiplied in integers.
///
/// It owns its threads, which sleep between calls and end with it. Bits depend on whether the instruction set has
/// fused multiply-add ([`Isa::Portable`] has not) and on nothing else: not on threads, nor on other rows in a call.
///
/// ```
/// use foveate_kernels::{Act, Backend, Cpu, Dtype, Format, Into, Layout, TensorView};
///
/// # fn main() -> foveate_kernels::Result<()> {
/// let mut cpu = Cpu::new(None)?;
/// // A weight of two outputs and three inputs, as it lies in a file.
/// let numbers = [1.0_f32, 0.0, -1.0, 0.5, 0.5, 0.5];
/// let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
/// let part = TensorView::new(Dtype::F32, 2, 3, &bytes)?;
/// let weight = cpu.weight(&[part], &[], Layout::Linear, Format::Auto)?;
/// // One row of three inputs.
/// let mut x = cpu.buf(1, 3)?;
/// cpu.write(&[3.0, 2.0, 1.0], &mut x, 0)?;
/// let mut out = cpu.buf(0, 2)?;
/// cpu.linear(&x, &weight, Act::None, Into::Store, &mut out)?;
/// let mut row = Vec::new();
/// cpu.read(&out, 0..1, &mut row)?;
/// assert_eq!(row, [2.0, 3.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Cpu {
    context: Context,
    /// Memory of [`Backend::rank`], reused from call to call.
    partials: Vec<PartialSoftmax>,
    /// Cosines and sines of all positions so far.
    rope: RopeCache,
    /// Bytes of packed weights that live.
    weights: Arc<AtomicUsize>,
    /// Bytes of buffers, stores and plans that live.
    buffers: Arc<AtomicUsize>,
}

impl Cpu {
    /// The best kernels of this machine, on `threads` threads or as many as it runs at once.
    ///
    /// Fails with [`Error::Threads`](crate::Error::Threads) where the operating system refuses to start them.
    pub fn new(threads: Option<NonZeroUsize>) -> Result<Self> {
        Self::with_detected(DetectedIsa::best(), threads)
    }

    /// The kernels that run on any machine.
    pub fn portable(threads: Option<NonZeroUsize>) -> Result<Self> {
        Self::with_isa(Isa::Portable, threads)
    }

    /// The kernels of one instruction set; an error where the machine lacks it.
    pub fn with_isa(isa: Isa, threads: Option<NonZeroUsize>) -> Result<Self> {
        Self::with_detected(DetectedIsa::exactly(isa)?, threads)
    }

    fn with_detected(isa: DetectedIsa, threads: Option<NonZeroUsize>) -> Result<Self> {
        let threads = threads
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN);
        Ok(Self {
            context: Context::new(isa, threads)?,
            partials: Vec::new(),
            rope: RopeCache::default(),
            weights: Arc::default(),
            buffers: Arc::default(),
        })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.context.isa.isa()
    }

    /// Number of threads that work at once, the calling one included.
    pub fn threads(&self) -> usize {
        self.context.pool.threads()
    }
}

impl Backend for Cpu {
    type Buf = Rows;
    type KvRows = KvRows;
    type Weight = PackedWeight;
    type Plan = AttentionPlan;

    fn name(&self) -> &'static str {
        match self.isa() {
            Isa::Portable => "portable",
            _ => "cpu",
        }
    }

    fn kernels(&self) -> Vec<KernelName> {
        let tile = self.context.isa.tile_name();
        let threads = self.threads();
        [
            ("embed", "row copies".to_owned()),
            ("combine", format!("row sums, {threads} threads")),
            ("scatter", format!("row copies, {threads} threads")),
            (
                "write_kv",
                format!("f32 or bf16, keys in tiles of {tile}, {threads} threads"),
            ),
            ("gather_kv", format!("copies, {threads} threads")),
            ("least_alike", "plain loops, f64".to_owned()),
            ("norm", format!("{tile} lanes, {threads} threads")),
            (
                "linear",
                format!("{tile}, packed f32 or bf16 panels, {threads} threads"),
            ),
            (
                "linear q8, q4",
                format!(
                    "{tile}, exact dot products of 16 and 8 bits in groups of 32 and 128, {threads} threads"
                ),
            ),
            (
                "attend",
                format!("{tile}, blocks of queries, exact softmax, {threads} threads"),
            ),
            (
                "rank",
                format!("{tile}, logits in chunks, {threads} threads"),
            ),
        ]
        .map(|(operation, kernel)| KernelName { operation, kernel })
        .to_vec()
    }

    fn weight(
        &self,
        parts: &[TensorView<'_>],
        biases: &[TensorView<'_>],
        layout: Layout,
        format: Format,
    ) -> Result<PackedWeight> {
        let pool = &self.context.pool;
        PackedWeight::new(parts, biases, layout, format, pool, &self.weights)
    }

    fn buf(&self, rows: usize, width: usize) -> Result<Rows> {
        Rows::new(rows, width, &self.buffers)
    }

    fn kv_rows(&self, rows: usize, heads: &Heads, dtype: Dtype) -> Result<KvRows> {
        let (tile_rows, _) = self.context.isa.tile();
        KvRows::new(rows, heads, dtype, tile_rows, &self.buffers)
    }

    fn resize(&self, buf: &mut Rows, rows: usize) -> Result<()> {
        buf.resize(rows)
    }

    fn reshape(&self, buf: &mut Rows, width: usize) {
        buf.reshape(width);
    }

    fn plan(&mut self, plan: &Plan) -> Result<AttentionPlan> {
        AttentionPlan::new(plan, &mut self.rope, &self.buffers)
    }

    fn write(&mut self, rows: &[f32], out: &mut Rows, at: usize) -> Result<()> {
        out.write(rows, at)
    }

    fn read(&mut self, x: &Rows, rows: Range<usize>, out: &mut Vec<f32>) -> Result<()> {
        x.read(rows, out)
    }

    fn embed(
        &mut self,
        table: &PackedWeight,
        ids: &[u32],
        out: &mut Rows,
        at: usize,
    ) -> Result<()> {
        row_ops::embed(table, ids, out, at)
    }

    fn combine(&mut self, x: &Rows, map: &RowMap, out: &mut Rows, at: usize) -> Result<()> {
        row_ops::combine(&self.context.pool, x, map, out, at)
    }

    fn scatter(
        &mut self,
        x: &Rows,
        from: &[u32],
        to: &[u32],
        into: Into,
        out: &mut Rows,
    ) -> Result<()> {
        row_ops::scatter(&self.context.pool, x, from, to, into, out)
    }

    fn write_kv(&mut self, kv: &Rows, from: &[u32], to: &[u32], stored: &mut KvRows) -> Result<()> {
        kv::write_kv(&self.context.pool, kv, from, to, stored)
    }

    fn gather_kv(&mut self, stored: &KvRows, rows: &[u32]) -> Result<KvRows> {
        kv::gather_kv(&self.context.pool, stored, rows)
    }

    fn least_alike(
        &mut self,
        kv: &Rows,
        rows: Range<usize>,
        stored: &KvRows,
        to: &[u32],
        count: usize,
    ) -> Result<Vec<u32>> {
        kv::least_alike_values(kv, rows, stored, to, count)
    }

    fn norm(
        &mut self,
        x: &Rows,
        rows: Option<&[u32]>,
        norm: &Norm<'_, Rows>,
        out: &mut Rows,
    ) -> Result<()> {
        row_ops::norm(self.context.isa, &self.context.pool, x, rows, norm, out)
    }

    fn linear(
        &mut self,
        x: &Rows,
        w: &PackedWeight,
        act: Act,
        into: Into,
        out: &mut Rows,
    ) -> Result<()> {
        same("inputs of a linear", w.inputs, x.width)?;
        same(
            "gated weight and SwiGLU go together",
            usize::from(w.layout == Layout::Gated),
            usize::from(act == Act::SwiGlu),
        )?;
        same(
            "a linear's weight is no table",
            0,
            usize::from(w.layout == Layout::Table),
        )?;
        same("outputs of a linear", w.outputs, out.width)?;
        match into {
            Into::Store => out.resize(x.rows)?,
            Into::Add => same("rows of a residual add", x.rows, out.rows)?,
        }
        let product = Product {
            x: &x.data,
            rows: x.rows,
            inputs: w.inputs,
            panels: &w.panels,
            panel_count: w.panel_count(),
            block_panels: None,
        };
        let shared = SharedSlice::new(&mut out.data);
        let isa = self.context.isa;
        product.compute(&mut self.context, &|block| {
            isa.run(Epilogue {
                block,
                bias: &w.bias,
                act,
                into,
                out: &shared,
                outputs: w.outputs,
            });
        })
    }

    fn attend(
        &mut self,
        qkv: &Qkv<'_, Rows, KvRows>,
        heads: &Heads,
        plan: &AttentionPlan,
        probe: Option<&mut Rows>,
        out: &mut Rows,
    ) -> Result<()> {
        attend::attend(&mut self.context, qkv, heads, plan, probe, out)
    }

    fn rank(
        &mut self,
        x: &Rows,
        head: &PackedWeight,
        rank: &Rank<'_>,
        out: &mut Vec<Guess>,
    ) -> Result<()> {
        rank::rank(&mut self.context, &mut self.partials, x, head, rank, out)
    }

    fn memory(&self) -> Memory {
        let partials = self.partials.capacity() * size_of::<PartialSoftmax>();
        Memory {
            weights: self.weights.load(Ordering::Relaxed),
            buffers: self.buffers.load(Ordering::Relaxed)
                + self.context.bytes()
                + self.rope.bytes()
                + partials,
        }
    }
}
