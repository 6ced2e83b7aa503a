//! The few operations that a device implements, and the plain data they take.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::noise::Noise;
use crate::quant::Format;
use crate::tensor::TensorView;

/// One device's arithmetic. Rows of activations are f32; weights are whatever [`Backend::weight`] made.
///
/// Shapes are written `[rows, width]`. Every operation resizes its output to the rows it writes,
/// except those with an `at`, which write into rows that exist.
pub trait Backend: Send + 'static {
    /// Activations `[rows, width]`, with room for more rows than are in use.
    type Buf: Send + Sync + 'static;
    /// A linear's or table's parameters in the device's own layout and format.
    type Weight: Send;
    /// The tables of one step (spans, rotations, asks), made once and used by every layer.
    type Plan: Send;

    /// `reference`, `cpu`, …
    fn name(&self) -> &'static str;
    /// Which kernel serves each operation on this machine.
    fn kernels(&self) -> Vec<KernelName>;

    /// Packs `parts` (each `[outputs, inputs]`) and the optional biases, one per part. A linear then
    /// computes with the numbers that `format` leaves of them.
    fn weight(
        &self,
        parts: &[TensorView<'_>],
        biases: &[TensorView<'_>],
        layout: Layout,
        format: Format,
    ) -> Result<Self::Weight>;
    /// A buffer of `rows` rows of `width` zeros.
    fn buf(&self, rows: usize, width: usize) -> Result<Self::Buf>;
    /// Changes the rows in use; grows the memory only when they never fitted before.
    fn resize(&self, buf: &mut Self::Buf, rows: usize) -> Result<()>;
    /// Empties a buffer and gives its rows another width; the memory stays.
    fn reshape(&self, buf: &mut Self::Buf, width: usize);
    /// The tables of a step.
    fn plan(&mut self, plan: &Plan) -> Result<Self::Plan>;

    /// Copies host rows into `out` from row `at` on.
    fn write(&mut self, rows: &[f32], out: &mut Self::Buf, at: usize) -> Result<()>;
    /// Copies rows `rows` of `x` to the end of `out`.
    fn read(&mut self, x: &Self::Buf, rows: Range<usize>, out: &mut Vec<f32>) -> Result<()>;

    /// Looks up `ids` in a [`Layout::Table`] and writes the rows from `at` on.
    fn embed(
        &mut self,
        table: &Self::Weight,
        ids: &[u32],
        out: &mut Self::Buf,
        at: usize,
    ) -> Result<()>;
    /// Writes weighted sums of rows of `x` from `at` on: gather, splice, pool, prune, merge, guide.
    fn combine(
        &mut self,
        x: &Self::Buf,
        map: &RowMap,
        out: &mut Self::Buf,
        at: usize,
    ) -> Result<()>;
    /// Puts row `from[i]` of `x` into row `to[i]` of `out`; the other rows of `out` stay.
    fn scatter(
        &mut self,
        x: &Self::Buf,
        from: &[u32],
        to: &[u32],
        into: Into,
        out: &mut Self::Buf,
    ) -> Result<()>;
    /// The `count` rows of `x` among `rows` that are least like their counterparts, row `to[i]` of `kept`
    /// for the `i`th, ascending: lowest cosine similarity of the columns `columns`, accumulated in f64;
    /// the lower row among equals.
    fn least_alike(
        &mut self,
        x: &Self::Buf,
        rows: Range<usize>,
        kept: &Self::Buf,
        to: &[u32],
        columns: Range<usize>,
        count: usize,
    ) -> Result<Vec<u32>>;
    /// Normalises all rows of `x`, or the listed ones in that order.
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
    /// Attention of `q` `[query rows, heads · dim]` over the rows of all `kv` buffers, one after the
    /// other, each `[key rows, 2 · kv_heads · dim]` (keys, then values; keys not yet rotated). Softmax
    /// runs over each span's whole key range.
    ///
    /// With a probe, adds the head-averaged attention mass that the plan asks for to it: a
    /// `[1, n]` buffer with each [`Ask`]'s block in order.
    fn attend(
        &mut self,
        q: &Self::Buf,
        kv: &[&Self::Buf],
        heads: &Heads,
        plan: &Self::Plan,
        probe: Option<&mut Self::Buf>,
        out: &mut Self::Buf,
    ) -> Result<()>;
    /// Head, forbidden ids, noise, argmax and confidence in one; the logits are never stored whole.
    fn rank(
        &mut self,
        x: &Self::Buf,
        head: &Self::Weight,
        rank: &Rank<'_>,
        out: &mut Vec<Guess>,
    ) -> Result<()>;

    /// Bytes held now.
    fn memory(&self) -> Memory;
}

/// The kernel behind one operation, for reports.
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
    /// Parts stacked along the outputs: `[q; k; v]`.
    Linear,
    /// Two parts, gate and up, for [`Act::SwiGlu`]; the linear has as many outputs as one part.
    Gated,
    /// Rows to be looked up by id.
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

/// Where a result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// Replaces the output.
    Store,
    /// Is added to it (residual stream).
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

/// The two normalisations in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `x / sqrt(mean(x²) + eps)`.
    Rms,
    /// `(x - mean) / sqrt(var + eps)`.
    Layer,
}

/// The geometry of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub count: usize,
    /// Key and value heads; query head `h` reads `h / (count / kv_count)`.
    pub kv_count: usize,
    /// Width of one head.
    pub dim: usize,
}

/// The tables of one step's attention.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Who attends to whom; the query ranges must be disjoint.
    pub spans: Vec<Span>,
    /// Rotary positions, or none (vision tower).
    pub rotation: Option<Rotation>,
    /// Keys that single queries do not see although their span does.
    pub hidden: Vec<Hidden>,
    /// Attention mass to report.
    pub asks: Vec<Ask>,
}

/// A key that one query of a span does not see: leave-one-out attention is a list of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// A row of `q`, inside a span.
    pub query: usize,
    /// A row of `kv`, inside the same span, which has others.
    pub key: usize,
}

/// Query rows that attend to all of a range of key rows. A batch, the views of an image, a prefix
/// mask and block-causal decoding are all lists of spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Rows of `q`.
    pub queries: Range<usize>,
    /// Rows of `kv`, counted through all its buffers.
    pub keys: Range<usize>,
}

impl Plan {
    /// Refuses a hidden key outside its query's span.
    pub(crate) fn check_hidden(&self) -> Result<()> {
        let inside = |hidden: &Hidden, span: &Span| {
            span.queries.contains(&hidden.query) && span.keys.contains(&hidden.key)
        };
        let lost = |hidden: &&Hidden| !self.spans.iter().any(|span| inside(hidden, span));
        match self.hidden.iter().find(lost) {
            Some(hidden) => Err(Error::shape(
                "a hidden key",
                "a query and a key inside one span",
                format!("{hidden:?}"),
            )),
            None => Ok(()),
        }
    }

    /// The same for only these rows of `q`, ascending, which close ranks; keys stay.
    #[must_use]
    pub fn narrow(&self, rows: &[u32]) -> Self {
        let inside = |range: &Range<usize>| {
            let index = |bound: usize| rows.partition_point(|&r| (r as usize) < bound);
            index(range.start)..index(range.end)
        };
        let spans = self.spans.iter().map(|span| Span {
            queries: inside(&span.queries),
            keys: span.keys.clone(),
        });
        let asks = self.asks.iter().map(|ask| Ask {
            queries: inside(&ask.queries),
            keys: ask.keys.clone(),
            sum: ask.sum,
        });
        let hidden = self.hidden.iter().filter_map(|hidden| {
            let query = rows.binary_search(&(hidden.query as u32)).ok()?;
            Some(Hidden { query, ..*hidden })
        });
        let rotation = self.rotation.as_ref().map(|rotation| Rotation {
            queries: rows.iter().map(|&r| rotation.queries[r as usize]).collect(),
            ..rotation.clone()
        });
        Self {
            spans: spans.collect(),
            rotation,
            hidden: hidden.collect(),
            asks: asks.collect(),
        }
    }
}

/// Half-split rotary embedding (`NeoX`), with its own position per row.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Base of the frequencies, `theta^(-2j/dim)`.
    pub theta: f32,
    /// Head width.
    pub dim: usize,
    /// Position of every row of `q`.
    pub queries: Vec<u32>,
    /// Position of every row of `kv`.
    pub keys: Vec<u32>,
}

/// Attention mass wanted: post-softmax probability, averaged over heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Rows of `q`, inside one span.
    pub queries: Range<usize>,
    /// Rows of `kv`, inside the same span.
    pub keys: Range<usize>,
    /// One block of `queries × keys`, or their sum over the queries.
    pub sum: Sum,
}

/// How an [`Ask`] is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// `[queries, keys]`.
    PerRow,
    /// `[keys]`, summed over the queries.
    OverRows,
}

impl Rank<'_> {
    /// Refuses a given id that a head of `outputs` ids does not have.
    pub(crate) fn check(&self, outputs: usize) -> Result<()> {
        let unknown = |pick: &&Pick<'_>| matches!(pick, Pick::Given(id) if *id as usize >= outputs);
        match self.picks.iter().find(unknown) {
            Some(pick) => Err(Error::shape(
                "given token id",
                format!("below {outputs}"),
                format!("{pick:?}"),
            )),
            None => Ok(()),
        }
    }
}

impl Ask {
    /// Floats this ask takes in the probe.
    pub fn len(&self) -> usize {
        match self.sum {
            Sum::PerRow => self.queries.len() * self.keys.len(),
            Sum::OverRows => self.keys.len(),
        }
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Weighted sums of rows in compressed form: output row `i` is
/// `Σ weight[j] · x[from[j]]` over `j` in `starts[i]..starts[i + 1]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowMap {
    /// One more entry than there are output rows.
    pub starts: Vec<u32>,
    /// Input rows.
    pub from: Vec<u32>,
    /// Their weights.
    pub weight: Vec<f32>,
}

impl RowMap {
    /// No output rows yet, room for `rows`.
    pub fn with_capacity(rows: usize) -> Self {
        let mut starts = Vec::with_capacity(rows + 1);
        starts.push(0);
        Self {
            starts,
            from: Vec::with_capacity(rows),
            weight: Vec::with_capacity(rows),
        }
    }

    /// Appends an output row made of `(input row, weight)` pairs.
    pub fn push(&mut self, sources: impl IntoIterator<Item = (usize, f32)>) {
        for (from, weight) in sources {
            self.from.push(from as u32);
            self.weight.push(weight);
        }
        self.starts.push(self.from.len() as u32);
    }

    /// Every input row, once.
    pub fn identity(rows: usize) -> Self {
        Self::gather(&(0..rows as u32).collect::<Vec<_>>())
    }

    /// Output row `i` is a copy of input row `rows[i]`.
    pub fn gather(rows: &[u32]) -> Self {
        Self {
            starts: (0..=rows.len() as u32).collect(),
            from: rows.to_vec(),
            weight: vec![1.0; rows.len()],
        }
    }

    /// Number of output rows.
    pub fn rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The `(input row, weight)` pairs of output row `i`.
    pub fn sources(&self, i: usize) -> impl Iterator<Item = (usize, f32)> {
        let range = self.starts[i] as usize..self.starts[i + 1] as usize;
        self.from[range.clone()]
            .iter()
            .map(|&f| f as usize)
            .zip(self.weight[range].iter().copied())
    }
}

/// How to turn final hidden rows into candidate tokens.
#[derive(Clone, Debug)]
pub struct Rank<'a> {
    /// Ids that can be neither chosen nor counted in the softmax.
    pub forbidden: &'a [u32],
    /// One per row.
    pub picks: &'a [Pick<'a>],
}

/// How one row's candidate is chosen. Its confidence always comes from the noise-free logits.
#[derive(Clone, Copy, Debug)]
pub enum Pick<'a> {
    /// The highest logit; the lowest id among equals.
    Greedy,
    /// This id, whatever the others are: its probability is what is asked for.
    Given(u32),
    /// The highest `exp(logit) / (-ln u)^temperature` (`LLaDA`'s Gumbel form).
    Gumbel {
        /// Above zero.
        temperature: f64,
        /// The draws `u`.
        noise: Noise<'a>,
    },
}

/// The candidate of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// The chosen id.
    pub token: u32,
    /// Its softmax probability over the allowed ids, accumulated in f64.
    pub probability: f64,
    /// The highest probability of any allowed id; `probability`, unless noise chose another.
    pub top: f64,
    /// The second-highest one; equal to `top` in a tie, 0 where one id is allowed.
    pub runner_up: f64,
    /// `-Σ p ln p` over the allowed ids, in nats.
    pub entropy: f64,
}

/// Bytes held by a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Packed weights.
    pub weights: usize,
    /// Step buffers at their capacity.
    pub buffers: usize,
}
