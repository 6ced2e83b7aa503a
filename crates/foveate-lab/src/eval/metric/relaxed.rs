//! `ChartQA`'s relaxed accuracy: a number within 5 % of the right one is right, text must be the same but
//! for its case (Masry et al., arXiv 2203.10244). `12%` is 0.12; a right answer of 0 is compared as text.

/// Largest relative error of a number.
const TOLERANCE: f64 = 0.05;

/// 1 or 0.
pub(super) fn score(said: &str, right: &str) -> f64 {
    let (said, right) = (said.trim(), right.trim());
    let hit = match (number(said), number(right)) {
        (Some(said), Some(right)) if right != 0.0 => ((said - right) / right).abs() <= TOLERANCE,
        _ => said.to_lowercase() == right.to_lowercase(),
    };
    f64::from(u8::from(hit))
}

fn number(text: &str) -> Option<f64> {
    let value: f64 = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::score;

    #[test]
    fn numbers_may_be_five_percent_off_and_words_not() {
        for (said, right, expected) in [
            ("104", "100", 1.0),
            ("96", "100", 1.0),
            ("106", "100", 0.0),
            ("-104", "-100", 1.0),
            ("-100", "100", 0.0),
            ("12%", "0.12", 1.0),
            ("12", "12%", 0.0),
            ("0", "0", 1.0),
            ("0.01", "0", 0.0),
            ("Japan", "japan", 1.0),
            ("Japa", "Japan", 0.0),
            ("nan", "5", 0.0),
            ("", "5", 0.0),
        ] {
            assert!(
                (score(said, right) - expected).abs() < 1e-12,
                "{said:?} {right:?}"
            );
        }
    }
}
