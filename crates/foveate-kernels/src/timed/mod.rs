//! A backend that also keeps accounts: time, arithmetic and bytes of every operation.
//!
//! Results are those of the backend inside. What does not ask for accounts is not wrapped and pays nothing.
//!
//! `bench` uses it to say where a step's time goes, and how near each operation comes to the machine's peaks. Times
//! are taken around each call, so they are right for backends whose calls return when the work is done.

mod ledger;

use std::ops::Range;
use std::time::Instant;

pub use ledger::{Ledger, Spent, Work};

use crate::backend::{
    Act, Backend, Guess, Heads, Into, KernelName, Layout, Memory, Norm, Plan, Qkv, Rank, RowMap,
};
use crate::error::Result;
use crate::quant::Format;
use crate::tensor::{Dtype, TensorView};

/// Bytes of an activation.
const FLOAT: usize = size_of::<f32>();

/// A backend whose calls are timed.
///
/// ```
/// use foveate_kernels::{Backend, Reference, RowMap, Timed};
///
/// # fn main() -> foveate_kernels::Result<()> {
/// let (mut b, ledger) = Timed::new(Reference::default());
/// let (x, mut out) = (b.buf(4, 8)?, b.buf(2, 8)?);
/// b.combine(&x, &RowMap::gather(&[0, 3]), &mut out, 0)?;
/// let spent = ledger.take();
/// assert_eq!((spent[0].work.operation(), spent[0].calls), ("combine", 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Timed<B> {
    inner: B,
    ledger: Ledger,
}

/// A buffer and its shape, which the backend does not tell.
#[derive(Debug)]
pub struct Buffer<Buf> {
    inner: Buf,
    rows: usize,
    width: usize,
}

impl<Buf> Buffer<Buf> {
    /// Bytes of the rows in use.
    fn bytes(&self) -> usize {
        self.rows * self.width * FLOAT
    }
}

/// Stored keys and values, and how many.
#[derive(Debug)]
pub struct KvRows<K> {
    inner: K,
    /// Bytes of a row, in the format in which it is stored.
    row: usize,
    rows: usize,
}

/// A weight and its shape.
#[derive(Debug)]
pub struct Weight<W> {
    inner: W,
    inputs: usize,
    outputs: usize,
    /// 2 for gate and up, else 1.
    products: usize,
    stored: Dtype,
    bytes: usize,
}

/// The tables of a step, and how many pairs of query and key it computes.
#[derive(Debug)]
pub struct TimedPlan<P> {
    inner: P,
    pairs: usize,
}

impl<B> Timed<B> {
    /// Wraps `inner`; the ledger is filled while the backend is used.
    pub fn new(inner: B) -> (Self, Ledger) {
        let ledger = Ledger::default();
        let timed = Self {
            inner,
            ledger: ledger.clone(),
        };
        (timed, ledger)
    }

    /// Runs `call` and enters what it cost.
    fn spend<T>(
        &mut self,
        work: Work,
        flops: f64,
        bytes: usize,
        call: impl FnOnce(&mut B) -> Result<T>,
    ) -> Result<T> {
        let clock = Instant::now();
        let result = call(&mut self.inner)?;
        self.ledger.add(Spent {
            work,
            calls: 1,
            seconds: clock.elapsed().as_secs_f64(),
            flops,
            bytes: bytes as f64,
        });
        Ok(result)
    }
}

/// Two operations per multiply-add.
fn flops<W>(rows: usize, w: &Weight<W>) -> f64 {
    2.0 * (rows * w.inputs) as f64 * (w.outputs * w.products) as f64
}

impl<B: Backend> Backend for Timed<B> {
    type Buf = Buffer<B::Buf>;
    type KvRows = KvRows<B::KvRows>;
    type Weight = Weight<B::Weight>;
    type Plan = TimedPlan<B::Plan>;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn kernels(&self) -> Vec<KernelName> {
        self.inner.kernels()
    }

    fn weight(
        &self,
        parts: &[TensorView<'_>],
        biases: &[TensorView<'_>],
        layout: Layout,
        format: Format,
    ) -> Result<Self::Weight> {
        let before = self.inner.memory().weights;
        let inner = self.inner.weight(parts, biases, layout, format)?;
        let rows: usize = parts.iter().map(TensorView::rows).sum();
        let products = if layout == Layout::Gated { 2 } else { 1 };
        Ok(Weight {
            inner,
            inputs: parts.first().map_or(0, TensorView::cols),
            outputs: rows / products,
            products,
            stored: format.of(parts),
            bytes: self.inner.memory().weights - before,
        })
    }

    fn buf(&self, rows: usize, width: usize) -> Result<Self::Buf> {
        let inner = self.inner.buf(rows, width)?;
        Ok(Buffer { inner, rows, width })
    }

    fn kv_rows(&self, rows: usize, heads: &Heads, dtype: Dtype) -> Result<Self::KvRows> {
        Ok(KvRows {
            inner: self.inner.kv_rows(rows, heads, dtype)?,
            row: dtype.row_bytes(heads.kv_width()),
            rows,
        })
    }

    fn resize(&self, buf: &mut Self::Buf, rows: usize) -> Result<()> {
        self.inner.resize(&mut buf.inner, rows)?;
        buf.rows = rows;
        Ok(())
    }

    fn reshape(&self, buf: &mut Self::Buf, width: usize) {
        self.inner.reshape(&mut buf.inner, width);
        (buf.rows, buf.width) = (0, width);
    }

    fn plan(&mut self, plan: &Plan) -> Result<Self::Plan> {
        let seen = |span: &crate::backend::Span| span.queries.len() * span.keys.len();
        let pairs = plan.spans.iter().map(seen).sum::<usize>() - plan.hidden.len();
        let inner = self.spend(Work::Rows("plan"), 0.0, 0, |b| b.plan(plan))?;
        Ok(TimedPlan { inner, pairs })
    }

    fn write(&mut self, rows: &[f32], out: &mut Self::Buf, at: usize) -> Result<()> {
        let bytes = 2 * size_of_val(rows);
        self.spend(Work::Rows("write"), 0.0, bytes, |b| {
            b.write(rows, &mut out.inner, at)
        })
    }

    fn read(&mut self, x: &Self::Buf, rows: Range<usize>, out: &mut Vec<f32>) -> Result<()> {
        let bytes = 2 * rows.len() * x.width * FLOAT;
        self.spend(Work::Rows("read"), 0.0, bytes, |b| {
            b.read(&x.inner, rows, out)
        })
    }

    fn embed(
        &mut self,
        table: &Self::Weight,
        ids: &[u32],
        out: &mut Self::Buf,
        at: usize,
    ) -> Result<()> {
        let row = table.stored.row_bytes(table.inputs) + out.width * FLOAT;
        self.spend(Work::Rows("embed"), 0.0, ids.len() * row, |b| {
            b.embed(&table.inner, ids, &mut out.inner, at)
        })
    }

    fn combine(
        &mut self,
        x: &Self::Buf,
        map: &RowMap,
        out: &mut Self::Buf,
        at: usize,
    ) -> Result<()> {
        let bytes = (map.from.len() + map.rows()) * out.width * FLOAT;
        self.spend(Work::Rows("combine"), 0.0, bytes, |b| {
            b.combine(&x.inner, map, &mut out.inner, at)
        })
    }

    fn scatter(
        &mut self,
        x: &Self::Buf,
        from: &[u32],
        to: &[u32],
        into: Into,
        out: &mut Self::Buf,
    ) -> Result<()> {
        let bytes = from.len() * x.width * FLOAT * (1 + written(into));
        self.spend(Work::Rows("scatter"), 0.0, bytes, |b| {
            b.scatter(&x.inner, from, to, into, &mut out.inner)
        })
    }

    fn write_kv(
        &mut self,
        kv: &Self::Buf,
        from: &[u32],
        to: &[u32],
        stored: &mut Self::KvRows,
    ) -> Result<()> {
        let bytes = from.len() * (kv.width * FLOAT + stored.row);
        self.spend(Work::Rows("write_kv"), 0.0, bytes, |b| {
            b.write_kv(&kv.inner, from, to, &mut stored.inner)
        })
    }

    fn gather_kv(&mut self, stored: &Self::KvRows, rows: &[u32]) -> Result<Self::KvRows> {
        let bytes = 2 * rows.len() * stored.row;
        let inner = self.spend(Work::Rows("gather_kv"), 0.0, bytes, |b| {
            b.gather_kv(&stored.inner, rows)
        })?;
        Ok(KvRows {
            inner,
            row: stored.row,
            rows: rows.len(),
        })
    }

    fn least_alike(
        &mut self,
        kv: &Self::Buf,
        rows: Range<usize>,
        stored: &Self::KvRows,
        to: &[u32],
        count: usize,
    ) -> Result<Vec<u32>> {
        let bytes = rows.len() * (kv.width * FLOAT + stored.row) / 2;
        self.spend(Work::Rows("least_alike"), 0.0, bytes, |b| {
            b.least_alike(&kv.inner, rows, &stored.inner, to, count)
        })
    }

    fn norm(
        &mut self,
        x: &Self::Buf,
        rows: Option<&[u32]>,
        norm: &Norm<'_, Self::Buf>,
        out: &mut Self::Buf,
    ) -> Result<()> {
        let count = rows.map_or(x.rows, <[u32]>::len);
        let norm = Norm {
            kind: norm.kind,
            scale: &norm.scale.inner,
            shift: norm.shift.map(|shift| &shift.inner),
            eps: norm.eps,
        };
        let bytes = 2 * count * x.width * FLOAT;
        self.spend(Work::Rows("norm"), 0.0, bytes, |b| {
            b.norm(&x.inner, rows, &norm, &mut out.inner)
        })?;
        (out.rows, out.width) = (count, x.width);
        Ok(())
    }

    fn linear(
        &mut self,
        x: &Self::Buf,
        w: &Self::Weight,
        act: Act,
        into: Into,
        out: &mut Self::Buf,
    ) -> Result<()> {
        let work = Work::Linear {
            operation: "linear",
            inputs: w.inputs,
            outputs: w.outputs,
            act,
            stored: w.stored,
        };
        let bytes = x.bytes() + w.bytes + written(into) * x.rows * w.outputs * FLOAT;
        self.spend(work, flops(x.rows, w), bytes, |b| {
            b.linear(&x.inner, &w.inner, act, into, &mut out.inner)
        })?;
        out.rows = x.rows;
        Ok(())
    }

    fn attend(
        &mut self,
        qkv: &Qkv<'_, Self::Buf, Self::KvRows>,
        heads: &Heads,
        plan: &Self::Plan,
        probe: Option<&mut Self::Buf>,
        out: &mut Self::Buf,
    ) -> Result<()> {
        let Qkv { q, kv, stored } = *qkv;
        let work = Work::Attend {
            heads: *heads,
            probing: probe.is_some(),
        };
        // Scores and the weighted sum of values.
        let flops = 4.0 * plan.pairs as f64 * (heads.count * heads.dim) as f64;
        let keys = stored
            .iter()
            .fold(kv.bytes(), |sum, k| sum + k.rows * k.row);
        let stored: Vec<&B::KvRows> = stored.iter().map(|k| &k.inner).collect();
        let qkv = Qkv {
            q: &q.inner,
            kv: &kv.inner,
            stored: &stored,
        };
        let probe = probe.map(|probe| &mut probe.inner);
        self.spend(work, flops, 2 * q.bytes() + keys, |b| {
            b.attend(&qkv, heads, &plan.inner, probe, &mut out.inner)
        })?;
        (out.rows, out.width) = (q.rows, q.width);
        Ok(())
    }

    fn rank(
        &mut self,
        x: &Self::Buf,
        head: &Self::Weight,
        rank: &Rank<'_>,
        out: &mut Vec<Guess>,
    ) -> Result<()> {
        let work = Work::Linear {
            operation: "rank",
            inputs: head.inputs,
            outputs: head.outputs,
            act: Act::None,
            stored: head.stored,
        };
        self.spend(work, flops(x.rows, head), x.bytes() + head.bytes, |b| {
            b.rank(&x.inner, &head.inner, rank, out)
        })
    }

    fn memory(&self) -> Memory {
        self.inner.memory()
    }
}

/// How often an output passes through memory: written, or read and written.
fn written(into: Into) -> usize {
    match into {
        Into::Store => 1,
        Into::Add => 2,
    }
}
