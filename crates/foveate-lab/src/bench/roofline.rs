//! The floor of a request: the time that its arithmetic and its bytes take at the machine's measured peaks,
//! beside the time that was reached.

use foveate_kernels::Spent;
use serde_json::{Value, json};

use super::ceiling::Ceiling;
use crate::report::{Column, Table, number};

/// Parts of a forward pass, by the operations that belong to them.
const PARTS: [(&str, &[&str]); 3] = [
    ("linears", &["linear"]),
    ("attention", &["attend"]),
    ("head", &["rank"]),
];

/// Everything else: norms, gathers, tables.
const REST: &str = "rows moved";

/// One part.
#[derive(Clone, Debug, Default, PartialEq)]
struct Part {
    name: &'static str,
    flops: f64,
    bytes: f64,
    /// The sum of its operations' floors, each bound by arithmetic or by memory.
    floor: f64,
    reached: f64,
}

/// What was spent, part by part, divided by `count`.
fn parts(spent: &[Spent], count: usize, ceiling: &Ceiling) -> Vec<Part> {
    let named = |name| Part {
        name,
        ..Part::default()
    };
    let mut parts: Vec<Part> = PARTS.iter().map(|(name, _)| named(*name)).collect();
    parts.push(named(REST));
    let share = 1.0 / count.max(1) as f64;
    for line in spent {
        let operation = line.work.operation();
        let place = PARTS.iter().position(|(_, all)| all.contains(&operation));
        let part = &mut parts[place.unwrap_or(PARTS.len())];
        part.flops += line.flops * share;
        part.bytes += line.bytes * share;
        part.floor += ceiling.floor(line.flops, line.bytes) * share;
        part.reached += line.seconds * share;
    }
    let total = parts.iter().fold(named("together"), |sum, part| Part {
        name: sum.name,
        flops: sum.flops + part.flops,
        bytes: sum.bytes + part.bytes,
        floor: sum.floor + part.floor,
        reached: sum.reached + part.reached,
    });
    parts.push(total);
    parts
}

/// `what` was spent `count` times; the table is for one.
pub(super) fn table(what: String, spent: &[Spent], count: usize, ceiling: &Ceiling) -> Table {
    type Of<'a> = Column<'a, Part>;
    let columns = vec![
        Of::text(what, |part| part.name.to_owned()),
        Of::number("GFLOP", |part| number(part.flops / 1e9, 1)),
        Of::number("GB", |part| number(part.bytes / 1e9, 3)),
        Of::number("floor (ms)", |part| number(1e3 * part.floor, 2)),
        Of::number("reached (ms)", |part| number(1e3 * part.reached, 2)),
        Of::number("times the floor", |part| {
            number(part.reached / part.floor.max(f64::MIN_POSITIVE), 2)
        }),
    ];
    Table::new(columns, parts(spent, count, ceiling))
}

/// What the floor stands on.
pub(super) fn footing(ceiling: &Ceiling) -> String {
    format!(
        "measured peaks: {:.1} GFLOP/s (f32 multiply-adds in registers), {:.1} GB/s (memory read); integer kernels may \
         go below a floor of f32 arithmetic",
        ceiling.flops_per_second / 1e9,
        ceiling.bytes_per_second / 1e9
    )
}

pub(super) fn object(spent: &[Spent], count: usize, ceiling: &Ceiling) -> Value {
    let entry = |part: Part| {
        json!({
            "part": part.name,
            "flops": part.flops,
            "bytes": part.bytes,
            "floor_ms": 1e3 * part.floor,
            "reached_ms": 1e3 * part.reached,
        })
    };
    let parts = parts(spent, count, ceiling);
    Value::Array(parts.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use foveate_kernels::Work;

    use super::*;

    #[test]
    fn every_operation_belongs_to_one_part_and_is_bound_by_what_takes_longer() {
        let ceiling = Ceiling {
            flops_per_second: 10.0,
            bytes_per_second: 5.0,
        };
        let spent = |operation, flops, bytes| Spent {
            work: Work::Rows(operation),
            calls: 1,
            seconds: 8.0,
            flops,
            bytes,
        };
        let all = [
            spent("linear", 40.0, 5.0),
            spent("rank", 10.0, 15.0),
            spent("norm", 0.0, 5.0),
        ];
        let parts = parts(&all, 2, &ceiling);
        let floors: Vec<(&str, f64)> = parts.iter().map(|p| (p.name, p.floor)).collect();
        assert_eq!(
            floors,
            [
                ("linears", 2.0),
                ("attention", 0.0),
                ("head", 1.5),
                (REST, 0.5),
                ("together", 4.0)
            ]
        );
        assert!((parts[4].reached - 12.0).abs() < 1e-12);
    }
}
