//! ANLS, average normalised Levenshtein similarity: text that was read almost right counts in part.
//!
//! `1 − d / max(len)` where that distance is below 0.5, else 0 (Biten et al., arXiv 1905.13648, eq. 1; the
//! score of `DocVQA`, arXiv 2007.00398). As in its evaluation, case and runs of white space do not count.

use strsim::generic_levenshtein;

/// Distances from here on are another text.
const THRESHOLD: f64 = 0.5;

/// From 0 to 1.
pub(super) fn score(said: &str, right: &str) -> f64 {
    let (said, right) = (normalised(said), normalised(right));
    let longest = said.len().max(right.len());
    if longest == 0 {
        return 1.0;
    }
    let distance = generic_levenshtein(&said, &right) as f64 / longest as f64;
    if distance < THRESHOLD {
        1.0 - distance
    } else {
        0.0
    }
}

fn normalised(text: &str) -> Vec<char> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase().chars().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_text_wrong_is_all_wrong() {
        for (said, right, expected) in [
            (" The  TOTAL ", "the total", 1.0),
            ("12.50", "12.60", 1.0 - 1.0 / 5.0),
            ("kitten", "sitting", 1.0 - 3.0 / 7.0),
            ("ab", "ac", 0.0),
            ("", "abc", 0.0),
            ("", "", 1.0),
        ] {
            assert!(
                (score(said, right) - expected).abs() < 1e-12,
                "{said:?} {right:?}"
            );
        }
    }
}
