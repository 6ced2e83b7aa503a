//! The fast CPU implementation: packed weights, kernels chosen at run time, every core in use.

#![expect(
    clippy::inline_always,
    reason = "code becomes part of a function with the features it needs only by inlining"
)]

mod attend;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod cycles;
mod exp;
mod finish;
mod gemm;
mod groups;
mod helpers;
mod inputs;
mod integer;
mod isa;
mod kv;
mod lines;
mod micro;
mod pack;
mod pages;
mod panels;
mod plan;
mod portable;
mod rank;
mod report;
mod rows;
mod share;
mod slices;
mod softmax;
mod stream;
mod team;
mod transpose;
mod turn;
mod workshop;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use isa::Isa;
pub use kv::KvRows;
pub use panels::Packed;
use plan::Angles;
pub use plan::Schedule;

use crate::backend::{
    Act, Backend, Guess, Heads, Into, KernelName, Layout, Memory, Norm, Plan, Qkv, Rank, RowMap,
};
use crate::error::{Result, same};
use crate::quant::Format;
use crate::rows::Rows;
use crate::tensor::{Dtype, TensorView};
use finish::Finish;
use gemm::Product;
use isa::Chosen;
use rank::Partial;
use share::Share;
use workshop::Workshop;

/// Vector kernels on all cores. Weights of a bfloat16 checkpoint stay bfloat16; activations and
/// arithmetic are f32, except that a quantized weight is multiplied in integers.
#[derive(Debug)]
pub struct Cpu {
    shop: Workshop,
    partials: Vec<Partial>,
    angles: Angles,
    weights: Arc<AtomicUsize>,
    buffers: Arc<AtomicUsize>,
}

impl Cpu {
    /// The best kernels of this machine, on `threads` threads or as many as it runs at once.
    pub fn new(threads: Option<NonZeroUsize>) -> Result<Self> {
        Self::chosen(Chosen::best(), threads)
    }

    /// The kernels that run on any machine.
    pub fn portable(threads: Option<NonZeroUsize>) -> Result<Self> {
        Self::with_isa(Isa::Portable, threads)
    }

    /// The kernels of one instruction set; an error where the machine lacks it.
    pub fn with_isa(isa: Isa, threads: Option<NonZeroUsize>) -> Result<Self> {
        Self::chosen(Chosen::exactly(isa)?, threads)
    }

    fn chosen(isa: Chosen, threads: Option<NonZeroUsize>) -> Result<Self> {
        let threads = threads
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN);
        Ok(Self {
            shop: Workshop::new(isa, threads)?,
            partials: Vec::new(),
            angles: Angles::default(),
            weights: Arc::default(),
            buffers: Arc::default(),
        })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.shop.isa.isa()
    }

    /// Number of threads that work at once.
    pub fn threads(&self) -> usize {
        self.shop.team.size()
    }
}

impl Backend for Cpu {
    type Buf = Rows;
    type KvRows = KvRows;
    type Weight = Packed;
    type Plan = Schedule;

    fn name(&self) -> &'static str {
        match self.isa() {
            Isa::Portable => "portable",
            _ => "cpu",
        }
    }

    fn kernels(&self) -> Vec<KernelName> {
        let tile = self.shop.isa.tile_name();
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
    ) -> Result<Packed> {
        let team = &self.shop.team;
        Packed::new(parts, biases, layout, format, team, &self.weights)
    }

    fn buf(&self, rows: usize, width: usize) -> Result<Rows> {
        Rows::new(rows, width, &self.buffers)
    }

    fn kv_rows(&self, rows: usize, heads: &Heads, dtype: Dtype) -> Result<KvRows> {
        let (tile_rows, _) = self.shop.isa.tile();
        KvRows::new(rows, heads, dtype, tile_rows, &self.buffers)
    }

    fn resize(&self, buf: &mut Rows, rows: usize) -> Result<()> {
        buf.resize(rows)
    }

    fn reshape(&self, buf: &mut Rows, width: usize) {
        buf.reshape(width);
    }

    fn plan(&mut self, plan: &Plan) -> Result<Schedule> {
        Schedule::new(plan, &mut self.angles, &self.buffers)
    }

    fn write(&mut self, rows: &[f32], out: &mut Rows, at: usize) -> Result<()> {
        out.write(rows, at)
    }

    fn read(&mut self, x: &Rows, rows: Range<usize>, out: &mut Vec<f32>) -> Result<()> {
        x.read(rows, out)
    }

    fn embed(&mut self, table: &Packed, ids: &[u32], out: &mut Rows, at: usize) -> Result<()> {
        rows::embed(table, ids, out, at)
    }

    fn combine(&mut self, x: &Rows, map: &RowMap, out: &mut Rows, at: usize) -> Result<()> {
        rows::combine(&self.shop.team, x, map, out, at)
    }

    fn scatter(
        &mut self,
        x: &Rows,
        from: &[u32],
        to: &[u32],
        into: Into,
        out: &mut Rows,
    ) -> Result<()> {
        rows::scatter(&self.shop.team, x, from, to, into, out)
    }

    fn write_kv(&mut self, kv: &Rows, from: &[u32], to: &[u32], stored: &mut KvRows) -> Result<()> {
        kv::write_kv(&self.shop.team, kv, from, to, stored)
    }

    fn gather_kv(&mut self, stored: &KvRows, rows: &[u32]) -> Result<KvRows> {
        kv::gather_kv(&self.shop.team, stored, rows)
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
        rows::norm(self.shop.isa, &self.shop.team, x, rows, norm, out)
    }

    fn linear(&mut self, x: &Rows, w: &Packed, act: Act, into: Into, out: &mut Rows) -> Result<()> {
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
            group: None,
        };
        let share = Share::new(&mut out.data);
        let isa = self.shop.isa;
        product.compute(&mut self.shop, &|done| {
            isa.run(Finish {
                done,
                bias: &w.bias,
                act,
                into,
                out: &share,
                outputs: w.outputs,
            });
        })
    }

    fn attend(
        &mut self,
        qkv: &Qkv<'_, Rows, KvRows>,
        heads: &Heads,
        plan: &Schedule,
        probe: Option<&mut Rows>,
        out: &mut Rows,
    ) -> Result<()> {
        attend::attend(&mut self.shop, qkv, heads, plan, probe, out)
    }

    fn rank(
        &mut self,
        x: &Rows,
        head: &Packed,
        rank: &Rank<'_>,
        out: &mut Vec<Guess>,
    ) -> Result<()> {
        rank::rank(&mut self.shop, &mut self.partials, x, head, rank, out)
    }

    fn memory(&self) -> Memory {
        let partials = self.partials.capacity() * size_of::<Partial>();
        Memory {
            weights: self.weights.load(Ordering::Relaxed),
            buffers: self.buffers.load(Ordering::Relaxed)
                + self.shop.bytes()
                + self.angles.bytes()
                + partials,
        }
    }
}
