//! The neural network on one backend, behind a trait that hides which backend it is.

mod decoder;
mod embedding;
mod kv;
mod partial;
mod precision;
mod random;
mod vision;
mod weights;

use foveate_kernels::{Backend, Guess, KernelName, Memory, Plan, Rank, RowMap};

pub use decoder::DecoderShape;
pub(crate) use decoder::{Decoder, DecoderNames};
pub(crate) use embedding::Embedding;
pub(crate) use kv::{KvCheckout, KvHandle, KvWrite, Outputs, ReturningRows};
pub(crate) use precision::Part;
pub(crate) use random::random;
pub use vision::VisionShape;
pub(crate) use vision::{Vision, VisionNames};
pub(crate) use weights::Source;

use crate::error::{Error, Result};
use crate::image::Views;
use crate::tap::{Signal, Tap};

/// A stretch of the packed input rows.
#[derive(Clone, Debug)]
pub(crate) enum Input<'a> {
    /// Rows looked up in the embedding table.
    Tokens(Vec<u32>),
    /// Rows that exist already, `[n, hidden]`.
    Features(&'a [f32]),
}

/// What the engine asks of a network. [`Transformer`] answers for every backend.
pub(crate) trait Network: Send {
    /// Views of an image → its visual tokens `[tokens, hidden]`.
    fn encode(&mut self, views: &Views, map: &RowMap, tap: &mut dyn Tap) -> Result<Vec<f32>>;
    /// Fills the residual stream with `rows` packed rows.
    fn begin(&mut self, rows: usize, inputs: &[Input<'_>], tap: &mut dyn Tap) -> Result<()>;
    /// Borrows what requests keep between steps, for one pass.
    fn check_out(&mut self, checkouts: Vec<KvCheckout>) -> Result<()>;
    /// Gives it back, in the same order.
    fn check_in(&mut self) -> Vec<KvHandle>;
    /// Drops every row of checked-out store `store` but these.
    fn compact(&mut self, store: usize, rows: &[u32]) -> Result<()>;
    /// Takes the attention tables for the layers that follow and clears the attention mass. Keys count
    /// through the packed rows and then through every checked-out store.
    fn attention(&mut self, tables: Plan, writes: Vec<KvWrite>) -> Result<()>;
    /// Runs one layer (from 0). With `rows`, only these leave it, in this order.
    fn layer(&mut self, layer: usize, rows: Option<&[u32]>, tap: &mut dyn Tap) -> Result<()>;
    /// Takes the attention mass gathered since it was last taken or cleared, one block per ask.
    fn mass(&mut self) -> Result<Vec<f32>>;
    /// Drops every packed row but these.
    fn retain(&mut self, rows: &[u32]) -> Result<()>;
    /// Spreads the packed rows over `rows` rows, row `i` to `to[i]`, and brings back others as they once
    /// entered layer `layer` (from 0).
    fn expand(
        &mut self,
        layer: usize,
        rows: usize,
        to: &[u32],
        returning: &[ReturningRows],
    ) -> Result<()>;
    /// Final norm, weighted mixing of rows (guidance) and ranking. `all` mixes every row for a tap.
    fn rank(
        &mut self,
        mix: &RowMap,
        rank: &Rank<'_>,
        all: &RowMap,
        tap: &mut dyn Tap,
    ) -> Result<Vec<Guess>>;
    /// After [`Network::rank`]: the logits of mixed rows, one row at a time.
    fn logits(&mut self, mix: &RowMap, each: &mut dyn FnMut(usize, &[f32])) -> Result<()>;
    /// Sizes.
    fn shape(&self) -> &DecoderShape;
    /// Name of the backend and of its kernels.
    fn kernels(&self) -> (&'static str, Vec<KernelName>);
    /// Bytes held.
    fn memory(&self) -> Memory;
}

/// Tower, embedding, decoder and head on backend `B`.
pub(crate) struct Transformer<B: Backend> {
    pub(crate) backend: B,
    pub(crate) vision: Option<Vision<B>>,
    pub(crate) embedding: Embedding<B>,
    pub(crate) decoder: Decoder<B>,
}

impl<B: Backend> Network for Transformer<B> {
    fn encode(&mut self, views: &Views, map: &RowMap, tap: &mut dyn Tap) -> Result<Vec<f32>> {
        let vision = self.vision.as_ref().ok_or_else(|| {
            Error::request("image", "this network was built without a vision tower")
        })?;
        vision.encode(&mut self.backend, views, map, tap)
    }

    fn begin(&mut self, rows: usize, inputs: &[Input<'_>], tap: &mut dyn Tap) -> Result<()> {
        let x = self.decoder.begin(&self.backend, rows)?;
        self.embedding.fill(&mut self.backend, inputs, x)?;
        read(&mut self.backend, x, rows, Signal::Embeddings, tap)
    }

    fn check_out(&mut self, checkouts: Vec<KvCheckout>) -> Result<()> {
        self.decoder.check_out(&mut self.backend, checkouts)
    }

    fn check_in(&mut self) -> Vec<KvHandle> {
        self.decoder.check_in()
    }

    fn compact(&mut self, store: usize, rows: &[u32]) -> Result<()> {
        self.decoder.compact(&mut self.backend, store, rows)
    }

    fn attention(&mut self, tables: Plan, writes: Vec<KvWrite>) -> Result<()> {
        self.decoder.attention(&mut self.backend, tables, writes)
    }

    fn layer(&mut self, layer: usize, rows: Option<&[u32]>, tap: &mut dyn Tap) -> Result<()> {
        self.decoder.layer(&mut self.backend, layer, rows, tap)?;
        let signal = Signal::Hidden(layer + 1);
        read(
            &mut self.backend,
            self.decoder.hidden(),
            self.decoder.rows(),
            signal,
            tap,
        )
    }

    fn mass(&mut self) -> Result<Vec<f32>> {
        self.decoder.mass(&mut self.backend)
    }

    fn retain(&mut self, rows: &[u32]) -> Result<()> {
        self.decoder.retain(&mut self.backend, rows)
    }

    fn expand(
        &mut self,
        layer: usize,
        rows: usize,
        to: &[u32],
        returning: &[ReturningRows],
    ) -> Result<()> {
        self.decoder
            .expand(&mut self.backend, layer, rows, to, returning)
    }

    fn rank(
        &mut self,
        mix: &RowMap,
        rank: &Rank<'_>,
        all: &RowMap,
        tap: &mut dyn Tap,
    ) -> Result<Vec<Guess>> {
        let guesses = self.decoder.rank(&mut self.backend, mix, rank, tap)?;
        if tap.wants(Signal::Logits) {
            let mut logits = Vec::new();
            self.logits(all, &mut |_, row| logits.extend_from_slice(row))?;
            tap.take(Signal::Logits, logits);
        }
        Ok(guesses)
    }

    fn logits(&mut self, mix: &RowMap, each: &mut dyn FnMut(usize, &[f32])) -> Result<()> {
        self.decoder.logits(&mut self.backend, mix, each)
    }

    fn shape(&self) -> &DecoderShape {
        self.decoder.shape()
    }

    fn kernels(&self) -> (&'static str, Vec<KernelName>) {
        (self.backend.name(), self.backend.kernels())
    }

    fn memory(&self) -> Memory {
        self.backend.memory()
    }
}

/// Hands the first `rows` rows of `x` to the tap if it wants them.
fn read<B: Backend>(
    backend: &mut B,
    x: &B::Buf,
    rows: usize,
    signal: Signal,
    tap: &mut dyn Tap,
) -> Result<()> {
    if tap.wants(signal) {
        let mut values = Vec::new();
        backend.read(x, 0..rows, &mut values)?;
        tap.take(signal, values);
    }
    Ok(())
}
