//! How many tokens each denoising step of a block commits.

/// The linear schedule: `masked` tokens over `steps` steps, the remainder in the first ones.
/// Source: LLaDA, `get_num_transfer_tokens`.
pub(crate) fn linear(masked: usize, steps: usize) -> Vec<usize> {
    let (base, rest) = (masked / steps, masked % steps);
    (0..steps).map(|i| base + usize::from(i < rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::linear;

    #[test]
    fn the_remainder_goes_to_the_first_steps() {
        assert_eq!(linear(10, 3), [4, 3, 3]);
        assert_eq!(linear(2, 4), [1, 1, 0, 0]);
    }
}
