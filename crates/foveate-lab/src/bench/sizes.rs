//! Which sizes of a random model are refused: those that no machine has, and those that this one has no memory for.

use anyhow::Result;
use foveate_core::NamedShape;

use crate::args::{MachineArgs, Storage};
use crate::exit::usage;
use crate::table::bytes;
use foveate::BackendKind;

/// Largest number of layers, widths, ids and tokens.
pub(super) const MOST: usize = 1 << 24;

/// Refuses a model whose weights and activations cannot be held here; where memory cannot be asked for, nothing.
pub(super) fn check_memory(shape: &NamedShape, machine: &MachineArgs) -> Result<()> {
    // The oracle has everything in f32.
    let dtype = match machine.backend {
        BackendKind::Reference => Storage::F32,
        BackendKind::Cpu | BackendKind::Portable => machine.dtype,
    };
    let (needed, there) = (needed(shape, dtype), memory());
    let less = match dtype {
        _ if machine.backend == BackendKind::Reference => "",
        Storage::Auto | Storage::F32 => ", or --dtype bf16, q8 or q4",
        Storage::Bf16 => ", or --dtype q8 or q4",
        Storage::Q8 => ", or --dtype q4",
        Storage::Q4 => "",
    };
    match there {
        Some(there) if needed > there => Err(usage(format!(
            "random weights of these sizes need about {} of memory, and this machine has {}; \
             give smaller sizes{less}",
            bytes(needed),
            bytes(there)
        ))),
        _ => Ok(()),
    }
}

/// About so many bytes: the decoder's matrices, and its widest rows.
fn needed(shape: &NamedShape, dtype: Storage) -> u64 {
    let decoder = &shape.decoder;
    let (hidden, mlp) = (decoder.hidden as f64, decoder.mlp as f64);
    let key_value = decoder.heads.kv_width() as f64;
    let layer = 2.0 * hidden * hidden + hidden * key_value + 3.0 * hidden * mlp;
    let ids = 2.0 * decoder.vocabulary as f64 * hidden;
    let (of_layer, of_id) = match dtype {
        Storage::Auto | Storage::F32 => (4.0, 4.0),
        Storage::Bf16 => (2.0, 2.0),
        Storage::Q8 => (34.0 / 32.0, 34.0 / 32.0),
        Storage::Q4 => (74.0 / 128.0, 34.0 / 32.0),
    };
    let rows = (shape.visual_tokens + shape.text_tokens + shape.gen_length) as f64;
    let weights = decoder.layers as f64 * layer * of_layer + ids * of_id;
    (weights + rows * (hidden + mlp) * 4.0) as u64
}

/// Memory of the machine, in bytes.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use foveate_core::{DecoderShape, Engine, SHAPES};
    use foveate_kernels::Cpu;

    use super::*;

    #[test]
    fn a_model_holds_the_matrices_that_are_counted_and_little_else() {
        let [mid, ..] = SHAPES;
        let shape = NamedShape {
            decoder: DecoderShape {
                layers: 2,
                vocabulary: 1000,
                ..mid.decoder
            },
            visual_tokens: 0,
            text_tokens: 0,
            gen_length: 0,
            ..mid
        };
        for dtype in [
            Storage::Auto,
            Storage::F32,
            Storage::Bf16,
            Storage::Q8,
            Storage::Q4,
        ] {
            let cpu = Cpu::new(None).expect("threads");
            let engine = Engine::random_as(dtype.into(), &shape, 0, cpu, &mut |_, _| {});
            let held = engine.expect("random weights").memory().weights as u64;
            let counted = needed(&shape, dtype);
            // Norms, and what fills a matrix up to whole panels.
            let rest = counted / 50;
            assert!(
                (counted..=counted + rest).contains(&held),
                "{dtype:?}: {counted} bytes are counted, {held} are held"
            );
        }
    }

    #[test]
    fn every_row_is_counted_with_its_widest_activations() {
        let [mid, wide, ..] = SHAPES;
        let more = needed(&wide, Storage::Auto) - needed(&mid, Storage::Auto);
        let rows = wide.visual_tokens - mid.visual_tokens;
        assert_eq!(more as usize, rows * (512 + 1536) * size_of::<f32>());
    }
}
