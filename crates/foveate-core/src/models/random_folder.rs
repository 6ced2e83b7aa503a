//! A model folder of a given shape with seeded random weights, to be quantized, loaded and measured.

use std::fs;
use std::path::Path;

use foveate_kernels::Dtype;
use serde_json::{Map, Value, json};

use super::llava::VISION;
use super::{NamedShape, llada_v};
use crate::checkpoint::{Blueprint, write_fresh, write_shards};
use crate::error::{Error, Result};
use crate::network::{VisionShape, random};

/// Bytes of a weight file, about as in published models.
const SHARD_BYTES: usize = 4_000_000_000;

/// Special tokens of the family, the last ids of the vocabulary.
const SPECIALS: [&str; 6] = [
    "<|startoftext|>",
    "<|endoftext|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|mdm_mask|>",
];

/// The folder of the tower's sizes inside the model's.
const TOWER: &str = "random-siglip";

/// The tower of a shape that has none: a folder needs one.
const SMALL_TOWER: VisionShape = VisionShape {
    image_size: 56,
    patch_size: 14,
    hidden: 64,
    layers: 1,
    heads: 2,
    mlp: 128,
    norm_eps: 1e-6,
    projected: 0,
};

/// Writes a folder that loads as `LLaDA-V` with these sizes: bfloat16 noise of small variance, and a vocabulary of
/// numbered words. Weights are made and written piece by piece; `progress` hears of their bytes done and in all.
/// An interrupted run, or one that finds no room, leaves nothing that loads.
pub fn write_random(
    shape: &NamedShape,
    seed: u64,
    out: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let words = shape.decoder.vocabulary.checked_sub(SPECIALS.len());
    let Some(words) = words.filter(|words| *words > 0) else {
        let reason = format!(
            "expected more ids than the {} special ones of a folder, got {}",
            SPECIALS.len(),
            shape.decoder.vocabulary
        );
        return Err(Error::request("vocabulary", reason));
    };
    let vision = VisionShape {
        projected: shape.decoder.hidden,
        ..match shape.vision.layers {
            0 => SMALL_TOWER,
            _ => shape.vision,
        }
    };
    let rows = |tensor: &Blueprint, rows| {
        random(seed, &tensor.name, Dtype::Bf16, rows, tensor.folded()[1])
    };
    write_fresh(out, |folder| {
        let write = |name: &str, value: &Value| {
            let path = folder.join(name);
            fs::write(&path, value.to_string()).map_err(|error| Error::write(path, error))
        };
        let tower = folder.join(TOWER);
        fs::create_dir(&tower).map_err(|error| Error::write(tower, error))?;
        write(&format!("{TOWER}/config.json"), &tower_config(&vision))?;
        write("config.json", &config(shape, &vision))?;
        write("tokenizer.json", &tokenizer(words))?;
        write("tokenizer_config.json", &tokenizer_config())?;
        write_shards(
            folder,
            &tensors(shape, &vision),
            SHARD_BYTES,
            &rows,
            progress,
        )
    })
}

/// Every tensor that the family reads, in the order in which it does.
fn tensors(shape: &NamedShape, vision: &VisionShape) -> Vec<Blueprint> {
    let (decoder, names) = (&shape.decoder, &llada_v::TENSORS.decoder);
    let (hidden, vocabulary, mlp) = (decoder.hidden, decoder.vocabulary, decoder.mlp);
    let keys = decoder.heads.kv_count * decoder.heads.dim;
    let mut all = vec![
        Blueprint::new(llada_v::TENSORS.embedding, &[vocabulary, hidden]),
        Blueprint::new(weight(names.head), &[vocabulary, hidden]),
    ];
    for i in 0..decoder.layers {
        let mut add = |pattern: &str, shape: &[usize]| {
            let name = weight(&pattern.replace("{i}", &i.to_string()));
            all.push(Blueprint::new(name, shape));
        };
        add(names.input_norm, &[hidden]);
        add(names.query, &[hidden, hidden]);
        for name in names.key_value {
            add(name, &[keys, hidden]);
        }
        add(names.output, &[hidden, hidden]);
        add(names.mlp_norm, &[hidden]);
        for name in names.gate_up {
            add(name, &[mlp, hidden]);
        }
        add(names.down, &[hidden, mlp]);
    }
    all.push(Blueprint::new(weight(names.final_norm), &[hidden]));
    all.extend(vision_tensors(vision));
    all
}

fn vision_tensors(vision: &VisionShape) -> Vec<Blueprint> {
    let (hidden, mlp, patch) = (vision.hidden, vision.mlp, vision.patch_size);
    let tower = VISION.towers[0];
    let mut all = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        all.push(Blueprint::new(weight(&name), shape));
        all.push(Blueprint::new(format!("{name}.bias"), &shape[..1]));
    };
    add(
        format!("{tower}.embeddings.patch_embedding"),
        &[hidden, 3, patch, patch],
    );
    for i in 0..vision.layers {
        let name = |part: &str| format!("{tower}.encoder.layers.{i}.{part}");
        add(name("layer_norm1"), &[hidden]);
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            add(name(&format!("self_attn.{part}")), &[hidden, hidden]);
        }
        add(name("layer_norm2"), &[hidden]);
        add(name("mlp.fc1"), &[mlp, hidden]);
        add(name("mlp.fc2"), &[hidden, mlp]);
    }
    let [first, second] = VISION.projector;
    add(first.to_owned(), &[vision.projected, hidden]);
    add(second.to_owned(), &[vision.projected, vision.projected]);
    let positions = format!("{tower}.embeddings.position_embedding.weight");
    all.push(Blueprint::new(positions, &[vision.patches(), hidden]));
    all.push(Blueprint::new(VISION.newline, &[vision.projected]));
    all
}

fn weight(name: &str) -> String {
    format!("{name}.weight")
}

fn config(shape: &NamedShape, vision: &VisionShape) -> Value {
    let decoder = &shape.decoder;
    json!({
        "architectures": [llada_v::ARCHITECTURES[0]],
        "model_type": llada_v::ARCHITECTURES[1],
        "hidden_size": decoder.hidden,
        "intermediate_size": decoder.mlp,
        "num_hidden_layers": decoder.layers,
        "num_attention_heads": decoder.heads.count,
        "num_key_value_heads": decoder.heads.kv_count,
        "rms_norm_eps": decimal(decoder.norm_eps),
        "rope_theta": decimal(decoder.rope_theta),
        "vocab_size": decoder.vocabulary,
        "hidden_act": "silu",
        "attention_bias": false,
        "tie_word_embeddings": false,
        "torch_dtype": "bfloat16",
        "tokenizer_model_max_length": 16384,
        "mm_vision_tower": TOWER,
        "mm_hidden_size": vision.hidden,
        "mm_projector_type": "mlp2x_gelu",
        "mm_patch_merge_type": "spatial_unpad",
        "mm_newline_position": "grid",
        "mm_use_im_start_end": false,
        "mm_use_im_patch_token": false,
        "image_aspect_ratio": "anyres_max_4",
        "image_grid_pinpoints": "(1x1),...,(6x6)",
    })
}

/// The tower's own file counts a last layer that is not used.
fn tower_config(vision: &VisionShape) -> Value {
    json!({
        "model_type": "siglip_vision_model",
        "hidden_size": vision.hidden,
        "intermediate_size": vision.mlp,
        "num_hidden_layers": vision.layers + 1,
        "num_attention_heads": vision.heads,
        "num_channels": 3,
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "layer_norm_eps": decimal(vision.norm_eps),
        "hidden_act": "gelu_pytorch_tanh",
    })
}

/// The shortest decimal that is this number, as people write it.
fn decimal(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

/// `w0`, `w1`, … and the special tokens; every word of a text that is none of them is `w0`.
fn tokenizer(words: usize) -> Value {
    let vocabulary: Map<String, Value> = (0..words)
        .map(|id| (format!("w{id}"), Value::from(id)))
        .collect();
    let special = |(place, content): (usize, &&str)| {
        json!({
            "id": words + place, "content": content, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true,
        })
    };
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": SPECIALS.iter().enumerate().map(special).collect::<Vec<_>>(),
        "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"},
    })
}

fn tokenizer_config() -> Value {
    let [bos, eos, ..] = SPECIALS;
    json!({"bos_token": bos, "eos_token": eos, "mask_token": SPECIALS[5]})
}
