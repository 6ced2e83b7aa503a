//! `foveate inspect`: what a model is, without reading its weights.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use clap::builder::FalseyValueParser;
use foveate_core::image::{Geometry, geometry};
use foveate_core::{DecoderShape, ModelCard, VisionShape};
use serde_json::{Value, json};

use foveate::Opened;
use foveate_lab::args::SourceArgs;
use foveate_lab::exit;
use foveate_lab::load;
use foveate_lab::table::{bytes, grouped, listing, row, table};

/// Picture sizes that people ask about, `(width, height)` in pixels.
const COMMON_SIZES: [(u32, u32); 8] = [
    (224, 224),
    (384, 384),
    (640, 480),
    (480, 640),
    (1024, 768),
    (1280, 720),
    (1920, 1080),
    (1654, 2339),
];

/// Show a model's config, tensors and visual tokens per image; reads no weights
#[derive(clap::Args, Debug)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Also count the visual tokens of a picture of this size, in pixels; repeatable
    #[arg(long = "size", env = "FOVEATE_SIZE", value_name = "WxH", value_parser = parse_size)]
    sizes: Vec<(u32, u32)>,
    /// List every tensor with its type and shape
    #[arg(long, env = "FOVEATE_TENSORS", value_parser = FalseyValueParser::new())]
    tensors: bool,
    /// Print one JSON object
    #[arg(long, env = "FOVEATE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

/// One stored tensor.
struct Stored {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    bytes: u64,
}

/// Prints the description.
pub(crate) fn main(args: &InspectArgs) -> Result<ExitCode> {
    let model = load::open(&args.source)?;
    let tensors = tensors(&model);
    let sizes: Vec<(u32, u32)> = COMMON_SIZES.iter().chain(&args.sizes).copied().collect();
    let mut counts = Vec::with_capacity(sizes.len());
    for size in sizes {
        counts.push((size, geometry(size.0, size.1, &model.card.tiling)?));
    }
    let text = if args.json {
        format!(
            "{}\n",
            serde_json::to_string(&object(&model, &tensors, &counts))?
        )
    } else {
        page(&model, &tensors, &counts, args.tensors)
    };
    exit::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Every stored tensor; those of types that no computation reads are named `other`.
fn tensors(model: &Opened) -> Vec<Stored> {
    let checkpoint = &model.checkpoint;
    let stored = |name: &str| {
        let tensor = checkpoint.tensor(name).ok();
        Stored {
            name: name.to_owned(),
            dtype: tensor
                .as_ref()
                .map_or("other".into(), |t| format!("{:?}", t.dtype).to_lowercase()),
            bytes: tensor.as_ref().map_or(0, |t| t.bytes.len() as u64),
            shape: tensor.map(|t| t.shape).unwrap_or_default(),
        }
    };
    checkpoint.names().map(stored).collect()
}

fn parameters(tensors: &[Stored]) -> u64 {
    let size = |t: &Stored| t.shape.iter().map(|n| *n as u64).product::<u64>();
    tensors
        .iter()
        .filter(|t| t.dtype != "other")
        .map(size)
        .sum()
}

fn stored_bytes(tensors: &[Stored]) -> u64 {
    tensors.iter().map(|t| t.bytes).sum()
}

fn per_type(tensors: &[Stored]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for tensor in tensors {
        *counts.entry(tensor.dtype.as_str()).or_default() += 1;
    }
    counts
}

fn object(model: &Opened, tensors: &[Stored], counts: &[((u32, u32), Geometry)]) -> Value {
    let card = &model.card;
    let tensor = |t: &Stored| json!({"name": t.name, "dtype": t.dtype, "shape": t.shape});
    let count = |((width, height), found): &((u32, u32), Geometry)| {
        json!({
            "width": width,
            "height": height,
            "visual_tokens": found.visual_tokens,
            "base_tokens": found.base_tokens,
            "views": found.views,
            "grid": found.grid,
        })
    };
    json!({
        "model": model.name,
        "path": model.checkpoint.path(),
        "family": card.family,
        "parameters": parameters(tensors),
        "stored_bytes": stored_bytes(tensors),
        "decoder": decoder(&card.decoder),
        "vision": vision(&card.vision),
        "special_ids": {"mask": card.mask, "forbidden": card.forbidden},
        "stored_vocabulary": card.stored_vocabulary,
        "max_rows": card.max_rows,
        "defaults": defaults(card),
        "visual_tokens": counts.iter().map(count).collect::<Vec<_>>(),
        "tensors": tensors.iter().map(tensor).collect::<Vec<_>>(),
    })
}

fn decoder(shape: &DecoderShape) -> Value {
    json!({
        "hidden": shape.hidden,
        "layers": shape.layers,
        "heads": shape.heads.count,
        "kv_heads": shape.heads.kv_count,
        "head_dim": shape.heads.dim,
        "mlp": shape.mlp,
        "vocabulary": shape.vocabulary,
        "norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
    })
}

fn vision(shape: &VisionShape) -> Value {
    json!({
        "image_size": shape.image_size,
        "patch_size": shape.patch_size,
        "hidden": shape.hidden,
        "layers": shape.layers,
        "heads": shape.heads,
        "mlp": shape.mlp,
        "projected": shape.projected,
    })
}

/// Nulls are left to the engine's defaults.
fn defaults(card: &ModelCard) -> Value {
    let defaults = &card.defaults;
    json!({
        "gen_length": defaults.gen_length,
        "block_length": defaults.block_length,
        "steps": defaults.steps,
        "temperature": defaults.temperature,
        "stop": defaults.stop,
    })
}

fn page(
    model: &Opened,
    tensors: &[Stored],
    counts: &[((u32, u32), Geometry)],
    list: bool,
) -> String {
    let card = &model.card;
    let (d, v) = (&card.decoder, &card.vision);
    let types: Vec<String> = per_type(tensors)
        .iter()
        .map(|(dtype, count)| format!("{count} {dtype}"))
        .collect();
    let mut facts = listing();
    let mut fact = |name: &str, value: String| {
        facts.add_row(row([name.to_owned(), value]));
    };
    fact("model", model.name.clone());
    fact("folder", model.checkpoint.path().display().to_string());
    fact("family", card.family.to_owned());
    fact("parameters", grouped(parameters(tensors)));
    fact(
        "tensors",
        format!("{}, {}", types.join(", "), bytes(stored_bytes(tensors))),
    );
    fact(
        "decoder",
        format!(
            "{} layers, width {}, {} heads of {} ({} for keys), mlp {}, vocabulary {} ({} stored)",
            d.layers,
            d.hidden,
            d.heads.count,
            d.heads.dim,
            d.heads.kv_count,
            d.mlp,
            d.vocabulary,
            card.stored_vocabulary
        ),
    );
    fact(
        "vision",
        format!(
            "{} layers, width {}, {} heads, mlp {}, views of {} px, patches of {} px",
            v.layers, v.hidden, v.heads, v.mlp, v.image_size, v.patch_size
        ),
    );
    fact("context", format!("{} rows", card.max_rows));
    fact(
        "special ids",
        format!("mask {}, never predicted {:?}", card.mask, card.forbidden),
    );
    let mut page = format!("{facts}\n\n{}\n", sizes(counts));
    if list {
        let mut listing = listing();
        listing.set_header(["tensor", "type", "shape"]);
        for tensor in tensors {
            let shape = format!("{:?}", tensor.shape);
            listing.add_row(row([tensor.name.clone(), tensor.dtype.clone(), shape]));
        }
        page = format!("{page}\n{listing}\n");
    }
    let trimmed: Vec<&str> = page.lines().map(str::trim_end).collect();
    trimmed.join("\n") + "\n"
}

fn sizes(counts: &[((u32, u32), Geometry)]) -> comfy_table::Table {
    let mut table = table([
        "image (pixels)",
        "visual tokens",
        "base view",
        "tiles (rows x columns)",
        "views",
    ]);
    for ((width, height), found) in counts {
        table.add_row(row([
            format!("{width} x {height}"),
            found.visual_tokens.to_string(),
            found.base_tokens.to_string(),
            found.grid.map_or("none".into(), |(rows, columns)| {
                format!("{rows} x {columns}")
            }),
            found.views.to_string(),
        ]));
    }
    table
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let side = |digits: &str| digits.trim().parse().ok().filter(|side| *side > 0);
    text.split_once(['x', 'X', '×'])
        .and_then(|(width, height)| Some((side(width)?, side(height)?)))
        .ok_or_else(|| "expected WIDTHxHEIGHT in pixels, such as 1024x768".into())
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_are_width_by_height() {
        assert_eq!(parse_size("640x480"), Ok((640, 480)));
        for text in ["640", "0x1", "x", "-1x2", "1x2x3"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
