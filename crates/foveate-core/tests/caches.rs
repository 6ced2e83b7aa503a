//! Laws of the caches: what is exact is exact to the bit, what is kept costs nothing.

mod common;

use common::{engine, entry, options, picture, request, run, run_together};
use foveate_core::{
    CACHES, CacheDtype, CacheMethod, CacheSettings, Denoiser, Engine, METHODS, Method, Options,
    Progress, PruneSettings, Queries, Request,
};
use foveate_kernels::{Cpu, Reference};

fn cpu() -> Engine {
    engine(Cpu::new(None).unwrap())
}

/// A cache that refreshes everything at every step.
fn always(method: CacheMethod) -> CacheSettings {
    CacheSettings {
        refresh: Some(1),
        response_refresh: (method == CacheMethod::DllmCache).then_some(1),
        ..CacheSettings::new(method)
    }
}

/// Every cache that may be approximate.
fn approximate() -> impl Iterator<Item = CacheMethod> {
    let exact = [CacheMethod::None, CacheMethod::Prefix];
    CACHES
        .into_iter()
        .map(|(_, method)| method)
        .filter(move |method| !exact.contains(method))
}

fn two_blocks() -> Options {
    Options {
        gen_length: 16,
        block_length: 8,
        steps: 8,
        ..options()
    }
}

/// One question about two pictures.
fn asked(engine: &Engine, options: Options) -> Request {
    let pictures = [picture(90, 60, 1), picture(40, 100, 2)];
    request(engine, "What is this?", &pictures, options)
}

#[test]
fn a_cache_that_refreshes_at_every_step_is_no_cache() {
    let engine = cpu();
    let settings = [
        two_blocks(),
        Options {
            cfg_scale: 1.5,
            generation_suffix: Some(" end".into()),
            ..two_blocks()
        },
    ];
    for options in settings {
        let want = run(&engine, &asked(&engine, options.clone()));
        for method in approximate() {
            let cache = always(method);
            let got = run(
                &engine,
                &asked(
                    &engine,
                    Options {
                        cache,
                        ..options.clone()
                    },
                ),
            );
            assert_eq!(got, want, "{method:?}");
        }
    }
}

#[test]
fn after_pruning_a_refresh_at_every_step_is_the_uncached_pruned_run() {
    let engine = cpu();
    for (name, prune) in METHODS {
        if prune == Method::Fastv {
            continue;
        }
        let options = Options {
            prune: Some(PruneSettings::new(prune, 0.4)),
            ..two_blocks()
        };
        let want = run(&engine, &asked(&engine, options.clone()));
        for method in approximate() {
            let cached = Options {
                cache: always(method),
                ..options.clone()
            };
            assert_eq!(
                run(&engine, &asked(&engine, cached)),
                want,
                "{name} {method:?}"
            );
        }
    }
}

/// Runs an answer whose cache is forgotten before every step.
fn recomputed(engine: &Engine, request: &Request) -> common::Trace {
    let mut denoiser = engine.start(request).unwrap();
    let mut trace = common::Trace::new();
    loop {
        denoiser.forget_cache();
        match engine.step(&mut [&mut denoiser]).unwrap().pop().unwrap() {
            Progress::Stepped(step) => trace.push(entry(&step)),
            _ => return trace,
        }
    }
}

#[test]
fn the_prefix_cache_is_a_full_recompute_under_its_mask() {
    for engine in [cpu(), engine(Reference::default())] {
        for cfg_scale in [0.0, 0.7] {
            let options = Options {
                cache: CacheSettings::new(CacheMethod::Prefix),
                cfg_scale,
                generation_suffix: Some(" end".into()),
                ..two_blocks()
            };
            let asked = asked(&engine, options.clone());
            let want = recomputed(&engine, &asked);
            assert_eq!(run(&engine, &asked), want);
            let uncached = Options {
                cache: CacheSettings::default(),
                ..options
            };
            let full = run(&engine, &self::asked(&engine, uncached));
            assert_ne!(full, want, "the mask is another one");
        }
    }
}

#[test]
fn pruning_before_the_decoder_and_caching_is_a_shorter_prompt() {
    let engine = cpu();
    for (_, method) in CACHES {
        let cached = Options {
            cache: CacheSettings::new(method),
            ..two_blocks()
        };
        let mut asked = asked(&engine, cached);
        let mut shorter = asked.clone();
        let mut settings = PruneSettings::new(Method::Uniform, 0.5);
        settings.positions = Some(foveate_core::Positions::Compact);
        asked.options.prune = Some(settings);
        let got = run(&engine, &asked);
        for (image, kept) in shorter.images.iter_mut().zip(&got[0].1) {
            *image = std::sync::Arc::new(image.subset(kept));
        }
        let want = run(&engine, &shorter);
        let tokens = |trace: common::Trace| trace.into_iter().map(|e| e.0).collect::<Vec<_>>();
        assert_eq!(tokens(got), tokens(want), "{method:?}");
    }
}

/// A request for every cache, pruned, guided and plain.
fn unlike(engine: &Engine) -> Vec<Request> {
    let mut requests = vec![asked(engine, two_blocks())];
    for (i, (_, method)) in CACHES.into_iter().enumerate() {
        let prune = [Method::Redvtp, Method::LladaFastv][i % 2];
        let mut settings = PruneSettings::new(prune, 0.5);
        if prune == Method::LladaFastv && i % 4 == 1 {
            settings.queries = Some(Queries::Response);
        }
        let dtype = [CacheDtype::F32, CacheDtype::Bf16][i / 2 % 2];
        let options = Options {
            cache: CacheSettings {
                dtype: (method != CacheMethod::None).then_some(dtype),
                ..CacheSettings::new(method)
            },
            prune: (i % 3 != 0).then_some(settings),
            cfg_scale: if i % 3 == 2 { 0.5 } else { 0.0 },
            ..if i % 2 == 0 { options() } else { two_blocks() }
        };
        let pictures = &[picture(50 + 10 * i as u32, 60, i as u32)][..usize::from(i != 3)];
        requests.push(request(engine, "What do you see here?", pictures, options));
    }
    requests
}

#[test]
fn a_batch_of_unlike_cached_requests_equals_each_alone() {
    let engine = cpu();
    let requests = unlike(&engine);
    let together = run_together(&engine, &requests);
    for (i, (request, got)) in requests.iter().zip(together).enumerate() {
        assert_eq!(run(&engine, request), got, "request {i}");
    }
}

#[test]
fn a_cached_answer_has_the_same_bits_on_any_threads() {
    let mut want = None;
    for threads in [1, 2, 5] {
        let engine = engine(Cpu::new(std::num::NonZeroUsize::new(threads)).unwrap());
        let got = run_together(&engine, &unlike(&engine));
        assert_eq!(want.get_or_insert(got.clone()), &got, "{threads} threads");
    }
}

/// Rows computed in each step.
fn rows(engine: &Engine, request: &Request) -> Vec<usize> {
    let mut denoiser = engine.start(request).unwrap();
    let mut rows = Vec::new();
    while let Progress::Stepped(step) = engine.step(&mut [&mut denoiser]).unwrap().pop().unwrap() {
        rows.push(step.rows);
    }
    rows
}

#[test]
fn a_cached_step_computes_only_its_own_rows() {
    let engine = cpu();
    let with = |method, refresh| Options {
        cache: CacheSettings {
            refresh,
            ..CacheSettings::new(method)
        },
        ..two_blocks()
    };
    let all = rows(&engine, &asked(&engine, two_blocks()))[0];
    let cases = [
        (CacheMethod::Prefix, None, [all, 16, 16, 16, 16, 16, 16, 16]),
        (CacheMethod::FastDllm, None, [all, 16, 16, 16, all, 8, 8, 8]),
        (
            CacheMethod::FastDllm,
            Some(2),
            [all, 16, all, 16, all, 8, all, 8],
        ),
        (
            CacheMethod::FastDllmDual,
            None,
            [all, 8, 8, 8, all, 8, 8, 8],
        ),
        (
            CacheMethod::DllmCache,
            Some(5),
            [all, 16, 16, 16, 16, all, 16, 16],
        ),
        // Masked rows, and those committed one step before: two a step.
        (CacheMethod::Dkv, None, [all, all, 14, 12, all, all, 6, 4]),
    ];
    for (method, refresh, want) in cases {
        let got = rows(&engine, &asked(&engine, with(method, refresh)));
        assert_eq!(got, want, "{method:?}");
    }
}

#[test]
fn elastic_refreshes_the_layers_behind_the_one_whose_attention_moved() {
    let engine = cpu();
    let layers = engine.card().decoder.layers;
    let steps = |similarity| {
        let options = Options {
            cache: CacheSettings {
                similarity: Some(similarity),
                ..CacheSettings::new(CacheMethod::Elastic)
            },
            ..two_blocks()
        };
        let mut denoiser = engine.start(&asked(&engine, options)).unwrap();
        let mut steps = Vec::new();
        while let Progress::Stepped(step) =
            engine.step(&mut [&mut denoiser]).unwrap().pop().unwrap()
        {
            steps.push((step.rows, step.rows_computed));
        }
        steps
    };
    let all = steps(0.0)[0].0;
    // Never: the block's masks, the tokens just committed, and at most one watched row per layer.
    for (step, (rows, computed)) in steps(0.0).into_iter().enumerate().skip(1) {
        assert!(rows <= 8 + 2 + layers, "step {step}: {rows} rows");
        assert_eq!(computed, rows * layers, "step {step}");
    }
    // Always, once there is a step to compare with: from the second layer on.
    for (step, (rows, computed)) in steps(1.0).into_iter().enumerate().skip(3) {
        assert!(rows < all, "step {step}");
        assert!(computed > rows * layers, "step {step}");
        assert!(computed <= rows + all * (layers - 1), "step {step}");
    }
}

#[test]
fn visual_tokens_can_be_refreshed_less_often_than_text() {
    let engine = cpu();
    let asked = asked(
        &engine,
        Options {
            cache: CacheSettings {
                refresh: Some(2),
                visual_refresh: Some(2),
                ..CacheSettings::new(CacheMethod::FastDllm)
            },
            ..two_blocks()
        },
    );
    let visual: usize = asked.images.iter().map(|i| i.len()).sum();
    let all = rows(&engine, &asked)[0];
    let text = all - visual;
    assert_eq!(rows(&engine, &asked), [all, 16, text, 16, all, 8, text, 8]);
}

#[test]
fn pruning_compacts_what_is_kept() {
    let engine = cpu();
    for (_, method) in CACHES.into_iter().skip(1) {
        let bytes = |prune| {
            let options = Options {
                cache: CacheSettings::new(method),
                prune,
                ..two_blocks()
            };
            let mut denoiser = engine.start(&asked(&engine, options)).unwrap();
            engine.step(&mut [&mut denoiser]).unwrap();
            (denoiser.cache_bytes(), denoiser.rows())
        };
        let (plain, all) = bytes(None);
        for prune in [Method::Redvtp, Method::LladaFastv] {
            let (pruned, rows) = bytes(Some(PruneSettings::new(prune, 0.25)));
            assert!(rows < all);
            // Outputs are kept of response rows only, which stay.
            assert!(pruned < plain, "{method:?} {prune:?}");
            if method != CacheMethod::DllmCache {
                assert_eq!(pruned * all, plain * rows, "{method:?} {prune:?}");
            }
        }
    }
}

#[test]
fn a_fork_of_a_cached_answer_continues_like_its_origin() {
    let engine = cpu();
    for (_, method) in CACHES {
        let options = Options {
            cache: CacheSettings::new(method),
            prune: Some(PruneSettings::new(Method::Redvtp, 0.5)),
            ..two_blocks()
        };
        let asked = asked(&engine, options);
        let want = run(&engine, &asked);
        let mut origin = engine.start(&asked).unwrap();
        for _ in 0..3 {
            engine.step(&mut [&mut origin]).unwrap();
        }
        let fork = origin.fork();
        let finish = |mut denoiser: Denoiser| {
            let mut trace = common::Trace::new();
            while let Progress::Stepped(step) =
                engine.step(&mut [&mut denoiser]).unwrap().pop().unwrap()
            {
                trace.push(entry(&step));
            }
            trace
        };
        assert_eq!(finish(origin), want[3..], "{method:?}");
        assert_eq!(finish(fork), want[3..], "{method:?}");
    }
}

#[test]
fn cached_requests_go_on_when_another_is_cancelled_in_the_middle_of_a_pass() {
    let engine = cpu();
    let requests = unlike(&engine);
    let want: Vec<_> = requests.iter().map(|r| run(&engine, r)).collect();
    let mut denoisers: Vec<Denoiser> = requests.iter().map(|r| engine.start(r).unwrap()).collect();
    let gone = denoisers[2].cancel_handle();
    let mut traces = vec![common::Trace::new(); requests.len()];
    for step in 0.. {
        let mut all: Vec<&mut Denoiser> = denoisers.iter_mut().collect();
        let mut on_layer = |layer: usize, _: usize| {
            if step == 1 && layer == 1 {
                gone.cancel();
            }
        };
        let results = engine
            .step_tapped(&mut all, &mut foveate_core::NoTap, &mut on_layer)
            .unwrap();
        for (trace, result) in traces.iter_mut().zip(&results) {
            if let Progress::Stepped(step) = result {
                trace.push(entry(step));
            }
        }
        if !results.iter().any(|r| matches!(r, Progress::Stepped(_))) {
            break;
        }
    }
    for (i, (got, want)) in traces.iter().zip(&want).enumerate() {
        let expected = if i == 2 { &want[..1] } else { &want[..] };
        assert_eq!(got, expected, "request {i}");
    }
}

#[test]
fn a_pruner_that_reads_a_later_step_sees_every_row_of_it() {
    let engine = cpu();
    let mut settings = PruneSettings::new(Method::Redvtp, 0.5);
    settings.moment = Some(foveate_core::Moment::AfterStep(3));
    let options = Options {
        cache: CacheSettings::new(CacheMethod::FastDllmDual),
        prune: Some(settings),
        ..two_blocks()
    };
    let asked = asked(&engine, options);
    let all = rows(&engine, &asked);
    assert_eq!((all[0], all[1], all[2]), (all[0], 8, all[0]));
    assert!(all[4] < all[0], "the next refresh is of a shorter sequence");
}
