//! What each linear of a decoder layer loses on Gaussian weights and inputs.

use anyhow::Result;
use foveate::with_backend;
use foveate_core::DecoderShape;
use foveate_kernels::{Act, Backend, Dtype, Format, Into, Layout, TensorView, uniform};

use crate::args::MachineArgs;

/// Rows of inputs that each linear is measured with.
pub(super) const ROWS: usize = 64;

/// One linear and the root of its mean square error, relative to its exact outputs.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Linear {
    pub(super) name: &'static str,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// One per format.
    pub(super) errors: Vec<f64>,
}

/// Measures the linears of a layer of `shape` with weights in each of `formats`.
pub(super) fn errors(
    machine: MachineArgs,
    shape: &DecoderShape,
    formats: &[Format],
) -> Result<Vec<Linear>> {
    with_backend!(machine.into(), backend => measure(backend, shape, formats))
}

fn measure<B: Backend>(
    mut backend: B,
    shape: &DecoderShape,
    formats: &[Format],
) -> Result<Vec<Linear>> {
    let heads = shape.heads;
    let linears = [
        (
            "query, key, value",
            shape.hidden,
            (heads.count + 2 * heads.kv_count) * heads.dim,
        ),
        ("attention output", heads.count * heads.dim, shape.hidden),
        ("gate, up", shape.hidden, 2 * shape.mlp),
        ("down", shape.mlp, shape.hidden),
    ];
    let mut measured = Vec::new();
    for (seed, (name, inputs, outputs)) in (0_u32..).zip(linears) {
        let weights = gaussian(inputs * outputs, 2 * seed);
        let x = gaussian(inputs * ROWS, 2 * seed + 1);
        let mut run = |format| outputs_of(&mut backend, &weights, &x, inputs, format);
        let exact = run(Format::F32)?;
        let mut errors = Vec::new();
        for &format in formats {
            errors.push(relative_error(&run(format)?, &exact));
        }
        measured.push(Linear {
            name,
            inputs,
            outputs,
            errors,
        });
    }
    Ok(measured)
}

/// `[ROWS, inputs] → [ROWS, outputs]`.
fn outputs_of<B: Backend>(
    backend: &mut B,
    weights: &[f32],
    x: &[f32],
    inputs: usize,
    format: Format,
) -> Result<Vec<f32>> {
    let bytes: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let outputs = weights.len() / inputs;
    let wrapped = foveate_core::Error::from;
    let mut run = || {
        let part = TensorView::new(Dtype::F32, outputs, inputs, &bytes)?;
        let weight = backend.weight(&[part], &[], Layout::Linear, format)?;
        let mut rows = backend.buf(ROWS, inputs)?;
        backend.write(x, &mut rows, 0)?;
        let mut out = backend.buf(0, outputs)?;
        backend.linear(&rows, &weight, Act::None, Into::Store, &mut out)?;
        let mut values = Vec::new();
        backend.read(&out, 0..ROWS, &mut values)?;
        foveate_kernels::Result::Ok(values)
    };
    Ok(run().map_err(wrapped)?)
}

/// Standard normal numbers (Box and Muller) of one stream.
fn gaussian(count: usize, stream: u32) -> Vec<f32> {
    let draw = |index: u32| {
        let (radius, angle) = (uniform(1, stream, index, 0), uniform(1, stream, index, 1));
        let radius = (-2.0 * (1.0 - radius).max(f64::MIN_POSITIVE).ln()).sqrt();
        (radius * (std::f64::consts::TAU * angle).cos()) as f32
    };
    (0..count as u32).map(draw).collect()
}

fn relative_error(got: &[f32], want: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let off: f64 = got.iter().zip(want).map(|(g, w)| square(g - w)).sum();
    (off / want.iter().map(|w| square(*w)).sum::<f64>()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_gaussian() {
        let numbers = gaussian(1 << 16, 3);
        let mean = |power: i32| {
            let sum: f64 = numbers.iter().map(|x| f64::from(*x).powi(power)).sum();
            sum / numbers.len() as f64
        };
        assert!(mean(1).abs() < 0.02 && (mean(2) - 1.0).abs() < 0.02);
        assert!((mean(4) - 3.0).abs() < 0.1, "{}", mean(4));
    }

    #[test]
    fn the_error_of_a_tenth_is_a_tenth() {
        let want = [1.0, -2.0, 3.0];
        let error = relative_error(&want.map(|x| x * 1.1), &want);
        assert!((error - 0.1).abs() < 1e-6);
    }
}
