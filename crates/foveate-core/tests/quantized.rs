//! Models whose weights are stored in other formats than their checkpoint's.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{golden, options, picture, request};
use foveate_core::{Checkpoint, Engine, Environment, Signal, Tap, quantize};
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

fn tiny() -> PathBuf {
    golden().join("checkpoints/llada-v-tiny-a")
}

fn dream() -> PathBuf {
    golden().join("checkpoints/lavida-dream-tiny-a")
}

fn engine<B: Backend>(folder: &Path, format: Format, backend: B) -> Engine {
    let checkpoint = Checkpoint::open(folder).unwrap();
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
    for (folder, format) in [tiny(), dream()]
        .iter()
        .flat_map(|f| FORMATS.map(|g| (f, g)))
    {
        let want = logits(&engine(folder, format, Reference::default()));
        let got = logits(&engine(folder, format, Cpu::new(None).unwrap()));
        let portable = Cpu::portable(None).unwrap();
        let portable = logits(&engine(folder, format, portable));
        let (error, portable) = (error(&got, &want), error(&portable, &want));
        // Beside q4 inputs are rounded to 8 bits, some of them the other way, and random layers magnify.
        let limit = if format == Format::Q4 { 3e-2 } else { 1e-3 };
        assert!(
            error < limit && portable < limit,
            "{}, {format:?}: {error:e} {portable:e}",
            folder.display()
        );
    }
}

#[test]
fn fewer_bits_leave_more_out_and_take_less_memory() {
    let exact = engine(&tiny(), Format::F32, Cpu::new(None).unwrap());
    let want = logits(&exact);
    let mut before = (0.0, exact.memory().weights);
    for format in [Format::Bf16, Format::Q8, Format::Q4] {
        let engine = engine(&tiny(), format, Cpu::new(None).unwrap());
        let now = (error(&logits(&engine), &want), engine.memory().weights);
        assert!(now.0 > before.0, "{format:?}: {now:?} after {before:?}");
        assert!(now.0 < 0.8, "{format:?}: {now:?}");
        if format != Format::Q8 {
            assert!(now.1 < before.1, "{format:?}: {now:?} after {before:?}");
        }
        before = now;
    }
}

/// Writes the tiny model in `format` to `folder`.
fn write(format: Format, folder: &Path) -> foveate_core::Result<()> {
    let checkpoint = Checkpoint::open(tiny())?;
    let environment = Environment::default();
    quantize(
        &checkpoint,
        &environment,
        format,
        "tiny",
        folder,
        None,
        &mut |_, _| {},
    )
}

/// Why a folder cannot be opened.
fn refusal(folder: &Path) -> String {
    Checkpoint::open(folder).unwrap_err().to_string()
}

#[test]
fn a_quantized_folder_answers_as_the_original_does_at_that_format() {
    for format in [Format::Q8, Format::Q4] {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("quantized");
        write(format, &folder).unwrap();
        let stored = engine(&folder, Format::Auto, Cpu::new(None).unwrap());
        let original = engine(&tiny(), format, Cpu::new(None).unwrap());
        let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert!(
            bits(logits(&stored)) == bits(logits(&original)),
            "{format:?}"
        );
        assert_eq!(stored.memory().weights, original.memory().weights);
        let entries = fs::read_dir(home.path()).unwrap().count();
        assert_eq!(entries, 1, "only the folder is left");
    }
}

#[test]
fn a_truncated_or_foreign_quantized_folder_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("quantized");
    write(Format::Q4, &folder).unwrap();
    let weights = folder.join("model.safetensors");
    let whole = fs::read(&weights).unwrap();

    fs::write(&weights, &whole[..whole.len() - 7]).unwrap();
    assert!(refusal(&folder).contains("not a valid safetensors file"));

    let replaced = |from: &str, to: &str| {
        let at = whole
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .expect("the text is in the header");
        let mut changed = whole.clone();
        changed[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(&weights, changed).unwrap();
        refusal(&folder)
    };
    let version = replaced(r#""foveate.version":"2""#, r#""foveate.version":"1""#);
    assert!(version.contains("format version \"1\""), "{version}");
    let sizes = replaced("\"q4 ", "\"q8 ");
    assert!(sizes.contains("U8"), "{sizes}");
    let words = replaced("\"q4 ", "\"q5 ");
    assert!(words.contains("expected a type and two sizes"), "{words}");

    fs::write(&weights, &whole).unwrap();
    let config = folder.join("config.json");
    let mut text = fs::read_to_string(&config).unwrap();
    text.push(' ');
    fs::write(&config, text).unwrap();
    let other = refusal(&folder);
    assert!(other.contains("quantized from another model"), "{other}");
}

#[test]
fn what_was_interrupted_or_cannot_be_written_leaves_no_model() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("quantized");
    fs::create_dir(&folder).unwrap();
    let exists = write(Format::Q8, &folder).unwrap_err().to_string();
    assert!(exists.contains("exists"), "{exists}");
    fs::remove_dir(&folder).unwrap();

    // A run that dies between two tensors.
    let checkpoint = Checkpoint::open(tiny()).unwrap();
    let died = std::panic::catch_unwind(|| {
        let environment = Environment::default();
        let mut progress = |done, _| assert!(done < 5, "killed");
        quantize(
            &checkpoint,
            &environment,
            Format::Q8,
            "tiny",
            &folder,
            None,
            &mut progress,
        )
    });
    assert!(died.is_err() && !folder.exists());
    let partial = home.path().join("quantized.partial");
    assert!(refusal(&partial).contains("model.safetensors"));
    let again = write(Format::Q8, &folder).unwrap_err().to_string();
    assert!(again.contains("interrupted run"), "{again}");
}

#[test]
fn only_an_original_is_quantized_and_only_to_fewer_bits() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("quantized");
    let format = write(Format::Bf16, &folder).unwrap_err().to_string();
    assert!(format.contains("expected q8 or q4"), "{format}");
    write(Format::Q8, &folder).unwrap();
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let environment = Environment::default();
    let twice = home.path().join("twice");
    let twice = quantize(
        &checkpoint,
        &environment,
        Format::Q4,
        "tiny",
        &twice,
        None,
        &mut |_, _| {},
    );
    assert!(twice.unwrap_err().to_string().contains("quantized already"));
}
