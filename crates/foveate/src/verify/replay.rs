//! Replays one case through the engine, step by step.

use anyhow::{Context, Result, bail};
use foveate_core::{
    Checkpoint, Denoiser, Engine, Environment, Message, Progress, PromptToken, Request, Signal,
    SpecialText, Step, ThinkMode,
};

use super::VerifyArgs;
use super::check::{Report, tolerance};
use super::manifest::Manifest;
use super::preprocess;
use super::record::Record;

/// The id that stands for an image in stored prompts.
const IMAGE_SLOT: i64 = -200;
/// Stored confidences at or below this mean "not eligible".
const NOT_ELIGIBLE: f32 = -1e29;

/// Runs the case and compares everything that it stores.
pub fn verify(manifest: &Manifest, args: &VerifyArgs, report: &mut Report) -> Result<()> {
    let checkpoint = Checkpoint::open(manifest.checkpoint()?)?;
    let engine = crate::backend::load(
        &checkpoint,
        &Environment::default(),
        args.backend,
        args.threads,
        &mut |_, _| {},
    )?;
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
        options: manifest.options()?,
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
struct Layout {
    images: Vec<std::ops::Range<usize>>,
    start: usize,
    length: usize,
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

struct Replay<'a> {
    manifest: &'a Manifest,
    engine: &'a Engine,
    record: Record,
    response: Layout,
}

impl Replay<'_> {
    fn run(&mut self, denoiser: &mut Denoiser, report: &mut Report) -> Result<()> {
        let (shape, ids) = self.manifest.integers("step_ids")?;
        let [steps, length] = shape[..] else {
            bail!("step_ids: expected two axes")
        };
        for s in 0..steps {
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
                self.compare_first_forward(report)?;
                self.compare_attention(&step, &masked, report)?;
            }
            self.compare_logits(s, &step, report)?;
            self.compare_candidates(s, length, &step, report)?;
            self.compare_shape(s, rows, step.block - 1, report)?;
            // What follows the stop is never returned, and the reference fills it in any order.
            let end = denoiser.stop_position().unwrap_or(length);
            let got: Vec<i64> = denoiser.ids()[..end]
                .iter()
                .map(|&id| i64::from(id))
                .collect();
            report.same(format!("step_ids[{s}]"), &got, &ids[s * length..][..end]);
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
        if denoiser.clone().fork().outcome().steps != steps {
            report.fail("the number of steps differs");
        }
        let mut rest = self.engine.step(&mut [denoiser])?;
        if !matches!(rest.pop(), Some(Progress::Finished)) {
            report.fail(format!("the answer goes on after {steps} steps"));
        }
        let outcome = denoiser.outcome();
        let got: Vec<i64> = outcome.ids.iter().map(|&id| i64::from(id)).collect();
        report.same("output_ids", &got, &self.manifest.integers("output_ids")?.1);
        if let Some(want) = self.manifest.output_text() {
            let got = self
                .engine
                .tokenizer()
                .decode(&outcome.ids, SpecialText::Keep)?;
            report.same("output_text", &[got.as_str()], &[want]);
        }
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
        self.record.all_hidden = first && m.has("hidden_states_step0");
        self.record.all_attention = first && m.has("attn_layer_head_mean");
        self.record.want(&signals);
    }

    fn compare_first_forward(&self, report: &mut Report) -> Result<()> {
        let m = self.manifest;
        if let Some(got) = self
            .record
            .get(Signal::Embeddings)
            .filter(|_| m.has("inputs_embeds"))
        {
            let (_, want) = m.floats("inputs_embeds")?;
            let got = got.get(..want.len()).unwrap_or(got);
            report.close("inputs_embeds", got, &want, tolerance::VISION);
        }
        if m.has("hidden_states_step0") {
            let (shape, want) = m.floats("hidden_states_step0")?;
            let size = shape[1] * shape[2];
            for layer in 0..shape[0] {
                let signal = match layer {
                    0 => Signal::Embeddings,
                    l if l + 1 == shape[0] => Signal::Final,
                    l => Signal::Hidden(l),
                };
                let got = self.record.get(signal).unwrap_or_default();
                let want = &want[layer * size..(layer + 1) * size];
                report.close(
                    format!("hidden_states_step0[{layer}]"),
                    got,
                    want,
                    tolerance::HIDDEN,
                );
            }
        }
        if let Some(layer) = m.fastv_layer().filter(|_| m.has("hidden_after_layer_K")) {
            let got = self.record.get(Signal::Hidden(layer)).unwrap_or_default();
            let (_, want) = m.floats("hidden_after_layer_K")?;
            report.close("hidden_after_layer_K", got, &want, tolerance::HIDDEN);
        }
        Ok(())
    }

    /// Attention of the response rows on the stored window, per layer and averaged.
    fn compare_attention(&self, step: &Step, masked: &[usize], report: &mut Report) -> Result<()> {
        let m = self.manifest;
        if !m.has("attn_layer_head_mean") {
            return Ok(());
        }
        let window = &m.integers("prune_range")?.1;
        let (start, end) = (window[0] as usize, window[1] as usize);
        let layers = self.engine.card().decoder.layers;
        let mut before = vec![0.0; self.response.length * (end - start)];
        for layer in 1..=layers {
            let sum = self.window(layer, start, end)?;
            if m.has("attn_per_layer") {
                let (_, want) = m.floats("attn_per_layer")?;
                let got: Vec<f32> = sum.iter().zip(&before).map(|(a, b)| a - b).collect();
                let want = &want[(layer - 1) * got.len()..layer * got.len()];
                report.close(
                    format!("attn_per_layer[{}]", layer - 1),
                    &got,
                    want,
                    tolerance::LAYER_ATTENTION,
                );
            }
            before = sum;
        }
        let mean: Vec<f32> = before.iter().map(|v| v / layers as f32).collect();
        let (_, want) = m.floats("attn_layer_head_mean")?;
        let want = want.get(..mean.len()).unwrap_or(&want);
        report.close("attn_layer_head_mean", &mean, want, tolerance::ATTENTION);
        if m.has("remask_indices") {
            let committed = |p: &usize| step.commits.iter().any(|c| c.position as usize == *p);
            let got: Vec<i64> = masked
                .iter()
                .filter(|p| !committed(p))
                .map(|p| (self.response.start + p) as i64)
                .collect();
            report.same("remask_indices", &got, &m.integers("remask_indices")?.1);
        }
        Ok(())
    }

    /// Attention summed over layers `1..=layer` on merged columns `start..end`, `[response, columns]`.
    fn window(&self, layer: usize, start: usize, end: usize) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.response.length * (end - start)];
        for (image, range) in self.response.images.iter().enumerate() {
            let signal = Signal::Attention {
                layer,
                request: 0,
                image,
            };
            let mass = self
                .record
                .get(signal)
                .context("the tap saw no attention")?;
            for row in 0..self.response.length {
                for column in range.clone().filter(|c| (start..end).contains(c)) {
                    out[row * (end - start) + column - start] =
                        mass[row * range.len() + column - range.start];
                }
            }
        }
        Ok(out)
    }

    fn compare_logits(&self, s: usize, step: &Step, report: &mut Report) -> Result<()> {
        let Some(got) = self.record.get(Signal::Logits) else {
            return Ok(());
        };
        let width = self.engine.card().decoder.vocabulary;
        let rows = got.len() / width;
        let whole = format!("logits_step{s}");
        if self.manifest.has(&whole) {
            let (_, want) = self.manifest.floats(&whole)?;
            let got = self.spread(got, width, want.len() / width, step);
            report.close(whole, &got, &want, tolerance::LOGITS);
        }
        let part = format!("logits_step{s}_response");
        if self.manifest.has(&part) {
            let (shape, want) = self.manifest.floats(&part)?;
            // The last rows: with a suffix and fewer stored rows, the response's end and the suffix.
            let first = (rows * width).saturating_sub(shape[0] * width);
            report.close(part, &got[first..], &want, tolerance::LOGITS);
        }
        Ok(())
    }

    /// Rows of a pruned pass at their places among `total`; the reference writes zeros for the others.
    fn spread(&self, got: &[f32], width: usize, total: usize, step: &Step) -> Vec<f32> {
        if got.len() == total * width {
            return got.to_vec();
        }
        let mut out = vec![0.0; total * width];
        let kept = self.kept_rows(step, total);
        for (row, values) in kept.iter().zip(got.chunks(width)) {
            out[row * width..(row + 1) * width].copy_from_slice(values);
        }
        out
    }

    /// Rows, of `total`, that survive the step's pruning.
    fn kept_rows(&self, step: &Step, total: usize) -> Vec<usize> {
        let dropped = |row: &usize| {
            step.pruned.iter().any(|p| {
                let range = &self.response.images[p.image];
                range.contains(row) && !p.kept.contains(&((row - range.start) as u32))
            })
        };
        (0..total).filter(|r| !dropped(r)).collect()
    }

    /// Candidates, their confidence, and which positions were eligible.
    fn compare_candidates(
        &self,
        s: usize,
        length: usize,
        step: &Step,
        report: &mut Report,
    ) -> Result<()> {
        let (_, tokens) = self.manifest.integers("step_x0")?;
        let (_, confidence) = self.manifest.floats("step_confidence")?;
        let (tokens, confidence) = (
            &tokens[s * length..][..length],
            &confidence[s * length..][..length],
        );
        let got: Vec<_> = step
            .commits
            .iter()
            .map(|c| (c.position, i64::from(c.token)))
            .collect();
        let want: Vec<_> = step
            .commits
            .iter()
            .map(|c| (c.position, tokens[c.position as usize]))
            .collect();
        report.same(format!("step_x0[{s}]"), &got, &want);
        let eligible: Vec<u32> = step.drafts.iter().map(|d| d.position).collect();
        let stored: Vec<u32> = (0..length as u32)
            .filter(|&p| confidence[p as usize] > NOT_ELIGIBLE)
            .collect();
        report.same(format!("eligible[{s}]"), &eligible, &stored);
        // A candidate that is not committed may be near-tied with another token.
        let sure: Vec<_> = step
            .drafts
            .iter()
            .filter(|d| i64::from(d.token) == tokens[d.position as usize])
            .collect();
        let got: Vec<f32> = sure.iter().map(|d| d.confidence as f32).collect();
        let want: Vec<f32> = sure
            .iter()
            .map(|d| confidence[d.position as usize])
            .collect();
        report.close(
            format!("step_confidence[{s}]"),
            &got,
            &want,
            tolerance::CONFIDENCE,
        );
        Ok(())
    }

    fn compare_shape(
        &self,
        s: usize,
        rows: usize,
        block: usize,
        report: &mut Report,
    ) -> Result<()> {
        let m = self.manifest;
        let (_, blocks) = m.integers("step_block")?;
        report.same(format!("step_block[{s}]"), &[block as i64], &blocks[s..=s]);
        // LLaDA-FastV cases store the full length although dropped rows are no longer run.
        if m.fastv_layer().is_none() {
            let (_, lengths) = m.integers("step_seq_len")?;
            report.same(
                format!("step_seq_len[{s}]"),
                &[rows as i64],
                &lengths[s..=s],
            );
        }
        Ok(())
    }

    fn compare_kept(&self, step: &Step, report: &mut Report) -> Result<()> {
        let m = self.manifest;
        if !m.has("keep_local_idx") {
            return Ok(());
        }
        let [pruned] = &step.pruned[..] else {
            report.fail(format!(
                "expected one image to be pruned, got {}",
                step.pruned.len()
            ));
            return Ok(());
        };
        let kept: Vec<i64> = pruned.kept.iter().map(|&k| i64::from(k)).collect();
        report.same("keep_local_idx", &kept, &m.integers("keep_local_idx")?.1);
        let range = &self.response.images[pruned.image];
        if m.has("prune_range") {
            let got = [range.start as i64, range.end as i64];
            report.same("prune_range", &got, &m.integers("prune_range")?.1);
        }
        if m.has("keep_positions") {
            let want = m.integers("keep_positions")?.1;
            let total = self.response.start + self.response.length;
            let got: Vec<i64> = self
                .kept_rows(step, total)
                .iter()
                .map(|&r| r as i64)
                .collect();
            report.same("keep_positions", &got, &want);
        }
        let scores = match m.fastv_query() {
            Some(query) => format!("fastv_score_{query}"),
            None => "vis_importance".to_string(),
        };
        if m.has(&scores) {
            let (_, want) = m.floats(&scores)?;
            report.close(scores, &pruned.scores, &want, tolerance::ATTENTION);
        }
        Ok(())
    }
}
