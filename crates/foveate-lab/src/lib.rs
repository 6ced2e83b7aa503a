//! Foveate's laboratory: how right, how fast, how faithful a model is, plain and pruned; and the flags and
//! tables that the program's commands share.

pub mod args;
pub mod attention;
pub mod bench;
mod chart;
pub mod eval;
pub mod exit;
pub mod fidelity;
mod jsonl;
pub mod load;
mod output_file;
pub mod progress;
mod report;
mod sweep;
pub mod table;
pub mod verify;
