//! The formulas, each on one row.

use std::ops::Range;

use super::Rows;
use crate::backend::{Ask, Guess, Norm, NormKind, Pick, Rotation, Sum};
use crate::error::{Error, Result, same};

/// The inner product, in f64.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

/// One row of [`Backend::norm`](crate::Backend::norm), with mean and variance in f64.
pub(super) fn normalise(x: &[f32], norm: &Norm<'_, Rows>, out: &mut [f32]) {
    let mean_of =
        |f: &dyn Fn(f64) -> f64| x.iter().map(|&v| f(f64::from(v))).sum::<f64>() / x.len() as f64;
    let mean = match norm.kind {
        NormKind::Rms => 0.0,
        NormKind::Layer => mean_of(&|v| v),
    };
    let variance = mean_of(&|v| (v - mean) * (v - mean));
    let inverse = 1.0 / (variance + f64::from(norm.eps)).sqrt();
    for (i, (o, &v)) in out.iter_mut().zip(x).enumerate() {
        let shift = norm.shift.map_or(0.0, |s| s.data[i]);
        *o = ((f64::from(v) - mean) * inverse) as f32 * norm.scale.data[i] + shift;
    }
}

/// Rotates one head in place, half-split; the frequencies are f32 as in the reference implementations.
pub(super) fn rotate(rotation: &Rotation, position: u32, v: &mut [f32]) {
    let half = rotation.dim / 2;
    for j in 0..half {
        let angle = position as f32 * frequency(rotation.theta, rotation.dim, j);
        let (sin, cos) = angle.sin_cos();
        let (a, b) = (v[j], v[j + half]);
        v[j] = a * cos - b * sin;
        v[j + half] = b * cos + a * sin;
    }
}

/// `theta^(-2j/dim)` in f32: how far pair `j` turns from one position to the next. Both backends use it.
pub(crate) fn frequency(theta: f32, dim: usize, j: usize) -> f32 {
    1.0 / theta.powf(2.0 * j as f32 / dim as f32)
}

/// Softmax of one row, its sum in f64. A score of -∞ has weight 0.
pub(super) fn softmax(mut scores: Vec<f32>) -> Vec<f32> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for s in &mut scores {
        *s = (*s - max).exp();
    }
    let sum: f64 = scores.iter().map(|&s| f64::from(s)).sum();
    for s in &mut scores {
        *s = (f64::from(*s) / sum) as f32;
    }
    scores
}

/// Adds `share` of row `query`'s probabilities, which begin at key `first_key`, to the asks that want them.
pub(super) fn add_mass(
    asks: &[Ask],
    query: usize,
    (first_key, weights): (usize, &[f32]),
    share: f32,
    probe: &mut [f32],
) {
    let mut base = 0;
    for ask in asks {
        if ask.queries.contains(&query) {
            let row = match ask.sum {
                Sum::PerRow => query - ask.queries.start,
                Sum::OverRows => 0,
            };
            let slots = &mut probe[base + row * ask.keys.len()..][..ask.keys.len()];
            for (slot, key) in slots.iter_mut().zip(ask.keys.clone()) {
                *slot += share * weights[key - first_key];
            }
        }
        base += ask.len();
    }
}

/// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))` (Hendrycks and Gimpel, 2016).
pub(super) fn gelu_tanh(x: f32) -> f32 {
    let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
    0.5 * x * (1.0 + inner.tanh())
}

/// `x/2 · (1 + erf(x/√2))`, in f64.
pub(super) fn gelu_erf(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))) as f32
}

/// The error function to 1e-15: its power series near zero, the continued fraction of `erfc` elsewhere.
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a > 6.0 {
        return x.signum();
    }
    let value = if a < 3.0 {
        let mut term = a;
        let mut sum = a;
        for n in 1..200 {
            term *= -a * a / f64::from(n);
            let next = term / f64::from(2 * n + 1);
            sum += next;
            if next.abs() < 1e-17 {
                break;
            }
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        let mut fraction = a;
        for n in (1..60).rev() {
            fraction = a + f64::from(n) / 2.0 / fraction;
        }
        1.0 - (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt())
    };
    value.copysign(x)
}

/// One row of [`Backend::rank`](crate::Backend::rank), from all its logits; forbidden ones are -∞.
pub(super) fn guess(logits: &[f64], pick: &Pick<'_>) -> Guess {
    let scored = |token: usize| match pick {
        Pick::Greedy => logits[token],
        Pick::Given(id) if *id as usize == token => 0.0,
        Pick::Given(_) => f64::NEG_INFINITY,
        // exp(l) / (-ln u)^T ranks as l - T ln(-ln u).
        Pick::Gumbel { temperature, noise } => {
            logits[token] - temperature * (-noise.draw(token as u32).ln()).ln()
        }
    };
    let mut best = (0, f64::NEG_INFINITY);
    for token in 0..logits.len() {
        let score = scored(token);
        if score > best.1 {
            best = (token, score);
        }
    }
    let mut sorted = logits.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let max = sorted[0];
    let sum: f64 = logits.iter().map(|l| (l - max).exp()).sum();
    let probability = |logit: f64| (logit - max).exp() / sum;
    let allowed = logits.iter().copied().filter(|l| *l > f64::NEG_INFINITY);
    Guess {
        token: best.0 as u32,
        probability: probability(logits[best.0]),
        top: probability(max),
        runner_up: sorted.get(1).copied().map_or(0.0, probability),
        entropy: allowed
            .map(|l| probability(l) * (sum.ln() - (l - max)))
            .sum(),
    }
}

/// [`Backend::least_alike`](crate::Backend::least_alike) of both backends, on the host; `old` are the values of the
/// counterparts, in order.
pub(crate) fn least_alike<'a>(
    kv: &Rows,
    rows: Range<usize>,
    old: impl ExactSizeIterator<Item = &'a [f32]>,
    count: usize,
) -> Result<Vec<u32>> {
    same("counterparts of compared rows", rows.len(), old.len())?;
    if rows.end > kv.rows {
        return Err(Error::shape("rows compared", kv.rows, rows.end));
    }
    let first = rows.start as u32;
    let new = rows.map(|row| &kv.row(row)[kv.width / 2..]);
    let pairs: Vec<f64> = new
        .zip(old)
        .map(|(new, old)| similarity(new, old))
        .collect();
    Ok(lowest(&pairs, count).iter().map(|i| first + i).collect())
}

/// Cosine similarity, each length at least 1e-8 (`torch.nn.functional.cosine_similarity`).
fn similarity(a: &[f32], b: &[f32]) -> f64 {
    let length = |x: &[f32]| dot(x, x).sqrt().max(1e-8);
    dot(a, b) / (length(a) * length(b))
}

/// The indices of the `count` lowest values, ascending; the lower index among equals.
fn lowest(values: &[f64], count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by(|&a, &b| {
        values[a as usize]
            .total_cmp(&values[b as usize])
            .then(a.cmp(&b))
    });
    order.truncate(count);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn erf_matches_known_values() {
        for (x, want) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.5, 0.999_593_047_982_555),
            (3.5, 0.999_999_256_901_627_7),
            (-1.0, -0.842_700_792_949_714_9),
        ] {
            assert!((erf(x) - want).abs() < 1e-13, "erf({x}) = {}", erf(x));
        }
    }
}
