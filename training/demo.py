"""Draws ../demo/*.png at 480x480 and writes ../demo/README.md with the exported model's answers."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from evaluate import answer, load, load_picture
from scenes import CELLS, COLORS, DIGIT_FONTS, EMOJI, Scene, Thing, emoji_sprite, shape_sprite

SCALE = 8
CELL = 30 * SCALE
SIZE = 2 * CELL
DEMO = Path(__file__).parents[1] / "demo"


def thing(name: str) -> Thing:
    """The thing called `name`."""
    first, _, second = name.partition(" ")
    if first == "number":
        return Thing(name, digits=second)
    return Thing(name, color=first, shape=second) if second else Thing(name)


def scene(*names: str) -> Scene:
    """A scene from the names in reading order; an empty name leaves the cell empty."""
    return {cell: thing(name) for cell, name in enumerate(names) if name}


SCENES = {
    "circle-cat-42": (scene("red circle", "cat", "", "number 42"), (214, 226, 240), [
        "What color is the circle?", "Where is the cat?", "What number is shown?", "What is at the bottom left?",
        "Is there a red circle?", "Is there a blue circle?", "How many objects are there?", "Describe the image.",
    ]),
    "four-things": (scene("blue star", "apple", "rocket", "green triangle"), (238, 228, 208), [
        "What shape is green?", "What color is the star?", "Where is the rocket?", "What is at the top right?",
        "How many shapes are there?", "Is there a green star?", "Describe the image.",
    ]),
    "two-squares": (scene("yellow square", "", "purple square", "fish"), (206, 232, 214), [
        "Where is the yellow square?", "What is at the bottom right?", "Is there a fish?", "How many shapes do you see?",
        "Is there a purple circle?", "Describe the image.",
    ]),
    "house-17": (scene("house", "number 17", "tree", "black star"), (226, 214, 236), [
        "What number is shown?", "Where is the number?", "What shape is black?", "What is at the bottom left?",
        "Do you see a dog?", "Describe the image.",
    ]),
}


def draw(things: Scene, background: tuple[int, int, int]) -> Image.Image:
    """The scene in eight times the training resolution."""
    picture = Image.new("RGBA", (SIZE, SIZE), background + (255,))
    for cell, item in things.items():
        x, y = cell % 2 * CELL + CELL // 2, cell // 2 * CELL + CELL // 2
        if item.is_number:
            font = ImageFont.truetype(str(DIGIT_FONTS[1]), 17 * SCALE)
            ImageDraw.Draw(picture).text((x, y), item.digits, font=font, fill=(20, 20, 40), anchor="mm")
            continue
        if item.is_shape:
            sprite = shape_sprite(item.shape, COLORS[item.color], 22 * SCALE)
        else:
            sprite = emoji_sprite(EMOJI[item.name], 25 * SCALE)
        stamp = Image.fromarray(np.clip(sprite, 0, 255).astype(np.uint8))
        picture.alpha_composite(stamp, (x - stamp.width // 2, y - stamp.height // 2))
    return picture.convert("RGB")


def main() -> None:
    torch.set_num_threads(2)
    model, text = load(Path(__file__).parents[1] / "models/foveate-nano")
    DEMO.mkdir(exist_ok=True)
    lines = [
        "# Demo pictures for foveate-nano", "",
        "Drawn by `training/demo.py`, which also wrote this page with the answers of the exported model",
        "(480x480 pictures, resized to 60x60 with Pillow's bicubic filter, 32 tokens in 16 steps).", "",
    ]
    for name, (things, background, questions) in SCENES.items():
        path = DEMO / f"{name}.png"
        draw(things, background).save(path, optimize=True)
        pixels = np.stack([load_picture(path)] * len(questions))
        lines += [f"## {path.name}", "", f"![{name}]({path.name})", "", "| question | answer |", "| --- | --- |"]
        lines += [f"| {asked} | {said} |" for asked, said in zip(questions, answer(model, text, pixels, questions))]
        shown = "; ".join(f"{CELLS[cell]} {item.name}" for cell, item in things.items())
        lines += ["", f"Shown: {shown}.", ""]
    (DEMO / "README.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
