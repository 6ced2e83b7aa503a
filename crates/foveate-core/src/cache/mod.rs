//! Caches: a strategy says which rows a denoising step computes; all others are read from the step that
//! computed them last. The base owns the memory, forced refreshes, compaction and accounting.

mod attention_drift;
mod dkv;
mod dllm;
mod elastic;
mod fast_dllm;
mod prefix;
mod settings;
mod state;

use std::fmt::Debug;
use std::ops::Range;

pub(crate) use attention_drift::AttentionDrift;
pub(crate) use settings::ROWS;
pub use settings::{CACHES, CacheDtype, CacheMethod, CacheSettings, Caching};
use settings::{Row, Strategy, positive, share};
pub(crate) use state::{CacheState, Next};

/// Who may attend to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttentionMask {
    /// Everybody to everybody.
    Full,
    /// The prompt only to itself, the response to everything (Prefix-DLM).
    Prefix,
}

/// What is kept of every row and layer besides its key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nothing.
    KeysAndValues,
    /// What attention and MLP added to the residual stream, of the response and what follows it.
    Outputs,
    /// The input of the layer, so that any layer can be computed anew.
    Inputs,
}

/// What the next step computes of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Work {
    /// Rows of the sequence that enter the decoder, ascending.
    pub(crate) rows: Vec<u32>,
    /// Some of them may be refreshed in part only.
    pub(crate) partial: Option<Partial>,
}

/// Rows of which only those are computed, layer by layer, whose value changed most.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Partial {
    /// Rows of the sequence.
    pub(crate) rows: Range<usize>,
    /// How many of them are computed in each layer.
    pub(crate) count: usize,
}

/// What a strategy sees of a request before a step.
#[derive(Clone, Debug)]
pub(crate) struct CacheView<'a> {
    /// Steps run since the answer began, over all blocks.
    pub(crate) step: usize,
    /// Steps run in this block.
    pub(crate) step_in_block: usize,
    /// Rows of this block in the sequence.
    pub(crate) block: Range<usize>,
    /// Rows of the response in the sequence; the prompt is before, a suffix behind.
    pub(crate) response: Range<usize>,
    /// Rows of the sequence.
    pub(crate) rows: usize,
    /// Per response position, whether its token was committed before the last step: its row has been
    /// computed with that token.
    pub(crate) settled: &'a [bool],
}

impl CacheView<'_> {
    /// A refresh: every row.
    pub(crate) fn all(&self) -> Work {
        Work::of(0..self.rows)
    }
}

impl Work {
    /// Exactly the rows of a range.
    pub(crate) fn of(rows: Range<usize>) -> Self {
        Self {
            rows: rows.map(|r| r as u32).collect(),
            partial: None,
        }
    }
}

/// A choice of rows to compute. Strategies choose; the pass acts.
pub(crate) trait Cache: Debug + Send + Sync {
    /// Who attends to whom under this cache.
    fn mask(&self) -> AttentionMask {
        AttentionMask::Full
    }

    /// What it needs besides keys and values.
    fn keep(&self) -> Keep {
        Keep::KeysAndValues
    }

    /// The similarity of a watched row's attention to the step before, below which the layers behind are
    /// refreshed; none to watch nothing.
    fn similarity(&self) -> Option<f64> {
        None
    }

    /// What the next step computes. The base computes everything when nothing is cached yet and when
    /// a pruner reads the attention of the step; it adds the rows that guesses are read from, those whose
    /// token has changed and those that are watched.
    fn work(&self, view: &CacheView<'_>) -> Work;
}
