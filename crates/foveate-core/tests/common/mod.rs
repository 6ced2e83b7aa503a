//! A tiny checkpoint, pictures and whole answers for the tests of laws.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foveate_core::{
    Checkpoint, Denoiser, Engine, Environment, Message, Options, Picture, Progress, Request, Step,
    ThinkMode, VisualTokens,
};
use foveate_kernels::Backend;

/// The repository's golden data.
pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden")
}

/// The tiny LLaDA-V on `backend`.
pub(crate) fn engine<B: Backend>(backend: B) -> Engine {
    engine_of("llada-v-tiny-a", backend)
}

/// A tiny checkpoint on `backend`.
pub(crate) fn engine_of<B: Backend>(name: &str, backend: B) -> Engine {
    let checkpoint = Checkpoint::open(golden().join("checkpoints").join(name)).unwrap();
    Engine::load(
        &checkpoint,
        &Environment::default(),
        backend,
        &mut |_, _| {},
    )
    .unwrap()
}

/// A picture of coloured stripes.
pub(crate) fn picture(width: u32, height: u32, seed: u32) -> Picture {
    let level = |x: u32, y: u32, c: u32| (x * (3 + seed) + y * (7 + c) + seed * 31 + c * 90) as u8;
    let rgb = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| level(x, y, c))))
        .collect();
    Picture::new("stripes", width, height, rgb).unwrap()
}

/// Short answers, so that tests are quick.
pub(crate) fn options() -> Options {
    Options {
        gen_length: 8,
        block_length: 8,
        steps: 4,
        stop: Vec::new(),
        ..Options::default()
    }
}

/// A question about these pictures.
pub(crate) fn request(
    engine: &Engine,
    question: &str,
    pictures: &[Picture],
    options: Options,
) -> Request {
    let images: Vec<Arc<VisualTokens>> =
        pictures.iter().map(|p| engine.encode(p).unwrap()).collect();
    let messages = vec![Message::user(question, images.len())];
    Request {
        messages,
        images,
        think: ThinkMode::default(),
        options,
    }
}

/// What must have the same bits: tokens, confidences and kept indices of every step.
pub(crate) type Trace = Vec<Entry>;

/// `(position, token, confidence bits)` of every candidate, and the kept indices of every image.
pub(crate) type Entry = (Vec<(u32, u32, u64)>, Vec<Vec<u32>>);

/// One step as a trace entry.
pub(crate) fn entry(step: &Step) -> Entry {
    let drafts = step
        .drafts
        .iter()
        .map(|d| (d.position, d.token, d.confidence.to_bits()));
    (
        drafts.collect(),
        step.pruned.iter().map(|p| p.kept.clone()).collect(),
    )
}

/// Runs several requests together until all are finished.
pub(crate) fn run_together(engine: &Engine, requests: &[Request]) -> Vec<Trace> {
    let mut denoisers: Vec<Denoiser> = requests.iter().map(|r| engine.start(r).unwrap()).collect();
    let mut traces = vec![Trace::new(); requests.len()];
    loop {
        let mut all: Vec<&mut Denoiser> = denoisers.iter_mut().collect();
        let results = engine.step(&mut all).unwrap();
        let mut stepped = false;
        for (trace, result) in traces.iter_mut().zip(&results) {
            if let Progress::Stepped(step) = result {
                trace.push(entry(step));
                stepped = true;
            }
        }
        if !stepped {
            return traces;
        }
    }
}

/// Runs one request alone.
pub(crate) fn run(engine: &Engine, request: &Request) -> Trace {
    run_together(engine, std::slice::from_ref(request)).remove(0)
}
