//! Reading intermediate values out of the one code path, for verification.

/// A value that a [`Tap`] can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Normalised views, `[views, 3, side, side]`.
    Pixels,
    /// Tower output of every view, `[views · patches, vision width]`.
    VisionFeatures,
    /// Projector output of every view, `[views · patches, hidden]`.
    Projected,
    /// Decoder input, `[rows, hidden]`.
    Embeddings,
    /// Output of decoder layer `n` (from 1), `[rows, hidden]`.
    Hidden(usize),
    /// Output of the final norm, `[rows, hidden]`.
    Final,
    /// Logits of every row that left the decoder, forbidden ids included, `[rows, vocabulary]`.
    Logits,
    /// Response rows that a cache computes again because their values changed most, counted from the
    /// response's first and ascending, `[rows]`; not seen where a layer computes all of them.
    Recomputed {
        /// The layer, from 1.
        layer: usize,
        /// From 0, among the lanes of the pass that have a cache: one per request, two under guidance.
        lane: usize,
    },
    /// Attention mass on visual tokens, averaged over heads and summed over the layers so far.
    Attention {
        /// The last layer in the sum, from 1.
        layer: usize,
        /// The request of the call, from 0.
        request: usize,
        /// The image of that request.
        image: usize,
    },
}

/// Receives intermediate values. Asking for a value never changes another.
pub trait Tap {
    /// Whether `signal` is wanted; a wanted [`Signal::Final`] or [`Signal::Logits`] makes every row pass
    /// the last layer.
    fn wants(&self, signal: Signal) -> bool;
    /// Takes the values, row-major.
    fn take(&mut self, signal: Signal, values: Vec<f32>);
}

/// A tap that wants nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTap;

impl Tap for NoTap {
    fn wants(&self, _signal: Signal) -> bool {
        false
    }

    fn take(&mut self, _signal: Signal, _values: Vec<f32>) {}
}
