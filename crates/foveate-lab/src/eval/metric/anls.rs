//! ANLS, average normalised Levenshtein similarity: text that was read almost right counts in part.
//!
//! `1 − d / max(len)` where that distance is below 0.5, else 0 (Biten et al., arXiv 1905.13648, eq. 1; the
//! score of `DocVQA`, arXiv 2007.00398). As in its evaluation, case and runs of white space do not count.

/// Distances from here on are another text.
const THRESHOLD: f64 = 0.5;

/// From 0 to 1.
pub(super) fn score(said: &str, right: &str) -> f64 {
    let (said, right) = (normalised(said), normalised(right));
    let longest = said.len().max(right.len());
    if longest == 0 {
        return 1.0;
    }
    let distance = levenshtein(&said, &right) as f64 / longest as f64;
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

/// Fewest insertions, deletions and replacements of characters.
fn levenshtein(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_the_textbook_ones() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        for (a, b, distance) in [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("flaw", "lawn", 2),
            ("é", "e", 1),
        ] {
            assert_eq!(levenshtein(&chars(a), &chars(b)), distance, "{a} {b}");
            assert_eq!(levenshtein(&chars(b), &chars(a)), distance, "{b} {a}");
        }
    }

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
