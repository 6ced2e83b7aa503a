//! What a step found becomes what it commits.

use foveate_kernels::Guess;

use super::denoiser::Prefill;
use super::policy::View;
use super::remask::{Candidate, Remasking, by_chance, candidates, surest_first};
use super::{Commit, Denoiser};

/// What the decoder found for one request in one step.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen<'a> {
    /// Positions that may be committed, ascending.
    pub(crate) positions: &'a [u32],
    /// One per position.
    pub(crate) guesses: &'a [Guess],
    /// One per token of [`Denoiser::scored`].
    pub(crate) scores: &'a [Guess],
    /// One per token of [`Denoiser::revocable`].
    pub(crate) shadows: &'a [Guess],
    /// `[positions, vocabulary]`, where [`Denoiser::wants_logits`] asked for them.
    pub(crate) logits: &'a [f32],
}

/// What a step changed.
pub(crate) struct Absorbed {
    pub(crate) commits: Vec<Commit>,
    pub(crate) drafts: Vec<Commit>,
    pub(crate) revisions: Vec<Commit>,
}

impl Denoiser {
    /// Commits what the policy chooses and advances.
    pub(crate) fn absorb(&mut self, seen: &Seen<'_>) -> Absorbed {
        if let Some(cache) = &mut self.cache {
            let canvas = &self.canvas;
            cache.settle((0..self.recipe.gen_length).map(|p| !canvas.is_masked(p)));
        }
        let all = candidates(&self.recipe, self.step, seen.positions, seen.guesses);
        let prefills = self.prefills();
        let option = self.choose_option(seen.scores);
        let revocable = self.revocable();
        let (chosen, revoked) = if prefills {
            ((0..all.len()).collect(), Vec::new())
        } else {
            self.choose(&all, seen)
        };
        for &i in &chosen {
            self.canvas.commit(all[i].position, all[i].token);
        }
        let mask = self.recipe.mask;
        for &i in &revoked {
            self.canvas.commit(revocable[i].0, mask);
        }
        self.end_slots();
        // A stop string ends a slot of a template, and an answer without one.
        let stops = self
            .recipe
            .stop
            .iter()
            .filter(|_| self.recipe.template.is_none());
        let found = stops.filter_map(|s| self.canvas.find(s)).min();
        self.stop = match (self.stop, found) {
            (Some(a), Some(b)) => Some(a.min(b)),
            // A revoked stop string stops nothing.
            (_, found) if self.recipe.policy.may_revise() => found,
            (a, b) => a.or(b),
        };
        if prefills {
            self.prefill = Prefill::Done;
        } else {
            self.step += 1;
            self.step_in_block += 1;
        }
        let report = |c: &Candidate| Commit {
            position: c.position,
            token: c.token,
            confidence: c.confidence,
        };
        Absorbed {
            commits: chosen
                .iter()
                .map(|&i| report(&all[i]))
                .chain(option)
                .collect(),
            drafts: all.iter().map(report).collect(),
            revisions: revoked
                .iter()
                .map(|&i| Commit {
                    position: revocable[i].0,
                    token: revocable[i].1,
                    confidence: seen.shadows[i].probability,
                })
                .collect(),
        }
    }

    /// Indices of the candidates that this step commits, ascending, and of the tokens that it revokes.
    fn choose(&mut self, candidates: &[Candidate], seen: &Seen<'_>) -> (Vec<usize>, Vec<usize>) {
        let recipe = &self.recipe;
        if recipe.remasking == Remasking::Origin {
            let share = f64::from(self.budget.share(self.step_in_block));
            return (by_chance(recipe, self.step, candidates, share), Vec::new());
        }
        let order = surest_first(recipe, self.step, candidates);
        let still = match recipe.policy.stability_bound() {
            Some(bound) => {
                let Seen {
                    positions, logits, ..
                } = seen;
                self.stability
                    .update(positions, logits, &recipe.forbidden, bound)
            }
            None => Vec::new(),
        };
        let shadows: Vec<f64> = seen.shadows.iter().map(|g| g.probability).collect();
        let view = View {
            candidates,
            order: &order,
            masked: self.open(recipe.gen_length).len(),
            scheduled: self.budget.count(self.step_in_block, candidates.len()),
            progress: (self.step_in_block + 1) as f64 / recipe.steps_per_block as f64,
            still: &still,
            shadows: &shadows,
            accepted_before: self.accepted,
        };
        let mut chosen = recipe.policy.choose(&view);
        if !recipe.policy.keeps_schedule() {
            // A committed mask token changes nothing, so the same step would come again for ever: the
            // surest real token goes instead, and where there is none the block ends with its masks.
            let real = |i: &usize| candidates[*i].token != recipe.mask;
            chosen.retain(real);
            if chosen.is_empty() {
                chosen.extend(order.iter().copied().find(real));
            }
            self.stuck |= chosen.is_empty() && !candidates.is_empty();
        }
        chosen.sort_unstable();
        let revoked = recipe.policy.revoke(&view, chosen.len());
        self.accepted = chosen.len();
        (chosen, revoked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denoise::policy::{POLICIES, Policy};
    use crate::denoise::{FinishReason, Options};
    use crate::models::{Family, Synthetic};
    use crate::{DecoderShape, NamedShape, SHAPES};

    const END: u32 = 3;
    const REAL: u32 = 5;

    fn denoiser(options: &Options) -> Denoiser {
        let [mid, ..] = SHAPES;
        let decoder = DecoderShape {
            vocabulary: 10,
            ..mid.decoder
        };
        let family = Synthetic::new(&NamedShape { decoder, ..mid }).unwrap();
        let mut card = family.card().clone();
        card.end = vec![END];
        let recipe = options.build(&card, |_| Ok(vec![7])).unwrap();
        Denoiser::new(recipe, &[], Vec::new())
    }

    fn options(policy: Policy) -> Options {
        Options {
            gen_length: 8,
            block_length: 4,
            steps: 4,
            stop: Vec::new(),
            policy,
            ..Options::default()
        }
    }

    /// Runs to the end; the decoder answers `token(position, step)`, less surely to the right.
    fn run(denoiser: &mut Denoiser, token: impl Fn(u32, usize) -> u32) -> usize {
        let mut steps = 0;
        while denoiser.plan() {
            let positions = denoiser.committable();
            let guess = |&position: &u32| {
                let probability = 0.8 / f64::from(position + 1);
                Guess {
                    token: token(position, steps),
                    probability,
                    top: probability,
                    runner_up: probability / 2.0,
                    entropy: 1.0,
                }
            };
            let guesses: Vec<Guess> = positions.iter().map(guess).collect();
            let logits = vec![0.0; positions.len() * 10];
            let shadow = |(position, _): &(u32, u32)| guess(position);
            let shadows: Vec<Guess> = denoiser.revocable().iter().map(shadow).collect();
            denoiser.absorb(&Seen {
                positions: &positions,
                guesses: &guesses,
                scores: &[],
                shadows: &shadows,
                logits: &logits,
            });
            steps += 1;
            assert!(steps <= 100, "{} goes on for ever", denoiser.recipe.policy);
        }
        steps
    }

    #[test]
    fn a_decoder_that_only_predicts_masks_ends_every_policy() {
        for (name, _, policy) in POLICIES {
            let mut denoiser = denoiser(&options(policy));
            let mask = denoiser.mask();
            let steps = run(&mut denoiser, |_, _| mask);
            let blocks = if policy.keeps_schedule() { 4 } else { 2 };
            assert_eq!(steps, blocks, "{name}");
            assert_eq!(denoiser.masked().len(), 8, "{name}");
        }
    }

    #[test]
    fn a_predicted_mask_gives_way_to_the_next_surest_token() {
        for (name, _, policy) in POLICIES.into_iter().skip(1) {
            let mut denoiser = denoiser(&options(policy));
            let mask = denoiser.mask();
            // The surest position wants to stay masked until it is the only one.
            let late = |position, step| {
                if position % 4 == 0 && step % 4 < 3 {
                    mask
                } else {
                    REAL
                }
            };
            run(&mut denoiser, late);
            assert!(denoiser.masked().len() <= 2, "{name}: {:?}", denoiser.ids());
            let left = denoiser.masked();
            assert!(left.iter().all(|p| p % 4 == 0), "{name}: {left:?}");
        }
    }

    #[test]
    fn an_answer_ends_at_its_end_token_once_nothing_before_it_is_masked() {
        let options = Options {
            stop_at_end: true,
            ..options(POLICIES[1].2)
        };
        let mut short = denoiser(&options);
        let token = |position, _| if position == 5 { END } else { REAL };
        assert_eq!(run(&mut short, token), 6);
        let outcome = short.outcome();
        assert_eq!(outcome.finish_reason, FinishReason::End);
        assert_eq!(outcome.ids, [REAL; 5]);

        let mut whole = denoiser(&Options {
            stop_at_end: false,
            ..options
        });
        assert_eq!(run(&mut whole, token), 8);
        assert_eq!(whole.ids()[..5], short.ids()[..5]);
        assert_eq!(whole.outcome().finish_reason, FinishReason::Length);
    }

    #[test]
    fn an_end_token_with_masks_before_it_ends_nothing() {
        let mut denoiser = denoiser(&Options {
            stop_at_end: true,
            ..options(POLICIES[1].2)
        });
        // Committed from left to right, but position 0 is predicted as a mask for a while.
        let mask = denoiser.mask();
        let token = |position, step| match position {
            0 if step < 2 => mask,
            1 => END,
            _ => REAL,
        };
        assert_eq!(run(&mut denoiser, token), 3);
        assert_eq!(denoiser.outcome().ids, [REAL]);
        assert_eq!(denoiser.ids()[..3], [REAL, END, REAL]);
    }

    #[test]
    fn forwards_are_bounded_for_every_policy() {
        for (name, _, policy) in POLICIES {
            for (cfg_scale, most, steps) in [(0.0, 3, 3), (1.0, 3, 1), (1.0, 4, 2)] {
                let mut denoiser = denoiser(&Options {
                    max_forwards: Some(most),
                    cfg_scale,
                    ..options(policy)
                });
                assert_eq!(run(&mut denoiser, |_, _| REAL), steps, "{name}");
                let outcome = denoiser.outcome();
                assert_eq!(outcome.finish_reason, FinishReason::MaxForwards, "{name}");
                assert!(outcome.forwards <= most);
            }
            let mut enough = denoiser(&Options {
                max_forwards: Some(8),
                ..options(policy)
            });
            run(&mut enough, |_, _| REAL);
            assert_eq!(enough.outcome().finish_reason, FinishReason::Length);
        }
    }
}
