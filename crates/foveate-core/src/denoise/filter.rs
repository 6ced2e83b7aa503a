//! Dream's sampling: temperature, then top-p, then top-k, then a softmax over the ids that are left.
//!
//! At temperature 0 the filters never change the candidate, but they change every confidence, and
//! with it the order in which positions are committed.

use foveate_kernels::{Guess, Noise};

/// What becomes of one position's logits. Source: LaViDa, `sample_tokens` of `generation_utils.py`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Filter {
    /// Divides the logits; 0 takes the highest.
    pub(crate) temperature: f64,
    /// The most probable ids up to this mass, and the one that crosses it.
    pub(crate) top_p: Option<f64>,
    /// The ids at or above the `k`-th highest logit.
    pub(crate) top_k: Option<usize>,
}

/// One id that may be chosen.
#[derive(Clone, Copy)]
struct Choice {
    /// Divided by the temperature.
    logit: f64,
    token: u32,
}

impl Filter {
    /// The candidate of one position; `noise` draws it above temperature 0.
    pub(crate) fn guess(&self, logits: &[f32], forbidden: &[u32], noise: &Noise<'_>) -> Guess {
        let scale = if self.temperature > 0.0 {
            self.temperature
        } else {
            1.0
        };
        let all: Vec<Choice> = (0..)
            .zip(logits)
            .filter(|(token, _)| !forbidden.contains(token))
            .map(|(token, &logit)| Choice {
                logit: f64::from(logit) / scale,
                token,
            })
            .collect();
        let left = self.left(all);
        let Some(max) = left.first().map(|c| c.logit) else {
            return NOTHING;
        };
        let mass = |c: &Choice| (c.logit - max).exp();
        let sum: f64 = left.iter().map(mass).sum();
        let probability = |c: &Choice| mass(c) / sum;
        let chosen = if self.temperature > 0.0 {
            draw(&left, noise)
        } else {
            left[0]
        };
        Guess {
            token: chosen.token,
            probability: probability(&chosen),
            top: probability(&left[0]),
            runner_up: left.get(1).map_or(0.0, probability),
            entropy: left
                .iter()
                .map(|c| probability(c) * (sum.ln() - (c.logit - max)))
                .sum(),
        }
    }

    /// The ids that pass both filters, best first; the lower id among equals.
    fn left(&self, mut choices: Vec<Choice>) -> Vec<Choice> {
        let better = |a: &Choice, b: &Choice| b.logit.total_cmp(&a.logit);
        let highest = choices.iter().map(|c| c.logit).fold(f64::MIN, f64::max);
        let whole: f64 = choices.iter().map(|c| (c.logit - highest).exp()).sum();
        if let Some(k) = self.top_k.filter(|k| *k < choices.len()) {
            let (_, last, _) = choices.select_nth_unstable_by(k - 1, better);
            let least = last.logit;
            choices.retain(|c| c.logit >= least);
        }
        choices.sort_unstable_by(|a, b| better(a, b).then(a.token.cmp(&b.token)));
        if let Some(top_p) = self.top_p {
            let mut before = 0.0;
            let within = |c: &Choice| {
                let keep = before <= top_p;
                before += (c.logit - highest).exp() / whole;
                keep
            };
            let count = choices.iter().map(within).take_while(|keep| *keep).count();
            choices.truncate(count.max(1));
        }
        choices
    }
}

/// Every id was forbidden.
const NOTHING: Guess = Guess {
    token: 0,
    probability: 0.0,
    top: 0.0,
    runner_up: 0.0,
    entropy: 0.0,
};

/// One id by its probability: the highest `logit - ln(-ln u)`.
fn draw(left: &[Choice], noise: &Noise<'_>) -> Choice {
    let score = |c: &Choice| c.logit - (-noise.draw(c.token).ln()).ln();
    let mut best = (left[0], f64::NEG_INFINITY);
    for choice in left {
        let score = score(choice);
        if score > best.1 {
            best = (*choice, score);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Noise<'static> = Noise::Recorded(&[]);

    fn filter(temperature: f64, top_p: Option<f64>, top_k: Option<usize>) -> Filter {
        Filter {
            temperature,
            top_p,
            top_k,
        }
    }

    /// Logits of the probabilities 0.5, 0.3, 0.15 and 0.05, not in order.
    fn logits() -> [f32; 4] {
        [0.15f32, 0.5, 0.05, 0.3].map(f32::ln)
    }

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-6, "got {got}, expected {want}");
    }

    #[test]
    fn without_filters_it_is_the_plain_softmax() {
        let guess = filter(0.0, None, None).guess(&logits(), &[], &QUIET);
        assert_eq!(guess.token, 1);
        close(guess.probability, 0.5);
        close(guess.runner_up, 0.3);
        close(guess.entropy, 1.142_120);
    }

    #[test]
    fn the_highest_k_share_all_the_mass_and_ties_with_the_last_stay() {
        let guess = filter(0.0, None, Some(2)).guess(&logits(), &[], &QUIET);
        close(guess.probability, 0.5 / 0.8);
        close(guess.runner_up, 0.3 / 0.8);
        let guess = filter(0.0, None, Some(2)).guess(&[1.0, 0.0, 0.0, -9.0], &[], &QUIET);
        close(guess.probability, 1.0 / (1.0 + 2.0 / std::f64::consts::E));
        let guess = filter(0.0, None, Some(1)).guess(&logits(), &[], &QUIET);
        assert_eq!(
            (guess.probability, guess.runner_up, guess.entropy),
            (1.0, 0.0, 0.0)
        );
    }

    #[test]
    fn the_id_that_crosses_the_mass_stays() {
        // 0.5 is within 0.6, 0.5 + 0.3 crosses it, and so 0.15 and 0.05 go.
        let guess = filter(0.0, Some(0.6), None).guess(&logits(), &[], &QUIET);
        close(guess.probability, 0.5 / 0.8);
        let guess = filter(0.0, Some(0.0), None).guess(&logits(), &[], &QUIET);
        close(guess.probability, 1.0);
        // Top-p looks at the whole distribution, not at what top-k leaves of it.
        let guess = filter(0.0, Some(0.4), Some(2)).guess(&logits(), &[], &QUIET);
        close(guess.probability, 1.0);
    }

    #[test]
    fn the_temperature_counts_in_the_confidence() {
        let guess = filter(0.5, None, None).guess(&logits(), &[], &Noise::Recorded(&[0.5; 4]));
        assert_eq!(guess.token, 1);
        close(guess.probability, 0.25 / 0.365);
    }

    #[test]
    fn draws_follow_the_filtered_probabilities() {
        let filter = filter(1.0, None, Some(2));
        let mut counts = [0; 4];
        for position in 0..20_000 {
            let noise = Noise::Counter {
                seed: 7,
                step: 0,
                position,
            };
            counts[filter.guess(&logits(), &[], &noise).token as usize] += 1;
        }
        assert_eq!((counts[0], counts[2]), (0, 0));
        let share = f64::from(counts[1]) / 20_000.0;
        assert!((share - 0.625).abs() < 0.015, "{share}");
    }

    #[test]
    fn forbidden_ids_and_empty_rows_are_never_chosen() {
        let plain = filter(0.0, None, Some(50));
        assert_eq!(plain.guess(&logits(), &[1], &QUIET).token, 3);
        assert_eq!(plain.guess(&[1.0], &[0], &QUIET), NOTHING);
    }
}
