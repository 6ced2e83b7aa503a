//! Final rows become guesses: ranked by the backend, or filtered here from a few rows of logits.

use foveate_kernels::{Guess, Pick, Rank, RowMap};

use super::{OutputRows, Pass};
use crate::denoise::Denoiser;
use crate::error::Result;
use crate::network::Network;
use crate::sequence::Origin;
use crate::tap::{Signal, Tap};

impl Pass {
    /// Ranks the rows that can still be committed; one list of guesses per owner.
    pub(crate) fn rank(
        &self,
        denoisers: &[&mut Denoiser],
        leaving: &OutputRows,
        forbidden: &[u32],
        network: &mut dyn Network,
        tap: &mut dyn Tap,
    ) -> Result<Vec<Guess>> {
        let mut picks: Vec<Pick<'_>> = Vec::new();
        // The guesses are in the order of the lanes, whichever way each is made.
        let (mut plain, mut filtered) = (Wanted::default(), Wanted::default());
        let mut count = 0;
        for lane in self.lanes.iter().filter(|l| !l.unconditional) {
            let denoiser = &*denoisers[lane.owner];
            let filters = denoiser.filter().is_some();
            for position in denoiser.committable() {
                let list = if filters {
                    &mut filtered
                } else {
                    picks.push(denoiser.pick(position));
                    &mut plain
                };
                list.push(lane.owner, Origin::Response(position), &mut count);
            }
            for (position, token) in denoiser.scored() {
                picks.push(Pick::Given(token));
                plain.push(lane.owner, Origin::Response(position), &mut count);
            }
            for (position, token) in denoiser.revocable() {
                picks.push(Pick::Given(token));
                plain.push(lane.owner, Origin::Shadow(position), &mut count);
            }
        }
        let mix = self.mix(denoisers, leaving, &plain.rows);
        let everything = if tap.wants(Signal::Logits) {
            self.mix_all(denoisers, leaving)
        } else {
            RowMap::default()
        };
        let rank = Rank {
            forbidden,
            picks: &picks,
        };
        let ranked = network.rank(&mix, &rank, &everything, tap)?;
        let mut guesses: Vec<(usize, Guess)> = plain.at.into_iter().zip(ranked).collect();
        if !filtered.rows.is_empty() {
            let mix = self.mix(denoisers, leaving, &filtered.rows);
            network.logits(&mix, &mut |row, logits| {
                let (owner, origin) = filtered.rows[row];
                let denoiser = &*denoisers[owner];
                if let (Origin::Response(position), Some(filter)) = (origin, denoiser.filter()) {
                    let guess = filter.guess(logits, forbidden, &denoiser.noise(position));
                    guesses.push((filtered.at[row], guess));
                }
            })?;
            guesses.sort_unstable_by_key(|(at, _)| *at);
        }
        Ok(guesses.into_iter().map(|(_, guess)| guess).collect())
    }

    /// Logits `[positions, vocabulary]` of the positions that `owner` may commit, after
    /// [`Pass::rank`]. Only a few rows at a time are on the device.
    pub(crate) fn logits(
        &self,
        denoisers: &[&mut Denoiser],
        leaving: &OutputRows,
        owner: usize,
        network: &mut dyn Network,
    ) -> Result<Vec<f32>> {
        let wanted: Vec<(usize, Origin)> = denoisers[owner]
            .committable()
            .into_iter()
            .map(|position| (owner, Origin::Response(position)))
            .collect();
        let mut logits = Vec::new();
        let mix = self.mix(denoisers, leaving, &wanted);
        network.logits(&mix, &mut |_, row| logits.extend_from_slice(row))?;
        Ok(logits)
    }
}

/// Positions whose guesses are made in one way.
#[derive(Default)]
struct Wanted {
    /// Owner, and a response position or its shadow.
    rows: Vec<(usize, Origin)>,
    /// Where each guess is among all.
    at: Vec<usize>,
}

impl Wanted {
    fn push(&mut self, owner: usize, origin: Origin, count: &mut usize) {
        self.rows.push((owner, origin));
        self.at.push(*count);
        *count += 1;
    }
}
