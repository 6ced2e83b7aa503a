//! Models whose weights are stored in other formats than their checkpoint's.

mod common;

use common::{golden, options, picture, request};
use foveate_core::{Checkpoint, Engine, Environment, Signal, Tap};
use foveate_kernels::{Backend, Cpu, Format, Reference};

const FORMATS: [Format; 4] = [Format::F32, Format::Bf16, Format::Q8, Format::Q4];

/// Keeps the logits of the last step.
#[derive(Default)]
struct Logits(Vec<f32>);

impl Tap for Logits {
    fn wants(&self, signal: Signal) -> bool {
        signal == Signal::Logits
    }

    fn take(&mut self, _: Signal, values: Vec<f32>) {
        self.0 = values;
    }
}

fn engine<B: Backend>(name: &str, format: Format, backend: B) -> Engine {
    let checkpoint = Checkpoint::open(golden().join("checkpoints").join(name)).unwrap();
    let environment = Environment::default();
    Engine::load_as(format, &checkpoint, &environment, backend, &mut |_, _| {}).unwrap()
}

/// Logits of all rows in the first step of an answer about a picture.
fn logits(engine: &Engine) -> Vec<f32> {
    let request = request(engine, "What is this?", &[picture(40, 30, 1)], options());
    let mut denoiser = engine.start(&request).unwrap();
    let mut logits = Logits::default();
    engine
        .step_tapped(&mut [&mut denoiser], &mut logits, &mut |_, _| {})
        .unwrap();
    logits.0
}

/// Root of the mean square of the difference, relative to `want`'s.
fn error(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let off: f64 = got.iter().zip(want).map(|(g, w)| square(g - w)).sum();
    (off / want.iter().map(|w| square(*w)).sum::<f64>()).sqrt()
}

#[test]
fn every_format_agrees_with_the_reference_at_the_same_format() {
    for format in FORMATS {
        let want = logits(&engine("llada-v-tiny-a", format, Reference::default()));
        let got = logits(&engine("llada-v-tiny-a", format, Cpu::new(None).unwrap()));
        let portable = Cpu::portable(None).unwrap();
        let portable = logits(&engine("llada-v-tiny-a", format, portable));
        let (error, portable) = (error(&got, &want), error(&portable, &want));
        // Inputs are rounded to 14 bits beside q4, and random layers magnify.
        let limit = if format == Format::Q4 { 5e-3 } else { 1e-3 };
        assert!(
            error < limit && portable < limit,
            "{format:?}: {error:e} {portable:e}"
        );
    }
}

#[test]
fn fewer_bits_leave_more_out_and_take_less_memory() {
    let exact = engine("llada-v-tiny-a", Format::F32, Cpu::new(None).unwrap());
    let want = logits(&exact);
    let mut before = (0.0, exact.memory().weights);
    for format in [Format::Bf16, Format::Q8, Format::Q4] {
        let engine = engine("llada-v-tiny-a", format, Cpu::new(None).unwrap());
        let now = (error(&logits(&engine), &want), engine.memory().weights);
        assert!(now.0 > before.0, "{format:?}: {now:?} after {before:?}");
        assert!(now.0 < 0.8, "{format:?}: {now:?}");
        if format != Format::Q8 {
            assert!(now.1 < before.1, "{format:?}: {now:?} after {before:?}");
        }
        before = now;
    }
}
