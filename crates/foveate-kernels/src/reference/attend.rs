//! Attention as its definition: every query against every key of its span, softmax, weighted values.

use super::KvRows;
use super::math::{dot, report, rotate, softmax};
use crate::backend::{Heads, Plan, Qkv, Rotation};
use crate::error::{Result, same};
use crate::rows::Rows;

pub(super) fn attend(
    &Qkv { q, kv, stored }: &Qkv<'_, Rows, KvRows>,
    heads: &Heads,
    plan: &Plan,
    mut probe: Option<&mut Rows>,
    out: &mut Rows,
) -> Result<()> {
    same("width of queries", heads.count * heads.dim, q.width)?;
    let sources: Vec<&Rows> = std::iter::once(kv)
        .chain(stored.iter().map(|k| &k.rows))
        .collect();
    for kv in &sources {
        same("width of keys and values", heads.kv_width(), kv.width)?;
    }
    let kv: Vec<&[f32]> = sources
        .iter()
        .flat_map(|kv| (0..kv.rows).map(|r| kv.row(r)))
        .collect();
    same("width of attention output", q.width, out.width)?;
    out.resize(q.rows)?;
    let scale = 1.0 / (heads.dim as f32).sqrt();
    for span in &plan.spans {
        for head in 0..heads.count {
            let kv_head = head / (heads.count / heads.kv_count);
            let rotated = |row: &[f32], h: usize, position: Option<u32>| {
                let mut v = row[h * heads.dim..(h + 1) * heads.dim].to_vec();
                if let (Some(rotation), Some(position)) = (&plan.rotation, position) {
                    rotate(rotation, position, &mut v);
                }
                v
            };
            let position = |of: fn(&Rotation) -> &Vec<u32>, r: usize| {
                plan.rotation.as_ref().map(|rotation| of(rotation)[r])
            };
            let keys: Vec<Vec<f32>> = span
                .keys
                .clone()
                .map(|r| rotated(kv[r], kv_head, position(|p| &p.keys, r)))
                .collect();
            for r in span.queries.clone() {
                let query = rotated(q.row(r), head, position(|p| &p.queries, r));
                let mut scores: Vec<f32> =
                    keys.iter().map(|k| scale * dot(k, &query) as f32).collect();
                for hidden in plan.hidden.iter().filter(|hidden| hidden.query == r) {
                    scores[hidden.key - span.keys.start] = f32::NEG_INFINITY;
                }
                let weights = softmax(scores);
                let target = &mut out.row_mut(r)[head * heads.dim..(head + 1) * heads.dim];
                target.fill(0.0);
                for (weight, key) in weights.iter().zip(span.keys.clone()) {
                    let value = &kv[key][(heads.kv_count + kv_head) * heads.dim..];
                    for (o, v) in target.iter_mut().zip(value) {
                        *o += weight * v;
                    }
                }
                if let Some(probe) = probe.as_deref_mut() {
                    let share = 1.0 / heads.count as f32;
                    report(
                        &plan.asks,
                        r,
                        span.keys.start,
                        &weights,
                        share,
                        &mut probe.data,
                    );
                }
            }
        }
    }
    Ok(())
}
