//! Laws of the decoding policies.

mod common;

use std::num::NonZeroUsize;

use common::{engine, golden, options, picture, request, run, run_together};
use foveate_core::image::decode_file;
use foveate_core::{
    CACHES, CacheSettings, Checkpoint, DecodeLimits, Denoiser, Engine, Environment, FinishReason,
    Klass, Method, Options, Orientation, POLICIES, Policy, Progress, PruneSettings, Remasking,
    Threshold, Wino,
};
use foveate_kernels::{Cpu, Reference};

fn cpu() -> Engine {
    engine(Cpu::new(NonZeroUsize::new(2)).unwrap())
}

fn with(policy: Policy) -> Options {
    Options {
        policy,
        block_length: 4,
        ..options()
    }
}

/// One request to its end.
fn finish(engine: &Engine, request: &foveate_core::Request) -> (Denoiser, Vec<usize>) {
    let mut denoiser = engine.start(request).unwrap();
    let mut commits = Vec::new();
    while let Progress::Stepped(step) = engine.step(&mut [&mut denoiser]).unwrap().remove(0) {
        commits.push(step.commits.len());
    }
    (denoiser, commits)
}

#[test]
fn a_threshold_that_nothing_reaches_commits_one_token_a_forward() {
    let engine = cpu();
    let never = Policy::Threshold(Threshold { confidence: 1.0 });
    let (denoiser, commits) = finish(&engine, &request(&engine, "What?", &[], with(never)));
    assert_eq!(commits, [1; 8]);
    assert_eq!(denoiser.outcome().forwards, 8);
}

#[test]
fn a_threshold_that_everything_reaches_commits_a_block_a_forward() {
    let engine = cpu();
    let always = Policy::Threshold(Threshold { confidence: 0.0 });
    let (_, commits) = finish(&engine, &request(&engine, "What?", &[], with(always)));
    assert_eq!(commits, [4, 4]);
}

#[test]
fn every_policy_fills_the_answer_on_random_weights() {
    let engine = cpu();
    for (name, _, policy) in POLICIES {
        for cfg_scale in [0.0, 1.5] {
            let options = Options {
                cfg_scale,
                ..with(policy)
            };
            let most = options.most_steps().unwrap();
            let (denoiser, commits) = finish(&engine, &request(&engine, "Why?", &[], options));
            assert_eq!(commits.iter().sum::<usize>(), 8, "{name}");
            assert!(!denoiser.ids().contains(&denoiser.mask()), "{name}");
            assert!(commits.len() <= most, "{name}");
        }
    }
}

/// One request per policy, half of them pruned, guided or drawn.
fn unlike(engine: &Engine) -> Vec<foveate_core::Request> {
    let nervous = Policy::Klass(Klass {
        divergence: 1.0,
        steps: 1,
        confidence: 0.01,
    });
    let policies = POLICIES.map(|(_, _, policy)| policy);
    let policies = policies.into_iter().chain([nervous]);
    let request = |(i, policy): (usize, Policy)| {
        let options = Options {
            cfg_scale: if i % 3 == 1 { 1.5 } else { 0.0 },
            temperature: if i % 3 == 2 { 0.7 } else { 0.0 },
            prune: (i % 2 == 0).then(|| PruneSettings::new(Method::Redvtp, 0.3)),
            ..with(policy)
        };
        request(
            engine,
            "Which?",
            &[picture(84, 84 + i as u32, i as u32)],
            options,
        )
    };
    policies.enumerate().map(request).collect()
}

#[test]
fn a_batch_of_all_policies_equals_each_alone() {
    for engine in [cpu(), engine(Reference::default())] {
        let requests = unlike(&engine);
        let together = run_together(&engine, &requests);
        for (request, got) in requests.iter().zip(together) {
            assert_eq!(got, run(&engine, request), "{}", request.options.policy);
        }
    }
}

#[test]
fn shadows_change_nothing_for_the_rows_they_stand_for() {
    let engine = cpu();
    for confidence in [0.02, 0.1, 1.0] {
        let answer = |policy| {
            let options = Options {
                cfg_scale: 0.5,
                prune: Some(PruneSettings::new(Method::Redvtp, 0.3)),
                ..with(policy)
            };
            run(
                &engine,
                &request(&engine, "Who?", &[picture(84, 84, 1)], options),
            )
        };
        let wino = Policy::Wino(Wino {
            draft: confidence,
            verify: 0.0,
        });
        let threshold = Policy::Threshold(Threshold { confidence });
        assert_eq!(answer(wino), answer(threshold), "{confidence}");
    }
}

#[test]
fn revoked_tokens_are_masked_again_and_reported() {
    let engine = cpu();
    let doubting = Policy::Wino(Wino {
        draft: 0.0,
        verify: 1.0,
    });
    assert!(doubting.may_revise());
    let options = Options {
        gen_length: 16,
        policy: doubting,
        block_length: 16,
        ..options()
    };
    let mut denoiser = engine
        .start(&request(&engine, "Why?", &[], options))
        .unwrap();
    let (mut revised, mut steps) = (0, 0);
    let mut before = denoiser.ids().to_vec();
    while let Progress::Stepped(step) = engine.step(&mut [&mut denoiser]).unwrap().remove(0) {
        steps += 1;
        for lost in &step.revisions {
            let position = lost.position as usize;
            assert_eq!(before[position], lost.token);
            assert_eq!(denoiser.ids()[position], denoiser.mask());
            assert!((0.0..1.0).contains(&lost.confidence));
        }
        revised += step.revisions.len();
        before = denoiser.ids().to_vec();
    }
    assert!(revised > 0, "this policy doubts everything");
    assert!(steps <= 16, "every step makes progress in the end");
    assert!(!denoiser.ids().contains(&denoiser.mask()));
}

#[test]
fn revision_and_a_cache_exclude_each_other() {
    let engine = cpu();
    for (name, method) in CACHES.into_iter().skip(1) {
        let options = Options {
            cache: CacheSettings::new(method),
            ..with(Policy::Wino(Wino::PUBLISHED))
        };
        let error = engine.start(&request(&engine, "?", &[], options));
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("policy"), "{name}: {error}");
        assert!(error.contains("use cache none"), "{name}: {error}");
    }
}

#[test]
fn a_fork_decides_like_its_origin() {
    let engine = cpu();
    for request in unlike(&engine) {
        let mut origin = engine.start(&request).unwrap();
        engine.step(&mut [&mut origin]).unwrap();
        engine.step(&mut [&mut origin]).unwrap();
        let mut fork = origin.fork();
        while let Progress::Stepped(_) = engine.step(&mut [&mut origin]).unwrap()[0] {}
        while let Progress::Stepped(_) = engine.step(&mut [&mut fork]).unwrap()[0] {}
        assert_eq!(origin.ids(), fork.ids(), "{}", request.options.policy);
    }
}

#[test]
fn a_distribution_that_may_move_freely_stands_still_after_a_step() {
    let engine = cpu();
    let ready = |steps| {
        let klass = Policy::Klass(Klass {
            divergence: 1e6,
            steps,
            confidence: 0.0,
        });
        let options = Options {
            policy: klass,
            steps: 8,
            ..options()
        };
        finish(&engine, &request(&engine, "Why?", &[], options)).1
    };
    assert_eq!(ready(1), [1, 7]);
    assert_eq!(ready(2), [1, 1, 6]);
}

#[test]
fn stopping_at_the_end_changes_nothing_before_it() {
    let folder = golden().join("../models/foveate-nano");
    let engine = Engine::load(
        &Checkpoint::open(folder).unwrap(),
        &Environment::default(),
        Cpu::new(NonZeroUsize::new(2)).unwrap(),
        &mut |_, _| {},
    )
    .unwrap();
    let file = golden().join("../demo/circle-cat-42.png");
    let picture = decode_file(&file, Orientation::Apply, &DecodeLimits::default()).unwrap();
    let pictures = [picture];
    for (name, _, policy) in POLICIES {
        let answer = |stop_at_end| {
            let options = Options {
                policy,
                stop_at_end,
                stop: Vec::new(),
                ..engine.default_options()
            };
            let request = request(&engine, "What color is the circle?", &pictures, options);
            finish(&engine, &request).0.outcome()
        };
        let (whole, short) = (answer(false), answer(true));
        assert_eq!(short.finish_reason, FinishReason::End, "{name}");
        assert!(short.response < whole.response, "{name}");
        assert_eq!(whole.ids[..short.response], short.ids, "{name}");
        assert!(short.steps <= whole.steps, "{name}");
    }
}

#[test]
fn impossible_policies_are_refused_by_name() {
    let engine = cpu();
    let at = |confidence| Policy::Threshold(Threshold { confidence });
    let cases = [
        ("policy", with(at(1.5))),
        ("policy", with(at(f64::NAN))),
        (
            "policy",
            Options {
                remasking: Remasking::Random,
                ..with(at(0.5))
            },
        ),
        (
            "max-forwards",
            Options {
                max_forwards: Some(0),
                ..options()
            },
        ),
        (
            "max-forwards",
            Options {
                max_forwards: Some(1),
                cfg_scale: 1.0,
                ..options()
            },
        ),
    ];
    for (field, options) in cases {
        let request = request(&engine, "?", &[], options);
        let error = engine.start(&request).unwrap_err().to_string();
        assert!(error.starts_with(field), "expected {field}: {error}");
    }
}
