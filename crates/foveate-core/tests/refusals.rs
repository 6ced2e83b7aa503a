//! Settings that cannot be are refused, and the error begins with the name of the setting.

mod common;

use common::{engine, options, picture, request};
use foveate_core::{
    CACHES, CacheDtype, CacheMethod, CacheSettings, Method, Moment, Options, PruneSettings,
    Queries, Remasking, Schedule,
};
use foveate_kernels::Reference;

#[test]
fn impossible_settings_are_refused_by_name() {
    let engine = engine(Reference::default());
    let settings = |f: fn(&mut PruneSettings)| {
        let mut settings = PruneSettings::new(Method::Redvtp, 0.5);
        f(&mut settings);
        Options {
            prune: Some(settings),
            ..options()
        }
    };
    let cases: [(&str, Options); 31] = [
        ("keep", settings(|s| s.keep = 0.0)),
        ("keep", settings(|s| s.keep = f64::NAN)),
        ("keep", settings(|s| s.keep = 2.0)),
        ("prune-layer", settings(|s| s.layer = Some(2))),
        (
            "prune-queries",
            settings(|s| s.queries = Some(Queries::All)),
        ),
        (
            "prune-at",
            settings(|s| s.moment = Some(Moment::BeforeDecoder)),
        ),
        (
            "prune-at",
            settings(|s| (s.method, s.moment) = (Method::LladaFastv, Some(Moment::BeforeDecoder))),
        ),
        (
            "prune-at",
            settings(|s| (s.method, s.moment) = (Method::Fastv, Some(Moment::AfterStep(1)))),
        ),
        (
            "prune-layer",
            settings(|s| (s.method, s.layer) = (Method::Fastv, Some(99))),
        ),
        (
            "prune-layer",
            settings(|s| (s.method, s.layer) = (Method::LladaFastv, Some(0))),
        ),
        (
            "top-k",
            Options {
                top_k: Some(50),
                ..options()
            },
        ),
        (
            "top-p",
            Options {
                top_p: Some(0.5),
                ..options()
            },
        ),
        (
            "top-p",
            Options {
                top_p: Some(f64::NAN),
                ..options()
            },
        ),
        (
            "top-k",
            Options {
                top_k: Some(0),
                ..options()
            },
        ),
        (
            "alg-temp",
            Options {
                alg_temp: -1.0,
                ..options()
            },
        ),
        (
            "alg-temp",
            Options {
                alg_temp: f64::NAN,
                ..options()
            },
        ),
        (
            "step-ratio",
            Options {
                step_ratio: Some(0.0),
                ..options()
            },
        ),
        (
            "step-ratio",
            Options {
                step_ratio: Some(1.5),
                ..options()
            },
        ),
        (
            "step-ratio",
            Options {
                step_ratio: Some(f64::NAN),
                ..options()
            },
        ),
        (
            "steps-per-block",
            Options {
                steps_per_block: Some(0),
                ..options()
            },
        ),
        (
            "steps-per-block",
            Options {
                steps_per_block: Some(2),
                step_ratio: Some(0.5),
                ..options()
            },
        ),
        (
            "schedule-shift",
            Options {
                schedule: Schedule::Shift(0.0),
                ..options()
            },
        ),
        (
            "remasking",
            Options {
                remasking: Remasking::Origin,
                ..options()
            },
        ),
        (
            "steps",
            Options {
                steps: 0,
                ..options()
            },
        ),
        (
            "steps",
            Options {
                steps: 3,
                block_length: 4,
                ..options()
            },
        ),
        (
            "block-length",
            Options {
                block_length: 3,
                ..options()
            },
        ),
        (
            "gen-length",
            Options {
                gen_length: 0,
                ..options()
            },
        ),
        (
            "gen-length",
            Options {
                gen_length: 1 << 20,
                block_length: 1 << 20,
                ..options()
            },
        ),
        (
            "temperature",
            Options {
                temperature: f64::NAN,
                ..options()
            },
        ),
        (
            "cfg-scale",
            Options {
                cfg_scale: -1.0,
                ..options()
            },
        ),
        (
            "stop",
            Options {
                stop: vec![String::new()],
                ..options()
            },
        ),
    ];
    let pictures = [picture(84, 84, 9)];
    for (field, options) in cases {
        let error = engine
            .start(&request(&engine, "?", &pictures, options))
            .unwrap_err();
        assert!(
            error.to_string().starts_with(field),
            "expected {field}: {error}"
        );
    }
}

#[test]
fn caches_that_cannot_work_are_refused_by_name() {
    let engine = engine(Reference::default());
    let refused = |cache: CacheSettings, prune: Option<Method>, words: &[&str]| {
        let options = Options {
            cache,
            prune: prune.map(|method| PruneSettings::new(method, 0.5)),
            ..options()
        };
        let error = engine
            .start(&request(&engine, "What is this?", &[], options))
            .unwrap_err()
            .to_string();
        for word in words {
            assert!(error.contains(word), "{error:?} lacks {word:?}");
        }
    };
    for (name, method) in CACHES.into_iter().skip(1) {
        let cache = CacheSettings::new(method);
        refused(cache, Some(Method::Fastv), &["cache", name, "llada-fastv"]);
    }
    let zero = CacheSettings {
        refresh: Some(0),
        ..CacheSettings::new(CacheMethod::FastDllm)
    };
    refused(zero, None, &["cache-refresh", "at least 1"]);
    for similarity in [-0.1, 1.5, f64::NAN] {
        let cache = CacheSettings {
            similarity: Some(similarity),
            ..CacheSettings::new(CacheMethod::Elastic)
        };
        refused(cache, None, &["cache-similarity", "from 0 to 1"]);
    }
    for share in [-0.1, 1.5, f64::NAN] {
        let cache = CacheSettings {
            share: Some(share),
            ..CacheSettings::new(CacheMethod::DllmCache)
        };
        refused(cache, None, &["cache-share", "from 0 to 1"]);
    }
    let stray = CacheSettings {
        refresh: Some(4),
        ..CacheSettings::new(CacheMethod::Prefix)
    };
    refused(stray, None, &["cache-refresh", "prefix"]);
    let nothing_kept = CacheSettings {
        dtype: Some(CacheDtype::Bf16),
        ..CacheSettings::default()
    };
    refused(nothing_kept, None, &["cache-dtype", "none"]);
}
