//! `attention` from outside.

mod common;

use std::path::Path;
use std::process::Command;

use common::asked::{TOP_LEFT, demo, written};
use common::{assert_refused, foveate, object, run, stderr};
use foveate_core::image::{DecodeLimits, decode_file};
use foveate_core::{
    Checkpoint, Engine, Environment, Message, Method, Moment, Options, Orientation, Progress,
    PruneSettings, ThinkMode,
};
use foveate_kernels::Cpu;
use serde_json::{Value, json};

fn attention(arguments: &[&str]) -> Command {
    let mut command = foveate();
    command.args(["attention", "--suite", "nano-test", "--limit", "1"]);
    command.args(arguments);
    command
}

/// These questions about one picture.
fn about_one_picture(questions: &[&str], arguments: &[&str]) -> Value {
    let line =
        |question| json!({"image": PICTURE, "question": question, "answer": "yellow square"});
    let lines: Vec<String> = questions.iter().map(|q| line(q).to_string()).collect();
    let (_folder, file) = written(&lines.join("\n"));
    let mut command = foveate();
    command.arg("attention").arg("--jsonl").arg(&file);
    command.arg("--image-root").arg(demo());
    object(command.arg("--json").args(arguments))
}

const PICTURE: &str = "two-squares.png";

fn list<'a>(object: &'a Value, name: &str) -> &'a [Value] {
    object[name].as_array().expect("a list")
}

fn number(object: &Value, name: &str) -> f64 {
    object[name]
        .as_f64()
        .unwrap_or_else(|| panic!("{name}: {object}"))
}

#[test]
fn attention_is_a_share_at_every_layer_and_adds_up_over_rows() {
    let seen = about_one_picture(&[TOP_LEFT], &[]);
    let (visual, rows) = (number(&seen, "visual_tokens"), number(&seen, "rows"));
    assert!(visual >= 36.0 && rows > visual, "{seen}");
    let layers = list(&seen, "layers");
    assert_eq!(layers.len(), 3);
    for layer in layers {
        let share = number(layer, "visual_share_step_1");
        assert!(share > 0.0 && share < 1.0, "{layer}");
        let each = number(layer, "per_visual_token") * visual;
        let rest = number(layer, "per_other_row") * (rows - visual);
        assert!((each - share).abs() < 1e-9, "{layer}");
        assert!((share + rest - 1.0).abs() < 1e-9, "{layer}");
    }
}

#[test]
fn what_is_denoised_together_changes_nothing_that_is_seen() {
    let questions = [
        TOP_LEFT,
        "How many things are there?",
        "What is in the picture?",
    ];
    let [alone, together] =
        ["1", "3"].map(|batch| about_one_picture(&questions, &["--batch", batch]));
    assert_eq!(alone["steps"], together["steps"]);
    for (alone, together) in list(&alone, "layers").iter().zip(list(&together, "layers")) {
        for name in [
            "visual_share_step_1",
            "visual_share_later_steps",
            "per_other_row",
        ] {
            // Only the order of adding differs.
            let far = number(alone, name) - number(together, name);
            assert!(far.abs() < 1e-12, "{name}: {alone} {together}");
        }
    }
    let images = &list(&alone, "steps")[0]["images"];
    assert_eq!(*images, 3, "no answer ends in one step");
}

#[test]
fn later_steps_are_compared_with_the_first() {
    let seen = about_one_picture(&[TOP_LEFT], &["--keeps", "1,0.25"]);
    let (steps, scores) = (list(&seen, "steps"), scores_by_step());
    assert_eq!(steps.len(), scores.len() - 1);
    for (index, step) in steps.iter().enumerate() {
        assert_eq!(step["step"], index + 2);
        let (first, now) = (ranks(&scores[0]), ranks(&scores[index + 1]));
        let tokens = first.len();
        let differences = first.iter().zip(&now).map(|(a, b)| a.abs_diff(*b).pow(2));
        let (sum, count) = (differences.sum::<usize>() as f64, tokens as f64);
        let spearman = 1.0 - 6.0 * sum / (count * (count * count - 1.0));
        assert!((number(step, "spearman") - spearman).abs() < 1e-9, "{step}");
        for (place, quota) in [(0, tokens), (1, tokens / 4)] {
            let kept_twice = first.iter().zip(&now).filter(|(a, b)| **a.max(b) < quota);
            let overlap = kept_twice.count() as f64 / quota as f64;
            let got = number(&step["kept"][place], "overlap");
            assert!((got - overlap).abs() < 1e-9, "{step}: {overlap}");
        }
    }
}

/// What `redvtp` goes by after every step, each time from an answer of its own that prunes then.
fn scores_by_step() -> Vec<Vec<f32>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/foveate-nano");
    let checkpoint = Checkpoint::open(folder).expect("the built-in model");
    let cpu = Cpu::new(None).expect("threads");
    let engine = Engine::load(&checkpoint, &Environment::default(), cpu, &mut |_, _| {});
    let engine = engine.expect("loads");
    let limits = DecodeLimits::default();
    let picture = decode_file(&demo().join(PICTURE), Orientation::Apply, &limits);
    let images = [engine.encode(&picture.expect("decodes")).expect("encodes")];
    let prompt = engine.prompt(&[Message::user(TOP_LEFT, 1)], ThinkMode::default());
    let prompt = prompt.expect("a prompt");
    let after = |last: usize| {
        let prune = PruneSettings {
            moment: Some(Moment::AfterStep(last)),
            ..PruneSettings::new(Method::Redvtp, 1.0)
        };
        let options = Options {
            prune: Some(prune),
            ..engine.default_options()
        };
        let mut answer = engine.start_from(&prompt, &images, &options).ok()?;
        for step in 1..=last {
            match engine.step(&mut [&mut answer]).expect("a step").remove(0) {
                Progress::Stepped(seen) if step == last => {
                    return Some(seen.pruned.first()?.scores.clone());
                }
                Progress::Stepped(_) => {}
                _ => return None,
            }
        }
        None
    };
    (1..).map_while(after).collect()
}

/// The place of each token, 0 for the highest score; of equals the first goes first.
fn ranks(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut ranks = vec![0; scores.len()];
    for (rank, token) in order.into_iter().enumerate() {
        ranks[token] = rank;
    }
    ranks
}

#[test]
fn the_report_shows_its_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| {
        folder
            .path()
            .join(name)
            .to_str()
            .expect("a name")
            .to_owned()
    };
    let (layers, steps, report) = (path("layers.svg"), path("steps.png"), path("report.md"));
    let output = run(
        attention(&["--layer-chart", &layers, "--step-chart", &steps])
            .env("FOVEATE_MARKDOWN", &report),
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let report = std::fs::read_to_string(report).expect("a report");
    assert!(
        report.contains("(layers.svg)") && report.contains("(steps.png)"),
        "{report}"
    );
    let svg = std::fs::read_to_string(layers).expect("a picture");
    assert!(
        svg.contains("later steps") && svg.contains("<line"),
        "{svg}"
    );
    assert!(image::open(steps).is_ok());
}

#[test]
fn what_cannot_be_measured_is_refused() {
    assert_refused(foveate().arg("attention"), 2, "nothing to ask");
    assert_refused(&mut attention(&["--keeps", "0"]), 2, "--keeps");
    assert_refused(&mut attention(&["--step-chart", "a.gif"]), 2, "SVG or PNG");
    for (flag, file) in [
        ("--layer-chart", "/no/where.svg"),
        ("--step-chart", "/no/where.png"),
        ("--markdown", "/no/where.md"),
    ] {
        let reason = format!("{flag}: there is no folder /no");
        assert_refused(&mut attention(&[flag, file]), 2, &reason);
    }
}
