//! What a run reports to machines: one JSON object whose keys are part of the interface.

use std::fs;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::args::Storage;

/// The object that `run --json` prints.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) answer: String,
    pub(crate) finish_reason: foveate_core::FinishReason,
    pub(crate) visual_tokens: VisualTokenCounts,
    /// The template's choices in order; absent without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) choices: Vec<foveate_core::Choice>,
    /// Denoising steps run.
    pub(crate) steps: usize,
    /// Sequences that went through the decoder; guidance makes two a step.
    pub(crate) forwards: usize,
    /// Tokens of the answer, up to its end, over `forwards`.
    pub(crate) tokens_per_forward: f64,
    /// Rows summed over the layers they went through.
    pub(crate) rows_computed: usize,
    pub(crate) timings_ms: Timings,
    /// Most memory the process ever held; null where the system does not say.
    pub(crate) peak_bytes: Option<u64>,
    pub(crate) model: String,
    pub(crate) backend: String,
    /// As given to `--dtype`.
    pub(crate) dtype: Storage,
    /// As `--settings` reads them.
    pub(crate) options: Value,
}

/// Visual tokens of all images.
#[derive(Serialize)]
pub(crate) struct VisualTokenCounts {
    /// At the beginning.
    pub(crate) seen: usize,
    /// At the end.
    pub(crate) kept: usize,
}

/// Wall time per phase, in milliseconds.
#[derive(Default, Serialize)]
pub(crate) struct Timings {
    /// Opening the model and reading its weights.
    pub(crate) load: f64,
    /// Reading and decoding the pictures.
    pub(crate) image: f64,
    /// Resizing, tiling and the vision tower.
    pub(crate) vision: f64,
    /// Embedding and decoder layers of all steps.
    pub(crate) decoder: f64,
    /// Final norm, head and ranking of all steps.
    pub(crate) head: f64,
    /// Scoring, choosing and compaction.
    pub(crate) prune: f64,
    /// From the start of the command to the finished answer.
    pub(crate) total: f64,
}

/// A duration in milliseconds, to the microsecond.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

/// Seconds in milliseconds, to the microsecond.
pub(crate) fn to_milliseconds(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

/// Lets the peak begin anew with the memory that is held now, where the system can.
pub(crate) fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// `VmHWM` of this process: the most memory it held since [`forget_peak`], or ever.
pub(crate) fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
