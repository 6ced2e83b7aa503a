//! `attention` from outside.

mod common;

use std::process::Command;

use common::{assert_refused, foveate, object, run, stderr};
use serde_json::Value;

fn attention(arguments: &[&str]) -> Command {
    let mut command = foveate();
    command.args(["attention", "--suite", "nano-test", "--limit", "2"]);
    command.args(arguments);
    command
}

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
    let seen = object(&mut attention(&["--json"]));
    let (visual, rows) = (number(&seen, "visual_tokens"), number(&seen, "rows"));
    assert!(visual >= 36.0 && rows > visual, "{seen}");
    let layers = list(&seen, "layers");
    assert_eq!(layers.len(), 3);
    for layer in layers {
        let share = number(layer, "visual_share_step_1");
        assert!(share > 0.0 && share < 1.0, "{layer}");
        assert!(
            (number(layer, "per_visual_token") * visual - share).abs() < 1e-6,
            "{layer}"
        );
        // Questions have unlike lengths, so the mean of the others is near the rest over their mean number.
        let rest = number(layer, "per_other_row") * (rows - visual);
        assert!((rest + share - 1.0).abs() < 0.05, "{layer}");
    }
}

#[test]
fn later_steps_are_compared_with_the_first_whatever_is_denoised_together() {
    let alone = object(&mut attention(&[
        "--json", "--batch", "1", "--keeps", "1,0.25",
    ]));
    let together = object(&mut attention(&[
        "--json", "--batch", "8", "--keeps", "1,0.25",
    ]));
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
    let steps = list(&alone, "steps");
    assert_eq!(steps[0]["step"], 2);
    assert_eq!(
        steps[0]["images"], 28,
        "no answer of the suite ends in one step"
    );
    for step in steps {
        assert!((-1.0..=1.0).contains(&number(step, "spearman")), "{step}");
        assert_eq!(
            step["kept"][0]["overlap"], 1.0,
            "everything is in everything"
        );
        assert!((0.0..=1.0).contains(&number(&step["kept"][1], "overlap")));
    }
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
