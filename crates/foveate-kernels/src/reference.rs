//! The oracle: every operation as plain loops, one row at a time, sums in f64, stored as f32.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::backend::{
    Act, Ask, Backend, Guess, Heads, Into, KernelName, Layout, Memory, Norm, NormKind, Pick, Plan,
    Rank, Rotation, RowMap, Sum,
};
use crate::error::{Error, Result, same};
use crate::tensor::TensorView;

/// Plain loops. Slow, obvious, and what every other backend is tested against.
#[derive(Debug, Default)]
pub struct Reference {
    weights: AtomicUsize,
    buffers: Arc<AtomicUsize>,
}

/// Rows of f32.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "rows and width are its shape")]
pub struct Rows {
    rows: usize,
    width: usize,
    data: Vec<f32>,
}

impl Rows {
    fn row(&self, r: usize) -> &[f32] {
        &self.data[r * self.width..(r + 1) * self.width]
    }

    fn row_mut(&mut self, r: usize) -> &mut [f32] {
        &mut self.data[r * self.width..(r + 1) * self.width]
    }
}

/// Row-major f32 with the bias beside it.
#[derive(Debug)]
pub struct Matrix {
    layout: Layout,
    outputs: usize,
    inputs: usize,
    data: Vec<f32>,
    bias: Vec<f32>,
}

impl Matrix {
    fn row(&self, r: usize) -> &[f32] {
        &self.data[r * self.inputs..(r + 1) * self.inputs]
    }

    fn dot(&self, r: usize, x: &[f32]) -> f32 {
        let sum = dot(self.row(r), x) + f64::from(self.bias.get(r).copied().unwrap_or(0.0));
        sum as f32
    }
}

impl Backend for Reference {
    type Buf = Rows;
    type Weight = Matrix;
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "reference"
    }

    fn kernels(&self) -> Vec<KernelName> {
        ["embed", "combine", "norm", "linear", "attend", "rank"]
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
    ) -> Result<Matrix> {
        let inputs = parts.first().map_or(0, TensorView::cols);
        let mut data = Vec::new();
        for part in parts {
            same("inputs of a fused weight", inputs, part.cols())?;
            data.extend(part.to_f32());
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
        self.weights
            .fetch_add((data.len() + bias.len()) * 4, Ordering::Relaxed);
        Ok(Matrix {
            layout,
            outputs,
            inputs,
            data,
            bias,
        })
    }

    fn buf(&self, rows: usize, width: usize) -> Result<Rows> {
        self.buffers.fetch_add(rows * width * 4, Ordering::Relaxed);
        Ok(Rows {
            rows,
            width,
            data: vec![0.0; rows * width],
        })
    }

    fn resize(&self, buf: &mut Rows, rows: usize) -> Result<()> {
        let before = buf.data.capacity();
        buf.data.resize(rows * buf.width, 0.0);
        buf.rows = rows;
        self.buffers
            .fetch_add((buf.data.capacity() - before) * 4, Ordering::Relaxed);
        Ok(())
    }

    fn reshape(&self, buf: &mut Rows, width: usize) {
        buf.data.clear();
        (buf.rows, buf.width) = (0, width);
    }

    fn plan(&self, plan: &Plan) -> Result<Plan> {
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
            for n in 0..outputs {
                let value = w.dot(n, x.row(r));
                let value = match act {
                    Act::None => value,
                    Act::SwiGlu => value / (1.0 + (-value).exp()) * w.dot(outputs + n, x.row(r)),
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
        q: &Rows,
        kv: &Rows,
        heads: &Heads,
        plan: &Plan,
        mut probe: Option<&mut Rows>,
        out: &mut Rows,
    ) -> Result<()> {
        same("width of queries", heads.count * heads.dim, q.width)?;
        same(
            "width of keys and values",
            2 * heads.kv_count * heads.dim,
            kv.width,
        )?;
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
                    .map(|r| rotated(kv.row(r), kv_head, position(|p| &p.keys, r)))
                    .collect();
                for r in span.queries.clone() {
                    let query = rotated(q.row(r), head, position(|p| &p.queries, r));
                    let weights =
                        softmax(keys.iter().map(|k| scale * dot(k, &query) as f32).collect());
                    let target = &mut out.row_mut(r)[head * heads.dim..(head + 1) * heads.dim];
                    target.fill(0.0);
                    for (weight, key) in weights.iter().zip(span.keys.clone()) {
                        let value = &kv.row(key)[(heads.kv_count + kv_head) * heads.dim..];
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
        for (r, pick) in rank.picks.iter().enumerate() {
            let logits: Vec<f64> = (0..head.outputs)
                .map(|n| {
                    let forbidden = rank.forbidden.contains(&(n as u32));
                    if forbidden {
                        f64::NEG_INFINITY
                    } else {
                        f64::from(head.dot(n, x.row(r)))
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

/// The inner product, in f64.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

fn normalise(x: &[f32], norm: &Norm<'_, Rows>, out: &mut [f32]) {
    let mean_of =
        |f: &dyn Fn(f64) -> f64| x.iter().map(|&v| f(f64::from(v))).sum::<f64>() / x.len() as f64;
    let mean = match norm.kind {
        NormKind::Rms => 0.0,
        NormKind::Layer => mean_of(&|v| v),
    };
    let variance = mean_of(&|v| (v - mean) * (v - mean));
    let inverse = 1.0 / (variance + f64::from(norm.eps)).sqrt();
    for (i, (o, &v)) in out.iter_mut().zip(x).enumerate() {
        let shift = norm.shift.map_or(0.0, |s| s.data[i]);
        *o = ((f64::from(v) - mean) * inverse) as f32 * norm.scale.data[i] + shift;
    }
}

/// Half-split rotation; the frequencies are f32 as in the reference implementations.
fn rotate(rotation: &Rotation, position: u32, v: &mut [f32]) {
    let half = rotation.dim / 2;
    for j in 0..half {
        let angle = position as f32 * frequency(rotation.theta, rotation.dim, j);
        let (sin, cos) = angle.sin_cos();
        let (a, b) = (v[j], v[j + half]);
        v[j] = a * cos - b * sin;
        v[j + half] = b * cos + a * sin;
    }
}

/// `theta^(-2j/dim)` in f32.
pub(crate) fn frequency(theta: f32, dim: usize, j: usize) -> f32 {
    1.0 / theta.powf(2.0 * j as f32 / dim as f32)
}

fn softmax(mut scores: Vec<f32>) -> Vec<f32> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for s in &mut scores {
        *s = (*s - max).exp();
    }
    let sum: f64 = scores.iter().map(|&s| f64::from(s)).sum();
    for s in &mut scores {
        *s = (f64::from(*s) / sum) as f32;
    }
    scores
}

/// Adds row `query`'s probabilities to the asks that want it.
fn report(
    asks: &[Ask],
    query: usize,
    first_key: usize,
    weights: &[f32],
    share: f32,
    probe: &mut [f32],
) {
    let mut base = 0;
    for ask in asks {
        if ask.queries.contains(&query) {
            let row = match ask.sum {
                Sum::PerRow => query - ask.queries.start,
                Sum::OverRows => 0,
            };
            let slots = &mut probe[base + row * ask.keys.len()..][..ask.keys.len()];
            for (slot, key) in slots.iter_mut().zip(ask.keys.clone()) {
                *slot += share * weights[key - first_key];
            }
        }
        base += ask.len();
    }
}

fn gelu_tanh(x: f32) -> f32 {
    let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
    0.5 * x * (1.0 + inner.tanh())
}

fn gelu_erf(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))) as f32
}

/// The error function to 1e-15: its power series near zero, the continued fraction of `erfc` elsewhere.
pub(crate) fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a > 6.0 {
        return x.signum();
    }
    let value = if a < 3.0 {
        let mut term = a;
        let mut sum = a;
        for n in 1..200 {
            term *= -a * a / f64::from(n);
            let next = term / f64::from(2 * n + 1);
            sum += next;
            if next.abs() < 1e-17 {
                break;
            }
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        let mut fraction = a;
        for n in (1..60).rev() {
            fraction = a + f64::from(n) / 2.0 / fraction;
        }
        1.0 - (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt())
    };
    value.copysign(x)
}

fn guess(logits: &[f64], pick: &Pick<'_>) -> Guess {
    let scored = |token: usize| match pick {
        Pick::Greedy => logits[token],
        // exp(l) / (-ln u)^T ranks as l - T ln(-ln u).
        Pick::Gumbel { temperature, noise } => {
            logits[token] - temperature * (-noise.draw(token as u32).ln()).ln()
        }
    };
    let mut best = (0, f64::NEG_INFINITY);
    for token in 0..logits.len() {
        let score = scored(token);
        if score > best.1 {
            best = (token, score);
        }
    }
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|l| (l - max).exp()).sum();
    Guess {
        token: best.0 as u32,
        probability: (logits[best.0] - max).exp() / sum,
    }
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn erf_matches_known_values() {
        for (x, want) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.5, 0.999_593_047_982_555),
            (3.5, 0.999_999_256_901_627_7),
            (-1.0, -0.842_700_792_949_714_9),
        ] {
            assert!((erf(x) - want).abs() < 1e-13, "erf({x}) = {}", erf(x));
        }
    }
}
