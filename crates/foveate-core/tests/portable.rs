//! Machines without AVX2: the portable kernels give the same tokens, and logits that differ by little.

mod common;

use std::path::Path;

use common::{golden, options, picture};
use foveate_core::image::{DecodeLimits, decode_file};
use foveate_core::{
    Checkpoint, Denoiser, Engine, Environment, Message, Options, Orientation, Picture, Progress,
    Signal, Tap, ThinkMode,
};
use foveate_kernels::Cpu;

/// Keeps the logits of every step.
#[derive(Default)]
struct Logits(Vec<Vec<f32>>);

impl Tap for Logits {
    fn wants(&self, signal: Signal) -> bool {
        signal == Signal::Logits
    }

    fn take(&mut self, _: Signal, values: Vec<f32>) {
        self.0.push(values);
    }
}

fn open(model: &Path, backend: Cpu) -> Engine {
    let checkpoint = Checkpoint::open(model).unwrap();
    let environment = Environment::default();
    Engine::load(&checkpoint, &environment, backend, &mut |_, _| {}).unwrap()
}

/// The ids of an answer and the logits of its steps.
fn answer(
    engine: &Engine,
    question: &str,
    picture: &Picture,
    options: &Options,
) -> (Vec<u32>, Vec<Vec<f32>>) {
    let prompt = engine.prompt(&[Message::user(question, 1)], ThinkMode::default());
    let images = [engine.encode(picture).unwrap()];
    let denoiser = engine.start_from(&prompt.unwrap(), &images, options);
    let mut denoiser: Denoiser = denoiser.unwrap();
    let mut logits = Logits::default();
    loop {
        let progress = engine
            .step_tapped(&mut [&mut denoiser], &mut logits, &mut |_, _| {})
            .unwrap();
        if !matches!(progress[0], Progress::Stepped(_)) {
            return (denoiser.outcome().ids, logits.0);
        }
    }
}

fn agree(model: &Path, questions: &[(&str, Picture)], options: impl Fn(&Engine) -> Options) {
    let fast = open(model, Cpu::new(None).unwrap());
    let portable = open(model, Cpu::portable(None).unwrap());
    for (question, picture) in questions {
        let (want, want_logits) = answer(&fast, question, picture, &options(&fast));
        let (got, got_logits) = answer(&portable, question, picture, &options(&fast));
        assert_eq!(got, want, "{question}");
        assert_eq!(got_logits.len(), want_logits.len());
        for (step, (got, want)) in got_logits.iter().zip(&want_logits).enumerate() {
            assert_eq!(got.len(), want.len());
            let far = got.iter().zip(want).map(|(g, w)| (g - w).abs());
            let far = far.fold(0.0, f32::max);
            assert!(
                far <= 1e-3,
                "{question}, step {}: logits differ by {far}",
                step + 1
            );
        }
    }
}

#[test]
fn tiny_checkpoints_answer_alike() {
    for name in ["llada-v-tiny-a", "lavida-dream-tiny-a"] {
        let model = golden().join("checkpoints").join(name);
        let questions = [
            ("What is this?", picture(100, 90, 1)),
            ("How many?", picture(40, 130, 2)),
        ];
        agree(&model, &questions, |engine| Options {
            gen_length: 8,
            block_length: 8,
            steps: 4,
            stop: Vec::new(),
            ..if name.starts_with("lavida") {
                engine.default_options()
            } else {
                options()
            }
        });
    }
}

#[test]
fn the_default_model_reads_the_demo_images_alike() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |name: &str| {
        let file = root.join("demo").join(name);
        decode_file(&file, Orientation::Apply, &DecodeLimits::default()).unwrap()
    };
    let questions = [
        ("What is at the top left?", read("two-squares.png")),
        ("How many things are there?", read("four-things.png")),
        ("What is in the picture?", read("circle-cat-42.png")),
        ("What is the number?", read("house-17.png")),
    ];
    let model = root.join("models/foveate-nano");
    agree(&model, &questions, Engine::default_options);
}
