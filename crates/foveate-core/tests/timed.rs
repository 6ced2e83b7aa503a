//! A backend that keeps accounts changes nothing, and leaves nothing out.

mod common;

use std::collections::BTreeSet;

use common::{engine, options, picture, request, run};
use foveate_core::{CacheMethod, CacheSettings, Method, Options, PruneSettings};
use foveate_kernels::{Cpu, Timed, Work};

/// Pruned and cached, so that rows are moved, kept and dropped.
fn pruned_and_cached() -> Options {
    Options {
        prune: Some(PruneSettings::new(Method::Redvtp, 0.5)),
        cache: CacheSettings {
            method: CacheMethod::Prefix,
            ..CacheSettings::default()
        },
        ..options()
    }
}

#[test]
fn timing_changes_no_bit() {
    for options in [options(), pruned_and_cached()] {
        let plain = engine(Cpu::new(None).unwrap());
        let request = request(&plain, "What is this?", &[picture(40, 30, 1)], options);
        let (backend, _) = Timed::new(Cpu::new(None).unwrap());
        assert_eq!(run(&engine(backend), &request), run(&plain, &request));
    }
}

#[test]
fn a_step_enters_every_product_once() {
    let (backend, ledger) = Timed::new(Cpu::new(None).unwrap());
    let engine = engine(backend);
    let request = request(&engine, "What is this?", &[picture(40, 30, 1)], options());
    let vision = ledger.take();
    assert!(
        vision
            .iter()
            .any(|spent| spent.work.operation() == "attend")
    );
    let mut denoiser = engine.start(&request).unwrap();
    engine.step(&mut [&mut denoiser]).unwrap();

    let step = ledger.take();
    let shape = engine.card().decoder;
    let calls = |operation| {
        let lines = step.iter().filter(|s| s.work.operation() == operation);
        lines.map(|s| s.calls).sum::<usize>()
    };
    // Queries, keys and values, output, gate and up, down.
    assert_eq!(calls("linear"), 5 * shape.layers);
    assert_eq!((calls("attend"), calls("rank")), (shape.layers, 1));
    let works: BTreeSet<String> = step.iter().map(|s| format!("{:?}", s.work)).collect();
    assert_eq!(works.len(), step.len(), "one line for each kind of work");
    for spent in &step {
        let multiplies = !matches!(spent.work, Work::Rows(_));
        assert_eq!(spent.flops > 0.0, multiplies, "{:?}", spent.work);
        assert!(spent.seconds >= 0.0 && spent.calls > 0, "{spent:?}");
    }
    let rank = step.iter().find(|s| s.work.operation() == "rank").unwrap();
    let logits = 8 * shape.hidden * shape.vocabulary;
    assert!((rank.flops - 2.0 * logits as f64).abs() < 0.5, "{rank:?}");
    assert!(ledger.take().is_empty(), "taken once");
}
