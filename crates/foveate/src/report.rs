//! What a run reports to machines: one JSON object whose keys are part of the interface.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use foveate_core::{CacheSettings, Moment, Options, PruneSettings, Pruning, Schedule};
use serde::Serialize;
use serde_json::{Value, json};

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

/// Options as they were used, under the names of their flags.
pub(crate) fn options(options: &Options, layers: usize) -> Result<Value> {
    let pruning = options.pruning(layers)?;
    Ok(json!({
        "gen_length": options.gen_length,
        "block_length": options.block_length,
        "steps": options.steps_planned()?,
        "step_ratio": options.step_ratio,
        "steps_per_block": options.steps_per_block,
        "schedule": options.schedule.name(),
        "schedule_shift": shift(options.schedule),
        "remasking": options.remasking,
        "alg_temp": options.alg_temp,
        "policy": options.policy,
        "max_forwards": options.max_forwards,
        "stop_at_end": options.stop_at_end,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k,
        "cfg_scale": options.cfg_scale,
        "stop": options.stop,
        "generation_suffix": options.generation_suffix,
        "template": options.template.as_ref().map(|template| template.text()),
        "draft": options.draft.as_ref().map(|draft| draft.text()),
        "seed": options.seed,
        "cache": cache(&options.cache),
        "prune": options.prune.as_ref().zip(pruning).map(|(settings, pruning)| prune(settings, &pruning)),
    }))
}

/// The cache with its own defaults; null for parameters that it does not have.
fn cache(settings: &CacheSettings) -> Value {
    let resolved = settings.resolved();
    json!({
        "method": resolved.method,
        "refresh": resolved.refresh,
        "response_refresh": resolved.response_refresh,
        "share": resolved.share,
        "similarity": resolved.similarity,
        "visual_refresh": resolved.visual_refresh,
        "dtype": resolved.dtype,
    })
}

/// Null for schedules without one.
fn shift(schedule: Schedule) -> Option<f64> {
    match schedule {
        Schedule::Shift(shift) => Some(shift),
        _ => None,
    }
}

/// What the strategy does after its own defaults; null where it reads no attention or every layer's.
fn prune(settings: &PruneSettings, pruning: &Pruning) -> Value {
    let watch = pruning.watch();
    json!({
        "method": settings.method,
        "keep": settings.keep,
        "positions": pruning.positions(),
        "layer": watch.and_then(|watch| watch.layer),
        "queries": watch.map(|watch| watch.queries),
        "at": when(pruning.moment()),
    })
}

/// A moment as `--prune-at` spells it.
fn when(moment: Moment) -> String {
    match moment {
        Moment::BeforeDecoder => "decoder".into(),
        Moment::AfterStep(step) => format!("step={step}"),
        Moment::AfterLayerOnce(layer) | Moment::AfterLayerEveryPass(layer) => {
            format!("layer={layer}")
        }
    }
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
