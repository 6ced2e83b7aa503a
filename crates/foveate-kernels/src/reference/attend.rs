//! Attention as its definition: every query against every key of its span, softmax, weighted values.

use std::iter::once;

use super::KvRows;
use super::math::{add_mass, dot, rotate, softmax};
use crate::backend::{Heads, Plan, Qkv, Span};
use crate::error::{Result, same};
use crate::rows::Rows;

/// [`Backend::attend`](crate::Backend::attend).
pub(super) fn attend(
    &Qkv { q, kv, stored }: &Qkv<'_, Rows, KvRows>,
    heads: &Heads,
    plan: &Plan,
    mut probe: Option<&mut Rows>,
    out: &mut Rows,
) -> Result<()> {
    same("width of queries", heads.count * heads.dim, q.width)?;
    let sources: Vec<&Rows> = once(kv).chain(stored.iter().map(|k| &k.rows)).collect();
    for kv in &sources {
        same("width of keys and values", heads.kv_width(), kv.width)?;
    }
    same("width of attention output", q.width, out.width)?;
    out.resize(q.rows)?;
    out.data.fill(0.0);
    let attention = Attention {
        q,
        kv: sources
            .iter()
            .flat_map(|kv| (0..kv.rows).map(|r| kv.row(r)))
            .collect(),
        heads: *heads,
        plan,
    };
    for span in &plan.spans {
        for head in 0..heads.count {
            let keys = attention.keys(span, head);
            for query in span.queries.clone() {
                let weights = attention.weights(span, head, query, &keys);
                let target = &mut out.row_mut(query)[head * heads.dim..(head + 1) * heads.dim];
                attention.weigh(span, head, &weights, target);
                if let Some(probe) = probe.as_deref_mut() {
                    let weights = (span.keys.start, &weights[..]);
                    let share = 1.0 / heads.count as f32;
                    add_mass(&plan.asks, query, weights, share, &mut probe.data);
                }
            }
        }
    }
    Ok(())
}

/// An attention and its operands.
struct Attention<'a> {
    q: &'a Rows,
    /// All rows that the plan counts keys through.
    kv: Vec<&'a [f32]>,
    heads: Heads,
    plan: &'a Plan,
}

impl Attention<'_> {
    /// The key head that query head `head` reads.
    fn kv_head(&self, head: usize) -> usize {
        head / (self.heads.count / self.heads.kv_count)
    }

    /// Head `head` of a row, rotated by its position if the plan rotates.
    fn rotated(&self, row: &[f32], head: usize, position: Option<u32>) -> Vec<f32> {
        let dim = self.heads.dim;
        let mut x = row[head * dim..(head + 1) * dim].to_vec();
        if let (Some(rotation), Some(position)) = (&self.plan.rotation, position) {
            rotate(rotation, position, &mut x);
        }
        x
    }

    /// A span's keys for one query head.
    fn keys(&self, span: &Span, head: usize) -> Vec<Vec<f32>> {
        let rotation = self.plan.rotation.as_ref();
        let key = |r: usize| {
            let position = rotation.map(|rotation| rotation.keys[r]);
            self.rotated(self.kv[r], self.kv_head(head), position)
        };
        span.keys.clone().map(key).collect()
    }

    /// How much one head of one query attends to each of its span's keys.
    fn weights(&self, span: &Span, head: usize, query: usize, keys: &[Vec<f32>]) -> Vec<f32> {
        let rotation = self.plan.rotation.as_ref();
        let position = rotation.map(|rotation| rotation.queries[query]);
        let q = self.rotated(self.q.row(query), head, position);
        let scale = 1.0 / (self.heads.dim as f32).sqrt();
        let mut scores: Vec<f32> = keys.iter().map(|k| scale * dot(k, &q) as f32).collect();
        for hidden in self
            .plan
            .hidden
            .iter()
            .filter(|hidden| hidden.query == query)
        {
            scores[hidden.key - span.keys.start] = f32::NEG_INFINITY;
        }
        softmax(scores)
    }

    /// Adds the weighted values of a span's keys to one head's output.
    fn weigh(&self, span: &Span, head: usize, weights: &[f32], target: &mut [f32]) {
        let first = (self.heads.kv_count + self.kv_head(head)) * self.heads.dim;
        for (weight, key) in weights.iter().zip(span.keys.clone()) {
            for (o, v) in target.iter_mut().zip(&self.kv[key][first..]) {
                *o += weight * v;
            }
        }
    }
}
