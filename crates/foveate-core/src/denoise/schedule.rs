//! How many tokens each denoising step of a block commits.

use foveate_kernels::erf;

use crate::error::{Error, Result};

/// The curve by which masks become tokens.
///
/// All but the first and the last follow `LaViDa`: the curve `σ` rises from 0 to 1, step `k` of `S`
/// commits `⌊σ(k/S) · masks⌋ - ⌊σ((k-1)/S) · masks⌋` tokens but at least one, the surplus is taken
/// back one by one from the first steps on, and the list is reversed. Arithmetic is f32 as there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Schedule {
    /// The same number at every step, the remainder in the first ones (`LLaDA`).
    #[default]
    Linear,
    /// `σ(t) = t`: even too, with the remainder spread.
    Even,
    /// `σ(t) = s t / (1 + (s - 1) t)`: below 1 many tokens early, above 1 many tokens late.
    Shift(f64),
    /// `σ(t) = (1 - cos πt) / 2`: most tokens in the middle.
    Cosine,
    /// `σ(t) = (1 + erf(ln(t / (1 - t)) / √2)) / 2`: most tokens in the middle.
    LogitNormal,
    /// Dream's own: at time `t` of a grid from 1 to 0.001, `⌊masks · (1 - next t / t)⌋` of the masks
    /// that are left, all of them at the last step. Early steps can commit nothing.
    Timesteps,
}

/// `schedule_kwargs.shift` where `LaViDa` is not told otherwise. Its paper recommends 1/3.
pub const DEFAULT_SHIFT: f64 = 3.0;

/// The last time of Dream's grid, `eps`.
const LAST_TIME: f32 = 1e-3;

impl Schedule {
    /// As given to `--schedule`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Even => "even",
            Self::Shift(_) => "shift",
            Self::Cosine => "cosine",
            Self::LogitNormal => "logit-normal",
            Self::Timesteps => "timesteps",
        }
    }

    /// Refuses a curve that does not rise.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Shift(shift) if !((0.01..=100.0).contains(&shift)) => Err(Error::request(
                "schedule-shift",
                format!("expected a number from 0.01 to 100, got {shift}"),
            )),
            _ => Ok(()),
        }
    }

    /// The block's budget: `masked` positions over `steps` steps. `grid` is the number of steps that
    /// [`Schedule::Timesteps`] divides its times by; with fewer `steps`, the last takes the rest.
    pub(crate) fn budget(self, masked: usize, steps: usize, grid: usize) -> Budget {
        let curve: &dyn Fn(f32) -> f32 = match self {
            Self::Linear => return Budget::Counts(linear(masked, steps)),
            Self::Timesteps => return Budget::Times(times(grid.max(steps)), steps),
            Self::Even => &|t| t,
            Self::Shift(shift) => {
                let (factor, excess) = (shift as f32, (shift - 1.0) as f32);
                &move |t| factor * t / (1.0 + excess * t)
            }
            Self::Cosine => &|t| 1.0 - 0.5 * (1.0 + cosine(std::f32::consts::PI * t)),
            Self::LogitNormal => &|t| {
                let odds = f64::from(t / (1.0 - t)).ln() as f32;
                0.5 * (1.0 + error_function(odds / std::f32::consts::SQRT_2))
            },
        };
        Budget::Counts(along(curve, masked, steps))
    }
}

/// How many tokens the steps of one block commit.
#[derive(Clone, Debug)]
pub(crate) enum Budget {
    /// Settled when the block begins.
    Counts(Vec<usize>),
    /// Shares of what is still masked, from a falling grid of times; and the number of steps.
    Times(Vec<f32>, usize),
}

impl Budget {
    /// Tokens that step `step` of the block commits when `masked` are left; 1 once all is spent.
    pub(crate) fn count(&self, step: usize, masked: usize) -> usize {
        match self {
            Self::Counts(counts) => counts.get(step).copied().unwrap_or(1),
            Self::Times(_, steps) if step + 1 >= *steps => masked,
            Self::Times(..) => (masked as f32 * self.share(step)) as usize,
        }
    }

    /// The share of the masks that step `step` commits.
    pub(crate) fn share(&self, step: usize) -> f32 {
        match self {
            Self::Times(times, steps) if step + 1 < *steps => 1.0 - times[step + 1] / times[step],
            Self::Times(..) | Self::Counts(_) => 1.0,
        }
    }
}

/// Source: LLaDA, `get_num_transfer_tokens`.
fn linear(masked: usize, steps: usize) -> Vec<usize> {
    let (base, rest) = (masked / steps, masked % steps);
    (0..steps).map(|i| base + usize::from(i < rest)).collect()
}

/// Source: LaViDa, `get_num_transfer_tokens_sch`.
fn along(curve: &dyn Fn(f32) -> f32, masked: usize, steps: usize) -> Vec<usize> {
    let steps = steps.min(masked);
    if steps == 0 {
        return Vec::new();
    }
    let reached: Vec<usize> = linspace(0.0, 1.0, steps)
        .into_iter()
        .map(|t| (curve(t) * masked as f32) as usize)
        .collect();
    let rise = |pair: &[usize]| pair[1].saturating_sub(pair[0]).max(1);
    let mut counts: Vec<usize> = reached.windows(2).map(rise).collect();
    let total: usize = counts.iter().sum();
    // In f32 some curves end just below 1 and lose the last token, where the reference stops with
    // an assertion; exact arithmetic has it in the last interval.
    counts[steps - 1] += masked.saturating_sub(total);
    let mut excess = total.saturating_sub(masked);
    for i in (0..steps).cycle() {
        if excess == 0 {
            break;
        }
        if counts[i] > 1 {
            counts[i] -= 1;
            excess -= 1;
        }
    }
    counts.reverse();
    counts
}

/// Dream's grid of `steps + 1` times.
fn times(steps: usize) -> Vec<f32> {
    linspace(1.0, LAST_TIME, steps)
}

/// `torch.linspace` on a CPU: from both ends towards the middle, with fused multiply-adds.
fn linspace(start: f32, end: f32, steps: usize) -> Vec<f32> {
    let step = (end - start) / steps as f32;
    let at = |k: usize| {
        if k < steps.div_ceil(2) {
            step.mul_add(k as f32, start)
        } else {
            (-step).mul_add((steps - k) as f32, end)
        }
    };
    (0..=steps).map(at).collect()
}

fn cosine(x: f32) -> f32 {
    f64::from(x).cos() as f32
}

fn error_function(x: f32) -> f32 {
    erf(f64::from(x)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(schedule: Schedule, masked: usize, steps: usize) -> Vec<usize> {
        match schedule.budget(masked, steps, steps) {
            Budget::Counts(counts) => counts,
            Budget::Times(..) => panic!("counts depend on what is left"),
        }
    }

    /// `head`, then ones up to `steps`.
    fn and_ones(head: &[usize], steps: usize) -> Vec<usize> {
        let mut counts = head.to_vec();
        counts.resize(steps, 1);
        counts
    }

    fn ones_and(steps: usize, tail: &[usize]) -> Vec<usize> {
        let mut counts = vec![1; steps - tail.len()];
        counts.extend(tail);
        counts
    }

    #[test]
    fn the_remainder_goes_to_the_first_steps() {
        assert_eq!(counts(Schedule::Linear, 10, 3), [4, 3, 3]);
        assert_eq!(counts(Schedule::Linear, 2, 4), [1, 1, 0, 0]);
    }

    #[test]
    fn shifted_schedules_equal_the_references() {
        let third = 1.0 / 3.0;
        for (masked, steps, shift, want) in [
            (32, 16, 0.33, and_ones(&[6, 4, 4, 3, 2, 2, 2], 16)),
            (32, 16, third, and_ones(&[6, 4, 4, 2, 3, 2, 2], 16)),
            (32, 16, 3.0, ones_and(16, &[2, 2, 2, 2, 3, 4, 4, 5])),
            (
                64,
                32,
                0.33,
                and_ones(&[6, 5, 5, 4, 4, 3, 3, 3, 2, 3, 2, 2, 2, 1, 2], 32),
            ),
            (16, 8, 0.33, and_ones(&[5, 4, 2], 8)),
            (32, 24, 0.33, and_ones(&[4, 3, 3, 2], 24)),
            (32, 8, 2.0, vec![3, 2, 3, 3, 4, 5, 5, 7]),
            (24, 12, 3.0, ones_and(12, &[2, 2, 2, 3, 4, 5])),
            (32, 14, 3.0, ones_and(14, &[2, 2, 1, 2, 3, 3, 4, 4, 6])),
            (20, 7, 3.0, vec![2, 1, 2, 2, 3, 4, 6]),
            (32, 14, third, and_ones(&[6, 5, 4, 3, 2, 3, 2], 14)),
        ] {
            assert_eq!(
                counts(Schedule::Shift(shift), masked, steps),
                want,
                "{masked} masks, {steps} steps, shift {shift}"
            );
        }
    }

    #[test]
    fn curves_with_a_full_middle_equal_the_references() {
        let cosine = [1, 1, 1, 2, 3, 2, 3, 3, 4, 3, 2, 3, 1, 1, 1, 1];
        assert_eq!(counts(Schedule::Cosine, 32, 16), cosine);
        let cosine = [1, 1, 1, 2, 1, 2, 3, 1, 1, 1, 1, 1];
        assert_eq!(counts(Schedule::Cosine, 16, 12), cosine);
        let normal = [1, 1, 2, 2, 2, 3, 3, 3, 4, 3, 3, 1, 1, 1, 1, 1];
        assert_eq!(counts(Schedule::LogitNormal, 32, 16), normal);
    }

    #[test]
    fn every_schedule_spends_the_whole_budget_and_commits_at_every_step() {
        let shifts = (1..400).map(|i| Schedule::Shift(f64::from(i) / 100.0));
        let others = [Schedule::Even, Schedule::Cosine, Schedule::LogitNormal];
        for schedule in shifts.chain(others) {
            for (masked, steps) in [(1, 1), (3, 8), (16, 8), (23, 12), (32, 16), (64, 32)] {
                let counts = counts(schedule, masked, steps);
                assert_eq!(counts.iter().sum::<usize>(), masked, "{schedule:?}");
                assert_eq!(counts.len(), steps.min(masked));
                assert!(counts.iter().all(|&c| c > 0), "{schedule:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn nothing_masked_needs_no_steps() {
        assert!(counts(Schedule::Cosine, 0, 4).is_empty());
    }

    #[test]
    fn dream_commits_a_share_of_what_is_left_and_the_rest_at_the_end() {
        let budget = Schedule::Timesteps.budget(31, 32, 32);
        assert_eq!(budget.count(0, 31), 0);
        assert_eq!(budget.count(31, 7), 7);
        // A shorter run on the long grid leaves almost all of it to the last step.
        let budget = Schedule::Timesteps.budget(32, 2, 32);
        assert_eq!([budget.count(0, 32), budget.count(1, 31)], [0, 31]);
        let mut left = 24;
        let budget = Schedule::Timesteps.budget(24, 8, 8);
        let counts: Vec<usize> = (0..8)
            .map(|step| {
                let count = budget.count(step, left);
                left -= count;
                count
            })
            .collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 3, 3, 4]);
    }

    #[test]
    fn a_shift_out_of_range_is_refused() {
        for shift in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = Schedule::Shift(shift).check().expect_err("refused");
            assert!(error.to_string().contains("schedule-shift"));
        }
        assert!(Schedule::Shift(DEFAULT_SHIFT).check().is_ok());
    }
}
