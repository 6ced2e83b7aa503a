//! Rows that are kept between steps, as floats or as bf16: what goes into them and comes out.

use std::ops::Range;

use super::panels::{narrow, widen};
use super::rows::{Rows, check_rows};
use super::share::Share;
use super::team::Team;
use crate::backend::{Into, RowMap};
use crate::error::{Result, same};
use crate::reference::{Plain, least_alike};

/// Rows that several threads write, each its own.
enum Slots<'a> {
    Floats(Share<'a, f32>),
    Halves(Share<'a, u16>),
}

impl<'a> Slots<'a> {
    fn of(out: &'a mut Rows) -> Self {
        match &mut out.halves {
            None => Self::Floats(Share::new(&mut out.data)),
            Some(halves) => Self::Halves(Share::new(halves)),
        }
    }

    /// Puts `row` into row `to`, rounded once if that is kept as bf16.
    ///
    /// # Safety
    /// Nobody else may put anything into this row meanwhile.
    unsafe fn put(&self, row: &[f32], into: Into, to: usize) {
        let slots = to * row.len()..(to + 1) * row.len();
        match self {
            Self::Floats(all) => {
                // SAFETY: the row is the caller's.
                let slots = unsafe { all.part(slots) };
                match into {
                    Into::Store => slots.copy_from_slice(row),
                    Into::Add => slots.iter_mut().zip(row).for_each(|(slot, x)| *slot += x),
                }
            }
            Self::Halves(all) => {
                // SAFETY: the row is the caller's.
                let slots = unsafe { all.part(slots) };
                let pairs = slots.iter_mut().zip(row);
                match into {
                    Into::Store => pairs.for_each(|(slot, x)| *slot = narrow(*x)),
                    Into::Add => pairs.for_each(|(slot, x)| *slot = narrow(widen(*slot) + x)),
                }
            }
        }
    }
}

pub(super) fn scatter(
    team: &Team,
    x: &Rows,
    from: &[u32],
    to: &[u32],
    into: Into,
    out: &mut Rows,
) -> Result<()> {
    same("width of scattered rows", x.width, out.width)?;
    same("slots of scattered rows", from.len(), to.len())?;
    check_rows("rows scattered", from, x.rows)?;
    check_rows("slots of scattered rows", to, out.rows)?;
    let slots = Slots::of(out);
    let scatter = |range: Range<usize>| {
        let mut room = x.room();
        for i in range {
            let row = x.floats(from[i] as usize, &mut room);
            // SAFETY: each row is written by one task: by the only one, or none is in two of them.
            unsafe { slots.put(row, into, to[i] as usize) };
        }
    };
    if to.is_sorted_by(|a, b| a < b) {
        team.rows(from.len(), 2 * x.width, scatter);
    } else {
        scatter(0..from.len());
    }
    Ok(())
}

/// Weighted sums of rows, where `x` or `out` is kept as bf16: sums of floats, rounded once.
pub(super) fn combine(
    team: &Team,
    x: &Rows,
    map: &RowMap,
    out: &mut Rows,
    at: usize,
) -> Result<()> {
    let (rows, width) = (out.rows, x.width);
    let fits = at.checked_add(map.rows()).is_some_and(|end| end <= rows);
    same("combined rows fit", 1, usize::from(fits))?;
    let slots = Slots::of(out);
    let sources = map.from.len().div_ceil(map.rows().max(1));
    team.rows(map.rows(), width * (1 + sources), |range| {
        let (mut room, mut sum) = (x.room(), vec![0.0; width]);
        for i in range {
            sum.fill(0.0);
            for (from, weight) in map.sources(i) {
                for (o, v) in sum.iter_mut().zip(x.floats(from, &mut room)) {
                    *o += weight * v;
                }
            }
            // SAFETY: each row is written by one task.
            unsafe { slots.put(&sum, Into::Store, at + i) };
        }
    });
    Ok(())
}

/// [`least_alike`] with counterparts that may be kept as bf16.
pub(super) fn least_alike_kept(
    x: &Rows,
    rows: Range<usize>,
    kept: &Rows,
    to: &[u32],
    columns: Range<usize>,
    count: usize,
) -> Result<Vec<u32>> {
    x.must_be_floats("compared rows")?;
    if kept.halves.is_none() {
        return least_alike(x.plain(), rows, kept.plain(), to, columns, count);
    }
    check_rows("rows compared", to, kept.rows)?;
    let (mut data, mut room) = (Vec::with_capacity(to.len() * kept.width), kept.room());
    for &row in to {
        data.extend_from_slice(kept.floats(row as usize, &mut room));
    }
    let wide = Plain {
        data: &data,
        rows: to.len(),
        width: kept.width,
    };
    let all: Vec<u32> = (0..to.len() as u32).collect();
    least_alike(x.plain(), rows, wide, &all, columns, count)
}
