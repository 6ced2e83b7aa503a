"""Reads an exported checkpoint folder back, from its files alone."""

import json
from pathlib import Path

from safetensors.torch import load_file

from model import Config, Foveate
from text import Text


def load(folder: Path) -> tuple[Foveate, Text]:
    """Builds the model from an exported folder alone."""
    language = json.loads((folder / "config.json").read_text())
    tower = json.loads((folder / language["mm_vision_tower"] / "config.json").read_text())["vision_config"]
    aspect = language["image_aspect_ratio"]
    config = Config(
        vocabulary_size=language["vocab_size"],
        hidden_size=language["hidden_size"],
        intermediate_size=language["intermediate_size"],
        layers=language["num_hidden_layers"],
        heads=language["num_attention_heads"],
        rope_theta=language["rope_theta"],
        rms_norm_epsilon=language["rms_norm_eps"],
        vision_hidden_size=tower["hidden_size"],
        vision_intermediate_size=tower["intermediate_size"],
        vision_layers=tower["num_hidden_layers"] - 1,
        vision_heads=tower["num_attention_heads"],
        vision_layer_norm_epsilon=tower["layer_norm_eps"],
        image_size=tower["image_size"],
        patch_size=tower["patch_size"],
        tiled=aspect.startswith("anyres"),
        most_views=int(aspect.removeprefix("anyres_max_")) if aspect.startswith("anyres_max_") else Config.most_views,
    )
    model = Foveate(config)
    model.load_state_dict({name: value.float() for name, value in load_file(folder / "model.safetensors").items()})
    return model.eval(), Text(folder / "tokenizer.json")
