"""Cases for `foveate verify`: what PyTorch makes of an exported nano and pictures of many shapes.

    python replay_cases.py FOLDER && foveate verify FOLDER

Pixels, tower, prompt, first logits and every step's candidates, confidences and ids must then agree with the engine.
"""

import argparse
import json
import random
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from exported import load
from families.assets import Assets
from model import Foveate, generate
from nano_shapes import FROZEN_SIZES, Artist
from scenes import random_scene
from text import Text
from tiling import Size, padded, views
from visual import tile_map, tower_rows, visual_tokens

IMAGE_SLOT = -200
# Beside these a picture that must be made smaller, one that is very long, and the old shape.
SIZES = [*FROZEN_SIZES, (60, 60), (480, 480), (640, 200), (333, 187)]
LENGTH, STEPS = 32, 16


class Writer:
    """Writes cases of one exported folder."""

    def __init__(self, folder: Path, model: Path, aspect: str):
        self.name = f"nano-{aspect}"
        checkpoint = folder / "checkpoints" / self.name
        shutil.rmtree(checkpoint, ignore_errors=True)
        shutil.copytree(model, checkpoint)
        config = json.loads((model / "config.json").read_text())
        if aspect != "tiled":
            config["image_aspect_ratio"] = aspect
        (checkpoint / "config.json").write_text(json.dumps(config, indent=2))
        self.folder, self.aspect = folder, aspect
        self.model, self.text = load(checkpoint)

    def seen(self, picture: Image.Image) -> tuple[np.ndarray, Tensor, Tensor]:
        """Views, tower rows and visual tokens of a picture."""
        tiled = self.aspect == "tiled"
        square = padded(picture) if self.aspect == "pad" else picture
        pixels = views(square, self.model.config.image_size, tiled)
        features = tower_rows(self.model, torch.from_numpy(pixels)[None])
        layout = tile_map(square.size, self.model.config, tiled)
        return pixels, features[0], visual_tokens(self.model, features, layout)[0]

    @torch.no_grad()
    def write(self, name: str, pictures: list[Image.Image], question: str) -> int:
        """One case; returns the number of visual tokens."""
        case = self.folder / f"{self.name}-{name}"
        case.mkdir(parents=True, exist_ok=True)
        seen = [self.seen(picture) for picture in pictures]
        before, after = self.text.prompt(question)
        ranges, start = [], len(before)
        for _, _, tokens in seen:
            ranges.append([start, start + len(tokens)])
            start += len(tokens)
        tensors = {
            "input_ids": torch.tensor(before + [IMAGE_SLOT] * len(pictures) + after),
            "visual_ranges": torch.tensor(ranges),
            "vision_features": torch.cat([features for _, features, _ in seen]),
            **self.answer(torch.cat([tokens for _, _, tokens in seen])[None], before, after),
        }
        for index, (picture, (pixels, _, _)) in enumerate(zip(pictures, seen)):
            picture.save(case / f"image_{index}.png")
            tensors[f"pixel_u8_{index}"] = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        save_file({key: value.contiguous() for key, value in tensors.items()}, case / "tensors.safetensors")
        manifest = {
            "case": case.name, "family": "llada-v", "checkpoint": self.name, "question": question, "cache": None,
            "dllm_cache": None, "pruning": None,
            "generate_args": {
                "steps": STEPS, "gen_length": LENGTH, "block_length": LENGTH, "stopping_criteria": ["<|eot_id|>"],
            },
        }  # fmt: skip
        (case / "manifest.json").write_text(json.dumps(manifest, indent=1))
        return ranges[-1][1] - ranges[0][0]

    def answer(self, visual: Tensor, before: list[int], after: list[int]) -> dict[str, Tensor]:
        """First logits; candidates, confidences and ids of every step; and the answer."""
        found: dict[str, list[Tensor]] = {"step_x0": [], "step_confidence": [], "step_ids": []}
        logits: list[Tensor] = []
        text, shown = self.text, torch.full((LENGTH,), self.text.mask_id)

        def watch(raw: Tensor, tokens: Tensor, confidence: Tensor, canvas: Tensor) -> None:
            nonlocal shown
            logits.append(raw[0])
            found["step_x0"].append(torch.where(shown == text.mask_id, tokens[0], shown))
            found["step_confidence"].append(torch.where(confidence[0] < 0, -1e30, confidence[0]).float())
            shown = canvas[0]
            found["step_ids"].append(shown)

        rows = generate(
            self.model, visual, torch.tensor([before]), torch.tensor([after]), text.mask_id, text.end_id,
            text.forbidden_ids, LENGTH, STEPS, watch,
        )  # fmt: skip
        return {
            **{name: torch.stack(values) for name, values in found.items()},
            "step_block": torch.zeros(len(logits), dtype=torch.long),
            "step_in_block": torch.arange(len(logits)),
            "step_seq_len": torch.full((len(logits),), len(before) + visual.shape[1] + len(after) + LENGTH),
            "logits_step0_response": logits[0], "output_ids": torch.tensor(rows[0], dtype=torch.long),
        }  # fmt: skip


def picture(rng: random.Random, artist: Artist, size: Size) -> Image.Image:
    return Image.fromarray(artist.draw(rng, random_scene(rng), size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=Path(__file__).parents[1] / "models/foveate-nano")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rng, artist = random.Random(0), Artist(Assets("test"))
    for aspect in ("tiled", "pad", "squash"):
        writer = Writer(chosen.folder, chosen.model, aspect)
        for size in SIZES if aspect == "tiled" else SIZES[3:6]:
            name = f"{size[0]}x{size[1]}"
            tokens = writer.write(name, [picture(rng, artist, size)], "Describe the image.")
            print(f"{aspect} {name}: {tokens} visual tokens")
        if aspect == "tiled":
            pair = [picture(rng, artist, size) for size in ((96, 54), (60, 60))]
            print(f"two pictures: {writer.write('two', pair, 'In the second picture: what do you see?')} visual tokens")


if __name__ == "__main__":
    main()
