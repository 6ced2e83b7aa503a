//! What a run reports to machines: one JSON object whose keys are part of the interface.

use std::fs;
use std::time::Duration;

use foveate_core::{Choice, FinishReason, Options};
use serde::Serialize;
use serde_json::Value;

use crate::answer::Answered;
use crate::machine::Storage;

/// The object that `run --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The answer as words.
    pub answer: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Visual tokens of all images.
    pub visual_tokens: VisualTokenCounts,
    /// The template's choices in order; absent without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// Denoising steps run.
    pub steps: usize,
    /// Sequences that went through the decoder; guidance makes two a step.
    pub forwards: usize,
    /// Tokens of the answer, up to its end, over `forwards`.
    pub tokens_per_forward: f64,
    /// Rows summed over the layers they went through.
    pub rows_computed: usize,
    /// Wall time per phase.
    pub timings_ms: Timings,
    /// Most memory the process ever held; null where the system does not say.
    pub peak_bytes: Option<u64>,
    /// As it was asked for.
    pub model: String,
    /// Name of the arithmetic.
    pub backend: String,
    /// As it was asked for.
    pub dtype: Storage,
    /// As [`foveate_core::Settings::from_json`] reads them.
    pub options: Value,
}

/// Visual tokens of all images.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct VisualTokenCounts {
    /// At the beginning.
    pub seen: usize,
    /// At the end.
    pub kept: usize,
}

/// Wall time per phase, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Timings {
    /// Opening the model and reading its weights.
    pub load: f64,
    /// Reading and decoding the pictures.
    pub image: f64,
    /// Resizing, tiling and the vision tower.
    pub vision: f64,
    /// Embedding and decoder layers of all steps.
    pub decoder: f64,
    /// Final norm, head and ranking of all steps.
    pub head: f64,
    /// Scoring, choosing and compaction.
    pub prune: f64,
    /// From the start of the command to the finished answer.
    pub total: f64,
}

/// What a report says besides the answer and its options.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The model, as it was asked for.
    pub model: String,
    /// Name of the arithmetic.
    pub backend: String,
    /// Storage of the weights, as it was asked for.
    pub dtype: Storage,
    /// Times of the phases before the first step, and the total.
    pub timings_ms: Timings,
}

impl Report {
    /// The account of an answer.
    pub fn new(answered: &Answered, options: &Options, ran: Ran) -> Self {
        let (outcome, times) = (&answered.outcome, &answered.times);
        Self {
            answer: answered.text.clone(),
            finish_reason: outcome.finish_reason,
            visual_tokens: VisualTokenCounts {
                seen: outcome.visual_tokens_seen,
                kept: outcome.visual_tokens_kept,
            },
            choices: outcome.choices.clone(),
            steps: outcome.steps,
            forwards: outcome.forwards,
            tokens_per_forward: outcome.settled as f64 / outcome.forwards.max(1) as f64,
            rows_computed: answered.rows_computed,
            timings_ms: Timings {
                decoder: to_milliseconds(times.decoder),
                head: to_milliseconds(times.head),
                prune: to_milliseconds(times.prune),
                ..ran.timings_ms
            },
            peak_bytes: peak_bytes(),
            model: ran.model,
            backend: ran.backend,
            dtype: ran.dtype,
            options: options.to_json(),
        }
    }
}

/// A duration in milliseconds, to the microsecond.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

/// Seconds in milliseconds, to the microsecond.
pub fn to_milliseconds(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

/// Lets the peak begin anew with the memory that is held now, where the system can.
pub fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// `VmHWM` of this process: the most memory it held since [`forget_peak`], or ever, in bytes.
pub fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
