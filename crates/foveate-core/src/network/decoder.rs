//! The bidirectional decoder that all families share, one layer at a time.

use foveate_kernels::{
    Act, Ask, Backend, Guess, Heads, Into, Layout, Norm, NormKind, Plan, Qkv, Rank, RowMap,
};

use super::kv::{KvCheckout, KvHandle, KvWrite, ReturningRows, Store, Widths};
use super::{Part, Source, read};
use crate::error::{Error, Result};
use crate::tap::{Signal, Tap};

/// Sizes and constants of a decoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecoderShape {
    /// Width of the residual stream; `heads.count · heads.dim`.
    pub hidden: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: Heads,
    /// Width of the gated MLP.
    pub mlp: usize,
    /// Ids in use: rows of the embedding and columns of the logits.
    pub vocabulary: usize,
    /// Added to the mean square before the root.
    pub norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
}

/// Names of a decoder's tensors in a checkpoint, without `.weight`; `{i}` stands for the layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DecoderNames {
    pub(crate) input_norm: &'static str,
    pub(crate) query: &'static str,
    pub(crate) key_value: [&'static str; 2],
    /// Whether queries, keys and values have a `.bias` beside their `.weight`.
    pub(crate) qkv_bias: bool,
    pub(crate) output: &'static str,
    pub(crate) mlp_norm: &'static str,
    pub(crate) gate_up: [&'static str; 2],
    pub(crate) down: &'static str,
    pub(crate) final_norm: &'static str,
    pub(crate) head: &'static str,
}

impl DecoderNames {
    /// The weights of all linears of `layers` layers.
    pub(crate) fn layer_weights(&self, layers: usize) -> Vec<String> {
        let [key, value] = self.key_value;
        let [gate, up] = self.gate_up;
        let patterns = [self.query, key, value, self.output, gate, up, self.down];
        (0..layers)
            .flat_map(|i| patterns.map(|p| p.replace("{i}", &i.to_string()) + ".weight"))
            .collect()
    }
}

pub(super) struct Layer<B: Backend> {
    input_norm: B::Buf,
    query: B::Weight,
    key_value: B::Weight,
    pub(super) output: B::Weight,
    pub(super) mlp_norm: B::Buf,
    pub(super) gate_up: B::Weight,
    pub(super) down: B::Weight,
}

/// The decoder's normalisation.
pub(super) fn rms<Buf>(scale: &Buf, eps: f32) -> Norm<'_, Buf> {
    Norm {
        kind: NormKind::Rms,
        scale,
        shift: None,
        eps,
    }
}

/// The layers, the head and the step buffers, which are allocated once and reused.
pub(crate) struct Decoder<B: Backend> {
    pub(super) shape: DecoderShape,
    pub(super) layers: Vec<Layer<B>>,
    final_norm: B::Buf,
    head: B::Weight,
    /// Residual stream, `[rows, hidden]`.
    pub(super) x: B::Buf,
    /// Where a shorter residual stream is gathered.
    pub(super) y: B::Buf,
    /// Normalised rows, then attention output, `[rows, hidden]`.
    pub(super) n: B::Buf,
    /// Queries, `[rows, hidden]`.
    q: B::Buf,
    /// Keys and values `[rows, 2 · kv_heads · dim]` of the attention, then gated activations
    /// `[rows, mlp]` of the MLP: never needed at once, and the widest of all.
    pub(super) wide: B::Buf,
    /// Attention mass, `[1, asked]`.
    mass: B::Buf,
    asked: usize,
    rows: usize,
    tables: Plan,
    plan: Option<B::Plan>,
    /// What the requests of this pass keep between steps.
    pub(super) stores: Vec<Store<B>>,
    pub(super) writes: Vec<KvWrite>,
}

impl<B: Backend> Decoder<B> {
    /// Reads every tensor of the decoder; `stored` is the head's row count in the file.
    pub(crate) fn load(
        backend: &mut B,
        source: &Source<'_>,
        names: &DecoderNames,
        shape: DecoderShape,
        stored: usize,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let DecoderShape {
            hidden, mlp, heads, ..
        } = shape;
        let kv_width = heads.kv_count * heads.dim;
        // The head first, and its copy dropped: it is the largest tensor, and so never adds to the peak.
        let head = {
            let (name, part) = (format!("{}.weight", names.head), Part::Vocabulary);
            let stored = source.take(&name, &[stored, hidden], part)?;
            let rows = stored.view()?.head(shape.vocabulary)?;
            backend.weight(&[rows], &[], Layout::Linear, source.format(part))?
        };
        let mut layers = Vec::with_capacity(shape.layers);
        for i in 0..shape.layers {
            progress(i, shape.layers);
            let name = |pattern: &str| pattern.replace("{i}", &i.to_string());
            let norm = |backend: &mut B, pattern| {
                let name = format!("{}.weight", name(pattern));
                source.vector(backend, &name, hidden, Part::Layers)
            };
            let load = |backend: &B, names: &[&str], shape: [usize; 2], bias, layout| {
                let names: Vec<String> = names.iter().map(|n| name(n)).collect();
                source.linear(backend, &names, &shape, bias, layout, Part::Layers)
            };
            let stacked = Layout::Linear;
            let bias = names.qkv_bias;
            let attention = |backend: &B, names: &[&str], outputs| {
                load(backend, names, [outputs, hidden], bias, stacked)
            };
            let linear = |backend: &B, names: &[&str], shape, layout| {
                load(backend, names, shape, false, layout)
            };
            layers.push(Layer {
                input_norm: norm(backend, names.input_norm)?,
                query: attention(backend, &[names.query], hidden)?,
                key_value: attention(backend, &names.key_value, kv_width)?,
                output: linear(backend, &[names.output], [hidden, hidden], stacked)?,
                mlp_norm: norm(backend, names.mlp_norm)?,
                gate_up: linear(backend, &names.gate_up, [mlp, hidden], Layout::Gated)?,
                down: linear(backend, &[names.down], [hidden, mlp], stacked)?,
            });
        }
        progress(shape.layers, shape.layers);
        let name = format!("{}.weight", names.final_norm);
        let final_norm = source.vector(backend, &name, hidden, Part::Layers)?;
        Ok(Self {
            layers,
            final_norm,
            head,
            x: backend.buf(0, hidden)?,
            y: backend.buf(0, hidden)?,
            n: backend.buf(0, hidden)?,
            q: backend.buf(0, hidden)?,
            wide: backend.buf(0, mlp)?,
            mass: backend.buf(1, 0)?,
            asked: 0,
            rows: 0,
            tables: Plan::default(),
            plan: None,
            stores: Vec::new(),
            writes: Vec::new(),
            shape,
        })
    }

    pub(crate) fn shape(&self) -> &DecoderShape {
        &self.shape
    }

    /// Rows in the residual stream now.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The residual stream, `[rows, hidden]`.
    pub(crate) fn hidden(&self) -> &B::Buf {
        &self.x
    }

    /// Makes room for `rows` rows and returns the stream to be filled.
    pub(crate) fn begin(&mut self, backend: &B, rows: usize) -> Result<&mut B::Buf> {
        self.rows = rows;
        backend.resize(&mut self.x, rows)?;
        Ok(&mut self.x)
    }

    /// Takes the stores of a pass; those of an earlier pass that failed are dropped.
    pub(crate) fn check_out(&mut self, backend: &mut B, checkouts: Vec<KvCheckout>) -> Result<()> {
        self.stores.clear();
        self.writes.clear();
        let widths = self.widths();
        for checkout in checkouts {
            self.stores.push(Store::open(backend, checkout, widths)?);
        }
        Ok(())
    }

    /// Gives the stores back, in the order they came.
    pub(crate) fn check_in(&mut self) -> Vec<KvHandle> {
        let widths = self.widths();
        self.writes.clear();
        self.stores.drain(..).map(|s| s.close(widths)).collect()
    }

    /// Drops every row of a checked-out store but these, in every layer.
    pub(crate) fn compact(&mut self, backend: &mut B, store: usize, rows: &[u32]) -> Result<()> {
        let widths = self.widths();
        self.stores[store].retain(backend, rows, widths)
    }

    fn widths(&self) -> Widths {
        Widths {
            layers: self.shape.layers,
            heads: self.shape.heads,
            hidden: self.shape.hidden,
        }
    }

    /// Takes the attention tables for the layers that follow and clears the attention mass.
    ///
    /// The tables count keys through the packed rows and then through every checked-out store.
    pub(crate) fn attention(
        &mut self,
        backend: &mut B,
        tables: Plan,
        writes: Vec<KvWrite>,
    ) -> Result<()> {
        let asked = tables.asks.iter().map(Ask::len).sum();
        if asked == self.asked {
            backend.write(&vec![0.0; asked], &mut self.mass, 0)?;
        } else {
            self.mass = backend.buf(1, asked)?;
            self.asked = asked;
        }
        self.plan = Some(backend.plan(&tables)?);
        self.tables = tables;
        self.writes = writes;
        Ok(())
    }

    /// Takes the attention mass gathered so far, one block per ask; what follows is gathered anew.
    pub(crate) fn mass(&mut self, backend: &mut B) -> Result<Vec<f32>> {
        let mut mass = Vec::with_capacity(self.asked);
        backend.read(&self.mass, 0..1, &mut mass)?;
        backend.write(&vec![0.0; self.asked], &mut self.mass, 0)?;
        Ok(mass)
    }

    /// One pre-norm layer: attention, then gated MLP, each added to the stream. With `leaving`, all rows
    /// give keys and values but only these give queries and leave the layer.
    pub(crate) fn layer(
        &mut self,
        backend: &mut B,
        i: usize,
        leaving: Option<&[u32]>,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        for write in self.writes.iter().filter(|v| v.inputs) {
            let kept = &mut self.stores[write.store].layers[i].input;
            write.keep_input(backend, &self.x, kept)?;
        }
        if self.writes.iter().any(|v| v.outputs.is_some()) {
            return self.layer_in_part(backend, i, leaving, tap);
        }
        self.keys_and_values(backend, i)?;
        for write in &self.writes {
            let kept = &mut self.stores[write.store].layers[i].kv;
            write.keep(backend, &self.wide, kept)?;
        }
        if let Some(rows) = leaving {
            self.normalise(backend, i, rows)?;
            self.retain(backend, rows)?;
        }
        self.attend(backend, i, leaving)?;
        let layer = &self.layers[i];
        backend.linear(&self.n, &layer.output, Act::None, Into::Add, &mut self.x)?;
        let norm = rms(&layer.mlp_norm, self.shape.norm_eps);
        backend.norm(&self.x, None, &norm, &mut self.n)?;
        backend.reshape(&mut self.wide, self.shape.mlp);
        backend.linear(
            &self.n,
            &layer.gate_up,
            Act::SwiGlu,
            Into::Store,
            &mut self.wide,
        )?;
        backend.linear(&self.wide, &layer.down, Act::None, Into::Add, &mut self.x)?;
        Ok(())
    }

    /// Normalises all rows and makes their keys and values.
    pub(super) fn keys_and_values(&mut self, backend: &mut B, i: usize) -> Result<()> {
        let width = self.shape.heads.kv_width();
        let layer = &self.layers[i];
        let norm = rms(&layer.input_norm, self.shape.norm_eps);
        backend.norm(&self.x, None, &norm, &mut self.n)?;
        backend.reshape(&mut self.wide, width);
        let weight = &layer.key_value;
        Ok(backend.linear(&self.n, weight, Act::None, Into::Store, &mut self.wide)?)
    }

    /// Normalises only these rows, for their queries.
    pub(super) fn normalise(&mut self, backend: &mut B, i: usize, rows: &[u32]) -> Result<()> {
        let norm = rms(&self.layers[i].input_norm, self.shape.norm_eps);
        Ok(backend.norm(&self.x, Some(rows), &norm, &mut self.n)?)
    }

    /// Attention of the normalised rows, which are the packed rows `rows` or all of them; the result
    /// takes their place.
    pub(super) fn attend(&mut self, backend: &mut B, i: usize, rows: Option<&[u32]>) -> Result<()> {
        let narrow = match rows {
            Some(rows) => Some(backend.plan(&self.tables.narrow(rows))?),
            None => None,
        };
        let plan = narrow.as_ref().or(self.plan.as_ref());
        let plan = plan.ok_or_else(|| Error::request("layer", "attention tables come first"))?;
        let weight = &self.layers[i].query;
        backend.linear(&self.n, weight, Act::None, Into::Store, &mut self.q)?;
        let probe = (self.asked > 0).then_some(&mut self.mass);
        let kept: Vec<&B::KvRows> = self.stores.iter().map(|s| &s.layers[i].kv).collect();
        let qkv = Qkv {
            q: &self.q,
            kv: &self.wide,
            stored: &kept,
        };
        Ok(backend.attend(&qkv, &self.shape.heads, plan, probe, &mut self.n)?)
    }

    /// Drops every row but these.
    pub(crate) fn retain(&mut self, backend: &mut B, rows: &[u32]) -> Result<()> {
        backend.resize(&mut self.y, rows.len())?;
        backend.combine(&self.x, &RowMap::gather(rows), &mut self.y, 0)?;
        std::mem::swap(&mut self.x, &mut self.y);
        self.rows = rows.len();
        Ok(())
    }

    /// Spreads the rows over `rows` rows, row `i` to `to[i]`, and brings back others as they once entered
    /// layer `layer`.
    pub(crate) fn expand(
        &mut self,
        backend: &mut B,
        layer: usize,
        rows: usize,
        to: &[u32],
        returning: &[ReturningRows],
    ) -> Result<()> {
        backend.resize(&mut self.y, rows)?;
        let all: Vec<u32> = (0..self.rows as u32).collect();
        backend.scatter(&self.x, &all, to, Into::Store, &mut self.y)?;
        for ReturningRows { store, from, to } in returning {
            let input = &self.stores[*store].layers[layer].input;
            backend.scatter(input, from, to, Into::Store, &mut self.y)?;
        }
        std::mem::swap(&mut self.x, &mut self.y);
        self.rows = rows;
        Ok(())
    }

    /// Final norm, `mix` of the normalised rows (guidance is linear, and so is the head), ranking.
    pub(crate) fn rank(
        &mut self,
        backend: &mut B,
        mix: &RowMap,
        rank: &Rank<'_>,
        tap: &mut dyn Tap,
    ) -> Result<Vec<Guess>> {
        let norm = rms(&self.final_norm, self.shape.norm_eps);
        backend.norm(&self.x, None, &norm, &mut self.n)?;
        read(backend, &self.n, self.rows, Signal::Final, tap)?;
        if mix.rows() == 0 {
            return Ok(Vec::new());
        }
        backend.resize(&mut self.y, mix.rows())?;
        backend.combine(&self.n, mix, &mut self.y, 0)?;
        let mut guesses = Vec::with_capacity(rank.picks.len());
        backend.rank(&self.y, &self.head, rank, &mut guesses)?;
        Ok(guesses)
    }

    /// Logits of rows that `mix` makes of the last ranked ones, a few rows at a time.
    pub(crate) fn logits(
        &mut self,
        backend: &mut B,
        mix: &RowMap,
        each: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<()> {
        let width = self.shape.vocabulary;
        let mut logits = backend.buf(0, width)?;
        let mut values = Vec::new();
        for first in (0..mix.rows()).step_by(LOGIT_ROWS) {
            let rows = LOGIT_ROWS.min(mix.rows() - first);
            let mut part = RowMap::with_capacity(rows);
            for row in first..first + rows {
                part.push(mix.sources(row));
            }
            backend.resize(&mut self.y, rows)?;
            backend.combine(&self.n, &part, &mut self.y, 0)?;
            backend.linear(&self.y, &self.head, Act::None, Into::Store, &mut logits)?;
            values.clear();
            backend.read(&logits, 0..rows, &mut values)?;
            for (row, values) in values.chunks(width).enumerate() {
                each(first + row, values);
            }
        }
        Ok(())
    }
}

/// Rows of logits that are stored at once: 10 MB of the largest published vocabulary.
const LOGIT_ROWS: usize = 16;
