//! A step's attention, prepared once for all layers: blocks of queries, rotations, reports.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::backend::{Ask, Hidden, Plan, Rotation, Span, Sum};
use crate::error::{Error, Result, same};
use crate::memory::Held;
use crate::reference::frequency;

/// Queries of a block: their scores for one head stay in the second cache.
const BLOCK: usize = 64;
/// Queries of a block that sees more keys than [`MANY_KEYS`].
const SMALL_BLOCK: usize = 32;
const MANY_KEYS: usize = 2048;

/// The tables of one step, made by [`Backend::plan`](crate::Backend::plan).
#[derive(Debug)]
pub struct Schedule {
    pub(super) blocks: Vec<Block>,
    pub(super) turns: Option<Turns>,
    /// Floats that the blocks report for one head.
    pub(super) report_len: usize,
    /// Floats of the probe.
    pub(super) probe_len: usize,
    /// How one head's reports are added to the probe, in this order.
    pub(super) merges: Vec<Merge>,
    /// Rows of `q` that no span covers, as far as the last span.
    pub(super) gaps: Vec<Range<usize>>,
    /// Rows that `q` and `kv` must at least have.
    pub(super) query_rows: usize,
    pub(super) key_rows: usize,
    /// Most keys of a block.
    pub(super) longest: usize,
    /// Stretches of keys that some query reads, ascending and apart.
    read: Vec<Range<usize>>,
    #[expect(dead_code, reason = "counts the bytes until it is dropped")]
    held: Held,
}

/// Queries that are worked on together, always by one thread.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) queries: Range<usize>,
    pub(super) keys: Range<usize>,
    pub(super) reports: Vec<Report>,
    pub(super) hidden: Vec<Hidden>,
}

/// What a block tells about its attention.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) queries: Range<usize>,
    pub(super) keys: Range<usize>,
    pub(super) sum: Sum,
    /// Where it goes among the reports of one head.
    pub(super) at: usize,
}

/// Adds `len` floats at `from` of a head's reports to the probe at `to`.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) len: usize,
}

/// Cosines and sines for every row.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) half: usize,
    queries: Vec<f32>,
    /// Absent when every key has the position of the query in its row.
    keys: Option<Vec<f32>>,
}

/// Cosines and sines of every position so far, which the steps of an answer share.
#[derive(Debug, Default)]
pub(super) struct Angles {
    theta: f32,
    dim: usize,
    /// `[positions][cosines, sines]`
    table: Vec<f32>,
}

impl Angles {
    /// Has at least the first `positions` positions.
    fn reach(&mut self, rotation: &Rotation, positions: usize) {
        let Rotation { theta, dim, .. } = *rotation;
        if self.theta.to_bits() != theta.to_bits() || self.dim != dim {
            *self = Self {
                theta,
                dim,
                table: Vec::new(),
            };
        }
        let half = dim / 2;
        let known = self.table.len() / (2 * half).max(1);
        let frequencies: Vec<f32> = (0..half).map(|j| frequency(theta, dim, j)).collect();
        for position in known..positions {
            let angles = frequencies.iter().map(|f| position as f32 * f);
            self.table.extend(angles.clone().map(f32::cos));
            self.table.extend(angles.map(f32::sin));
        }
    }

    fn of(&self, positions: &[u32]) -> Vec<f32> {
        let width = self.dim / 2 * 2;
        let mut table = Vec::with_capacity(positions.len() * width);
        for &position in positions {
            table.extend_from_slice(&self.table[position as usize * width..][..width]);
        }
        table
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.capacity() * size_of::<f32>()
    }
}

impl Turns {
    fn new(rotation: &Rotation, angles: &mut Angles) -> Self {
        let positions = rotation.queries.iter().chain(&rotation.keys);
        let most = positions.max().map_or(0, |p| *p as usize + 1);
        angles.reach(rotation, most);
        Self {
            half: rotation.dim / 2,
            queries: angles.of(&rotation.queries),
            keys: (rotation.keys != rotation.queries).then(|| angles.of(&rotation.keys)),
        }
    }

    /// Cosines and sines of some rows of `q`, row after row, and how many of each.
    pub(super) fn queries(&self, rows: Range<usize>) -> (&[f32], usize) {
        (self.part(&self.queries, rows), self.half)
    }

    /// Cosines and sines of some keys, row after row, and how many of each.
    pub(super) fn keys(&self, rows: Range<usize>) -> (&[f32], usize) {
        let table = self.keys.as_ref().unwrap_or(&self.queries);
        (self.part(table, rows), self.half)
    }

    fn part<'a>(&self, table: &'a [f32], rows: Range<usize>) -> &'a [f32] {
        let width = 2 * self.half;
        &table[rows.start * width..rows.end * width]
    }

    fn floats(&self) -> usize {
        self.queries.len() + self.keys.as_ref().map_or(0, Vec::len)
    }
}

impl Schedule {
    pub(super) fn new(plan: &Plan, angles: &mut Angles, total: &Arc<AtomicUsize>) -> Result<Self> {
        let mut spans: Vec<&Span> = plan
            .spans
            .iter()
            .filter(|s| !s.queries.is_empty())
            .collect();
        spans.sort_by_key(|s| s.queries.start);
        let gaps = gaps(&spans)?;
        let query_rows = spans.last().map_or(0, |s| s.queries.end);
        let key_rows = spans.iter().map(|s| s.keys.end).max().unwrap_or(0);
        if let Some(rotation) = &plan.rotation {
            let (queries, keys) = (rotation.queries.len(), rotation.keys.len());
            if queries < query_rows || keys < key_rows {
                return Err(Error::shape(
                    "positions of queries and keys",
                    format!("at least {query_rows} and {key_rows}"),
                    format!("{queries} and {keys}"),
                ));
            }
        }
        let mut blocks: Vec<Block> = spans.iter().flat_map(|span| cut(span)).collect();
        plan.check_hidden()?;
        for hidden in &plan.hidden {
            let of = |block: &&mut Block| block.queries.contains(&hidden.query);
            if let Some(block) = blocks.iter_mut().find(of) {
                block.hidden.push(*hidden);
            }
        }
        let mut schedule = Reports::default();
        for ask in &plan.asks {
            schedule.add(ask, &spans, &mut blocks)?;
        }
        // Long blocks first: the last task to finish is then a short one.
        blocks.sort_by_key(|b| std::cmp::Reverse(b.keys.len()));
        let rotation = plan.rotation.as_ref();
        let turns = rotation.map(|rotation| Turns::new(rotation, angles));
        let bytes = turns.as_ref().map_or(0, Turns::floats) * size_of::<f32>();
        Ok(Self {
            longest: blocks.iter().map(|b| b.keys.len()).max().unwrap_or(0),
            blocks,
            turns,
            report_len: schedule.len,
            probe_len: schedule.probe_len,
            merges: schedule.merges,
            gaps,
            query_rows,
            key_rows,
            read: stretches(&spans),
            held: Held::new(total, bytes),
        })
    }
}

impl Schedule {
    /// Whether some query reads one of these keys.
    pub(super) fn reads(&self, keys: &Range<usize>) -> bool {
        let at = self.read.partition_point(|r| r.end <= keys.start);
        self.read.get(at).is_some_and(|r| r.start < keys.end)
    }
}

/// The union of all spans' keys.
fn stretches(spans: &[&Span]) -> Vec<Range<usize>> {
    let mut keys: Vec<Range<usize>> = spans.iter().map(|s| s.keys.clone()).collect();
    keys.retain(|k| !k.is_empty());
    keys.sort_by_key(|k| k.start);
    let mut union: Vec<Range<usize>> = Vec::new();
    for k in keys {
        match union.last_mut() {
            Some(last) if k.start <= last.end => last.end = last.end.max(k.end),
            _ => union.push(k),
        }
    }
    union
}

/// The rows between spans; fails when two spans share a query, or one runs backwards.
fn gaps(spans: &[&Span]) -> Result<Vec<Range<usize>>> {
    let mut gaps = Vec::new();
    let mut covered = 0;
    for span in spans {
        if span.queries.start < covered {
            return Err(Error::shape(
                "queries of a span",
                format!("disjoint from the others, from {covered} on"),
                format!("{:?}", span.queries),
            ));
        }
        if span.keys.start > span.keys.end {
            return Err(Error::shape(
                "keys of a span",
                "a range",
                format!("{:?}", span.keys),
            ));
        }
        gaps.push(covered..span.queries.start);
        covered = span.queries.end;
    }
    Ok(gaps)
}

/// Cuts a span from its first query on, so that its blocks do not depend on other spans.
fn cut(span: &Span) -> impl Iterator<Item = Block> {
    let size = if span.keys.len() > MANY_KEYS {
        SMALL_BLOCK
    } else {
        BLOCK
    };
    span.queries.clone().step_by(size).map(move |first| Block {
        queries: first..(first + size).min(span.queries.end),
        keys: span.keys.clone(),
        reports: Vec::new(),
        hidden: Vec::new(),
    })
}

#[derive(Default)]
struct Reports {
    len: usize,
    probe_len: usize,
    merges: Vec<Merge>,
}

impl Reports {
    fn add(&mut self, ask: &Ask, spans: &[&Span], blocks: &mut [Block]) -> Result<()> {
        let to = self.probe_len;
        self.probe_len += ask.len();
        if ask.queries.is_empty() || ask.keys.is_empty() {
            return Ok(());
        }
        let inside = |span: &&&Span| within(&ask.queries, &span.queries);
        let span = spans.iter().find(inside);
        if !span.is_some_and(|span| within(&ask.keys, &span.keys)) {
            return Err(Error::shape(
                "an ask",
                "queries and keys inside one span",
                format!("{:?} × {:?}", ask.queries, ask.keys),
            ));
        }
        if ask.sum == Sum::PerRow {
            let len = ask.len();
            self.merge(to, len);
        }
        for block in blocks {
            let queries =
                block.queries.start.max(ask.queries.start)..block.queries.end.min(ask.queries.end);
            if queries.is_empty() {
                continue;
            }
            let at = match ask.sum {
                Sum::PerRow => {
                    self.len - ask.len() + (queries.start - ask.queries.start) * ask.keys.len()
                }
                Sum::OverRows => self.merge(to, ask.keys.len()),
            };
            block.reports.push(Report {
                queries,
                keys: ask.keys.clone(),
                sum: ask.sum,
                at,
            });
        }
        Ok(())
    }

    /// Room for `len` floats that will be added to the probe at `to`.
    fn merge(&mut self, to: usize, len: usize) -> usize {
        let from = self.len;
        self.merges.push(Merge { from, to, len });
        self.len += len;
        from
    }
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Checks the geometry that a schedule is used with.
pub(super) fn check_rotation(turns: Option<&Turns>, dim: usize) -> Result<()> {
    match turns {
        Some(turns) if 2 * turns.half > dim => same("width of a rotation", dim, 2 * turns.half),
        _ => Ok(()),
    }
}
