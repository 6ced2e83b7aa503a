//! What tables, charts and JSON of swept settings have in common.

use serde_json::{Value, json};

use super::table::Column;
use crate::chart::Point;
use crate::sweep::{Combination, Setup, Sweep, cell, label};

/// A column per swept flag.
pub(crate) fn columns<'a, R: 'a>(
    sweeps: &'a [Sweep],
    setup: fn(&R) -> &Setup,
) -> Vec<Column<'a, R>> {
    let column = |sweep: &'a Sweep| {
        let value = move |row: &R| cell(&setup(row).combination, &sweep.flag);
        Column::text(&sweep.flag, value)
    };
    sweeps.iter().map(column).collect()
}

/// Whether a sweep has nothing to show but the baseline, its first row.
pub(crate) fn all_refused<'a>(setups: impl Iterator<Item = &'a Setup>) -> bool {
    let mut swept = setups.skip(1).peekable();
    swept.peek().is_some() && swept.all(|setup| setup.refused.is_some())
}

/// Which settings cannot be, and why, one a line.
pub(crate) fn refusals<'a>(setups: impl Iterator<Item = &'a Setup>) -> String {
    let line = |setup: &Setup| {
        let reason = setup.refused.as_ref()?;
        Some(format!("refused: {}: {reason}", label(&setup.combination)))
    };
    setups.filter_map(line).collect::<Vec<_>>().join("\n")
}

/// Continues `object` with the settings of a row, whether it is one of `swept` ones, and why it cannot be.
pub(crate) fn object(mut object: Value, setup: &Setup, swept: bool) -> Value {
    let combination = &setup.combination;
    let values = combination.iter();
    let values = values.map(|(flag, value)| (flag.replace('-', "_"), json!(value)));
    object["sweep"] = Value::Object(values.collect());
    let is_baseline = swept && combination.is_empty();
    object["status"] = json!(if is_baseline { "baseline" } else { "measured" });
    match &setup.refused {
        Some(reason) => {
            object["status"] = json!("refused");
            object["reason"] = json!(reason);
        }
        None => object["options"] = setup.options.to_json(),
    }
    object
}

/// A point of a chart; rows with the same first value share a colour.
pub(crate) fn point(combination: &Combination, x: f64, y: f64) -> Point {
    let group = combination.first().map_or("baseline", |(_, value)| value);
    Point {
        label: label(combination),
        group: group.to_owned(),
        x,
        y,
    }
}
