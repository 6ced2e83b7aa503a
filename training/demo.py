"""Draws ../demo/*.png at 480x480 and writes ../demo/README.md with the exported model's answers."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from evaluate_nano import answers
from exported import load
from scenes import COLORS, DIGIT_FONTS, EMOJI, Scene, Thing, emoji_sprite, shape_sprite

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
    "circle-cat-42": (scene("red circle", "cat", "", "number 42"), (214, 226, 240), {
        "What color is the circle?": "red",
        "Where is the cat?": "top right",
        "What number is shown?": "42",
        "What is at the bottom left?": "nothing",
        "Is there a red circle?": "yes",
        "Is there a blue circle?": "no",
        "How many objects are there?": "three",
        "Is the cat left or right of the circle?": "right",
        "Where is the cat, above or below the number?": "above",
        "Describe the image.": "top left red circle; top right cat; bottom right number 42",
    }),
    "four-things": (scene("blue star", "apple", "rocket", "green triangle"), (238, 228, 208), {
        "What shape is green?": "triangle",
        "What color is the star?": "blue",
        "Where is the rocket?": "bottom left",
        "What is at the top right?": "apple",
        "How many shapes are there?": "two",
        "Is there a green star?": "no",
        "Describe the image.": "top left blue star; top right apple; bottom left rocket; bottom right green triangle",
    }),
    "two-squares": (scene("yellow square", "", "purple square", "fish"), (206, 232, 214), {
        "Where is the yellow square?": "top left",
        "What is at the bottom right?": "fish",
        "Is there a fish?": "yes",
        "How many shapes do you see?": "two",
        "Is there a purple circle?": "no",
        "Describe the image.": "top left yellow square; bottom left purple square; bottom right fish",
    }),
    "house-17": (scene("house", "number 17", "tree", "black star"), (226, 214, 236), {
        "What number is shown?": "17",
        "Where is the number?": "top right",
        "What shape is black?": "star",
        "What is at the bottom left?": "tree",
        "Do you see a dog?": "no",
        "Describe the image.": "top left house; top right number 17; bottom left tree; bottom right black star",
    }),
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


def receipt(lines: list[tuple[str, str]], background: tuple[int, int, int]) -> Image.Image:
    """Things at the left, their prices at the right."""
    picture = Image.new("RGB", (SIZE, SIZE), background)
    draw, font, ink = ImageDraw.Draw(picture), ImageFont.truetype(str(DIGIT_FONTS[0]), 14 * SCALE), (20, 20, 40)
    for row, (item, price) in enumerate(lines):
        y = (row + 0.5) * SIZE / len(lines)
        draw.text((2 * SCALE, y), item, font=font, fill=ink, anchor="lm")
        draw.text((SIZE - 2 * SCALE, y), price, font=font, fill=ink, anchor="rm")
    return picture


def chart(bars: list[tuple[str, int]], background: tuple[int, int, int]) -> Image.Image:
    """Bars of a colour and a height in training pixels."""
    picture = Image.new("RGB", (SIZE, SIZE), background)
    draw = ImageDraw.Draw(picture)
    floor, step, width = 56 * SCALE, 50 * SCALE // len(bars), 10 * SCALE
    for place, (name, height) in enumerate(bars):
        left = 7 * SCALE + place * step
        draw.rectangle((left, floor - height * SCALE, left + width - 1, floor - 1), fill=COLORS[name])
    draw.rectangle((4 * SCALE, floor, 57 * SCALE, floor + SCALE - 1), fill=(60, 60, 60))
    draw.rectangle((4 * SCALE, 5 * SCALE, 5 * SCALE - 1, floor), fill=(60, 60, 60))
    return picture


DOCUMENTS = {
    "receipt": (receipt([("fish", "42"), ("cup", "17"), ("car", "63")], (240, 236, 226)), {
        "What does the cup cost?": "17",
        "How much is the fish?": "42",
        "What number is the car?": "63",
        "What costs 42?": "fish",
    }),
    "bars": (chart([("red", 21), ("blue", 45), ("yellow", 11)], (232, 238, 244)), {
        "Which bar is the tallest?": "blue",
        "Which bar is the shortest?": "yellow",
        "Is the red bar taller than the yellow bar?": "yes",
        "How many bars are there?": "three",
    }),
}


def main() -> None:
    torch.set_num_threads(2)
    model, text = load(Path(__file__).parents[1] / "models/foveate-nano")
    DEMO.mkdir(exist_ok=True)
    lines = [
        "# Demo pictures for foveate-nano", "",
        "Drawn by `training/demo.py`, which also wrote this page with the answers of the exported model",
        "(480x480 pictures, resized to 60x60 with Pillow's bicubic filter, 32 tokens in 16 steps).", "",
    ]
    pictures = {name: (draw(things, background), questions) for name, (things, background, questions) in SCENES.items()}
    for name, (picture, questions) in (pictures | DOCUMENTS).items():
        path = DEMO / f"{name}.png"
        picture.save(path, optimize=True)
        rows = [(picture, question) for question in questions]
        lines += [f"## {path.name}", "", f"![{name}]({path.name})", "", "| question | answer | right answer if other |"]
        lines += ["| --- | --- | --- |"]
        for (asked, truth), said in zip(questions.items(), answers(model, text, rows)):
            lines.append(f"| {asked} | {said} | {truth if said != truth else ''} |")
        lines.append("")
    (DEMO / "README.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
