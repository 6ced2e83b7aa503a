//! One forward pass over the packed rows of several requests: lanes, attention tables, cuts.

use std::ops::Range;

use foveate_kernels::{Ask, Pick, Plan, Rank, Rotation, RowMap, Span, Sum};

use crate::denoise::Denoiser;
use crate::error::Result;
use crate::network::{Input, Network};
use crate::prune::{Kept, Moment, Pruned, Queries};
use crate::sequence::{Origin, Sequence};
use crate::tap::{Signal, Tap};

/// The rows of one request in this pass; a guided request has two lanes.
struct Lane {
    owner: usize,
    /// The second lane of a guided request: its whole prompt is masked.
    unconditional: bool,
    sequence: Sequence,
}

/// Attention that one request wants from this pass.
struct Watcher {
    owner: usize,
    queries: Queries,
    /// From 0; all layers if none.
    layer: Option<usize>,
    /// Per image: mass gathered, `[queries, tokens]` for masked queries, else `[tokens]`.
    mass: Vec<Vec<f32>>,
    /// Layers in the sums so far.
    layers: usize,
    /// Query rows of each layer.
    rows: usize,
}

/// What the pass did for one request.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) rows: usize,
    pub(crate) rows_computed: usize,
    pub(crate) pruned: Vec<Pruned>,
}

/// The packed rows and what is asked of them.
pub(crate) struct Pass {
    lanes: Vec<Lane>,
    watchers: Vec<Watcher>,
    pub(crate) accounts: Vec<Account>,
    theta: f32,
    dim: usize,
}

impl Pass {
    /// Packs one lane per request of `owners`, two for a guided one.
    pub(crate) fn new(
        denoisers: &[&mut Denoiser],
        owners: &[usize],
        network: &dyn Network,
    ) -> Self {
        let mut lanes = Vec::new();
        let mut watchers = Vec::new();
        let accounts = denoisers.iter().map(|_| Account::default()).collect();
        for &owner in owners {
            let denoiser = &denoisers[owner];
            let guided = denoiser.recipe.cfg_scale > 0.0;
            for unconditional in [false, true].into_iter().take(1 + usize::from(guided)) {
                lanes.push(Lane {
                    owner,
                    unconditional,
                    sequence: denoiser.sequence.clone(),
                });
            }
            if let Some(watch) = denoiser.watch() {
                watchers.push(Watcher {
                    owner,
                    queries: watch.queries,
                    layer: watch.layer.map(|k| k - 1),
                    mass: vec![Vec::new(); denoiser.images.len()],
                    layers: 0,
                    rows: 0,
                });
            }
        }
        let shape = network.shape();
        let mut pass = Self {
            lanes,
            watchers,
            accounts,
            theta: shape.rope_theta,
            dim: shape.heads.dim,
        };
        for lane in 0..pass.lanes.len() {
            let owner = pass.lanes[lane].owner;
            pass.accounts[owner].rows += pass.lanes[lane].sequence.rows().len();
        }
        pass
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
            for row in lane.sequence.rows() {
                let token = match row.origin {
                    Origin::Response(position) => denoiser.token(position),
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
    ) -> Result<Leaving> {
        let layers = network.shape().layers;
        let mut planned: Option<(usize, Vec<usize>)> = None;
        let mut leaving = Leaving::default();
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
            if last || planned != key {
                self.plan(network, &active, last.then_some(&leaving))?;
                planned = key;
            }
            for lane in &self.lanes {
                self.accounts[lane.owner].rows_computed += lane.sequence.rows().len();
            }
            network.layer(layer, last.then_some(leaving.rows.as_slice()), tap)?;
            for &watcher in &active {
                self.watchers[watcher].layers += 1;
            }
            self.tap_attention(network, &active, layer, tap)?;
            // Tables are replaced, and the mass with them, when the watchers change and before the last
            // layer: the mass is read once, just before.
            if last || layer + 2 == layers || self.active(layer + 1) != active {
                self.gather(network, &active)?;
                planned = None;
            }
            if !last && self.cut(denoisers, network, layer + 1)? {
                planned = None;
            }
        }
        Ok(leaving)
    }

    /// Ranks the rows that can still be committed; one list of guesses per owner.
    pub(crate) fn rank(
        &self,
        denoisers: &[&mut Denoiser],
        leaving: &Leaving,
        forbidden: &[u32],
        network: &mut dyn Network,
        tap: &mut dyn Tap,
    ) -> Result<Vec<foveate_kernels::Guess>> {
        let mut picks: Vec<Pick<'_>> = Vec::new();
        let mut wanted = Vec::new();
        for lane in self.lanes.iter().filter(|l| !l.unconditional) {
            let denoiser = &*denoisers[lane.owner];
            for position in denoiser.committable() {
                picks.push(denoiser.pick(position));
                wanted.push((lane.owner, position));
            }
        }
        let mix = self.mix(denoisers, leaving, &wanted);
        let everything = if tap.wants(Signal::Logits) {
            self.mix_all(denoisers, leaving)
        } else {
            RowMap::default()
        };
        network.rank(
            &mix,
            &Rank {
                forbidden,
                picks: &picks,
            },
            &everything,
            tap,
        )
    }

    /// Mean attention per token, one vector per image, for a strategy that prunes after the step.
    pub(crate) fn scores(&self, owner: usize, still_masked: &[u32]) -> Option<Vec<Vec<f32>>> {
        let watcher = self.watchers.iter().find(|w| w.owner == owner)?;
        watcher.scores(still_masked)
    }

    fn rows(&self) -> usize {
        self.lanes.iter().map(|l| l.sequence.rows().len()).sum()
    }

    /// Packed rows of lane `lane`.
    fn span(&self, lane: usize) -> Range<usize> {
        let start = self.lanes[..lane]
            .iter()
            .map(|l| l.sequence.rows().len())
            .sum::<usize>();
        start..start + self.lanes[lane].sequence.rows().len()
    }

    /// Watchers that read `layer`.
    fn active(&self, layer: usize) -> Vec<usize> {
        let reads = |w: &Watcher| w.layer.is_none_or(|l| l == layer);
        (0..self.watchers.len())
            .filter(|&i| reads(&self.watchers[i]))
            .collect()
    }

    fn plan(
        &self,
        network: &mut dyn Network,
        active: &[usize],
        leaving: Option<&Leaving>,
    ) -> Result<()> {
        let positions: Vec<u32> = self
            .lanes
            .iter()
            .flat_map(|l| l.sequence.rows().iter().map(|r| r.position))
            .collect();
        let spans: Vec<Span> = (0..self.lanes.len())
            .map(|l| Span {
                queries: self.span(l),
                keys: self.span(l),
            })
            .collect();
        let asks: Vec<Ask> = active.iter().flat_map(|&w| self.asks(w)).collect();
        let rotation = |queries: Vec<u32>| {
            Some(Rotation {
                theta: self.theta,
                dim: self.dim,
                queries,
                keys: positions.clone(),
            })
        };
        let all = Plan {
            spans,
            rotation: rotation(positions.clone()),
            asks,
        };
        let Some(leaving) = leaving else {
            return network.attention(&all, None);
        };
        let inside = |range: &Range<usize>| {
            leaving
                .rows
                .partition_point(|&r| (r as usize) < range.start)
                ..leaving.rows.partition_point(|&r| (r as usize) < range.end)
        };
        let last = Plan {
            spans: all
                .spans
                .iter()
                .map(|s| Span {
                    queries: inside(&s.queries),
                    keys: s.keys.clone(),
                })
                .collect(),
            rotation: rotation(
                leaving
                    .rows
                    .iter()
                    .map(|&r| positions[r as usize])
                    .collect(),
            ),
            asks: all
                .asks
                .iter()
                .map(|a| Ask {
                    queries: inside(&a.queries),
                    keys: a.keys.clone(),
                    sum: a.sum,
                })
                .collect(),
        };
        network.attention(&all, Some(&last))
    }

    /// One ask per image, on the conditional lane.
    fn asks(&self, watcher: usize) -> Vec<Ask> {
        let watcher = &self.watchers[watcher];
        let Some(lane) = self.lane(watcher.owner, false) else {
            return Vec::new();
        };
        let base = self.span(lane).start;
        let sequence = &self.lanes[lane].sequence;
        let queries = watcher.query_rows(sequence);
        let shift = |r: Range<usize>| base + r.start..base + r.end;
        let sum = match watcher.queries {
            Queries::Masked => Sum::PerRow,
            Queries::Response | Queries::All => Sum::OverRows,
        };
        (0..watcher.mass.len())
            .map(|image| Ask {
                queries: shift(queries.clone()),
                keys: shift(sequence.image(image)),
                sum,
            })
            .collect()
    }

    fn lane(&self, owner: usize, unconditional: bool) -> Option<usize> {
        self.lanes
            .iter()
            .position(|l| l.owner == owner && l.unconditional == unconditional)
    }

    /// The packed rows that leave the last layer: those that can be committed, those whose attention is
    /// still wanted, and everything if a tap looks.
    fn leaving(&self, denoisers: &[&mut Denoiser], layer: usize, tap: &dyn Tap) -> Leaving {
        let everything = tap.wants(Signal::Final)
            || tap.wants(Signal::Logits)
            || tap.wants(Signal::Hidden(layer + 1));
        let mut rows: Vec<u32> = Vec::new();
        for (i, lane) in self.lanes.iter().enumerate() {
            let span = self.span(i);
            if everything {
                rows.extend(span.map(|r| r as u32));
                continue;
            }
            let response = lane.sequence.response().start + span.start;
            rows.extend(
                denoisers[lane.owner]
                    .committable()
                    .iter()
                    .map(|p| p + response as u32),
            );
        }
        for watcher in self.active(layer) {
            for ask in self.asks(watcher).iter().take(1) {
                rows.extend(ask.queries.clone().map(|r| r as u32));
            }
        }
        rows.sort_unstable();
        rows.dedup();
        Leaving { rows }
    }

    /// Adds the mass that the backend gathered to the active watchers.
    fn gather(&mut self, network: &mut dyn Network, active: &[usize]) -> Result<()> {
        if active.is_empty() {
            return Ok(());
        }
        let mass = network.mass()?;
        let mut at = 0;
        for &w in active {
            let asks = self.asks(w);
            let watcher = &mut self.watchers[w];
            for (image, ask) in asks.iter().enumerate() {
                watcher.rows = ask.queries.len();
                let block = &mass[at..at + ask.len()];
                at += ask.len();
                let sum = &mut watcher.mass[image];
                if sum.is_empty() {
                    sum.extend_from_slice(block);
                } else {
                    sum.iter_mut().zip(block).for_each(|(s, b)| *s += b);
                }
            }
        }
        Ok(())
    }

    fn tap_attention(
        &self,
        network: &mut dyn Network,
        active: &[usize],
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let mut blocks = Vec::new();
        let mut at = 0;
        for &w in active {
            let request = self.watchers[w].owner;
            for (image, ask) in self.asks(w).iter().enumerate() {
                let signal = Signal::Attention {
                    layer: layer + 1,
                    request,
                    image,
                };
                if tap.wants(signal) {
                    blocks.push((signal, w, image, at..at + ask.len()));
                }
                at += ask.len();
            }
        }
        if !blocks.is_empty() {
            let mass = network.mass()?;
            for (signal, watcher, image, range) in blocks {
                let earlier = &self.watchers[watcher].mass[image];
                let now = mass[range].iter().enumerate();
                let sum = now.map(|(i, m)| m + earlier.get(i).copied().unwrap_or(0.0));
                tap.take(signal, sum.collect());
            }
        }
        Ok(())
    }

    /// Prunes the requests whose moment is the output of `layer` (from 1); `true` if rows left.
    fn cut(
        &mut self,
        denoisers: &mut [&mut Denoiser],
        network: &mut dyn Network,
        layer: usize,
    ) -> Result<bool> {
        let mut choices: Vec<(usize, bool, Vec<(usize, Kept)>)> = Vec::new();
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
            choices.push((lane.owner, for_good, kept));
        }
        if choices.is_empty() {
            return Ok(false);
        }
        let mut survivors: Vec<u32> = Vec::new();
        for lane in 0..self.lanes.len() {
            let span = self.span(lane);
            let owner = self.lanes[lane].owner;
            match choices.iter().find(|(o, ..)| *o == owner) {
                Some((_, _, kept)) => {
                    let positions = denoisers[owner].positions();
                    let rows = self.lanes[lane].sequence.clone().retain(kept, positions);
                    survivors.extend(rows.iter().map(|r| r + span.start as u32));
                }
                None => survivors.extend(span.map(|r| r as u32)),
            }
        }
        network.retain(&survivors)?;
        for (owner, for_good, kept) in choices {
            for lane in self.lanes.iter_mut().filter(|l| l.owner == owner) {
                lane.sequence.retain(&kept, denoisers[owner].positions());
            }
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
        self.lanes.retain(|l| !gone(l.owner));
        self.watchers.retain(|w| !gone(w.owner));
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

    /// Final rows of `wanted` response positions: plain copies, or guided mixtures
    /// `(1 + s) · conditional - s · unconditional` (LLaDA, `cfg_scale`).
    fn mix(
        &self,
        denoisers: &[&mut Denoiser],
        leaving: &Leaving,
        wanted: &[(usize, u32)],
    ) -> RowMap {
        let mut map = RowMap {
            starts: vec![0],
            ..RowMap::default()
        };
        for &(owner, position) in wanted {
            let scale = denoisers[owner].recipe.cfg_scale as f32;
            for unconditional in [false, true] {
                let Some(lane) = self.lane(owner, unconditional) else {
                    continue;
                };
                let response = self.lanes[lane].sequence.response().start;
                let row = self.span(lane).start + response + position as usize;
                map.from.push(leaving.index(row));
                map.weight
                    .push(if unconditional { -scale } else { 1.0 + scale });
            }
            map.starts.push(map.from.len() as u32);
        }
        map
    }

    /// The same for every row of every conditional lane; only valid when every row left.
    fn mix_all(&self, denoisers: &[&mut Denoiser], leaving: &Leaving) -> RowMap {
        let mut map = RowMap {
            starts: vec![0],
            ..RowMap::default()
        };
        for lane in (0..self.lanes.len()).filter(|&l| !self.lanes[l].unconditional) {
            let owner = self.lanes[lane].owner;
            let scale = denoisers[owner].recipe.cfg_scale as f32;
            let twin = self.lane(owner, true);
            for r in 0..self.lanes[lane].sequence.rows().len() {
                map.from.push(leaving.index(self.span(lane).start + r));
                map.weight.push(1.0 + scale);
                if let Some(twin) = twin {
                    map.from.push(leaving.index(self.span(twin).start + r));
                    map.weight.push(-scale);
                }
                map.starts.push(map.from.len() as u32);
            }
        }
        map
    }
}

impl Watcher {
    /// Query rows inside the lane.
    fn query_rows(&self, sequence: &Sequence) -> Range<usize> {
        match self.queries {
            Queries::Masked | Queries::Response => sequence.response(),
            Queries::All => 0..sequence.rows().len(),
        }
    }

    /// Mean over the queries and layers; `None` if no query row is left.
    fn scores(&self, still_masked: &[u32]) -> Option<Vec<Vec<f32>>> {
        let rows = match self.queries {
            Queries::Masked => still_masked.len(),
            Queries::Response | Queries::All => self.rows,
        };
        if rows == 0 || self.layers == 0 {
            return None;
        }
        let scale = 1.0 / (rows * self.layers) as f32;
        let mean = |mass: &Vec<f32>| -> Vec<f32> {
            match self.queries {
                Queries::Response | Queries::All => mass.iter().map(|m| m * scale).collect(),
                Queries::Masked => {
                    let tokens = mass.len() / self.rows.max(1);
                    let mut sum = vec![0.0; tokens];
                    for &row in still_masked {
                        let block = &mass[row as usize * tokens..][..tokens];
                        sum.iter_mut().zip(block).for_each(|(s, m)| *s += m);
                    }
                    sum.iter_mut().for_each(|s| *s *= scale);
                    sum
                }
            }
        };
        Some(self.mass.iter().map(mean).collect())
    }
}

/// Packed rows that leave the last layer, ascending.
#[derive(Default)]
pub(crate) struct Leaving {
    rows: Vec<u32>,
}

impl Leaving {
    /// Where packed row `row` is among the leaving ones.
    fn index(&self, row: usize) -> u32 {
        self.rows.partition_point(|&r| (r as usize) < row) as u32
    }
}

/// Separates what the sequence needs from what is reported.
pub(crate) fn split(chosen: Vec<(usize, Kept, Pruned)>) -> (Vec<(usize, Kept)>, Vec<Pruned>) {
    chosen
        .into_iter()
        .map(|(image, kept, report)| ((image, kept), report))
        .unzip()
}
