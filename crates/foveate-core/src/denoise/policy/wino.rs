//! Draft boldly, and mask again what does not hold up.

use super::{Number, Rule, View};

/// Wide-in, narrow-out decoding: the policy that revises.
///
/// Behind the sequence stands a shadow of the block: a mask for each of its positions, which sees
/// everything but that position's own token. It tells how likely a committed token is, given all
/// others.
///
/// *Commits* every candidate of a probability above `draft`, the surest `clamp(0.7 · masked, 5, 20)`
/// of them, at least one · *Revokes* committed tokens of the block whose shadow gives them less than
/// `verify`, fewer than the step before committed, and none in a step that commits one token ·
/// *Cost* a block of rows more in every pass · *Source* WINO (arXiv 2507.18578).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wino {
    /// From 0 to 1.
    pub draft: f64,
    /// From 0 to 1.
    pub verify: f64,
}

impl Wino {
    pub(super) const NAME: &str = "wino";
    pub(super) const FORM: &str = "wino=DRAFT,VERIFY";
    /// The numbers of the published code.
    pub const PUBLISHED: Self = Self {
        draft: 0.6,
        verify: 0.9,
    };
    /// Commits that stand for those of the step before a block's first.
    pub(crate) const BEFORE: usize = 30;
}

impl Wino {
    /// Indices into the shadows of a step that commits `accepted` tokens.
    pub(super) fn revoke(&self, view: &View<'_>, accepted: usize) -> Vec<usize> {
        if accepted <= 1 {
            return Vec::new();
        }
        let probability = |i: usize| view.shadows[i];
        let mut doubted: Vec<usize> = (0..view.shadows.len())
            .filter(|&i| probability(i) < self.verify)
            .collect();
        doubted.sort_by(|&a, &b| probability(a).total_cmp(&probability(b)).then(a.cmp(&b)));
        doubted.truncate(view.accepted_before.saturating_sub(1));
        doubted
    }
}

impl Rule for Wino {
    fn numbers(&mut self) -> Vec<Number<'_>> {
        vec![
            Number::share("wino, draft", &mut self.draft),
            Number::share("wino, verify", &mut self.verify),
        ]
    }

    fn choose(&self, view: &View<'_>) -> Vec<usize> {
        let most = ((view.candidates.len() as f64 * 0.7) as usize).clamp(5, 20);
        let bold = |i: &&usize| view.candidates[**i].confidence > self.draft;
        view.surest(view.order.iter().take_while(bold).count().min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::Wino;
    use crate::denoise::policy::{Policy, tests::Case};

    const WINO: Policy = Policy::Wino(Wino::PUBLISHED);

    #[test]
    fn drafts_are_capped_and_never_none() {
        assert_eq!(Case::of(&[0.5, 0.7, 0.6, 0.9]).committed(WINO), [1, 3]);
        assert_eq!(Case::of(&[0.1, 0.2]).committed(WINO), [1]);
        assert_eq!(Case::of(&[0.8; 6]).committed(WINO).len(), 5);
        assert_eq!(Case::of(&[0.8; 20]).committed(WINO).len(), 14);
        assert_eq!(Case::of(&[0.8; 40]).committed(WINO).len(), 20);
    }

    #[test]
    fn fewer_are_revoked_than_were_committed_before() {
        let mut case = Case::of(&[0.9; 4]);
        case.shadows = vec![0.5, 0.95, 0.1, 0.89, 0.3];
        let revoked = |case: &Case, accepted| case.view(|view| WINO.revoke(view, accepted));
        case.accepted_before = 30;
        assert_eq!(revoked(&case, 2), [2, 4, 0, 3]);
        case.accepted_before = 3;
        assert_eq!(revoked(&case, 2), [2, 4], "the least likely go");
        assert_eq!(revoked(&case, 1), [0; 0]);
        case.accepted_before = 1;
        assert_eq!(revoked(&case, 4), [0; 0]);
    }
}
