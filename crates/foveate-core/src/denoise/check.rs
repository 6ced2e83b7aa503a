//! What a request may not choose, and what follows from what it chose.

use super::filter::Filter;
use super::{Options, Remasking, Schedule};
use crate::cache::CacheMethod;
use crate::error::{Error, Result};
use crate::models::{ModelCard, Predicts, Sampling};
use crate::prune::{Moment, Pruning};

/// Most denoising steps of an answer: the original code takes any number, and this is more than is of use.
const MOST_STEPS: usize = 1 << 16;

/// Longest answer, whatever a config says of its model.
const MOST_TOKENS: usize = 1 << 20;

impl Options {
    /// Checks every number, so that a wrong one fails before the weights are read.
    ///
    /// [`crate::Engine::start`] checks again.
    pub fn check(&self, card: &ModelCard) -> Result<()> {
        let most = card.max_rows.min(MOST_TOKENS);
        if self.gen_length > most {
            return Err(Error::request(
                "gen-length",
                format!(
                    "expected at most {most}, what can be read at once, got {}",
                    self.gen_length
                ),
            ));
        }
        self.steps_planned()?;
        self.schedule.check()?;
        if self.remasking == Remasking::Origin && self.schedule != Schedule::Timesteps {
            return Err(Error::request(
                "remasking",
                "origin commits by the times of a schedule; use it with schedule timesteps",
            ));
        }
        check_scale("alg-temp", self.alg_temp)?;
        check_scale("temperature", self.temperature)?;
        check_scale("cfg-scale", self.cfg_scale)?;
        if self.stop.iter().any(String::is_empty) {
            return Err(Error::request("stop", "a stop string is empty"));
        }
        self.filter(card)?;
        self.check_policy(card)?;
        if let Some(template) = &self.template {
            template.check_lengths(self.gen_length, self.block_length)?;
        }
        if let Some(draft) = &self.draft {
            if self.template.is_some() {
                return Err(Error::request(
                    "draft",
                    "a template gives the whole answer; use one of the two",
                ));
            }
            draft.check_length(self.gen_length)?;
        }
        let pruning = self.pruning(card.decoder.layers)?;
        if let Some(Moment::AfterStep(step)) = pruning.as_ref().map(Pruning::moment)
            && step > self.most_steps()?
        {
            let most = self.most_steps()?;
            return Err(Error::request(
                "prune-at",
                format!("expected one of the answer's steps, at most {most}, got step={step}"),
            ));
        }
        self.cache.build(pruning.as_ref()).map(drop)
    }

    /// Denoising steps of the whole answer, unless it ends early.
    pub fn steps_planned(&self) -> Result<usize> {
        let blocks = self.blocks()?;
        Ok(blocks * self.steps_of_a_block(blocks)?)
    }

    pub(super) fn blocks(&self) -> Result<usize> {
        for (field, value) in [
            ("gen-length", self.gen_length),
            ("block-length", self.block_length),
            ("steps", self.steps),
        ] {
            if value == 0 {
                return Err(Error::request(field, "expected at least 1, got 0"));
            }
        }
        let (gen_length, block_length) = (self.gen_length, self.block_length);
        if gen_length % block_length != 0 {
            return Err(Error::request(
                "block-length",
                format!("expected a divisor of gen-length ({gen_length}), got {block_length}"),
            ));
        }
        let blocks = gen_length / block_length;
        let by_block = self.steps_per_block.is_some() || self.step_ratio.is_some();
        if !self.steps.is_multiple_of(blocks) && !by_block {
            return Err(Error::request(
                "steps",
                format!(
                    "expected a multiple of the {blocks} blocks, got {}",
                    self.steps
                ),
            ));
        }
        Ok(blocks)
    }

    pub(super) fn steps_of_a_block(&self, blocks: usize) -> Result<usize> {
        let length = self.gen_length / blocks;
        match (self.steps_per_block, self.step_ratio) {
            (Some(_), Some(_)) => Err(Error::request(
                "steps-per-block",
                "says the same as step-ratio; give one of the two",
            )),
            (Some(0), None) => Err(Error::request(
                "steps-per-block",
                "expected at least 1, got 0",
            )),
            (Some(steps), None) => Ok(steps.min(length)),
            (None, Some(ratio)) => {
                // Truncated in f64 as in the reference; a NaN makes 0.
                let steps = (length as f64 * ratio) as usize;
                if ratio > 1.0 || steps == 0 {
                    return Err(Error::request(
                        "step-ratio",
                        format!(
                            "expected at most 1 and at least one step per block of {length}, got {ratio}"
                        ),
                    ));
                }
                Ok(steps)
            }
            (None, None) if self.steps > MOST_STEPS => Err(Error::request(
                "steps",
                format!(
                    "expected at most {MOST_STEPS}, of which no more than one per token ({}) commit any; got {}",
                    self.gen_length, self.steps
                ),
            )),
            (None, None) => Ok(self.steps / blocks),
        }
    }

    pub(super) fn filter(&self, card: &ModelCard) -> Result<Option<Filter>> {
        if self.top_p.is_some_and(|p| !(p > 0.0 && p <= 1.0)) {
            return Err(Error::request(
                "top-p",
                format!(
                    "expected above 0 and at most 1, got {}",
                    self.top_p.unwrap_or_default()
                ),
            ));
        }
        if self.top_k == Some(0) {
            return Err(Error::request("top-k", "expected at least 1, got 0"));
        }
        match card.sampling {
            Sampling::Filtered => Ok(Some(Filter {
                temperature: self.temperature,
                top_p: self.top_p,
                top_k: self.top_k,
            })),
            Sampling::Gumbel if self.top_p.is_some() || self.top_k.is_some() => {
                Err(Error::request(
                    if self.top_p.is_some() {
                        "top-p"
                    } else {
                        "top-k"
                    },
                    format!(
                        "the {} family draws from all ids, only lavida-dream filters; leave it out",
                        card.family
                    ),
                ))
            }
            Sampling::Gumbel => Ok(None),
        }
    }

    /// Steps that the answer takes at most, for progress bars: a policy other than `fixed` takes as
    /// many as it needs, each of which commits a token.
    pub fn most_steps(&self) -> Result<usize> {
        let steps = if self.policy.keeps_schedule() {
            self.steps_planned()?
        } else {
            self.gen_length
        };
        let most = self.max_forwards.unwrap_or(usize::MAX);
        Ok(steps.min(most / self.forwards_per_step()))
    }

    /// A guided step runs two sequences.
    fn forwards_per_step(&self) -> usize {
        1 + usize::from(self.cfg_scale > 0.0)
    }

    fn check_policy(&self, card: &ModelCard) -> Result<()> {
        self.policy.check()?;
        if !self.policy.keeps_schedule() && self.remasking != Remasking::LowConfidence {
            return Err(Error::request(
                "policy",
                format!(
                    "{} goes by the candidates' probabilities, expected remasking low-confidence; \
                     use that, or the policy fixed",
                    self.policy
                ),
            ));
        }
        if !self.policy.keeps_schedule() && self.alg_temp > 0.0 {
            return Err(Error::request(
                "alg-temp",
                format!(
                    "draws as many positions as a schedule says, which {} has not; use the policy fixed",
                    self.policy
                ),
            ));
        }
        if self.policy.may_revise() && self.cache.method != CacheMethod::None {
            return Err(Error::request(
                "policy",
                format!(
                    "{} reads the shadow of a block in every pass, which no cache keeps; use cache none",
                    self.policy
                ),
            ));
        }
        if self.policy.may_revise() && card.predicts == Predicts::Next {
            return Err(Error::request(
                "policy",
                format!(
                    "{} doubts a token by the row in its place, but the {} family tells a token by the row \
                     before it; use another policy",
                    self.policy, card.family
                ),
            ));
        }
        let one_step = self.forwards_per_step();
        match self.max_forwards {
            Some(most) if most < one_step => Err(Error::request(
                "max-forwards",
                format!("expected at least {one_step}, what one step takes, got {most}"),
            )),
            _ => Ok(()),
        }
    }
}

fn check_scale(field: &'static str, value: f64) -> Result<()> {
    if value.is_finite() && (0.0..=100.0).contains(&value) {
        Ok(())
    } else {
        Err(Error::request(
            field,
            format!("expected a number from 0 to 100, got {value}"),
        ))
    }
}
