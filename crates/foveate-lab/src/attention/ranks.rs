//! How alike two rankings of the same things are.

/// Spearman's rank correlation, from -1 to 1: Pearson's of the ranks, equals sharing their mean rank.
/// None where one of the two ranks nothing above anything else.
pub(super) fn spearman(a: &[f32], b: &[f32]) -> Option<f64> {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| -> f64 {
        let pairs = x.iter().zip(y);
        pairs.map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    (spread > 0.0).then(|| product(&a, &b) / spread)
}

/// The rank of each value, from 0; equal values share the mean of theirs.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for run in order.chunk_by(|a, b| values[*a].total_cmp(&values[*b]).is_eq()) {
        let mean = first as f64 + (run.len() as f64 - 1.0) / 2.0;
        for index in run {
            ranks[*index] = mean;
        }
        first += run.len();
    }
    ranks
}

/// The share of the ascending `kept` that is also in the ascending `other`.
pub(super) fn overlap(kept: &[u32], other: &[u32]) -> f64 {
    let both = kept
        .iter()
        .filter(|token| other.binary_search(token).is_ok());
    both.count() as f64 / kept.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_counts_and_size_does_not() {
        let close = |a: &[f32], b: &[f32], want: f64| {
            let got = spearman(a, b).expect("ranked");
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        };
        close(&[1.0, 2.0, 3.0, 4.0], &[0.1, 0.2, 7.0, 900.0], 1.0);
        close(&[1.0, 2.0, 3.0, 4.0], &[4.0, 3.0, 2.0, 1.0], -1.0);
        // 1 - 6 · (1 + 1) / (4 · 15)
        close(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 3.0, 4.0], 0.8);
        // Ranks 0, 1.5, 1.5, 3: 4.5 / sqrt(5 · 4.5).
        close(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 2.0, 3.0], 0.9_f64.sqrt());
        assert_eq!(spearman(&[1.0, 2.0], &[3.0, 3.0]), None);
        assert_eq!(spearman(&[], &[]), None);
    }

    #[test]
    fn overlap_is_a_share_of_what_is_kept() {
        assert!((overlap(&[1, 4, 6, 9], &[0, 4, 9, 11]) - 0.5).abs() < 1e-12);
        assert!((overlap(&[], &[1])).abs() < 1e-12);
    }
}
