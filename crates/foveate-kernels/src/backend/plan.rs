//! The tables of one step's attention: who sees whom, from which positions, and what is reported.
//!
//! A pass packs the rows of all its requests one after another. What keeps them apart is this plan, so that one call of
//! [`Backend::attend`](super::Backend::attend) serves any number of requests, caches and masks.

use std::ops::Range;

use crate::error::{Error, Result};

/// The tables of one step's attention.
///
/// Two requests of three and two rows, each of which sees itself, and the attention that the second one's last row
/// pays to its first:
///
/// ```
/// use foveate_kernels::{Ask, Plan, Rotation, Span, Sum};
///
/// let plan = Plan {
///     spans: vec![
///         Span { queries: 0..3, keys: 0..3 },
///         Span { queries: 3..5, keys: 3..5 },
///     ],
///     rotation: Some(Rotation {
///         theta: 10_000.0,
///         dim: 64,
///         queries: vec![0, 1, 2, 0, 1],
///         keys: vec![0, 1, 2, 0, 1],
///     }),
///     hidden: Vec::new(),
///     asks: vec![Ask { queries: 4..5, keys: 3..4, sum: Sum::PerRow }],
/// };
/// // The last layer computes only the rows that are read; all keys stay.
/// let last = plan.narrow(&[2, 4]);
/// assert_eq!(last.spans[1], Span { queries: 1..2, keys: 3..5 });
/// assert_eq!(last.asks[0].queries, 1..2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Who attends to whom; the query ranges must be disjoint.
    pub spans: Vec<Span>,
    /// Rotary positions, or none (vision tower).
    pub rotation: Option<Rotation>,
    /// Keys that single queries do not see although their span does.
    pub hidden: Vec<Hidden>,
    /// Attention mass to report.
    pub asks: Vec<Ask>,
}

/// A key that one query of a span does not see: leave-one-out attention is a list of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// A row of `q`, inside a span.
    pub query: usize,
    /// A key, counted as the span's and inside it, which has others.
    pub key: usize,
}

/// Query rows that attend to all of a range of key rows. A batch, the views of an image, a prefix
/// mask and block-causal decoding are all lists of spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Rows of `q`.
    pub queries: Range<usize>,
    /// Keys, counted through the rows of [`Qkv::kv`](super::Qkv::kv) and then of each of
    /// [`Qkv::stored`](super::Qkv::stored); all in one of them.
    pub keys: Range<usize>,
}

impl Plan {
    /// Refuses a hidden key outside its query's span; backends call it from `plan`.
    pub(crate) fn check_hidden(&self) -> Result<()> {
        let inside = |hidden: &Hidden, span: &Span| {
            span.queries.contains(&hidden.query) && span.keys.contains(&hidden.key)
        };
        let lost = |hidden: &&Hidden| !self.spans.iter().any(|span| inside(hidden, span));
        match self.hidden.iter().find(lost) {
            Some(hidden) => Err(Error::shape(
                "a hidden key",
                "a query and a key inside one span",
                format!("{hidden:?}"),
            )),
            None => Ok(()),
        }
    }

    /// The plan of only these rows of `q`, ascending, which are numbered anew from 0 on. Keys keep their numbers, and
    /// asks and hidden keys follow their queries.
    #[must_use]
    pub fn narrow(&self, rows: &[u32]) -> Self {
        let inside = |range: &Range<usize>| {
            let index = |bound: usize| rows.partition_point(|&r| (r as usize) < bound);
            index(range.start)..index(range.end)
        };
        let spans = self.spans.iter().map(|span| Span {
            queries: inside(&span.queries),
            keys: span.keys.clone(),
        });
        let asks = self.asks.iter().map(|ask| Ask {
            queries: inside(&ask.queries),
            keys: ask.keys.clone(),
            sum: ask.sum,
        });
        let hidden = self.hidden.iter().filter_map(|hidden| {
            let query = rows.binary_search(&(hidden.query as u32)).ok()?;
            Some(Hidden { query, ..*hidden })
        });
        let rotation = self.rotation.as_ref().map(|rotation| Rotation {
            queries: rows.iter().map(|&r| rotation.queries[r as usize]).collect(),
            ..rotation.clone()
        });
        Self {
            spans: spans.collect(),
            rotation,
            hidden: hidden.collect(),
            asks: asks.collect(),
        }
    }
}

/// Half-split rotary embedding (`NeoX`), with its own position per row: elements `j` and `j + dim / 2` of a head turn by
/// `position · theta^(-2j/dim)` (Su et al., 2021).
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Base of the frequencies, `theta^(-2j/dim)`.
    pub theta: f32,
    /// Width that is rotated, at most a head's.
    pub dim: usize,
    /// Position of every row of `q`.
    pub queries: Vec<u32>,
    /// Position of every key, counted as in [`Span::keys`].
    pub keys: Vec<u32>,
}

/// Attention mass wanted: post-softmax probability, averaged over heads.
///
/// Pruners rank visual tokens by it, and caches compare it between steps. It is added up inside the fused attention,
/// so that no `[queries, keys]` matrix exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Rows of `q`, inside one span.
    pub queries: Range<usize>,
    /// Keys, counted as the span's and inside it.
    pub keys: Range<usize>,
    /// One block of `queries × keys`, or their sum over the queries.
    pub sum: Sum,
}

/// Whether an [`Ask`] tells its queries apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// `[queries, keys]`.
    PerRow,
    /// `[keys]`, summed over the queries.
    OverRows,
}

impl Ask {
    /// Floats this ask takes in the probe: `queries · keys`, or `keys`.
    pub fn len(&self) -> usize {
        match self.sum {
            Sum::PerRow => self.queries.len() * self.keys.len(),
            Sum::OverRows => self.keys.len(),
        }
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
