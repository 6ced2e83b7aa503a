//! What the commands that measure have in common: how they step answers, and how they say what they found.

mod cell;
mod keeps;
mod outputs;
mod sections;
mod step;
mod swept;
mod table;

pub(crate) use cell::{bytes, count, integer, interval, number, percent, percentage, signed};
pub(crate) use keeps::KeepsArgs;
pub(crate) use outputs::{Finished, Outputs};
pub(crate) use sections::Report;
pub(crate) use step::{refusal, step};
pub(crate) use swept::{
    all_refused, columns as swept_columns, object as swept_object, point, refusals,
};
pub(crate) use table::{Column, Table};
