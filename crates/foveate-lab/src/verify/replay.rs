//! Replays one case through the engine, step by step.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use foveate_core::{
    Checkpoint, Denoiser, Engine, Environment, Message, Options, Progress, PromptToken, Request,
    Signal, SpecialText, ThinkMode,
};

use super::VerifyArgs;
use super::check::{Report, tolerance};
use super::manifest::{Manifest, cut};
use super::preprocess;
use super::record::Record;
use foveate::Machine;

/// The id that stands for an image in stored prompts.
const IMAGE_SLOT: i64 = -200;

/// Runs the case and compares everything that it stores.
pub(crate) fn verify(manifest: &Manifest, args: &VerifyArgs, report: &mut Report) -> Result<()> {
    let checkpoint = Checkpoint::open(manifest.checkpoint()?)?;
    let machine = Machine {
        backend: args.backend,
        threads: args.threads,
        ..Machine::default()
    };
    let engine = machine.load(&checkpoint, &Environment::default(), &mut |_, _| {})?;
    let request = encode(manifest, &engine, report)?;
    let prompt = prompt(manifest, &engine, &request, report)?;
    let mut denoiser = engine.start_from(&prompt, &request.images, &request.options)?;
    let mut replay = Replay {
        manifest,
        engine: &engine,
        record: Record::default(),
        response: response(&prompt, &request),
    };
    replay.run(&mut denoiser, report)
}

/// Pixels, tower, projector and merged tokens of every image.
fn encode(manifest: &Manifest, engine: &Engine, report: &mut Report) -> Result<Request> {
    let mut images = Vec::new();
    let (mut features, mut projected) = (Vec::new(), Vec::new());
    for (i, picture) in preprocess::pictures(manifest)?.iter().enumerate() {
        let mut record = Record::default();
        record.want(&[Signal::Pixels, Signal::VisionFeatures, Signal::Projected]);
        let visual = engine.encode_tapped(picture, &mut record)?;
        let got = |signal| record.get(signal).context("the tap saw no value");
        preprocess::compare(manifest, i, got(Signal::Pixels)?, report)?;
        features.extend_from_slice(got(Signal::VisionFeatures)?);
        projected.extend_from_slice(got(Signal::Projected)?);
        let name = format!("visual_tokens_{i}");
        if manifest.has(&name) {
            report.close(
                &name,
                visual.features(),
                &manifest.floats(&name)?.1,
                tolerance::VISION,
            );
        }
        images.push(visual);
    }
    for (name, got) in [("vision_features", &features), ("projected", &projected)] {
        if manifest.has(name) {
            report.close(name, got, &manifest.floats(name)?.1, tolerance::VISION);
        }
    }
    Ok(Request {
        messages: vec![Message::user(manifest.question()?, images.len())],
        images,
        think: ThinkMode::default(),
        options: Options {
            draft: manifest.draft(engine.card())?.map(Arc::new),
            ..manifest.options()?
        },
    })
}

/// Prompt ids and where the images are.
fn prompt(
    manifest: &Manifest,
    engine: &Engine,
    request: &Request,
    report: &mut Report,
) -> Result<Vec<PromptToken>> {
    let prompt = engine.prompt(&request.messages, request.think)?;
    let ids: Vec<i64> = prompt
        .iter()
        .map(|t| match t {
            PromptToken::Text(id) => i64::from(*id),
            PromptToken::Image(_) => IMAGE_SLOT,
        })
        .collect();
    report.same("input_ids", &ids, &manifest.integers("input_ids")?.1);
    if manifest.has("visual_ranges") {
        let ranges: Vec<i64> = visual_ranges(&prompt, request)
            .iter()
            .flat_map(|r| [r.start as i64, r.end as i64])
            .collect();
        report.same(
            "visual_ranges",
            &ranges,
            &manifest.integers("visual_ranges")?.1,
        );
    }
    Ok(prompt)
}

/// Rows of each image in the merged prompt.
fn visual_ranges(prompt: &[PromptToken], request: &Request) -> Vec<std::ops::Range<usize>> {
    let mut at = 0;
    let mut ranges = Vec::new();
    for token in prompt {
        match token {
            PromptToken::Text(_) => at += 1,
            PromptToken::Image(i) => {
                let end = at + request.images[*i].len();
                ranges.push(at..end);
                at = end;
            }
        }
    }
    ranges
}

/// Where the response begins, and the images, before any pruning.
pub(super) struct Layout {
    pub(super) images: Vec<std::ops::Range<usize>>,
    pub(super) start: usize,
    pub(super) length: usize,
}

fn response(prompt: &[PromptToken], request: &Request) -> Layout {
    let images = visual_ranges(prompt, request);
    let text = prompt
        .iter()
        .filter(|t| matches!(t, PromptToken::Text(_)))
        .count();
    let start = text + images.iter().map(ExactSizeIterator::len).sum::<usize>();
    Layout {
        images,
        start,
        length: request.options.gen_length,
    }
}

/// One case in progress.
pub(super) struct Replay<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) engine: &'a Engine,
    pub(super) record: Record,
    pub(super) response: Layout,
}

impl Replay<'_> {
    fn run(&mut self, denoiser: &mut Denoiser, report: &mut Report) -> Result<()> {
        let (shape, ids) = self.manifest.integers("step_ids")?;
        let [steps, length] = shape[..] else {
            bail!("step_ids: expected two axes")
        };
        if length != self.response.length {
            bail!(
                "step_ids: expected {} columns, one per token of the answer, got {length}",
                self.response.length
            );
        }
        let tied = self.manifest.tied_refresh()?;
        if self.manifest.has("prefill_last_logits") {
            self.prefill(denoiser, report)?;
        }
        for s in 0..steps {
            if tied == Some(s) {
                report.deliberate(format!(
                    "from step {} on float noise decides which rows the reference refreshes",
                    s + 1
                ));
                return Ok(());
            }
            self.listen(s);
            let rows = denoiser.rows();
            let masked: Vec<usize> = (0..length)
                .filter(|&p| denoiser.ids()[p] == denoiser.mask())
                .collect();
            let mut progress =
                self.engine
                    .step_tapped(&mut [denoiser], &mut self.record, &mut |_, _| {})?;
            let Some(Progress::Stepped(step)) = progress.pop() else {
                report.fail(format!(
                    "the answer ended after {s} steps, expected {steps}"
                ));
                return Ok(());
            };
            if s == 0 {
                if !self.manifest.has("prefill_last_logits") {
                    self.compare_first_forward(report)?;
                }
                if self.manifest.blind() {
                    report.deliberate(
                        "as released, RedVTP-LaViDa runs on the embedding of one token in place of \
                         the prompt and its images; here the decoder sees them",
                    );
                    return Ok(());
                }
                self.compare_attention(&step, &masked, report)?;
            }
            self.compare_recomputed(s, report)?;
            self.compare_logits(s, &step, report)?;
            self.compare_candidates(s, length, &step, report)?;
            // LaViDa's prompt is a forward of its own before the first step.
            let prompt = if self.manifest.prefix() {
                self.response.start
            } else {
                0
            };
            self.compare_shape(s, rows - prompt, step.block - 1, report)?;
            // What follows the stop is never returned, and the reference fills it in any order.
            let end = denoiser.stop_position().unwrap_or(length);
            let got: Vec<i64> = denoiser.ids()[..end]
                .iter()
                .map(|&id| i64::from(id))
                .collect();
            let want = cut("step_ids", &ids, s * length..s * length + end)?;
            report.same(format!("step_ids[{s}]"), &got, want);
            if s == 0 {
                if self.manifest.wrong_window() {
                    report.deliberate(
                        "the reference prunes a window that starts at the first image and has the last \
                         one's length; each image keeps its own quota here",
                    );
                    return Ok(());
                }
                self.compare_kept(&step, report)?;
            }
        }
        if denoiser.outcome().steps != steps {
            report.fail("the number of steps differs");
        }
        let mut rest = self.engine.step(&mut [denoiser])?;
        if !matches!(rest.pop(), Some(Progress::Finished)) {
            report.fail(format!("the answer goes on after {steps} steps"));
        }
        let outcome = denoiser.outcome();
        let got: Vec<i64> = outcome.ids.iter().map(|&id| i64::from(id)).collect();
        let whole = self.manifest.integers("output_ids")?.1;
        if self.manifest.has("response_ids") {
            let (_, want) = self.manifest.integers("response_ids")?;
            report.same("response_ids", &got, &want);
            // The whole canvas, behind zeros in place of LaViDa's prompt.
            let (prompt, canvas) = whole.split_at(whole.len().saturating_sub(length));
            let end = denoiser.stop_position().unwrap_or(length);
            let got = denoiser.ids()[..end].iter().map(|&id| i64::from(id));
            let mut all = vec![0; prompt.len()];
            all.extend(got);
            let stored = [prompt, cut("output_ids", canvas, 0..end)?].concat();
            report.same("output_ids", &all, &stored);
        } else {
            report.same("output_ids", &got, &whole);
        }
        if let Some(want) = self.manifest.output_text() {
            let got = self
                .engine
                .tokenizer()
                .decode(&outcome.ids, SpecialText::Keep)?;
            report.same("output_text", &[got.as_str()], &[want]);
        }
        Ok(())
    }

    /// Dream under the prefix cache reads its first token from a pass over the prompt.
    fn prefill(&mut self, denoiser: &mut Denoiser, report: &mut Report) -> Result<()> {
        self.record.want(&[Signal::Embeddings]);
        let mut progress =
            self.engine
                .step_tapped(&mut [denoiser], &mut self.record, &mut |_, _| {})?;
        let Some(Progress::Stepped(step)) = progress.pop() else {
            bail!("the answer ended before its first step");
        };
        self.compare_first_forward(report)?;
        let (_, logits) = self.manifest.floats("prefill_last_logits")?;
        let best = |best: usize, i: usize| if logits[i] > logits[best] { i } else { best };
        let want = [(0, 0, (0..logits.len()).fold(0, best) as u32)];
        let got: Vec<_> = step
            .commits
            .iter()
            .map(|c| (step.step, c.position, c.token))
            .collect();
        report.same("prefill", &got, &want);
        Ok(())
    }

    /// Asks the tap for what the case stores of step `s`.
    fn listen(&mut self, s: usize) {
        let m = self.manifest;
        let first = s == 0;
        let mut signals = Vec::new();
        if m.has(&format!("logits_step{s}")) || m.has(&format!("logits_step{s}_response")) {
            signals.push(Signal::Logits);
        }
        if first && (m.has("inputs_embeds") || m.has("hidden_states_step0")) {
            signals.push(Signal::Embeddings);
        }
        if first && m.has("hidden_states_step0") {
            signals.push(Signal::Final);
        }
        if let Some(layer) = m
            .fastv_layer()
            .filter(|_| first && m.has("hidden_after_layer_K"))
        {
            signals.push(Signal::Hidden(layer));
        }
        if m.has("dllm_refresh_index") {
            let layers = 1..=self.engine.card().decoder.layers;
            signals.extend(layers.map(|layer| Signal::Recomputed { layer, lane: 0 }));
        }
        self.record.all_hidden = first && m.has("hidden_states_step0");
        self.record.all_attention = first && m.has("attn_layer_head_mean");
        self.record.want(&signals);
    }
}
