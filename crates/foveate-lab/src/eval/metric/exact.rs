//! Exact match: 1 if both texts are the same after white space at the ends is dropped.
//!
//! Nothing else is normalised: case, punctuation and inner spaces count.

/// 1 or 0.
pub(super) fn score(said: &str, right: &str) -> f64 {
    f64::from(u8::from(said.trim() == right.trim()))
}

#[cfg(test)]
mod tests {
    use super::score;

    #[test]
    fn only_white_space_at_the_ends_is_forgiven() {
        for (said, right, expected) in [
            (" a cat\n", "a cat", 1.0),
            ("A cat", "a cat", 0.0),
            ("a  cat", "a cat", 0.0),
            ("", "a cat", 0.0),
        ] {
            assert!((score(said, right) - expected).abs() < 1e-12, "{said:?}");
        }
    }
}
