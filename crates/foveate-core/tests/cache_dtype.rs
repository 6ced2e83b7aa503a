//! Laws of caches that keep keys and values as bf16.

mod common;

use common::{Trace, engine, entry, options, picture, request, run};
use foveate_core::{
    CACHES, CacheDtype, CacheMethod, CacheSettings, Engine, Method, Options, Positions, Progress,
    PruneSettings, Request,
};
use foveate_kernels::{Cpu, Reference};

fn cpu() -> Engine {
    engine(Cpu::new(None).unwrap())
}

fn asked(engine: &Engine, cache: CacheSettings, prune: Option<Method>) -> Request {
    let options = Options {
        gen_length: 16,
        block_length: 8,
        steps: 8,
        cache,
        prune: prune.map(|method| PruneSettings {
            positions: Some(Positions::Compact),
            ..PruneSettings::new(method, 0.4)
        }),
        ..options()
    };
    request(
        engine,
        "What is this?",
        &[picture(90, 60, 1), picture(40, 100, 2)],
        options,
    )
}

/// A cache that keeps keys and values as bf16.
fn halves(method: CacheMethod) -> CacheSettings {
    CacheSettings {
        dtype: Some(CacheDtype::Bf16),
        ..CacheSettings::new(method)
    }
}

/// Every cache that may refresh everything at every step, doing so.
fn always() -> impl Iterator<Item = CacheSettings> {
    let refreshing =
        |method: &CacheMethod| !matches!(method, CacheMethod::None | CacheMethod::Prefix);
    CACHES
        .into_iter()
        .map(|(_, method)| method)
        .filter(refreshing)
        .map(|method| CacheSettings {
            refresh: Some(1),
            response_refresh: (method == CacheMethod::DllmCache).then_some(1),
            ..halves(method)
        })
}

#[test]
fn all_caches_that_refresh_at_every_step_give_the_same_bits() {
    let engine = cpu();
    for prune in [None, Some(Method::Redvtp), Some(Method::LladaFastv)] {
        let mut want: Option<Trace> = None;
        for cache in always() {
            let got = run(&engine, &asked(&engine, cache.clone(), prune));
            let floats = CacheSettings {
                dtype: None,
                ..cache
            };
            assert_ne!(
                run(&engine, &asked(&engine, floats, prune)),
                got,
                "rounding is seen in confidences"
            );
            assert_eq!(want.get_or_insert(got.clone()), &got, "{prune:?}");
        }
    }
}

#[test]
fn the_prefix_cache_is_a_full_recompute_that_rounds_too() {
    for engine in [cpu(), engine(Reference::default())] {
        let asked = asked(&engine, halves(CacheMethod::Prefix), None);
        let mut denoiser = engine.start(&asked).unwrap();
        let mut recomputed = Trace::new();
        loop {
            denoiser.forget_cache();
            match engine.step(&mut [&mut denoiser]).unwrap().pop().unwrap() {
                Progress::Stepped(step) => recomputed.push(entry(&step)),
                _ => break,
            }
        }
        assert_eq!(run(&engine, &asked), recomputed);
    }
}

#[test]
fn the_fast_backend_commits_what_the_reference_commits() {
    let tokens = |engine: &Engine, cache: CacheSettings, prune| {
        let trace = run(engine, &asked(engine, cache, prune));
        trace
            .into_iter()
            .map(|(drafts, kept)| {
                (
                    drafts.into_iter().map(|d| (d.0, d.1)).collect::<Vec<_>>(),
                    kept,
                )
            })
            .collect::<Vec<_>>()
    };
    let (fast, plain) = (cpu(), engine(Reference::default()));
    for (name, method) in CACHES.into_iter().skip(1) {
        for prune in [None, Some(Method::Redvtp)] {
            let cache = halves(method);
            assert_eq!(
                tokens(&fast, cache.clone(), prune),
                tokens(&plain, cache, prune),
                "{name}"
            );
        }
    }
}

#[test]
fn keys_and_values_take_half_the_memory() {
    let engine = cpu();
    let bytes = |cache: CacheSettings| {
        let mut denoiser = engine.start(&asked(&engine, cache, None)).unwrap();
        engine.step(&mut [&mut denoiser]).unwrap();
        denoiser.cache_bytes()
    };
    for method in [CacheMethod::Prefix, CacheMethod::FastDllm, CacheMethod::Dkv] {
        assert_eq!(bytes(CacheSettings::new(method)), 2 * bytes(halves(method)));
    }
}
