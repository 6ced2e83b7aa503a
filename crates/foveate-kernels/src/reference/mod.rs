//! The oracle: every operation as plain loops, one row at a time, sums in f64, stored as f32.
//!
//! Nothing here is fast, and nothing should become so: what an operation means is read off its loop. Other backends
//! are compared with it by property tests over shapes, and `verify --backend reference` replays golden cases on it.

mod attend;
mod math;
mod matrix;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::backend::{
    Act, Backend, Guess, Heads, Into, KernelName, Layout, Memory, Norm, Plan, Qkv, Rank, RowMap,
};
use crate::error::{Error, Result, same};
use crate::quant::Format;
use crate::rows::{Rows, check_rows, check_scatter};
use crate::tensor::{Dtype, TensorView};
use attend::attend;
pub use math::erf;
pub(crate) use math::{frequency, least_alike};
use math::{gelu_erf, gelu_tanh, guess, normalise};
use matrix::Matrix;

/// Plain loops on one thread. Slow, obvious, and what every other backend is tested against.
///
/// It reads weights in every format as f32, except that q4 rounds the inputs too, as the format says.
#[derive(Debug, Default)]
pub struct Reference {
    /// Bytes of weights that live.
    weights: Arc<AtomicUsize>,
    /// Bytes of buffers and stores that live.
    buffers: Arc<AtomicUsize>,
}

/// Stored keys and values, as rows; every number is one that `dtype` has.
#[derive(Debug)]
pub struct KvRows {
    /// `[rows, 2 · kv_heads · dim]`, as they came.
    rows: Rows,
    /// What new rows are rounded to.
    dtype: Dtype,
}

impl Backend for Reference {
    type Buf = Rows;
    type KvRows = KvRows;
    type Weight = Matrix;
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "reference"
    }

    fn kernels(&self) -> Vec<KernelName> {
        [
            "embed",
            "combine",
            "scatter",
            "write_kv",
            "gather_kv",
            "least_alike",
            "norm",
            "linear",
            "attend",
            "rank",
        ]
        .map(|operation| KernelName {
            operation,
            kernel: "plain loops, f32".into(),
        })
        .to_vec()
    }

    fn weight(
        &self,
        parts: &[TensorView<'_>],
        biases: &[TensorView<'_>],
        layout: Layout,
        format: Format,
    ) -> Result<Matrix> {
        Matrix::new(parts, biases, layout, format, &self.weights)
    }

    fn buf(&self, rows: usize, width: usize) -> Result<Rows> {
        Rows::new(rows, width, &self.buffers)
    }

    fn kv_rows(&self, rows: usize, heads: &Heads, dtype: Dtype) -> Result<KvRows> {
        if !matches!(dtype, Dtype::F32 | Dtype::Bf16) {
            return Err(Error::shape(
                "stored keys and values",
                "f32 or bf16",
                format!("{dtype:?}"),
            ));
        }
        let rows = self.buf(rows, heads.kv_width())?;
        Ok(KvRows { rows, dtype })
    }

    fn resize(&self, buf: &mut Rows, rows: usize) -> Result<()> {
        buf.resize(rows)
    }

    fn reshape(&self, buf: &mut Rows, width: usize) {
        buf.reshape(width);
    }

    fn plan(&mut self, plan: &Plan) -> Result<Plan> {
        plan.check_hidden()?;
        Ok(plan.clone())
    }

    fn write(&mut self, rows: &[f32], out: &mut Rows, at: usize) -> Result<()> {
        out.write(rows, at)
    }

    fn read(&mut self, x: &Rows, rows: Range<usize>, out: &mut Vec<f32>) -> Result<()> {
        x.read(rows, out)
    }

    fn embed(&mut self, table: &Matrix, ids: &[u32], out: &mut Rows, at: usize) -> Result<()> {
        same("width of an embedding", table.inputs, out.width)?;
        out.place("rows of embeddings", at, ids.len())?;
        for (i, &id) in ids.iter().enumerate() {
            if id as usize >= table.outputs {
                return Err(Error::shape(
                    "token id",
                    format!("below {}", table.outputs),
                    id,
                ));
            }
            out.row_mut(at + i).copy_from_slice(table.row(id as usize));
        }
        Ok(())
    }

    fn combine(&mut self, x: &Rows, map: &RowMap, out: &mut Rows, at: usize) -> Result<()> {
        same("width of combined rows", x.width, out.width)?;
        map.check(x.rows)?;
        out.place("combined rows", at, map.rows())?;
        for i in 0..map.rows() {
            let row = out.row_mut(at + i);
            row.fill(0.0);
            for (from, weight) in map.sources(i) {
                for (o, v) in row.iter_mut().zip(x.row(from)) {
                    *o += weight * v;
                }
            }
        }
        Ok(())
    }

    fn scatter(
        &mut self,
        x: &Rows,
        from: &[u32],
        to: &[u32],
        into: Into,
        out: &mut Rows,
    ) -> Result<()> {
        check_scatter(x, from, to, out)?;
        for (&from, &to) in from.iter().zip(to) {
            let row = out.row_mut(to as usize);
            for (slot, value) in row.iter_mut().zip(x.row(from as usize)) {
                *slot = match into {
                    Into::Store => *value,
                    Into::Add => *slot + value,
                };
            }
        }
        Ok(())
    }

    fn write_kv(&mut self, kv: &Rows, from: &[u32], to: &[u32], stored: &mut KvRows) -> Result<()> {
        self.scatter(kv, from, to, Into::Store, &mut stored.rows)?;
        if stored.dtype == Dtype::Bf16 {
            for &row in to {
                for x in stored.rows.row_mut(row as usize) {
                    *x = half::bf16::from_f32(*x).to_f32();
                }
            }
        }
        Ok(())
    }

    fn gather_kv(&mut self, stored: &KvRows, rows: &[u32]) -> Result<KvRows> {
        let mut less = self.buf(rows.len(), stored.rows.width)?;
        self.combine(&stored.rows, &RowMap::gather(rows), &mut less, 0)?;
        Ok(KvRows {
            rows: less,
            dtype: stored.dtype,
        })
    }

    fn least_alike(
        &mut self,
        kv: &Rows,
        rows: Range<usize>,
        stored: &KvRows,
        to: &[u32],
        count: usize,
    ) -> Result<Vec<u32>> {
        let old = &stored.rows;
        same("width of compared rows", old.width, kv.width)?;
        check_rows("rows compared", to, old.rows)?;
        let values = |row: &u32| &old.row(*row as usize)[old.width / 2..];
        least_alike(kv, rows, to.iter().map(values), count)
    }

    fn norm(
        &mut self,
        x: &Rows,
        rows: Option<&[u32]>,
        norm: &Norm<'_, Rows>,
        out: &mut Rows,
    ) -> Result<()> {
        let all: Vec<u32> = (0..x.rows as u32).collect();
        let rows = rows.unwrap_or(&all);
        same("width of a normalised row", x.width, out.width)?;
        check_rows("rows normalised", rows, x.rows)?;
        self.resize(out, rows.len())?;
        for (i, &r) in rows.iter().enumerate() {
            normalise(x.row(r as usize), norm, out.row_mut(i));
        }
        Ok(())
    }

    fn linear(&mut self, x: &Rows, w: &Matrix, act: Act, into: Into, out: &mut Rows) -> Result<()> {
        same("inputs of a linear", w.inputs, x.width)?;
        same(
            "gated weight and SwiGLU go together",
            usize::from(w.layout == Layout::Gated),
            usize::from(act == Act::SwiGlu),
        )?;
        let outputs = if w.layout == Layout::Gated {
            w.outputs / 2
        } else {
            w.outputs
        };
        same("outputs of a linear", outputs, out.width)?;
        match into {
            Into::Store => self.resize(out, x.rows)?,
            Into::Add => same("rows of a residual add", x.rows, out.rows)?,
        }
        for r in 0..x.rows {
            let x = w.input(x.row(r));
            for n in 0..outputs {
                let value = w.dot(n, &x);
                let value = match act {
                    Act::None => value,
                    Act::SwiGlu => value / (1.0 + (-value).exp()) * w.dot(outputs + n, &x),
                    Act::GeluTanh => gelu_tanh(value),
                    Act::GeluErf => gelu_erf(value),
                };
                let slot = &mut out.row_mut(r)[n];
                *slot = if into == Into::Add {
                    *slot + value
                } else {
                    value
                };
            }
        }
        Ok(())
    }

    fn attend(
        &mut self,
        qkv: &Qkv<'_, Rows, KvRows>,
        heads: &Heads,
        plan: &Plan,
        probe: Option<&mut Rows>,
        out: &mut Rows,
    ) -> Result<()> {
        attend(qkv, heads, plan, probe, out)
    }

    fn rank(
        &mut self,
        x: &Rows,
        head: &Matrix,
        rank: &Rank<'_>,
        out: &mut Vec<Guess>,
    ) -> Result<()> {
        same("inputs of the head", head.inputs, x.width)?;
        same("picks", x.rows, rank.picks.len())?;
        rank.check(head.outputs)?;
        for (r, pick) in rank.picks.iter().enumerate() {
            let x = head.input(x.row(r));
            let logits: Vec<f64> = (0..head.outputs)
                .map(|n| {
                    let forbidden = rank.forbidden.contains(&(n as u32));
                    if forbidden {
                        f64::NEG_INFINITY
                    } else {
                        f64::from(head.dot(n, &x))
                    }
                })
                .collect();
            out.push(guess(&logits, pick));
        }
        Ok(())
    }

    fn memory(&self) -> Memory {
        Memory {
            weights: self.weights.load(Ordering::Relaxed),
            buffers: self.buffers.load(Ordering::Relaxed),
        }
    }
}
