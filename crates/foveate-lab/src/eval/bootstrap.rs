//! How sure a mean is: the percentile bootstrap over pictures.

use foveate_kernels::uniform;

/// How often the pictures are drawn again.
const DRAWS: u32 = 2000;
/// Of the draws, so that a repeated evaluation prints the same interval.
const SEED: u64 = 1;

/// The questions of one picture: their number and the sum of their values. Questions of one picture
/// are not independent, so they are drawn together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cluster {
    pub(crate) sum: f64,
    pub(crate) count: f64,
}

/// The middle 95 % of the means of as many clusters, drawn with replacement.
pub(crate) fn interval(clusters: &[Cluster]) -> (f64, f64) {
    let mut means: Vec<f64> = (0..DRAWS).map(|draw| mean(clusters, draw)).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * f64::from(DRAWS - 1)).round() as usize;
        means.get(index).copied().unwrap_or_default()
    };
    (at(0.025), at(0.975))
}

fn mean(clusters: &[Cluster], draw: u32) -> f64 {
    let mut drawn = Cluster::default();
    for index in 0..clusters.len() as u32 {
        let chosen = uniform(SEED, draw, index, 0) * clusters.len() as f64;
        if let Some(cluster) = clusters.get(chosen as usize) {
            drawn.sum += cluster.sum;
            drawn.count += cluster.count;
        }
    }
    drawn.sum / drawn.count.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(values: &[f64]) -> Vec<Cluster> {
        let cluster = |sum: &f64| Cluster {
            sum: *sum,
            count: 1.0,
        };
        values.iter().map(cluster).collect()
    }

    #[test]
    fn what_never_varies_is_sure() {
        let (low, high) = interval(&single(&[0.5; 40]));
        assert!((low - 0.5).abs() < 1e-12 && (high - 0.5).abs() < 1e-12);
    }

    #[test]
    fn coin_tosses_have_the_interval_of_the_binomial() {
        // 100 tosses, half of them heads: 0.5 ± 1.96 · 0.05.
        let tosses: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        let (low, high) = interval(&single(&tosses));
        assert!(
            (low - 0.402).abs() < 0.02 && (high - 0.598).abs() < 0.02,
            "{low} {high}"
        );
        assert_eq!(
            interval(&single(&tosses)),
            (low, high),
            "the draws are seeded"
        );
    }

    #[test]
    fn questions_of_one_picture_are_one_piece_of_evidence() {
        let tosses: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        let pictures: Vec<Cluster> = tosses
            .iter()
            .map(|toss| Cluster {
                sum: 4.0 * toss,
                count: 4.0,
            })
            .collect();
        assert_eq!(interval(&pictures), interval(&single(&tosses)));
    }
}
