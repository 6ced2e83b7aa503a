//! What a replayed step is compared with: hidden states, attention, logits, candidates, kept tokens.

use anyhow::{Context, Result};
use foveate_core::{Signal, Step};

use super::check::{Report, tolerance};
use super::manifest::cut;
use super::replay::Replay;

/// Stored confidences at or below this mean "not eligible".
const NOT_ELIGIBLE: f32 = -1e29;

impl Replay<'_> {
    pub(super) fn compare_first_forward(&self, report: &mut Report) -> Result<()> {
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
            anyhow::ensure!(shape.len() == 3, "hidden_states_step0: expected three axes");
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
    pub(super) fn compare_attention(
        &self,
        step: &Step,
        masked: &[usize],
        report: &mut Report,
    ) -> Result<()> {
        let m = self.manifest;
        if !m.has("attn_layer_head_mean") {
            return Ok(());
        }
        let window = &m.integers("prune_range")?.1;
        let (start, end) = match window[..] {
            [start, end] if 0 <= start && start <= end && end <= self.response.start as i64 => {
                (start as usize, end as usize)
            }
            _ => anyhow::bail!(
                "prune_range: expected rows of the prompt, which has {}, got {window:?}",
                self.response.start
            ),
        };
        let layers = self.engine.card().decoder.layers;
        let mut before = vec![0.0; self.response.length * (end - start)];
        for layer in 1..=layers {
            let sum = self.window(layer, start, end)?;
            if m.has("attn_per_layer") {
                let (_, want) = m.floats("attn_per_layer")?;
                let got: Vec<f32> = sum.iter().zip(&before).map(|(a, b)| a - b).collect();
                let range = (layer - 1) * got.len()..layer * got.len();
                let want = cut("attn_per_layer", &want, range)?;
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

    /// The rows that dLLM-Cache computes again in each layer of step `s`.
    pub(super) fn compare_recomputed(&self, s: usize, report: &mut Report) -> Result<()> {
        let m = self.manifest;
        if !m.has("dllm_refresh_index") {
            return Ok(());
        }
        let (shape, rows) = m.integers("dllm_refresh_index")?;
        let (_, places) = m.integers("dllm_refresh_step_layer")?;
        let width = shape.get(1).copied().unwrap_or(0);
        let mut want = Vec::new();
        for (place, at) in places.as_chunks::<2>().0.iter().enumerate() {
            if at[0] == s as i64 {
                let range = place * width..(place + 1) * width;
                want.push((at[1] + 1, cut("dllm_refresh_index", &rows, range)?.to_vec()));
            }
        }
        let layers = 1..=self.engine.card().decoder.layers;
        let got: Vec<_> = layers
            .filter_map(|layer| {
                let rows = self.record.get(Signal::Recomputed { layer, lane: 0 })?;
                Some((layer as i64, rows.iter().map(|row| *row as i64).collect()))
            })
            .collect();
        report.same(format!("dllm_refresh_index[{s}]"), &got, &want);
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

    pub(super) fn compare_logits(&self, s: usize, step: &Step, report: &mut Report) -> Result<()> {
        let Some(got) = self.record.get(Signal::Logits) else {
            return Ok(());
        };
        let width = self.engine.card().decoder.vocabulary;
        let rows = got.len() / width;
        let whole = format!("logits_step{s}");
        if self.manifest.has(&whole) {
            let (_, want) = self.manifest.floats(&whole)?;
            let got = if self.manifest.prefix() {
                got[got.len().saturating_sub(want.len())..].to_vec()
            } else {
                self.spread(got, width, want.len() / width, step)
            };
            report.close(whole, &got, &want, tolerance::LOGITS);
        }
        let part = format!("logits_step{s}_response");
        if self.manifest.has(&part) {
            let (shape, want) = self.manifest.floats(&part)?;
            // The last rows: with a suffix and fewer stored rows, the response's end and the suffix.
            let stored = shape.first().map_or(0, |rows| rows.saturating_mul(width));
            let first = (rows * width).saturating_sub(stored);
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
    pub(super) fn compare_candidates(
        &self,
        s: usize,
        length: usize,
        step: &Step,
        report: &mut Report,
    ) -> Result<()> {
        let (_, tokens) = self.manifest.integers("step_x0")?;
        let (_, confidence) = self.manifest.floats("step_confidence")?;
        let range = s * length..(s + 1) * length;
        let (tokens, confidence) = (
            cut("step_x0", &tokens, range.clone())?,
            cut("step_confidence", &confidence, range)?,
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

    pub(super) fn compare_shape(
        &self,
        s: usize,
        rows: usize,
        block: usize,
        report: &mut Report,
    ) -> Result<()> {
        let m = self.manifest;
        let (_, blocks) = m.integers("step_block")?;
        let want = cut("step_block", &blocks, s..s + 1)?;
        report.same(format!("step_block[{s}]"), &[block as i64], want);
        let (_, steps) = m.integers("step_in_block")?;
        let begun = blocks[..s].iter().rev().take_while(|b| **b == block as i64);
        let in_block = begun.count() as i64;
        let want = cut("step_in_block", &steps, s..s + 1)?;
        report.same(format!("step_in_block[{s}]"), &[in_block], want);
        // LLaDA-FastV cases store the full length although dropped rows are no longer run.
        if m.fastv_layer().is_none() {
            let (_, lengths) = m.integers("step_seq_len")?;
            report.same(
                format!("step_seq_len[{s}]"),
                &[rows as i64],
                cut("step_seq_len", &lengths, s..s + 1)?,
            );
        }
        Ok(())
    }

    pub(super) fn compare_kept(&self, step: &Step, report: &mut Report) -> Result<()> {
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
