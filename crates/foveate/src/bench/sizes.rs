//! Which sizes of a random model are refused: those that no machine has, and those that this one has no memory for.

use anyhow::Result;
use foveate_core::NamedShape;

use crate::args::{MachineArgs, Storage};
use crate::backend::BackendName;
use crate::exit::usage;
use crate::table::bytes;

/// Largest number of layers, widths, ids and tokens.
pub(super) const MOST: usize = 1 << 24;

/// Refuses a model whose weights and activations cannot be held here; where memory cannot be asked for, nothing.
pub(super) fn check_memory(shape: &NamedShape, machine: &MachineArgs) -> Result<()> {
    // The oracle has everything in f32.
    let dtype = match machine.backend {
        BackendName::Reference => Storage::F32,
        BackendName::Cpu | BackendName::Portable => machine.dtype,
    };
    let (needed, there) = (needed(shape, dtype), memory());
    let less = match dtype {
        _ if machine.backend == BackendName::Reference => "",
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
    use foveate_core::SHAPES;

    use super::*;

    #[test]
    fn the_named_shapes_need_what_was_measured() {
        // GB of weights: `mid` 0.243 at f32, llada-v-8b 8.7 GiB at q8 and 5.6 at q4, with the tower.
        let found = |name: &str, dtype| {
            let shape = SHAPES.into_iter().find(|shape| shape.name == name);
            needed(&shape.expect("a named shape"), dtype) as f64 / 1e9
        };
        for (name, dtype, least, most) in [
            ("mid", Storage::Auto, 0.24, 0.26),
            ("llada-v-8b", Storage::Q8, 8.5, 9.4),
            ("llada-v-8b", Storage::Q4, 5.0, 6.0),
            ("llada-v-8b", Storage::Auto, 31.0, 33.0),
        ] {
            let found = found(name, dtype);
            assert!((least..most).contains(&found), "{name} {dtype:?}: {found}");
        }
    }
}
