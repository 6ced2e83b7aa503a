//! What one denoising step did: everything that a terminal, server or report needs.

use std::time::Duration;

use crate::prune::Pruned;

/// One denoising step of one request.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Step {
    /// Counted from 1 over the whole answer. 0 is no denoising step but the prompt's own pass, which
    /// gives the first token of a family that predicts the next position under the cache `prefix`.
    pub step: usize,
    /// Counted from 1.
    pub block: usize,
    /// Tokens that became final.
    pub commits: Vec<Commit>,
    /// Positions that were committed and are masked again, with the token they lose.
    pub revisions: Vec<Commit>,
    /// Every candidate of the step, committed or not.
    pub drafts: Vec<Commit>,
    /// Images that lost tokens in this step.
    pub pruned: Vec<Pruned>,
    /// Rows that entered the decoder for this request, guidance included.
    pub rows: usize,
    /// Rows summed over the layers that computed them.
    pub rows_computed: usize,
    /// Pairs of query and key that attention looked at, summed over the layers.
    pub pairs: usize,
    /// Bytes that the request keeps for the next step.
    pub cache_bytes: usize,
    /// Where the time went, over all requests of the call.
    pub times: PhaseTimes,
}

/// A candidate token.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Commit {
    /// Response position, from 0.
    pub position: u32,
    /// Token id.
    pub token: u32,
    /// What ranked it: the softmax probability, or the draw under random remasking.
    pub confidence: f64,
}

/// Wall time of the parts of a step.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct PhaseTimes {
    /// Embedding and decoder layers, in seconds.
    pub decoder: f64,
    /// Final norm, head and ranking, in seconds.
    pub head: f64,
    /// Scoring, choosing and compaction, in seconds.
    pub prune: f64,
}

impl PhaseTimes {
    pub(crate) fn add(slot: &mut f64, time: Duration) {
        *slot += time.as_secs_f64();
    }
}
