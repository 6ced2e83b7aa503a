//! A step's attention, prepared once for all layers: blocks of queries, rotations, and where attention mass goes.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::rope::{RopeCache, RopeTables};
use crate::backend::{Ask, Hidden, Plan, Rotation, Span, Sum};
use crate::error::{Error, Result};
use crate::memory::Held;

/// Queries of a block: their scores for one head stay in the second cache.
const BLOCK: usize = 64;
/// Queries of a block that sees more keys than [`MANY_KEYS`].
const SMALL_BLOCK: usize = 32;
/// Keys from which on blocks are [`SMALL_BLOCK`] queries high.
const MANY_KEYS: usize = 2048;

/// The tables of one step for [`Cpu`](super::Cpu), made by [`Backend::plan`](crate::Backend::plan).
#[derive(Debug)]
pub struct AttentionPlan {
    /// All queries that see keys, those with the most keys first.
    pub(super) blocks: Vec<QueryBlock>,
    /// Rotary angles of all rows, unless nothing is rotated.
    pub(super) rope: Option<RopeTables>,
    /// Floats of attention mass that the blocks write for one head.
    pub(super) mass_len: usize,
    /// Floats of the probe.
    pub(super) probe_len: usize,
    /// How one head's mass is added to the probe, in this order.
    pub(super) merges: Vec<MassMerge>,
    /// Rows of `q` that no span covers, as far as the last span; their outputs are zero.
    pub(super) gaps: Vec<Range<usize>>,
    /// Rows that `q` must at least have.
    pub(super) query_rows: usize,
    /// Rows that `kv` and the stored rows must at least have together.
    pub(super) key_rows: usize,
    /// Most keys of a block.
    pub(super) longest: usize,
    /// Stretches of keys that some query reads, ascending and apart.
    read: Vec<Range<usize>>,
    #[expect(dead_code, reason = "counts the bytes until it is dropped")]
    held: Held,
}

/// Queries that are worked on together, always by one thread.
///
/// All of them see the same keys except for the hidden ones, so their scores are one dense matrix.
#[derive(Debug)]
pub(super) struct QueryBlock {
    /// Rows of `q`, at most [`BLOCK`].
    pub(super) queries: Range<usize>,
    /// Keys, counted as the span's.
    pub(super) keys: Range<usize>,
    /// Attention mass that is wanted of it.
    pub(super) mass: Vec<BlockMass>,
    /// Keys that single queries of it do not see.
    pub(super) hidden: Vec<Hidden>,
}

/// The part of an [`Ask`] that one block serves.
#[derive(Debug)]
pub(super) struct BlockMass {
    /// Rows of `q`, inside the block.
    pub(super) queries: Range<usize>,
    /// Keys, inside the block's.
    pub(super) keys: Range<usize>,
    /// Whether queries are added up.
    pub(super) sum: Sum,
    /// Where it goes in the mass of one head.
    pub(super) at: usize,
}

/// Adds `len` floats at `from` of a head's mass to the probe at `to`.
///
/// Blocks write to places of their own and are added up afterwards in a fixed order, so that a probe has the
/// same bits at any number of threads.
#[derive(Debug)]
pub(super) struct MassMerge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) len: usize,
}

impl AttentionPlan {
    /// Cuts a plan into blocks and gathers its tables; `total` counts their bytes while they live.
    ///
    /// Refuses spans that share queries or run backwards, positions that are missing, hidden keys outside their
    /// query's span, and asks that are not inside one span.
    pub(super) fn new(
        plan: &Plan,
        cache: &mut RopeCache,
        total: &Arc<AtomicUsize>,
    ) -> Result<Self> {
        let spans = plan.spans.iter().filter(|s| !s.queries.is_empty());
        let mut spans: Vec<&Span> = spans.collect();
        spans.sort_by_key(|s| s.queries.start);
        let gaps = gaps(&spans)?;
        let query_rows = spans.last().map_or(0, |s| s.queries.end);
        let key_rows = spans.iter().map(|s| s.keys.end).max().unwrap_or(0);
        if let Some(rotation) = &plan.rotation {
            check_positions(rotation, query_rows, key_rows)?;
        }
        let mut blocks: Vec<QueryBlock> = spans.iter().flat_map(|span| blocks_of(span)).collect();
        plan.check_hidden()?;
        hide(&plan.hidden, &mut blocks);
        let mut mass = MassLayout::default();
        for ask in &plan.asks {
            mass.add(ask, &spans, &mut blocks)?;
        }
        // Long blocks first: the last task to end is then a short one.
        blocks.sort_by_key(|b| Reverse(b.keys.len()));
        let rotation = plan.rotation.as_ref();
        let rope = rotation.map(|rotation| RopeTables::new(rotation, cache));
        let bytes = rope.as_ref().map_or(0, RopeTables::bytes);
        Ok(Self {
            longest: blocks.iter().map(|b| b.keys.len()).max().unwrap_or(0),
            blocks,
            rope,
            mass_len: mass.len,
            probe_len: mass.probe_len,
            merges: mass.merges,
            gaps,
            query_rows,
            key_rows,
            read: union_of_keys(&spans),
            held: Held::new(total, bytes),
        })
    }

    /// Whether some query reads one of these keys; others need not be packed.
    pub(super) fn reads(&self, keys: &Range<usize>) -> bool {
        let at = self.read.partition_point(|r| r.end <= keys.start);
        self.read.get(at).is_some_and(|r| r.start < keys.end)
    }
}

/// Refuses a rotation that has no position for some row.
fn check_positions(rotation: &Rotation, query_rows: usize, key_rows: usize) -> Result<()> {
    let (queries, keys) = (rotation.queries.len(), rotation.keys.len());
    if queries >= query_rows && keys >= key_rows {
        return Ok(());
    }
    Err(Error::shape(
        "positions of queries and keys",
        format!("at least {query_rows} and {key_rows}"),
        format!("{queries} and {keys}"),
    ))
}

/// Gives every block the hidden keys of its queries.
fn hide(hidden: &[Hidden], blocks: &mut [QueryBlock]) {
    for hidden in hidden {
        let has = |block: &&mut QueryBlock| block.queries.contains(&hidden.query);
        if let Some(block) = blocks.iter_mut().find(has) {
            block.hidden.push(*hidden);
        }
    }
}

/// The union of all spans' keys as stretches that do not touch, ascending.
fn union_of_keys(spans: &[&Span]) -> Vec<Range<usize>> {
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
fn blocks_of(span: &Span) -> impl Iterator<Item = QueryBlock> {
    let size = if span.keys.len() > MANY_KEYS {
        SMALL_BLOCK
    } else {
        BLOCK
    };
    let firsts = span.queries.clone().step_by(size);
    firsts.map(move |first| QueryBlock {
        queries: first..(first + size).min(span.queries.end),
        keys: span.keys.clone(),
        mass: Vec::new(),
        hidden: Vec::new(),
    })
}

/// Where attention mass lies while it is collected: in the mass of one head, and in the probe.
#[derive(Default)]
struct MassLayout {
    /// Floats of one head's mass so far.
    len: usize,
    /// Floats of the probe so far.
    probe_len: usize,
    merges: Vec<MassMerge>,
}

impl MassLayout {
    /// Appends an ask: its block of the probe, and what each block of queries writes for it.
    fn add(&mut self, ask: &Ask, spans: &[&Span], blocks: &mut [QueryBlock]) -> Result<()> {
        let to = self.probe_len;
        self.probe_len += ask.len();
        if ask.queries.is_empty() || ask.keys.is_empty() {
            return Ok(());
        }
        check_inside(ask, spans)?;
        // Rows of different blocks are different parts of one ask, whose sums are one part each.
        let whole = (ask.sum == Sum::PerRow).then(|| self.reserve(to, ask.len()));
        for block in blocks {
            let first = block.queries.start.max(ask.queries.start);
            let queries = first..block.queries.end.min(ask.queries.end);
            if queries.is_empty() {
                continue;
            }
            let at = match whole {
                Some(from) => from + (queries.start - ask.queries.start) * ask.keys.len(),
                None => self.reserve(to, ask.keys.len()),
            };
            block.mass.push(BlockMass {
                queries,
                keys: ask.keys.clone(),
                sum: ask.sum,
                at,
            });
        }
        Ok(())
    }

    /// Room for `len` floats that will be added to the probe at `to`; says where it begins.
    fn reserve(&mut self, to: usize, len: usize) -> usize {
        let from = self.len;
        self.merges.push(MassMerge { from, to, len });
        self.len += len;
        from
    }
}

/// Refuses an ask whose queries and keys are not inside one span.
fn check_inside(ask: &Ask, spans: &[&Span]) -> Result<()> {
    let has = |span: &&&Span| within(&ask.queries, &span.queries);
    let span = spans.iter().find(has);
    if span.is_some_and(|span| within(&ask.keys, &span.keys)) {
        return Ok(());
    }
    Err(Error::shape(
        "an ask",
        "queries and keys inside one span",
        format!("{:?} × {:?}", ask.queries, ask.keys),
    ))
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
