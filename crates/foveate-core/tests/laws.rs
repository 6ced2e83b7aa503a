//! Laws that hold for every strategy, option and mixture of requests, bit for bit.

mod common;

use std::num::NonZeroUsize;

use common::{Trace, engine, options, picture, request, run, run_together};
use foveate_core::{
    Denoiser, Engine, METHODS, Method, Options, Positions, Progress, PruneSettings, Queries,
    Remasking,
};
use foveate_kernels::{Cpu, Reference};

fn threads(n: usize) -> Cpu {
    Cpu::new(NonZeroUsize::new(n)).unwrap()
}

fn cpu() -> Engine {
    engine(threads(2))
}

fn pruned(method: Method, keep: f64) -> Options {
    Options {
        prune: Some(PruneSettings::new(method, keep)),
        ..options()
    }
}

fn without_kept(trace: Trace) -> Vec<Vec<(u32, u32, u64)>> {
    trace.into_iter().map(|(drafts, _)| drafts).collect()
}

#[test]
fn keeping_every_token_is_not_pruning() {
    let engine = cpu();
    for cfg_scale in [0.0, 1.5] {
        let plain = Options {
            cfg_scale,
            ..options()
        };
        let pictures = [picture(100, 90, 1)];
        let want = without_kept(run(
            &engine,
            &request(&engine, "What is it?", &pictures, plain),
        ));
        for (name, method) in METHODS {
            let options = Options {
                cfg_scale,
                ..pruned(method, 1.0)
            };
            let got = run(
                &engine,
                &request(&engine, "What is it?", &pictures, options),
            );
            assert_eq!(without_kept(got), want, "{name} with cfg {cfg_scale}");
        }
    }
}

#[test]
fn every_strategy_keeps_its_quota_of_every_image() {
    let engine = cpu();
    let pictures = [picture(100, 90, 1), picture(84, 84, 2)];
    for (name, method) in METHODS {
        let request = request(&engine, "Compare.", &pictures, pruned(method, 0.3));
        let trace = run(&engine, &request);
        let kept = trace.iter().flat_map(|(_, kept)| kept).collect::<Vec<_>>();
        let want: Vec<usize> = request.images.iter().map(|i| i.len() * 3 / 10).collect();
        let got: Vec<usize> = kept.iter().take(2).map(|k| k.len()).collect();
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn images_keep_the_same_number_of_tokens_in_any_order() {
    let engine = cpu();
    let (a, b) = (picture(100, 90, 1), picture(84, 84, 2));
    let options = pruned(Method::Redvtp, 0.3);
    let forward = run(
        &engine,
        &request(&engine, "?", &[a.clone(), b.clone()], options.clone()),
    );
    let backward = run(&engine, &request(&engine, "?", &[b, a], options));
    let counts = |trace: &Trace| trace[0].1.iter().map(Vec::len).collect::<Vec<_>>();
    let mut reversed = counts(&backward);
    reversed.reverse();
    assert_eq!(counts(&forward), reversed);
}

#[test]
fn guidance_of_nothing_is_no_guidance() {
    let engine = cpu();
    let pictures = [picture(84, 84, 3)];
    let run = |cfg_scale| {
        run(
            &engine,
            &request(
                &engine,
                "What?",
                &pictures,
                Options {
                    cfg_scale,
                    ..options()
                },
            ),
        )
    };
    assert_eq!(
        run(0.0),
        common::run(&engine, &request(&engine, "What?", &pictures, options()))
    );
    let tokens = |trace: Trace| {
        without_kept(trace)
            .into_iter()
            .flatten()
            .map(|(p, t, _)| (p, t))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        tokens(run(1e-9)),
        tokens(run(0.0)),
        "a vanishing scale still mixes two lanes"
    );
}

/// Requests that differ in everything a request may differ in.
fn unlike(engine: &Engine) -> Vec<foveate_core::Request> {
    let ask = |question: &str, pictures: &[foveate_core::Picture], options: Options| {
        request(engine, question, pictures, options)
    };
    let original = PruneSettings {
        positions: Some(Positions::Original),
        ..PruneSettings::new(Method::Redvtp, 0.5)
    };
    vec![
        ask("Describe.", &[picture(100, 90, 1)], options()),
        ask(
            "Write a line.",
            &[],
            Options {
                block_length: 4,
                ..options()
            },
        ),
        ask(
            "How many?",
            &[picture(84, 84, 2)],
            Options {
                cfg_scale: 1.5,
                ..pruned(Method::Redvtp, 0.25)
            },
        ),
        ask(
            "Which?",
            &[picture(60, 130, 4), picture(90, 80, 5)],
            pruned(Method::LladaFastv, 0.4),
        ),
        ask("Where?", &[picture(84, 84, 6)], pruned(Method::Fastv, 0.5)),
        ask(
            "Why?",
            &[picture(84, 84, 7)],
            Options {
                temperature: 0.8,
                seed: 5,
                prune: Some(original),
                steps: 8,
                ..options()
            },
        ),
        ask(
            "Who?",
            &[picture(84, 84, 8)],
            Options {
                remasking: Remasking::Random,
                generation_suffix: Some(" So".into()),
                ..pruned(Method::Random, 0.2)
            },
        ),
    ]
}

#[test]
fn a_batch_of_unlike_requests_equals_each_alone() {
    for engine in [
        cpu(),
        engine(Cpu::portable(None).unwrap()),
        engine(Reference::default()),
    ] {
        let requests = unlike(&engine);
        let together = run_together(&engine, &requests);
        for (request, got) in requests.iter().zip(together) {
            assert_eq!(got, run(&engine, request), "{:?}", request.messages);
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let answers = |threads_used: usize| {
        let engine = engine(threads(threads_used));
        run_together(&engine, &unlike(&engine))
    };
    let one = answers(1);
    for n in [2, 3, 5] {
        assert_eq!(answers(n), one, "{n} threads");
    }
}

#[test]
fn every_backend_commits_the_same_tokens() {
    let tokens = |engine: Engine| -> Vec<Vec<(u32, u32)>> {
        let requests = [&unlike(&engine)[0..1], &unlike(&engine)[2..3]].concat();
        let traces = run_together(&engine, &requests)
            .into_iter()
            .map(without_kept);
        traces
            .map(|t| t.into_iter().flatten().map(|(p, t, _)| (p, t)).collect())
            .collect()
    };
    let want = tokens(engine(Reference::default()));
    assert_eq!(tokens(cpu()), want, "fastest kernels");
    assert_eq!(
        tokens(engine(Cpu::portable(None).unwrap())),
        want,
        "portable kernels"
    );
}

#[test]
fn a_cancelled_request_leaves_the_others_alone() {
    let engine = cpu();
    let requests = unlike(&engine);
    let mut denoisers: Vec<Denoiser> = requests.iter().map(|r| engine.start(r).unwrap()).collect();
    denoisers[2].cancel_handle().cancel();
    let mut all: Vec<&mut Denoiser> = denoisers.iter_mut().collect();
    let results = engine.step(&mut all).unwrap();
    for (i, result) in results.iter().enumerate() {
        match result {
            Progress::Cancelled => assert_eq!(i, 2),
            Progress::Stepped(step) => {
                assert_eq!(common::entry(step), run(&engine, &requests[i])[0]);
            }
            Progress::Finished => panic!("request {i} cannot be finished"),
        }
    }
}

#[test]
fn a_request_cancelled_in_the_middle_of_a_pass_stops_there() {
    let engine = cpu();
    let requests = unlike(&engine);
    let mut first = engine.start(&requests[0]).unwrap();
    let cancel = first.cancel_handle();
    let mut layers_run = 0;
    let results = engine
        .step_tapped(
            &mut [&mut first],
            &mut foveate_core::NoTap,
            &mut |layer, _| {
                layers_run = layer + 1;
                if layer == 1 {
                    cancel.cancel();
                }
            },
        )
        .unwrap();
    assert!(matches!(results[..], [Progress::Cancelled]));
    assert_eq!(layers_run, 2);
    assert!(
        first.ids().iter().all(|&id| id == first.mask()),
        "nothing was committed"
    );
}

#[test]
fn a_fork_continues_like_its_origin() {
    let engine = cpu();
    let request = &unlike(&engine)[2];
    let mut origin = engine.start(request).unwrap();
    engine.step(&mut [&mut origin]).unwrap();
    let mut fork = origin.fork();
    while let Progress::Stepped(_) = engine.step(&mut [&mut origin]).unwrap()[0] {}
    while let Progress::Stepped(_) = engine.step(&mut [&mut fork]).unwrap()[0] {}
    assert_eq!(origin.ids(), fork.ids());
}

#[test]
fn a_seed_repeats_an_answer_and_another_seed_changes_it() {
    let engine = cpu();
    let pictures = [picture(84, 84, 9)];
    let run = |seed| {
        let options = Options {
            temperature: 1.0,
            seed,
            ..options()
        };
        run(&engine, &request(&engine, "Tell.", &pictures, options))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn fastv_reads_every_token_again_at_each_step() {
    let engine = cpu();
    let pictures = [picture(84, 84, 9)];
    let request = request(&engine, "Tell.", &pictures, pruned(Method::Fastv, 0.5));
    let mut denoiser = engine.start(&request).unwrap();
    let rows = denoiser.rows();
    for _ in 0..2 {
        let Progress::Stepped(step) = engine.step(&mut [&mut denoiser]).unwrap().remove(0) else {
            panic!("the answer has four steps");
        };
        assert_eq!(step.rows, rows);
        assert_eq!(step.pruned.len(), 1);
        assert!(step.rows_computed < rows * engine.card().decoder.layers);
    }
}

#[test]
fn pruning_before_the_decoder_equals_a_shorter_prompt() {
    let engine = cpu();
    let pictures = [picture(84, 84, 9)];
    let settings = PruneSettings {
        positions: Some(Positions::Compact),
        ..PruneSettings::new(Method::Uniform, 0.5)
    };
    let options = Options {
        prune: Some(settings),
        ..options()
    };
    let pruned = request(&engine, "Tell.", &pictures, options);
    let got = run(&engine, &pruned);
    let kept = &got[0].1[0];
    let short = foveate_core::Request {
        images: vec![std::sync::Arc::new(pruned.images[0].subset(kept))],
        options: common::options(),
        ..pruned.clone()
    };
    assert_eq!(without_kept(got), without_kept(run(&engine, &short)));
}

#[test]
fn llada_fastv_after_the_last_layer_prunes_the_next_step() {
    let engine = cpu();
    let layers = engine.card().decoder.layers;
    let settings = PruneSettings {
        layer: Some(layers),
        queries: Some(Queries::Response),
        ..PruneSettings::new(Method::LladaFastv, 0.5)
    };
    let pictures = [picture(84, 84, 9)];
    let request = request(
        &engine,
        "Tell.",
        &pictures,
        Options {
            prune: Some(settings),
            ..options()
        },
    );
    let mut denoiser = engine.start(&request).unwrap();
    let before = denoiser.rows();
    engine.step(&mut [&mut denoiser]).unwrap();
    assert_eq!(
        denoiser.rows(),
        before - request.images[0].len().div_ceil(2)
    );
}

#[test]
fn a_text_only_prompt_ignores_pruning() {
    let engine = cpu();
    let plain = run(&engine, &request(&engine, "Write.", &[], options()));
    for (name, method) in METHODS {
        let got = run(
            &engine,
            &request(&engine, "Write.", &[], pruned(method, 0.1)),
        );
        assert_eq!(got, plain, "{name}");
    }
}
