"""Writes a checkpoint in LLaDA-V's on-disk layout: ../models/foveate-nano or ../models/foveate-tiny."""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from configs import CONFIGS, TOKENIZERS
from model import Config, Foveate
from text import CHAT_TEMPLATE, SPECIAL_TOKENS, Text
from tiling import canvases

HERE = Path(__file__).parent
# Of an answer, tokens and denoising steps.
LENGTHS = {"nano": (32, 16), "tiny": (64, 32)}
LONGEST = 2048  # tokens of a sequence
# Arithmetic of each model, however its tensors are stored: nano is small enough for float32 everywhere.
DTYPES = {"nano": "float32", "tiny": "bfloat16"}


def language_config(config: Config, text: Text, tower: str, dtype: str, tiled: bool) -> dict:
    """config.json."""
    return {
        "architectures": ["LlavaLLaDAModelLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": text.tokenizer.token_to_id("<|startoftext|>"),
        "eos_token_id": text.tokenizer.token_to_id("<|endoftext|>"),
        "hidden_act": "silu",
        "hidden_size": config.hidden_size,
        "image_aspect_ratio": f"anyres_max_{config.most_views}" if tiled else "pad",
        "image_grid_pinpoints": [
            list(size) for size in (canvases(config.image_size) if tiled else [(config.image_size, config.image_size)])
        ],
        "initializer_range": 0.02,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": LONGEST,
        "mm_hidden_size": config.vision_hidden_size,
        "mm_newline_position": "grid",
        "mm_patch_merge_type": "spatial_unpad",
        "mm_projector_type": "mlp2x_gelu",
        "mm_resampler_type": None,
        "mm_spatial_pool_mode": "bilinear",
        "mm_spatial_pool_stride": None,
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": tower,
        "model_type": "llava_llada",
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.heads,
        "pretraining_tp": 1,
        "rms_norm_eps": config.rms_norm_epsilon,
        "rope_scaling": None,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": False,
        "tokenizer_model_max_length": LONGEST,
        "tokenizer_padding_side": "right",
        "torch_dtype": dtype,
        "transformers_version": "4.46.3",
        "use_cache": False,
        "use_mm_proj": True,
        "vocab_size": config.vocabulary_size,
    }


def tower_config(config: Config) -> dict:
    """The vision tower's config.json; LLaDA-V drops the last layer, so it counts one more."""
    return {
        "architectures": ["SiglipModel"],
        "initializer_factor": 1.0,
        "model_type": "siglip",
        "text_config": {
            "model_type": "siglip_text_model",
            "hidden_size": config.vision_hidden_size,
            "vocab_size": 64,
            "num_hidden_layers": 1,
        },
        "torch_dtype": "bfloat16",
        "transformers_version": "4.46.3",
        "vision_config": {
            "hidden_size": config.vision_hidden_size,
            "intermediate_size": config.vision_intermediate_size,
            "num_hidden_layers": config.vision_layers + 1,
            "num_attention_heads": config.vision_heads,
            "num_channels": 3,
            "image_size": config.image_size,
            "patch_size": config.patch_size,
            "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": config.vision_layer_norm_epsilon,
            "attention_dropout": 0.0,
            "model_type": "siglip_vision_model",
        },
    }


def preprocessor(config: Config) -> dict:
    """The tower's preprocessor_config.json."""
    return {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor",
        "processor_class": "SiglipProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"height": config.image_size, "width": config.image_size},
    }


def generation_config(name: str) -> dict:
    """generation_config.json."""
    length, steps = LENGTHS[name]
    return {
        "gen_length": length, "block_length": length, "steps": steps, "stop": ["<|eot_id|>"], "system_prompt": "",
    }  # fmt: skip


def special_token(content: str) -> dict:
    """A special token as the tokenizer's JSON files spell it."""
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}


def tokenizer_config(text: Text) -> dict:
    """tokenizer_config.json."""
    added = {
        str(text.tokenizer.token_to_id(token)): {**special_token(token), "special": True} for token in SPECIAL_TOKENS
    }
    return {
        "add_bos_token": False,
        "add_eos_token": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": ["<|mdm_mask|>"],
        "bos_token": "<|startoftext|>",
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|endoftext|>",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": LONGEST,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def special_tokens_map() -> dict:
    """special_tokens_map.json."""
    return {
        "additional_special_tokens": ["<|mdm_mask|>"],
        "bos_token": special_token("<|startoftext|>"),
        "eos_token": special_token("<|endoftext|>"),
        "pad_token": special_token("<|endoftext|>"),
    }


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", choices=list(CONFIGS), default="nano")
    parser.add_argument("--checkpoint", type=Path, help="runs/CONFIG/checkpoint.pt if not given")
    parser.add_argument("--output", type=Path, help="../models/foveate-CONFIG if not given")
    options = parser.parse_args()
    name = options.config
    output = options.output or HERE.parent / f"models/foveate-{name}"
    text = Text(TOKENIZERS[name])
    config = CONFIGS[name](text.vocabulary_size)
    model = Foveate(config)
    state = torch.load(options.checkpoint or HERE / f"runs/{name}/checkpoint.pt", weights_only=True, map_location="cpu")
    model.load_state_dict(state["average"])
    tower_name = f"foveate-{name}-vision"
    tower = output / tower_name
    tower.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.to(torch.bfloat16).contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, output / "model.safetensors", metadata={"format": "pt"})
    tiled = config.tiled and state.get("tiled_steps", 1) > 0  # a model that never saw tiles is given none
    write_json(output / "config.json", language_config(config, text, tower_name, DTYPES[name], tiled))
    write_json(output / "generation_config.json", generation_config(name))
    write_json(output / "tokenizer_config.json", tokenizer_config(text))
    write_json(output / "special_tokens_map.json", special_tokens_map())
    shutil.copyfile(TOKENIZERS[name], output / "tokenizer.json")
    write_json(tower / "config.json", tower_config(config))
    write_json(tower / "preprocessor_config.json", preprocessor(config))
    print(f"{sum(value.numel() for value in tensors.values())} parameters written to {output}")


if __name__ == "__main__":
    main()
