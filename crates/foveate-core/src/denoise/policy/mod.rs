//! Decoding policies: how many of a step's candidates are committed, and which.

mod eb;
mod factor;
mod fixed;
mod klass;
mod parse;
mod prophet;
mod threshold;
mod wino;

use super::remask::Candidate;
use parse::Number;

/// The closed list of policies: an enum whose variants are the policies' own types.
macro_rules! policies {
    ($($(#[$doc:meta])* $variant:ident($module:ident::$policy:ident),)+) => {
        $(pub use $module::$policy;)+

        /// A policy with its numbers. Written and parsed as `threshold=0.9`.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Policy {
            $($(#[$doc])* $variant($policy),)+
        }

        /// Every policy with its published numbers: name, how it is written, the policy.
        pub const POLICIES: [(&str, &str, Policy); [$(stringify!($variant)),+].len()] =
            [$(($policy::NAME, $policy::FORM, Policy::$variant($policy::PUBLISHED)),)+];

        impl Policy {
            fn rule(&self) -> &dyn Rule {
                match self {
                    $(Self::$variant(policy) => policy,)+
                }
            }

            fn numbers(&mut self) -> Vec<Number<'_>> {
                match self {
                    $(Self::$variant(policy) => policy.numbers(),)+
                }
            }

            /// Its name without its numbers.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $policy::NAME,)+
                }
            }
        }
    };
}

policies! {
    /// The schedule.
    Fixed(fixed::Fixed),
    /// Every candidate that is sure enough.
    Threshold(threshold::Threshold),
    /// More candidates, the surer they are together.
    Factor(factor::Factor),
    /// As many candidates as an entropy budget allows.
    EntropyBound(eb::EntropyBound),
    /// Candidates whose distribution stands still.
    Klass(klass::Klass),
    /// Everything, once the answer is settled.
    Prophet(prophet::Prophet),
    /// Boldly, and what does not hold up is masked again.
    Wino(wino::Wino),
}

impl Default for Policy {
    fn default() -> Self {
        Self::Fixed(Fixed)
    }
}

impl Policy {
    /// Whether a committed token may be masked again.
    pub fn may_revise(&self) -> bool {
        matches!(self, Self::Wino(_))
    }

    /// Whether a block takes its share of the steps, or as many as it needs.
    pub(crate) fn keeps_schedule(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }

    /// The divergence below which a distribution stands still, for a policy that looks at it.
    pub(crate) fn stability_bound(&self) -> Option<f64> {
        match self {
            Self::Klass(klass) => Some(klass.divergence),
            _ => None,
        }
    }

    /// What this step commits, as indices into the candidates.
    pub(crate) fn choose(&self, view: &View<'_>) -> Vec<usize> {
        self.rule().choose(view)
    }

    /// What a step that commits `accepted` tokens revokes, as indices into the shadows.
    pub(crate) fn revoke(&self, view: &View<'_>, accepted: usize) -> Vec<usize> {
        match self {
            Self::Wino(policy) => policy.revoke(view, accepted),
            _ => Vec::new(),
        }
    }
}

/// What a policy goes by.
pub(crate) struct View<'a> {
    /// Candidates of the masked positions that may be committed, by position.
    pub(crate) candidates: &'a [Candidate],
    /// Indices of `candidates`, the surest first; the earlier position among equals.
    pub(crate) order: &'a [usize],
    /// Masked positions of the whole answer.
    pub(crate) masked: usize,
    /// Tokens that the schedule gives this step; at least 1 once it is spent.
    pub(crate) scheduled: usize,
    /// Steps of the block, this one included, over the steps that the schedule gives it.
    pub(crate) progress: f64,
    /// Per candidate, for how many steps in a row its distribution has stood still; empty unless
    /// [`Policy::stability_bound`] asks for it.
    pub(crate) still: &'a [usize],
    /// The probability of each committed token of the block, given all others; empty unless
    /// [`Policy::may_revise`].
    pub(crate) shadows: &'a [f64],
    /// Tokens that the block's last step committed.
    pub(crate) accepted_before: usize,
}

impl View<'_> {
    /// The `count` surest candidates, at least one.
    pub(crate) fn surest(&self, count: usize) -> Vec<usize> {
        let count = count.clamp(1, self.order.len().max(1));
        self.order.iter().copied().take(count).collect()
    }
}

/// A choice among a step's candidates. Rules choose; the denoiser commits.
pub(crate) trait Rule {
    /// What can be chosen of the policy, in the order in which it is written.
    fn numbers(&mut self) -> Vec<Number<'_>>;
    /// Indices into the candidates, in any order.
    fn choose(&self, view: &View<'_>) -> Vec<usize>;
}

#[cfg(test)]
pub(crate) mod tests {
    use foveate_kernels::Guess;

    use super::{Candidate, Policy, View};

    /// A step whose candidates have these probabilities, in position order.
    pub(crate) struct Case {
        pub(crate) guesses: Vec<Guess>,
        pub(crate) masked: usize,
        pub(crate) scheduled: usize,
        pub(crate) progress: f64,
        pub(crate) still: Vec<usize>,
        pub(crate) shadows: Vec<f64>,
        pub(crate) accepted_before: usize,
    }

    impl Case {
        pub(crate) fn of(probabilities: &[f64]) -> Self {
            let guess = |&probability| Guess {
                token: 1,
                probability,
                top: probability,
                runner_up: (1.0 - probability) / 2.0,
                entropy: 1.0 - probability,
            };
            Self {
                guesses: probabilities.iter().map(guess).collect(),
                masked: probabilities.len(),
                scheduled: 1,
                progress: 0.5,
                still: vec![0; probabilities.len()],
                shadows: Vec::new(),
                accepted_before: 0,
            }
        }

        /// The positions that `policy` commits.
        pub(crate) fn committed(&self, policy: Policy) -> Vec<usize> {
            let mut chosen = self.view(|view| policy.choose(view));
            chosen.sort_unstable();
            chosen
        }

        /// What `look` makes of the step.
        pub(crate) fn view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
            let candidate = |(position, guess): (usize, &Guess)| Candidate {
                position: position as u32,
                token: guess.token,
                confidence: guess.probability,
                guess: *guess,
            };
            let candidates: Vec<Candidate> =
                self.guesses.iter().enumerate().map(candidate).collect();
            let confidence: Vec<f64> = candidates.iter().map(|c| c.confidence).collect();
            let order = crate::denoise::remask::descending(&confidence);
            look(&View {
                candidates: &candidates,
                order: &order,
                masked: self.masked,
                scheduled: self.scheduled,
                progress: self.progress,
                still: &self.still,
                shadows: &self.shadows,
                accepted_before: self.accepted_before,
            })
        }
    }
}
