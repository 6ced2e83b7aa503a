//! Opening the model that flags name, and reading its weights with a progress bar.

use std::cell::RefCell;

use anyhow::Result;
use foveate::kernels::Ledger;
use foveate::{Downloads, Engine, Machine, OnLayers, Opened, Surroundings};
use indicatif::ProgressBar;

use crate::args::{ModelArgs, SourceArgs};
use crate::exit::note;
use crate::progress;

/// Finds the model, downloads what is missing where that is built in, and reads its config.
pub fn open(args: &SourceArgs) -> Result<Opened> {
    let surroundings = Surroundings {
        variables: &|name| std::env::var_os(name),
        downloads: &Bars::default(),
    };
    Ok(Opened::open(&args.source(), &surroundings)?)
}

/// Reads the weights onto the chosen backend.
pub fn weights(model: &Opened, args: &ModelArgs) -> Result<Engine> {
    let machine = Machine::from(args.machine);
    Ok(watched("loading", |progress| {
        model.load(machine, progress)
    })?)
}

/// Reads the weights onto the chosen backend, with accounts of what every operation costs.
pub(crate) fn timed_weights(model: &Opened, args: &ModelArgs) -> Result<(Engine, Ledger)> {
    let machine = Machine::from(args.machine);
    Ok(watched("loading", |progress| {
        model.load_timed(machine, progress)
    })?)
}

/// Does something layer by layer with a bar that moves.
pub(crate) fn watched<T>(what: &'static str, done: impl FnOnce(OnLayers<'_>) -> T) -> T {
    let bar = progress::layers(what);
    let made = done(&mut |layers, of| progress::set(&bar, layers, of));
    bar.finish_and_clear();
    made
}

/// A bar per download.
#[derive(Default)]
struct Bars {
    bar: RefCell<Option<ProgressBar>>,
}

impl Downloads for Bars {
    fn waits(&self, file: &str) {
        note(&format!("waiting for another download of {file}"));
    }

    fn loaded(&self, file: &str, bytes: u64, of: u64) {
        let mut bar = self.bar.borrow_mut();
        let bar = bar.get_or_insert_with(|| progress::bytes(file, of));
        bar.set_position(bytes);
    }

    fn finished(&self, _file: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
