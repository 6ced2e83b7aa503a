//! A few combinations that hold every pair of settings which any combination holds.

use std::collections::BTreeMap;

use super::{Setting, pairs_of};

/// Picks from `combinations` until every pair of settings that one of them holds is held by a pick.
///
/// Each pick brings the most pairs that no pick before it holds, the first of equals: the greedy
/// covering array of AETG (Cohen et al., 1997), whose candidates are all combinations that answer.
pub(crate) fn covering<'s>(combinations: &[Vec<&'s Setting>]) -> Vec<Vec<&'s Setting>> {
    let mut numbers = BTreeMap::new();
    let mut number = |pair| {
        let next = numbers.len();
        *numbers.entry(pair).or_insert(next)
    };
    let pairs: Vec<Vec<usize>> = combinations
        .iter()
        .map(|combination| pairs_of(combination).map(&mut number).collect())
        .collect();
    let mut held = vec![false; numbers.len()];
    let mut picks = Vec::new();
    while held.contains(&false) {
        let brings = |at: &usize| pairs[*at].iter().filter(|&&pair| !held[pair]).count();
        // Of equals `max_by_key` takes the last.
        let best = (0..pairs.len()).rev().max_by_key(brings);
        let best = best.expect("a pair comes from a combination");
        pairs[best].iter().for_each(|&pair| held[pair] = true);
        picks.push(combinations[best].clone());
    }
    picks
}
