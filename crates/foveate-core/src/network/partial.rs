//! A layer of which some rows reuse what attention and MLP gave them before.

use foveate_kernels::{Act, Backend, Into};

use super::decoder::{Decoder, rms};
use super::kv::KvWrite;
use crate::error::Result;
use crate::tap::{Signal, Tap};

/// Packed rows that a layer computes, and those that reuse what is kept.
struct Split {
    /// Ascending.
    computed: Vec<u32>,
    /// `(write, packed row)`.
    reused: Vec<(usize, u32)>,
}

impl<B: Backend> Decoder<B> {
    /// [`Decoder::layer`] for passes in which a store keeps outputs.
    pub(super) fn layer_in_part(
        &mut self,
        backend: &mut B,
        i: usize,
        leaving: Option<&[u32]>,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        self.keys_and_values(backend, i)?;
        let all: Vec<u32> = (0..self.rows() as u32).collect();
        let mut split = self.renew(backend, i, &all, tap)?;
        let leaving = leaving.unwrap_or(&all);
        let stays = |row: &u32| leaving.binary_search(row).is_ok();
        split.computed.retain(stays);
        split.reused.retain(|(_, row)| stays(row));
        self.normalise(backend, i, &split.computed)?;
        if leaving.len() < all.len() {
            self.retain(backend, leaving)?;
        }
        self.attend(backend, i, Some(&split.computed))?;
        // Packed rows as rows of the stream, which has become shorter when rows left.
        let here = |row: u32| leaving.partition_point(|&r| r < row) as u32;
        let computed: Vec<u32> = split.computed.iter().map(|&r| here(r)).collect();
        let weight = &self.layers[i].output;
        backend.linear(&self.n, weight, Act::None, Into::Store, &mut self.y)?;
        self.add(backend, i, 0, &split, here)?;
        let norm = rms(&self.layers[i].mlp_norm, self.shape.norm_eps);
        backend.norm(&self.x, Some(&computed), &norm, &mut self.n)?;
        backend.reshape(&mut self.wide, self.shape.mlp);
        let gate_up = &self.layers[i].gate_up;
        backend.linear(&self.n, gate_up, Act::SwiGlu, Into::Store, &mut self.wide)?;
        let down = &self.layers[i].down;
        backend.linear(&self.wide, down, Act::None, Into::Store, &mut self.y)?;
        self.add(backend, i, 1, &split, here)
    }

    /// Chooses the rows to compute and keeps their keys and values.
    fn renew(
        &mut self,
        backend: &mut B,
        i: usize,
        all: &[u32],
        tap: &mut dyn Tap,
    ) -> Result<Split> {
        let mut split = Split {
            computed: all.to_vec(),
            reused: Vec::new(),
        };
        for (v, write) in self.writes.iter().enumerate() {
            let kept = &mut self.stores[write.store].layers[i].kv;
            let partial = write.outputs.as_ref();
            let Some(partial) = partial.filter(|o| o.count < o.rows.len()) else {
                write.keep(backend, &self.wide, kept)?;
                continue;
            };
            let rows = partial.rows.clone();
            let slots: Vec<u32> = rows.clone().map(|r| write.slot(r as u32)).collect();
            let chosen =
                backend.least_alike(&self.wide, rows.clone(), kept, &slots, partial.count)?;
            let signal = Signal::Recomputed {
                layer: i + 1,
                lane: v,
            };
            if tap.wants(signal) {
                let within = |row: &u32| (*row as usize - rows.start) as f32;
                tap.take(signal, chosen.iter().map(within).collect());
            }
            let reuses =
                |row: &u32| rows.contains(&(*row as usize)) && chosen.binary_search(row).is_err();
            let computes = |row: &u32| !reuses(row);
            let mine = write.rows.clone().map(|r| r as u32);
            let fresh: Vec<u32> = mine.clone().filter(computes).collect();
            let slots: Vec<u32> = fresh.iter().map(|&r| write.slot(r)).collect();
            backend.write_kv(&self.wide, &fresh, &slots, kept)?;
            split.computed.retain(computes);
            split.reused.extend(mine.filter(reuses).map(|row| (v, row)));
        }
        Ok(split)
    }

    /// Adds the outputs in `y`, or the kept ones, to the stream; keeps the new ones. `which` is 0 for
    /// attention, 1 for the MLP.
    fn add(
        &mut self,
        backend: &mut B,
        i: usize,
        which: usize,
        split: &Split,
        here: impl Fn(u32) -> u32,
    ) -> Result<()> {
        let from: Vec<u32> = (0..split.computed.len() as u32).collect();
        let to: Vec<u32> = split.computed.iter().map(|&r| here(r)).collect();
        backend.scatter(&self.y, &from, &to, Into::Add, &mut self.x)?;
        for (v, write) in self.writes.iter().enumerate() {
            let Some(outputs) = &write.outputs else {
                continue;
            };
            let store = &mut self.stores[write.store];
            let slot = |write: &KvWrite, row| store.output(write.slot(row));
            let new: Vec<(u32, u32)> = (0..)
                .zip(&split.computed)
                .filter(|(_, row)| outputs.rows.contains(&(**row as usize)))
                .map(|(at, &row)| (at, slot(write, row)))
                .collect();
            let old: Vec<(u32, u32)> = split
                .reused
                .iter()
                .filter(|(of, _)| *of == v)
                .map(|&(_, row)| (slot(write, row), here(row)))
                .collect();
            let kept = &mut store.layers[i].outputs[which];
            let (from, to): (Vec<u32>, Vec<u32>) = old.into_iter().unzip();
            backend.scatter(kept, &from, &to, Into::Add, &mut self.x)?;
            let (from, to): (Vec<u32>, Vec<u32>) = new.into_iter().unzip();
            backend.scatter(&self.y, &from, &to, Into::Store, kept)?;
        }
        Ok(())
    }
}
