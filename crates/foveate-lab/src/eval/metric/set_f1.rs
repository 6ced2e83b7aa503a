//! Set F1: how many clauses of a caption, divided by `; `, are in both texts, whatever their order.
//! As in `training/questions.py`, nothing is normalised: a space at the end makes another clause.

use std::collections::BTreeSet;

/// `2 · |both| / (|said| + |right|)`.
pub(super) fn score(said: &str, right: &str) -> f64 {
    let clauses =
        |text: &'_ str| -> BTreeSet<String> { text.split("; ").map(str::to_owned).collect() };
    let (said, right) = (clauses(said), clauses(right));
    let both = said.intersection(&right).count();
    2.0 * both as f64 / (said.len() + right.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::score;

    #[test]
    fn clauses_count_once_and_in_any_order() {
        for (said, right, expected) in [
            ("a cat; a dog", "a dog; a cat", 1.0),
            ("a cat", "a cat; a dog; a cup", 2.0 / 4.0),
            ("a cat; a cat; a pig", "a cat; a dog", 2.0 / 4.0),
            ("a cat, a dog", "a cat; a dog", 0.0),
            ("a cat; a dog ", "a cat; a dog", 0.5),
            ("", "a cat", 0.0),
        ] {
            assert!(
                (score(said, right) - expected).abs() < 1e-12,
                "{said:?} {right:?}"
            );
        }
    }
}
