//! One forward pass over the packed rows of several requests: lanes, attention tables, cuts.

mod lane;
mod output_rows;
mod probe;
mod ranking;
mod refresh;

use std::ops::Range;

use foveate_kernels::{Plan, Rotation};

use crate::denoise::Denoiser;
use crate::error::Result;
use crate::network::{Input, KvWrite, Network};
use crate::prune::{Moment, Pruned, Survivors};
use crate::sequence::Origin;
use crate::tap::Tap;

use lane::Lane;
pub(crate) use output_rows::OutputRows;
use probe::Probe;

/// What one request loses at a layer's output.
struct Cut {
    owner: usize,
    for_good: bool,
    kept: Vec<(usize, Survivors)>,
}

/// What the pass did for one request.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) rows: usize,
    pub(crate) rows_computed: usize,
    pub(crate) pairs: usize,
    pub(crate) pruned: Vec<Pruned>,
}

/// The packed rows and what is asked of them.
pub(crate) struct Pass {
    lanes: Vec<Lane>,
    probes: Vec<Probe>,
    pub(crate) accounts: Vec<Account>,
    theta: f32,
    dim: usize,
}

impl Pass {
    /// Packs one lane per request of `owners`, two for a guided one, and borrows what they keep.
    pub(crate) fn new(
        denoisers: &mut [&mut Denoiser],
        owners: &[usize],
        network: &mut dyn Network,
    ) -> Result<Self> {
        let mut lanes = Vec::new();
        let mut checkouts = Vec::new();
        let mut probes = Vec::new();
        let accounts = denoisers.iter().map(|_| Account::default()).collect();
        for &owner in owners {
            let denoiser = &mut *denoisers[owner];
            let guided = denoiser.recipe.cfg_scale > 0.0;
            let work = denoiser.work();
            for unconditional in [false, true].into_iter().take(1 + usize::from(guided)) {
                lanes.push(Lane::new(
                    owner,
                    unconditional,
                    denoiser,
                    &work,
                    &mut checkouts,
                ));
            }
            if let Some(watch) = denoiser.watch() {
                probes.push(Probe::new(owner, watch, denoiser.images.len()));
            }
        }
        network.check_out(checkouts)?;
        let shape = network.shape();
        let mut pass = Self {
            lanes,
            probes,
            accounts,
            theta: shape.rope_theta,
            dim: shape.heads.dim,
        };
        for lane in &pass.lanes {
            pass.accounts[lane.owner].rows += lane.rows.len();
        }
        Ok(pass)
    }

    /// Gives every request back what it lent.
    pub(crate) fn close(self, denoisers: &mut [&mut Denoiser], network: &mut dyn Network) {
        let mut handles: Vec<_> = network.check_in().into_iter().map(Some).collect();
        for lane in self.lanes {
            let handle = lane.store.and_then(|store| handles[store].take());
            if let (Some(handle), Some(cache)) = (handle, &mut denoisers[lane.owner].cache) {
                let which = usize::from(lane.unconditional);
                cache.handles[which] = handle;
                cache.drift[which] = lane.drift;
            }
        }
    }

    /// Drops rows from what `owner` keeps, as they left its sequence.
    pub(crate) fn compact(
        &mut self,
        owner: usize,
        survivors: &[u32],
        network: &mut dyn Network,
    ) -> Result<()> {
        for lane in self.lanes.iter_mut().filter(|l| l.owner == owner) {
            lane.drift.retain(survivors);
            if let Some(store) = lane.store {
                network.compact(store, survivors)?;
            }
        }
        Ok(())
    }

    /// Embeds all rows.
    pub(crate) fn begin(
        &self,
        denoisers: &[&mut Denoiser],
        network: &mut dyn Network,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let hidden = network.shape().hidden;
        let mut inputs: Vec<Input<'_>> = Vec::new();
        for lane in &self.lanes {
            let denoiser = &*denoisers[lane.owner];
            for &row in &lane.rows {
                let token = match lane.sequence.rows()[row as usize].origin {
                    Origin::Response(position) => denoiser.token(position),
                    Origin::Shadow(_) => denoiser.mask(),
                    _ if lane.unconditional => denoiser.mask(),
                    Origin::Text(id) => id,
                    Origin::Visual { image, token } => {
                        let features = denoiser.images[image as usize].features();
                        let at = token as usize * hidden;
                        inputs.push(Input::Features(&features[at..at + hidden]));
                        continue;
                    }
                };
                match inputs.last_mut() {
                    Some(Input::Tokens(ids)) => ids.push(token),
                    _ => inputs.push(Input::Tokens(vec![token])),
                }
            }
        }
        network.begin(self.rows(), &inputs, tap)
    }

    /// Runs every layer, cutting where a strategy asks for it. Stops early when every request is
    /// cancelled.
    pub(crate) fn run(
        &mut self,
        denoisers: &mut [&mut Denoiser],
        network: &mut dyn Network,
        tap: &mut dyn Tap,
        mut watch: impl FnMut(usize),
    ) -> Result<OutputRows> {
        let layers = network.shape().layers;
        let mut planned: Option<(usize, Vec<usize>)> = None;
        let mut leaving = OutputRows::default();
        for layer in 0..layers {
            self.drop_cancelled(denoisers, network)?;
            if self.lanes.is_empty() {
                return Ok(leaving);
            }
            watch(layer);
            let last = layer + 1 == layers;
            if last {
                leaving = self.leaving(denoisers, layer, tap);
            }
            let active = self.active(layer);
            let key = Some((self.rows(), active.clone()));
            if planned != key {
                self.plan(network, &active, layer)?;
                planned = key;
            }
            for (i, lane) in self.lanes.iter().enumerate() {
                let leaving = last.then(|| leaving.of(&self.span(i)));
                let account = &mut self.accounts[lane.owner];
                account.rows_computed += lane.computed();
                account.pairs += lane.pairs(leaving);
            }
            network.layer(layer, last.then_some(leaving.rows.as_slice()), tap)?;
            let drifts = self.watches_drift(layer, layers);
            // Taken layer by layer, so that the order of adding does not depend on what else is watched.
            let mass = if drifts || !active.is_empty() {
                network.mass()?
            } else {
                Vec::new()
            };
            self.gather(&mass, &active);
            self.tap_attention(&active, layer, tap);
            if drifts || self.active(layer + 1) != active {
                planned = None;
            }
            if drifts {
                self.refresh(&mass, network, layer)?;
            }
            if !last && self.cut(denoisers, network, layer + 1)? {
                planned = None;
            }
        }
        Ok(leaving)
    }

    fn rows(&self) -> usize {
        self.lanes.iter().map(|l| l.rows.len()).sum()
    }

    /// Packed rows of lane `lane`.
    fn span(&self, lane: usize) -> Range<usize> {
        let start = self.lanes[..lane]
            .iter()
            .map(|l| l.rows.len())
            .sum::<usize>();
        start..start + self.lanes[lane].rows.len()
    }

    /// Where the keys of lane `lane` begin: its packed rows, or its store behind all packed rows.
    fn keys(&self, lane: usize) -> usize {
        match self.lanes[lane].store {
            None => self.span(lane).start,
            Some(store) => {
                let earlier = self.lanes.iter().filter(|l| l.store < Some(store));
                let stored = earlier.filter(|l| l.store.is_some());
                self.rows() + stored.map(|l| l.sequence.rows().len()).sum::<usize>()
            }
        }
    }

    fn plan(&self, network: &mut dyn Network, active: &[usize], layer: usize) -> Result<()> {
        let queries: Vec<u32> = self.lanes.iter().flat_map(Lane::positions).collect();
        let mut stored: Vec<&Lane> = self.lanes.iter().filter(|l| l.store.is_some()).collect();
        stored.sort_by_key(|l| l.store);
        let behind = stored.iter().flat_map(|l| l.sequence.rows());
        let keys = queries.iter().copied().chain(behind.map(|r| r.position));
        let lanes = 0..self.lanes.len();
        let spans = lanes.clone().flat_map(|l| {
            let (queries, keys) = (self.span(l).start, self.keys(l));
            self.lanes[l].spans(queries, keys)
        });
        let hidden = lanes.clone().flat_map(|l| {
            let (queries, keys) = (self.span(l).start, self.keys(l));
            self.lanes[l].hidden(queries, keys)
        });
        let hidden = hidden.collect();
        let writes: Vec<KvWrite> = lanes
            .filter_map(|l| self.lanes[l].write(self.span(l).start))
            .collect();
        let layers = network.shape().layers;
        let drift = if self.watches_drift(layer, layers) {
            self.drift_asks(layer)
        } else {
            Vec::new()
        };
        let tables = Plan {
            spans: spans.collect(),
            rotation: Some(Rotation {
                theta: self.theta,
                dim: self.dim,
                keys: keys.collect(),
                queries,
            }),
            hidden,
            asks: active
                .iter()
                .flat_map(|&w| self.asks(w))
                .map(|(_, ask)| ask)
                .chain(drift)
                .collect(),
        };
        network.attention(tables, writes)
    }

    fn lane(&self, owner: usize, unconditional: bool) -> Option<usize> {
        self.lanes
            .iter()
            .position(|l| l.owner == owner && l.unconditional == unconditional)
    }

    /// Prunes the requests whose moment is the output of `layer` (from 1); `true` if rows left.
    fn cut(
        &mut self,
        denoisers: &mut [&mut Denoiser],
        network: &mut dyn Network,
        layer: usize,
    ) -> Result<bool> {
        let mut cuts: Vec<Cut> = Vec::new();
        for lane in self.lanes.iter().filter(|l| !l.unconditional) {
            let denoiser = &*denoisers[lane.owner];
            let for_good = match denoiser.pruning_due() {
                Some(Moment::AfterLayerOnce(k)) if k == layer => true,
                Some(Moment::AfterLayerEveryPass(k)) if k == layer => false,
                _ => continue,
            };
            let scores = self.scores(lane.owner, &[]);
            let Some(chosen) = denoiser.choose_tokens(&lane.sequence, scores.as_deref())? else {
                continue;
            };
            let (kept, reports) = split(chosen);
            self.accounts[lane.owner].pruned.extend(reports);
            cuts.push(Cut {
                owner: lane.owner,
                for_good,
                kept,
            });
        }
        if cuts.is_empty() {
            return Ok(false);
        }
        let mut survivors: Vec<u32> = Vec::new();
        let mut at = 0;
        for lane in &mut self.lanes {
            let first = at;
            at += lane.rows.len() as u32;
            let rows = match cuts.iter().find(|c| c.owner == lane.owner) {
                Some(cut) => {
                    let rows = lane.retain(&cut.kept, denoisers[lane.owner].positions());
                    if let Some(store) = lane.store {
                        network.compact(store, &rows)?;
                    }
                    rows
                }
                None => (0..lane.rows.len() as u32).collect(),
            };
            survivors.extend(rows.iter().map(|r| r + first));
        }
        network.retain(&survivors)?;
        for Cut {
            owner,
            for_good,
            kept,
        } in cuts
        {
            if for_good {
                denoisers[owner].prune(&kept);
            } else {
                denoisers[owner].note_kept(kept.iter().map(|(_, k)| k.indices().len()).sum());
            }
        }
        Ok(true)
    }

    /// Removes the rows of cancelled requests.
    fn drop_cancelled(
        &mut self,
        denoisers: &[&mut Denoiser],
        network: &mut dyn Network,
    ) -> Result<()> {
        let gone = |owner: usize| denoisers[owner].is_cancelled();
        if !self.lanes.iter().any(|l| gone(l.owner)) {
            return Ok(());
        }
        let rows: Vec<u32> = (0..self.lanes.len())
            .filter(|&l| !gone(self.lanes[l].owner))
            .flat_map(|l| self.span(l).map(|r| r as u32))
            .collect();
        for lane in self.lanes.iter().filter(|l| gone(l.owner)) {
            // What a cancelled request kept is only half renewed: it is forgotten.
            if let Some(store) = lane.store {
                network.compact(store, &[])?;
            }
        }
        self.lanes.retain(|l| !gone(l.owner));
        self.probes.retain(|w| !gone(w.owner));
        if rows.is_empty() {
            Ok(())
        } else {
            network.retain(&rows)
        }
    }

    /// Owners that are still in the pass, in order.
    pub(crate) fn owners(&self) -> Vec<usize> {
        self.lanes
            .iter()
            .filter(|l| !l.unconditional)
            .map(|l| l.owner)
            .collect()
    }
}

/// Separates what the sequence needs from what is reported.
pub(crate) fn split(
    chosen: Vec<(usize, Survivors, Pruned)>,
) -> (Vec<(usize, Survivors)>, Vec<Pruned>) {
    chosen
        .into_iter()
        .map(|(image, kept, report)| ((image, kept), report))
        .unzip()
}
