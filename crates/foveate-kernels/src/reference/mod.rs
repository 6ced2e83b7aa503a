//! The oracle: every operation as plain loops, one row at a time, sums in f64, stored as f32.

mod math;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::backend::{
    Act, Backend, Guess, Heads, Into, KernelName, Layout, Memory, Norm, Plan, Qkv, Rank, Rotation,
    RowMap,
};
use crate::error::{Error, Result, same};
use crate::memory::Held;
use crate::quant::{Format, check_blocks, encode_row};
use crate::rounding::round_row;
use crate::rows::{Rows, check_rows};
use crate::tensor::{Dtype, TensorView};
pub use math::erf;
pub(crate) use math::{Plain, frequency, least_alike};
use math::{dot, gelu_erf, gelu_tanh, guess, normalise, report, rotate, softmax};

/// Plain loops. Slow, obvious, and what every other backend is tested against.
#[derive(Debug, Default)]
pub struct Reference {
    weights: Arc<AtomicUsize>,
    buffers: Arc<AtomicUsize>,
}

/// Keys and values that are kept, as rows; every number is one that `dtype` has.
#[derive(Debug)]
pub struct Kept {
    rows: Rows,
    dtype: Dtype,
}

/// Row-major f32 with the bias beside it.
#[derive(Debug)]
pub struct Matrix {
    layout: Layout,
    outputs: usize,
    inputs: usize,
    data: Vec<f32>,
    bias: Vec<f32>,
    /// Inputs are rounded as beside q4.
    rounds: bool,
    #[expect(dead_code, reason = "counts the bytes until it is dropped")]
    held: Held,
}

impl Matrix {
    fn row(&self, r: usize) -> &[f32] {
        &self.data[r * self.inputs..(r + 1) * self.inputs]
    }

    /// An input row as it is multiplied.
    fn input(&self, x: &[f32]) -> Vec<f32> {
        let mut x = x.to_vec();
        if self.rounds {
            round_row(&mut x);
        }
        x
    }

    fn dot(&self, r: usize, x: &[f32]) -> f32 {
        let sum = dot(self.row(r), x) + f64::from(self.bias.get(r).copied().unwrap_or(0.0));
        sum as f32
    }
}

impl Backend for Reference {
    type Buf = Rows;
    type Kept = Kept;
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
            "keep",
            "keep_only",
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
        let held = Held::new(&self.weights, (data.len() + bias.len()) * size_of::<f32>());
        Ok(Matrix {
            layout,
            outputs,
            inputs,
            data,
            bias,
            rounds: dtype == Dtype::Q4,
            held,
        })
    }

    fn buf(&self, rows: usize, width: usize) -> Result<Rows> {
        Rows::new(rows, width, &self.buffers)
    }

    fn kept(&self, rows: usize, heads: &Heads, dtype: Dtype) -> Result<Kept> {
        if !matches!(dtype, Dtype::F32 | Dtype::Bf16) {
            return Err(Error::shape(
                "kept keys and values",
                "f32 or bf16",
                format!("{dtype:?}"),
            ));
        }
        let rows = self.buf(rows, 2 * heads.kv_count * heads.dim)?;
        Ok(Kept { rows, dtype })
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
        let end = at * out.width + rows.len();
        if end > out.data.len() {
            return Err(Error::shape(
                "rows written",
                out.rows,
                format!("rows up to {}", end / out.width.max(1)),
            ));
        }
        out.data[at * out.width..end].copy_from_slice(rows);
        Ok(())
    }

    fn read(&mut self, x: &Rows, rows: Range<usize>, out: &mut Vec<f32>) -> Result<()> {
        if rows.end > x.rows {
            return Err(Error::shape("rows read", x.rows, rows.end));
        }
        out.extend_from_slice(&x.data[rows.start * x.width..rows.end * x.width]);
        Ok(())
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
        check_rows("rows combined", &map.from, x.rows)?;
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
        same("width of scattered rows", x.width, out.width)?;
        same("slots of scattered rows", from.len(), to.len())?;
        check_rows("rows scattered", from, x.rows)?;
        check_rows("slots of scattered rows", to, out.rows)?;
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

    fn keep(&mut self, kv: &Rows, from: &[u32], to: &[u32], kept: &mut Kept) -> Result<()> {
        self.scatter(kv, from, to, Into::Store, &mut kept.rows)?;
        if kept.dtype == Dtype::Bf16 {
            for &row in to {
                for x in kept.rows.row_mut(row as usize) {
                    *x = half::bf16::from_f32(*x).to_f32();
                }
            }
        }
        Ok(())
    }

    fn keep_only(&mut self, kept: &Kept, rows: &[u32]) -> Result<Kept> {
        let mut less = self.buf(rows.len(), kept.rows.width)?;
        self.combine(&kept.rows, &RowMap::gather(rows), &mut less, 0)?;
        Ok(Kept {
            rows: less,
            dtype: kept.dtype,
        })
    }

    fn least_alike(
        &mut self,
        kv: &Rows,
        rows: Range<usize>,
        kept: &Kept,
        to: &[u32],
        count: usize,
    ) -> Result<Vec<u32>> {
        let values = kv.width / 2..kv.width;
        least_alike(kv.plain(), rows, kept.rows.plain(), to, values, count)
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
        &Qkv { q, kv, kept }: &Qkv<'_, Rows, Kept>,
        heads: &Heads,
        plan: &Plan,
        mut probe: Option<&mut Rows>,
        out: &mut Rows,
    ) -> Result<()> {
        same("width of queries", heads.count * heads.dim, q.width)?;
        let sources: Vec<&Rows> = std::iter::once(kv)
            .chain(kept.iter().map(|k| &k.rows))
            .collect();
        for kv in &sources {
            same(
                "width of keys and values",
                2 * heads.kv_count * heads.dim,
                kv.width,
            )?;
        }
        let kv: Vec<&[f32]> = sources
            .iter()
            .flat_map(|kv| (0..kv.rows).map(|r| kv.row(r)))
            .collect();
        same("width of attention output", q.width, out.width)?;
        self.resize(out, q.rows)?;
        let scale = 1.0 / (heads.dim as f32).sqrt();
        for span in &plan.spans {
            for head in 0..heads.count {
                let kv_head = head / (heads.count / heads.kv_count);
                let rotated = |row: &[f32], h: usize, position: Option<u32>| {
                    let mut v = row[h * heads.dim..(h + 1) * heads.dim].to_vec();
                    if let (Some(rotation), Some(position)) = (&plan.rotation, position) {
                        rotate(rotation, position, &mut v);
                    }
                    v
                };
                let position = |of: fn(&Rotation) -> &Vec<u32>, r: usize| {
                    plan.rotation.as_ref().map(|rotation| of(rotation)[r])
                };
                let keys: Vec<Vec<f32>> = span
                    .keys
                    .clone()
                    .map(|r| rotated(kv[r], kv_head, position(|p| &p.keys, r)))
                    .collect();
                for r in span.queries.clone() {
                    let query = rotated(q.row(r), head, position(|p| &p.queries, r));
                    let mut scores: Vec<f32> =
                        keys.iter().map(|k| scale * dot(k, &query) as f32).collect();
                    for hidden in plan.hidden.iter().filter(|hidden| hidden.query == r) {
                        scores[hidden.key - span.keys.start] = f32::NEG_INFINITY;
                    }
                    let weights = softmax(scores);
                    let target = &mut out.row_mut(r)[head * heads.dim..(head + 1) * heads.dim];
                    target.fill(0.0);
                    for (weight, key) in weights.iter().zip(span.keys.clone()) {
                        let value = &kv[key][(heads.kv_count + kv_head) * heads.dim..];
                        for (o, v) in target.iter_mut().zip(value) {
                            *o += weight * v;
                        }
                    }
                    if let Some(probe) = probe.as_deref_mut() {
                        let share = 1.0 / heads.count as f32;
                        report(
                            &plan.asks,
                            r,
                            span.keys.start,
                            &weights,
                            share,
                            &mut probe.data,
                        );
                    }
                }
            }
        }
        Ok(())
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
