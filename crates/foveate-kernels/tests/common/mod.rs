//! Random rows and weights, and one way to run each operation on any backend.
#![allow(dead_code, reason = "every test file uses some of these")]

mod random;

use std::num::NonZeroUsize;

use foveate_kernels::quant::encode_row;
use foveate_kernels::{
    Act, Backend, Cpu, Dtype, Format, Guess, Heads, Into, Isa, Layout, Norm, NormKind, Plan, Qkv,
    Rank, TensorView,
};
pub(crate) use random::random;

pub(crate) fn threads(n: usize) -> Option<NonZeroUsize> {
    NonZeroUsize::new(n)
}

/// Every instruction set of this machine, on `n` threads.
pub(crate) fn every_isa(n: usize) -> Vec<Cpu> {
    Isa::available()
        .into_iter()
        .map(|isa| Cpu::with_isa(isa, threads(n)).expect("it was found"))
        .collect()
}

pub(crate) fn bytes(x: &[f32]) -> Vec<u8> {
    x.iter().flat_map(|x| x.to_le_bytes()).collect()
}

pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Fails with the worst element when `got` is further than `limit · (1 + |want|)` from `want`.
#[track_caller]
pub(crate) fn close(got: &[f32], want: &[f32], limit: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let (mut worst, mut at) = (0.0f32, 0);
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(g.is_finite(), "{what}: element {i} is {g}");
        let error = (g - w).abs() / (1.0 + w.abs());
        if error > worst {
            (worst, at) = (error, i);
        }
    }
    assert!(
        worst <= limit,
        "{what}: element {at} is {}, expected {} (error {worst:e})",
        got[at],
        want[at]
    );
}

pub(crate) fn upload<B: Backend>(b: &mut B, x: &[f32], width: usize) -> B::Buf {
    let mut buf = b.buf(x.len() / width, width).expect("a buffer");
    b.write(x, &mut buf, 0).expect("rows written");
    buf
}

/// A store of these rows of keys and values.
pub(crate) fn kv_rows<B: Backend>(b: &mut B, x: &[f32], heads: &Heads, dtype: Dtype) -> B::KvRows {
    let width = heads.kv_width();
    let all: Vec<u32> = (0..(x.len() / width) as u32).collect();
    let kv = upload(b, x, width);
    let mut stored = b.kv_rows(all.len(), heads, dtype).expect("a store");
    b.write_kv(&kv, &all, &all, &mut stored)
        .expect("rows to store");
    stored
}

pub(crate) fn download<B: Backend>(b: &mut B, x: &B::Buf, rows: usize) -> Vec<f32> {
    let mut out = Vec::new();
    b.read(x, 0..rows, &mut out).expect("rows read");
    out
}

/// A linear and its parameters.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    pub(crate) inputs: usize,
    /// Outputs of each part.
    pub(crate) parts: Vec<usize>,
    pub(crate) weights: Vec<f32>,
    pub(crate) biases: Vec<f32>,
    pub(crate) layout: Layout,
    pub(crate) act: Act,
    pub(crate) into: Into,
    pub(crate) dtype: Dtype,
    pub(crate) format: Format,
}

impl Linear {
    pub(crate) fn new(inputs: usize, parts: &[usize], seed: u64) -> Self {
        let outputs: usize = parts.iter().sum();
        let scale = 1.0 / (inputs as f32).sqrt();
        Self {
            inputs,
            parts: parts.to_vec(),
            weights: random(outputs * inputs, seed)
                .iter()
                .map(|w| w * scale)
                .collect(),
            biases: Vec::new(),
            layout: Layout::Linear,
            act: Act::None,
            into: Into::Store,
            dtype: Dtype::F32,
            format: Format::Auto,
        }
    }

    pub(crate) fn with_bias(mut self) -> Self {
        self.biases = random(self.parts.iter().sum(), 77);
        self
    }

    pub(crate) fn outputs(&self) -> usize {
        match self.layout {
            Layout::Gated => self.parts[0],
            _ => self.parts.iter().sum(),
        }
    }

    pub(crate) fn weight<B: Backend>(&self, b: &B) -> B::Weight {
        let mut stored = Vec::new();
        for row in self.weights.chunks_exact(self.inputs) {
            encode_row(self.dtype, row, &mut stored);
        }
        let bias = bytes(&self.biases);
        let (mut parts, mut biases, mut first) = (Vec::new(), Vec::new(), 0);
        for &rows in &self.parts {
            let at = |row: usize| row * self.dtype.row_bytes(self.inputs);
            let part = &stored[at(first)..at(first + rows)];
            parts.push(TensorView::new(self.dtype, rows, self.inputs, part).expect("a part"));
            if !bias.is_empty() {
                let part = &bias[first * 4..(first + rows) * 4];
                biases.push(TensorView::new(Dtype::F32, 1, rows, part).expect("a bias"));
            }
            first += rows;
        }
        b.weight(&parts, &biases, self.layout, self.format)
            .expect("a weight")
    }

    /// The linear of `x`, added to `x`-independent numbers when it adds.
    pub(crate) fn run<B: Backend>(&self, b: &mut B, x: &[f32]) -> Vec<f32> {
        let w = self.weight(b);
        self.run_with(b, &w, x)
    }

    pub(crate) fn run_with<B: Backend>(&self, b: &mut B, w: &B::Weight, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let x = upload(b, x, self.inputs);
        let mut out = match self.into {
            Into::Store => b.buf(0, self.outputs()).expect("a buffer"),
            // Every row starts the same, so that rows can be compared between calls.
            Into::Add => upload(b, &random(self.outputs(), 5).repeat(rows), self.outputs()),
        };
        b.linear(&x, w, self.act, self.into, &mut out)
            .expect("a linear");
        download(b, &out, rows)
    }
}

/// An attention and its operands.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub(crate) heads: Heads,
    pub(crate) plan: Plan,
    pub(crate) q: Vec<f32>,
    pub(crate) kv: Vec<f32>,
    /// Rows of `kv` that are fresh, and those that each store holds; all are fresh if there are none.
    pub(crate) cuts: Vec<usize>,
    /// How they are stored.
    pub(crate) dtype: Dtype,
}

impl Attention {
    pub(crate) fn new(
        heads: Heads,
        query_rows: usize,
        key_rows: usize,
        plan: Plan,
        seed: u64,
    ) -> Self {
        Self {
            heads,
            plan,
            q: random(query_rows * heads.count * heads.dim, seed)
                .iter()
                .map(|x| 3.0 * x)
                .collect(),
            kv: random(key_rows * heads.kv_width(), seed + 1),
            cuts: Vec::new(),
            dtype: Dtype::F32,
        }
    }

    /// Rows of keys and values.
    pub(crate) fn keys(&self) -> usize {
        self.kv.len() / self.heads.kv_width()
    }

    pub(crate) fn probe_len(&self) -> usize {
        self.plan.asks.iter().map(foveate_kernels::Ask::len).sum()
    }

    /// The output and the probe.
    pub(crate) fn run<B: Backend>(&self, b: &mut B, probing: bool) -> (Vec<f32>, Vec<f32>) {
        let width = self.heads.count * self.heads.dim;
        let rows = self.q.len() / width;
        let q = upload(b, &self.q, width);
        let kv_width = self.heads.kv_width();
        let (mut stored, mut rest) = (Vec::new(), self.kv.as_slice());
        for rows in self.cuts.iter().skip(1).rev() {
            let (less, part) = rest.split_at(rest.len() - rows * kv_width);
            stored.insert(0, kv_rows(b, part, &self.heads, self.dtype));
            rest = less;
        }
        let fresh = upload(b, rest, kv_width);
        let stored: Vec<&B::KvRows> = stored.iter().collect();
        let plan = b.plan(&self.plan).expect("a plan");
        let mut probe = b.buf(1, self.probe_len()).expect("a probe");
        let mut out = b.buf(rows, width).expect("a buffer");
        let wanted = probing.then_some(&mut probe);
        b.attend(
            &Qkv {
                q: &q,
                kv: &fresh,
                stored: &stored,
            },
            &self.heads,
            &plan,
            wanted,
            &mut out,
        )
        .expect("an attention");
        (download(b, &out, rows), download(b, &probe, 1))
    }
}

pub(crate) fn norm<B: Backend>(
    b: &mut B,
    x: &[f32],
    width: usize,
    rows: Option<&[u32]>,
    kind: NormKind,
) -> Vec<f32> {
    let count = rows.map_or(x.len() / width, <[u32]>::len);
    let x = upload(b, x, width);
    let scale = upload(b, &random(width, 8), width);
    let shift = upload(b, &random(width, 9), width);
    let mut out = b.buf(0, width).expect("a buffer");
    let norm = Norm {
        kind,
        scale: &scale,
        shift: (kind == NormKind::Layer).then_some(&shift),
        eps: 1e-5,
    };
    b.norm(&x, rows, &norm, &mut out).expect("a norm");
    download(b, &out, count)
}

pub(crate) fn rank<B: Backend>(b: &mut B, head: &Linear, x: &[f32], rank: &Rank<'_>) -> Vec<Guess> {
    let w = head.weight(b);
    let x = upload(b, x, head.inputs);
    let mut out = Vec::new();
    b.rank(&x, &w, rank, &mut out).expect("a ranking");
    out
}

/// Fails unless every request was refused as a shape that does not fit.
#[track_caller]
pub(crate) fn request_errors(results: &[foveate_kernels::Result<()>]) {
    for (i, result) in results.iter().enumerate() {
        assert!(
            matches!(result, Err(foveate_kernels::Error::Shape { .. })),
            "request {i}: {result:?}"
        );
    }
}
