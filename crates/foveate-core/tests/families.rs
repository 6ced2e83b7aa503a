//! Laws of the LaViDa families: shifted logits, grouped heads and biases, filters, names of tensors.

mod common;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use common::{Trace, engine_of, golden, options, picture, request, run, run_together};
use foveate_core::{
    CACHES, CacheMethod, CacheSettings, Checkpoint, Engine, Environment, METHODS, Method, NoTap,
    Options, Progress, PruneSettings, Remasking, Schedule, Signal, Tap,
};
use foveate_kernels::{Cpu, Reference};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

const DREAM: &str = "lavida-dream-tiny-a";

fn dream(threads: usize) -> Engine {
    engine_of(DREAM, Cpu::new(NonZeroUsize::new(threads)).unwrap())
}

/// Dream's own options on a short answer.
fn dreams(engine: &Engine) -> Options {
    let own = engine.default_options();
    Options {
        gen_length: 8,
        block_length: 8,
        steps: 4,
        ..own
    }
}

/// Unlike requests of one family.
fn unlike(engine: &Engine) -> Vec<foveate_core::Request> {
    let plain = dreams(engine);
    let all = [
        plain.clone(),
        Options {
            remasking: Remasking::Origin,
            temperature: 0.7,
            top_p: Some(0.9),
            ..plain.clone()
        },
        Options {
            remasking: Remasking::Entropy,
            alg_temp: 0.5,
            cfg_scale: 1.5,
            ..plain.clone()
        },
        Options {
            schedule: Schedule::Shift(0.33),
            cache: CacheSettings::new(CacheMethod::Prefix),
            prune: Some(PruneSettings::new(Method::Redvtp, 0.5)),
            ..plain.clone()
        },
        Options {
            prune: Some(PruneSettings::new(Method::LladaFastv, 0.4)),
            ..plain.clone()
        },
        Options {
            remasking: Remasking::LowConfidence,
            top_k: None,
            cache: CacheSettings::new(CacheMethod::FastDllm),
            block_length: 4,
            ..plain
        },
    ];
    let requests = all.into_iter().enumerate().map(|(i, options)| {
        let pictures = [picture(90 + 10 * i as u32, 120, i as u32)];
        request(engine, "What is it?", &pictures, options)
    });
    requests.collect()
}

#[test]
fn a_batch_of_unlike_requests_equals_each_alone_on_any_threads() {
    let engine = dream(2);
    let requests = unlike(&engine);
    let alone: Vec<Trace> = requests.iter().map(|r| run(&engine, r)).collect();
    assert_eq!(run_together(&engine, &requests), alone);
    let single = dream(1);
    assert_eq!(run_together(&single, &requests), alone);
}

#[test]
fn keeping_every_token_is_not_pruning() {
    let engine = dream(2);
    let pictures = [picture(100, 90, 1)];
    let trace = |prune| {
        let options = Options {
            prune,
            ..dreams(&engine)
        };
        run(
            &engine,
            &request(&engine, "What is it?", &pictures, options),
        )
        .into_iter()
        .map(|(drafts, _)| drafts)
        .collect::<Vec<_>>()
    };
    let plain = trace(None);
    for (name, method) in METHODS {
        assert_eq!(
            trace(Some(PruneSettings::new(method, 1.0))),
            plain,
            "{name}"
        );
    }
}

#[test]
fn a_cache_that_refreshes_at_every_step_is_no_cache() {
    let engine = dream(2);
    let pictures = [picture(100, 90, 1)];
    let trace = |cache| {
        let options = Options {
            cache,
            ..dreams(&engine)
        };
        run(
            &engine,
            &request(&engine, "What is it?", &pictures, options),
        )
    };
    let plain = trace(CacheSettings::default());
    for (name, method) in CACHES {
        if matches!(
            method,
            CacheMethod::None | CacheMethod::Prefix | CacheMethod::Elastic
        ) {
            continue;
        }
        let cache = CacheSettings {
            refresh: Some(1),
            response_refresh: (method == CacheMethod::DllmCache).then_some(1),
            ..CacheSettings::new(method)
        };
        assert_eq!(trace(cache), plain, "{name}");
    }
}

#[test]
fn the_prefix_cache_equals_a_recompute_under_its_mask_and_reads_the_first_token_from_the_prompt() {
    let engine = dream(2);
    let options = Options {
        cache: CacheSettings::new(CacheMethod::Prefix),
        ..dreams(&engine)
    };
    let request = request(&engine, "What is it?", &[picture(100, 90, 1)], options);
    let trace = |forget: bool| {
        let mut denoiser = engine.start(&request).unwrap();
        let mut trace = Vec::new();
        loop {
            if forget {
                denoiser.forget_cache();
            }
            match engine.step(&mut [&mut denoiser]).unwrap().remove(0) {
                Progress::Stepped(step) => trace.push((step.step, step.rows, common::entry(&step))),
                _ => break,
            }
        }
        (trace, denoiser.outcome())
    };
    let (kept, outcome) = trace(false);
    assert_eq!(kept[0].0, 0, "the prompt's own pass is no step");
    assert_eq!(kept[0].2.0.len(), 1);
    assert_eq!(kept[0].2.0[0].0, 0);
    assert_eq!((outcome.steps, outcome.forwards), (4, 5));
    let (whole, _) = trace(true);
    let entries = |t: &[(usize, usize, common::Entry)]| -> Vec<common::Entry> {
        t.iter().map(|(_, _, e)| e.clone()).collect()
    };
    assert_eq!(entries(&kept), entries(&whole));
    assert!(kept[2].1 < whole[2].1, "a cached step computes fewer rows");
}

#[test]
fn every_ranking_and_schedule_fills_the_answer() {
    let engine = dream(2);
    for schedule in [
        Schedule::Linear,
        Schedule::Even,
        Schedule::Shift(3.0),
        Schedule::Cosine,
        Schedule::LogitNormal,
        Schedule::Timesteps,
    ] {
        for remasking in [
            Remasking::LowConfidence,
            Remasking::Random,
            Remasking::Entropy,
            Remasking::Margin,
            Remasking::Origin,
        ] {
            let options = Options {
                schedule,
                remasking,
                ..dreams(&engine)
            };
            let request = request(&engine, "What is it?", &[], options);
            let started = engine.start(&request);
            if remasking == Remasking::Origin && schedule != Schedule::Timesteps {
                assert!(started.unwrap_err().to_string().contains("remasking"));
                continue;
            }
            let mut denoiser = started.unwrap();
            let mask = denoiser.mask();
            let mut steps = 0;
            while let Progress::Stepped(step) = engine.step(&mut [&mut denoiser]).unwrap().remove(0)
            {
                steps += 1;
                assert!(step.commits.iter().all(|c| c.token != mask));
            }
            assert!(steps <= 4, "{schedule:?} {remasking:?}");
            assert!(
                !denoiser.ids().contains(&mask),
                "{schedule:?} {remasking:?}"
            );
        }
    }
}

#[test]
fn both_backends_answer_alike() {
    let (cpu, reference) = (dream(2), engine_of(DREAM, Reference::default()));
    let tokens = |engine: &Engine| {
        let request = request(engine, "What is it?", &[picture(98, 98, 3)], dreams(engine));
        let trace = run(engine, &request);
        let tokens = trace.into_iter().map(|(drafts, _)| {
            drafts
                .into_iter()
                .map(|(position, token, _)| (position, token))
                .collect::<Vec<_>>()
        });
        tokens.collect::<Vec<_>>()
    };
    assert_eq!(tokens(&cpu), tokens(&reference));
}

/// LLaDA-V's tiny checkpoint under LaViDa-LLaDA's names, with `config` changed.
fn renamed(change: impl Fn(&mut serde_json::Value)) -> (tempfile::TempDir, PathBuf) {
    let source = golden().join("checkpoints/llada-v-tiny-a");
    let root = tempfile::tempdir().unwrap();
    let tower = "siglip2-tiny-patch14-84";
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap().path();
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    };
    let model = root.path().join("model");
    copy(&source, &model);
    copy(
        &golden().join("checkpoints").join(tower),
        &root.path().join(tower),
    );

    let bytes = fs::read(source.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let name = |old: &str| {
        if old.contains("vision") || old.contains("mm_") || old.contains("newline") {
            return old.to_owned();
        }
        [
            ("model.embed_tokens", "model.transformer.wte"),
            ("model.norm", "model.transformer.ln_f"),
            ("lm_head", "model.transformer.ff_out"),
            ("model.layers", "model.transformer.blocks"),
            ("input_layernorm", "attn_norm"),
            ("post_attention_layernorm", "ff_norm"),
            ("self_attn.o_proj", "attn_out"),
            ("self_attn.", ""),
            ("mlp.gate_proj", "ff_proj"),
            ("mlp.up_proj", "up_proj"),
            ("mlp.down_proj", "ff_out"),
        ]
        .iter()
        .fold(old.to_owned(), |name, (from, to)| name.replace(from, to))
    };
    let views = tensors.tensors();
    let views = views.iter().map(|(old, tensor)| {
        let view = TensorView::new(tensor.dtype(), tensor.shape().to_vec(), tensor.data());
        (name(old), view.unwrap())
    });
    fs::write(
        model.join("model.safetensors"),
        safetensors::serialize(views, None).unwrap(),
    )
    .unwrap();

    let json = fs::read(source.join("config.json")).unwrap();
    let old: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let mut config = old.clone();
    for (from, to) in [
        ("hidden_size", "d_model"),
        ("intermediate_size", "mlp_hidden_size"),
        ("num_hidden_layers", "n_layers"),
        ("num_attention_heads", "n_heads"),
        ("num_key_value_heads", "n_kv_heads"),
    ] {
        config[to] = old[from].clone();
        config.as_object_mut().unwrap().remove(from);
    }
    config
        .as_object_mut()
        .unwrap()
        .remove("tie_word_embeddings");
    config["architectures"] = serde_json::json!(["LlavaLladaForMaskedDiffusion"]);
    change(&mut config);
    fs::write(model.join("config.json"), config.to_string()).unwrap();
    (root, model)
}

fn open(model: &Path) -> foveate_core::Result<Engine> {
    let checkpoint = Checkpoint::open(model).unwrap();
    let cpu = Cpu::new(NonZeroUsize::new(2)).unwrap();
    Engine::load(&checkpoint, &Environment::default(), cpu, &mut |_, _| {})
}

/// Final hidden rows and the width of the logits of a first step on text.
#[derive(Default)]
struct Look {
    hidden: Vec<f32>,
    logits: usize,
}

impl Tap for Look {
    fn wants(&self, signal: Signal) -> bool {
        matches!(signal, Signal::Final | Signal::Logits)
    }

    fn take(&mut self, signal: Signal, values: Vec<f32>) {
        match signal {
            Signal::Final => self.hidden = values,
            _ => self.logits = values.len(),
        }
    }
}

fn look(engine: &Engine) -> (Vec<u32>, usize) {
    let request = request(engine, "What is it?", &[], options());
    let mut denoiser = engine.start(&request).unwrap();
    let rows = denoiser.rows();
    let mut look = Look::default();
    engine
        .step_tapped(&mut [&mut denoiser], &mut look, &mut |_, _| {})
        .unwrap();
    (
        look.hidden.iter().map(|v| v.to_bits()).collect(),
        look.logits / rows,
    )
}

#[test]
fn other_names_for_the_same_weights_are_the_same_decoder() {
    let llada_v = engine_of("llada-v-tiny-a", Cpu::new(NonZeroUsize::new(2)).unwrap());
    let (_folder, model) = renamed(|_| ());
    let lavida = open(&model).unwrap();
    assert_eq!(lavida.card().family, "lavida-llada");
    let (want, ids) = look(&llada_v);
    let (got, columns) = look(&lavida);
    assert_eq!(got, want);
    // `resize_token_embeddings` leaves LaViDa's head alone.
    assert_eq!(
        (ids, columns),
        (llada_v.tokenizer().len(), lavida.card().stored_vocabulary)
    );
    assert!(columns > ids);
    let (_folder, model) = renamed(|config| config["tie_word_embeddings"] = false.into());
    assert_eq!(look(&open(&model).unwrap()).1, ids);
}

#[test]
fn views_are_halved_and_answers_run_to_the_end() {
    let (_folder, model) = renamed(|_| ());
    let engine = open(&model).unwrap();
    let (whole, halved) = (engine_of("llada-v-tiny-a", Reference::default()), &engine);
    let side = |engine: &Engine| engine.card().tiling.tokens_per_side();
    assert_eq!(side(halved), side(&whole).div_ceil(2));
    let own = engine.default_options();
    assert_eq!((own.steps, own.stop.len()), (own.gen_length, 0));
    for key in ["mm_spatial_pool_mode", "mm_spatial_pool_stride"] {
        let odd = |config: &mut serde_json::Value| {
            config[key] = if key.ends_with("mode") {
                "max".into()
            } else {
                3.into()
            };
        };
        let (_folder, model) = renamed(odd);
        let error = open(&model).err().expect("refused").to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn the_text_of_an_answer_ends_at_its_first_end_token() {
    let engine = dream(1);
    let request = request(&engine, "What is it?", &[], dreams(&engine));
    let mut denoiser = engine.start(&request).unwrap();
    while let Progress::Stepped(_) = engine
        .step_tapped(&mut [&mut denoiser], &mut NoTap, &mut |_, _| {})
        .unwrap()
        .remove(0)
    {}
    let mut outcome = denoiser.outcome();
    let end = engine.card().end[0];
    let word = engine.tokenizer().encode_user("abc").unwrap();
    outcome.ids = [word.as_slice(), &[end], word.as_slice(), &[end, end]].concat();
    outcome.response = outcome.ids.len();
    assert_eq!(engine.answer(&outcome).unwrap(), "abc");
    // A draft is given, whatever fills its holes.
    outcome.draft = 2 * word.len() + 1;
    assert_eq!(engine.answer(&outcome).unwrap(), "abcabc");
    // What begins with "!" keeps it.
    outcome.ids = engine.tokenizer().encode_user("!abc").unwrap();
    (outcome.response, outcome.draft) = (outcome.ids.len(), 0);
    assert_eq!(engine.answer(&outcome).unwrap(), "!abc");
}
