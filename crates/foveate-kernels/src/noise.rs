//! Counter-based noise: a pure function of (seed, step, position, token), so that batching, thread
//! counts and devices cannot change a sampled answer.

/// Where the uniform draws of one row come from.
#[derive(Clone, Copy, Debug)]
pub enum Noise<'a> {
    /// [`uniform`] of these three and the token id.
    Counter {
        /// The request's seed.
        seed: u64,
        /// Denoising step, counted over the whole answer.
        step: u32,
        /// Position in the response.
        position: u32,
    },
    /// Draws made elsewhere, one per token id, as when a recorded run is replayed. Missing ones are 0.
    Recorded(&'a [f64]),
}

impl Noise<'_> {
    /// The draw for `token`, in `[0, 1)`.
    pub fn draw(&self, token: u32) -> f64 {
        match self {
            Self::Counter {
                seed,
                step,
                position,
            } => uniform(*seed, *step, *position, token),
            Self::Recorded(draws) => draws.get(token as usize).copied().unwrap_or(0.0),
        }
    }
}

/// A uniform draw in `[0, 1)` with 53 random bits, one of `2⁵³` evenly spaced numbers.
///
/// Three rounds of a mixing function, so that neighbouring steps, positions and tokens have draws that are unlike.
/// Sampling, random pruning and bootstrap intervals draw from it.
///
/// ```
/// use foveate_kernels::{Noise, uniform};
///
/// let noise = Noise::Counter { seed: 7, step: 3, position: 5 };
/// assert_eq!(noise.draw(11), uniform(7, 3, 5, 11)); // wherever and whenever it is drawn
/// ```
pub fn uniform(seed: u64, step: u32, position: u32, token: u32) -> f64 {
    let a = mix(seed ^ 0x9e37_79b9_7f4a_7c15);
    let b = mix(a ^ (u64::from(step) << 32 | u64::from(position)));
    let c = mix(b.wrapping_add(u64::from(token).wrapping_mul(0xd1b5_4a32_d192_ed03)));
    (c >> 11) as f64 / (1u64 << 53) as f64
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, 2014).
pub(crate) fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::uniform;

    #[test]
    fn draws_are_uniform_and_depend_on_every_coordinate() {
        let n = 20_000;
        let mean = (0..n).map(|t| uniform(1, 2, 3, t)).sum::<f64>() / f64::from(n);
        assert!((mean - 0.5).abs() < 0.01, "mean {mean}");
        let base = uniform(1, 2, 3, 4);
        for other in [
            uniform(2, 2, 3, 4),
            uniform(1, 3, 3, 4),
            uniform(1, 2, 4, 4),
            uniform(1, 2, 3, 5),
        ] {
            assert!(base.to_bits() != other.to_bits());
        }
    }
}
