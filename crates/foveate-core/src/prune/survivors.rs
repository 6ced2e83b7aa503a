//! The survivors of one image: ascending, unique, in range and never empty.

use crate::error::{Error, Result};

/// Indices of surviving visual tokens. Only [`Survivors::top`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivors(Vec<u32>);

impl Survivors {
    /// The `quota` highest scores, in ascending index order; the lower index wins a tie.
    ///
    /// Fails if there are no scores or one of them is not a number.
    pub fn top(scores: &[f32], quota: usize) -> Result<Self> {
        if scores.is_empty() || quota == 0 {
            return Err(Error::request("prune", "a strategy scored no visual token"));
        }
        if scores.iter().any(|s| s.is_nan()) {
            return Err(Error::request("prune", "a score is not a number"));
        }
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        order.sort_by(|&a, &b| {
            scores[b as usize]
                .total_cmp(&scores[a as usize])
                .then(a.cmp(&b))
        });
        order.truncate(quota);
        order.sort_unstable();
        Ok(Self(order))
    }

    /// The indices.
    pub fn indices(&self) -> &[u32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Survivors;

    #[test]
    fn the_highest_scores_survive_in_ascending_order() {
        let kept = Survivors::top(&[0.1, 0.9, 0.5, 0.9], 3).unwrap();
        assert_eq!(kept.indices(), [1, 2, 3]);
    }

    #[test]
    fn the_lower_index_wins_a_tie() {
        assert_eq!(Survivors::top(&[0.5; 4], 2).unwrap().indices(), [0, 1]);
    }

    #[test]
    fn nothing_to_choose_from_is_an_error() {
        assert!(Survivors::top(&[], 1).is_err());
        assert!(Survivors::top(&[f32::NAN], 1).is_err());
        assert!(Survivors::top(&[1.0], 0).is_err());
    }
}
