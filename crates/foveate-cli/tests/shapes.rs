//! Random weights: accounts of what a shape costs, and folders of it.

mod common;

use common::{assert_refused, foveate, object, run, stderr, stdout};
use serde_json::Value;

fn small(extra: &[&str]) -> std::process::Command {
    let mut command = foveate();
    command
        .args(["bench", "--shape", "mid", "--layers", "2"])
        .args(["--vocabulary", "1000", "--visual-tokens", "64"])
        .args(["--steps-measured", "2", "--rounds", "1", "--no-warm-up"])
        .args(extra);
    command
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn a_breakdown_accounts_for_the_arithmetic_and_the_time_of_its_steps() {
    let page = object(&mut small(&["--breakdown", "--roofline", "--json"]));
    let row = &page["rows"][0];
    let operations = row["breakdown"]["operations"].as_array().expect("a list");
    let flops = |operation: &str| -> f64 {
        let all = operations.iter().filter(|o| o["operation"] == operation);
        all.map(|o| number(&o["flops"])).sum()
    };
    for (operation, counted) in [
        ("linear", "linears"),
        ("attend", "attention"),
        ("rank", "head"),
    ] {
        let (got, want) = (flops(operation), number(&row["flops"][counted]));
        assert!(
            (got - want).abs() <= 1e-9 * want,
            "{operation}: {got} {want}"
        );
    }
    for operation in operations {
        assert!(operation["calls"].as_u64() > Some(0), "{operation}");
        assert_eq!(
            operation["share_of_fma_peak"].is_null(),
            number(&operation["flops"]) == 0.0
        );
    }
    let linear = operations.iter().find(|o| o["operation"] == "linear");
    let kernel = linear.expect("linears")["kernel"].as_str().expect("a name");
    assert!(kernel.contains("panels"), "{kernel}");
    assert!(number(&row["breakdown"]["forward_over_kernels"]) >= 1.0);
    let parts = row["roofline_per_step"].as_array().expect("a list");
    let [.., rest, together] = &parts[..] else {
        panic!("{parts:?}");
    };
    assert_eq!(rest["flops"], 0.0);
    let total = number(&row["breakdown"]["kernels_ms"]);
    assert!((2.0 * number(&together["reached_ms"]) - total).abs() < 1e-6 * total);
    assert!(number(&page["ceiling"]["flops_per_second"]) > 0.0);
    let plain = object(&mut small(&["--json"]));
    assert!(plain["rows"][0].get("breakdown").is_none() && plain.get("ceiling").is_none());
}

#[test]
fn the_tables_name_peaks_operations_and_floors() {
    let text = stdout(&run(&mut small(&[
        "--breakdown",
        "--roofline",
        "--dtype",
        "q8",
    ])));
    for part in [
        "measured peaks",
        "linear 512 → 1536 SwiGlu",
        "q8",
        "floor (ms)",
        "a forward costs",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_matrix_refuses_what_it_would_ignore() {
    for flags in [
        &["--breakdown"][..],
        &["--roofline"],
        &["--no-warm-up"],
        &["--steps-measured", "2"],
    ] {
        let mut command = foveate();
        command
            .args(["bench", "--matrix", "--shape", "mid"])
            .args(flags);
        assert_refused(&mut command, 2, flags[0]);
    }
}

#[test]
fn a_folder_of_random_weights_is_written_once_quantized_and_loaded_without_a_second_copy() {
    let home = tempfile::tempdir().expect("a folder");
    let (folder, small) = (home.path().join("random"), home.path().join("small"));
    let write = || {
        let mut command = foveate();
        command
            .args([
                "bench", "--layers", "4", "--hidden", "1024", "--mlp", "4096",
            ])
            .args(["--vocabulary", "600", "--write-random", "mid"])
            .arg(&folder);
        command
    };
    let written = run(&mut write());
    assert!(written.status.success(), "{}", stderr(&written));
    assert_refused(&mut write(), 2, "exists");
    let mut quantize = foveate();
    quantize
        .args(["quantize", "--dtype", "q8", "-m"])
        .arg(&folder);
    let quantized = run(quantize.arg("-o").arg(&small));
    assert!(quantized.status.success(), "{}", stderr(&quantized));

    let mut bench = foveate();
    bench.args([
        "bench",
        "--steps-measured",
        "1",
        "--rounds",
        "1",
        "--json",
        "-m",
    ]);
    let page = object(bench.arg(&small));
    let (weights, buffers) = (number(&page["weight_bytes"]), number(&page["buffer_bytes"]));
    assert!(weights > 64e6, "{weights}: large beside everything else");
    if cfg!(target_os = "linux") {
        // What the program itself and its vocabulary take.
        let rest = 48e6;
        let peak = number(&page["peak_bytes"]);
        assert!(
            peak < weights + buffers + rest,
            "{peak} {weights} {buffers}"
        );
    }
}

#[test]
fn a_shape_that_does_not_exist_is_not_written() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("random");
    let mut command = foveate();
    command
        .args(["bench", "--write-random", "huge"])
        .arg(&folder);
    assert_refused(&mut command, 2, "expected one of mid");
    assert!(!folder.exists());
}
