"""Clothes, from Fashion-MNIST's photographs."""

import random
from functools import lru_cache

from PIL import Image, ImageOps

from .assets import Assets
from .picture import CLOTHES, PATCH_CLASS_INDEX, Canvas, Picture, Question, random_color
from .scene_questions import only_ones

WORDINGS = ["What piece of clothing is shown?", "Which item of clothing is this?"]
PLACES = {
    1: ["in the center"],
    2: ["on the left", "on the right"],
    4: ["at the top left", "at the top right", "at the bottom left", "at the bottom right"],
}


@lru_cache(4096)
def garment(assets: Assets, index: int, side: int) -> Image.Image:
    """A photograph, grey on black, `side` pixels wide and high."""
    pictures, _ = assets.arrays("fashion")
    return Image.fromarray(pictures[index]).resize((side, side), Image.BICUBIC)


def questions(rng: random.Random, names: list[str]) -> list[Question]:
    """About one, two or four clothes in the order of PLACES."""
    if len(names) == 1:
        return [Question("clothing", rng.choice(WORDINGS), names[0])]
    index = rng.randrange(len(names))
    asked = [Question("clothing", f"What piece of clothing is {PLACES[len(names)][index]}?", names[index])]
    unique = only_ones(names)
    if unique:
        index = rng.choice(unique)
        verb = "are" if names[index] == "trousers" else "is"
        asked.append(Question("clothing", f"Where {verb} the {names[index]}?", PLACES[len(names)][index]))
    return asked


def draw(rng: random.Random, assets: Assets, size: tuple[int, int]) -> Picture:
    """One, two or four clothes, each a tinted photograph."""
    canvas = Canvas(rng, assets, size, random_color(rng, 0, 60) if rng.random() < 0.5 else random_color(rng, 200, 255))
    _, labels = assets.arrays("fashion")
    count = rng.choice([1, 1, 2, 4])
    across, down = {1: (1, 1), 2: (2, 1), 4: (2, 2)}[count]
    side = rng.choice({1: (112, 140, 168), 2: (84, 98), 4: (84, 98)}[count])
    names = []
    for place in range(count):
        index = rng.randrange(len(labels))
        names.append(CLOTHES[labels[index]])
        grey = garment(assets, index, canvas.px(side))
        tint = random_color(rng, 170, 255)
        sprite = ImageOps.colorize(grey, (0, 0, 0), tint) if rng.random() < 0.6 else grey.convert("RGB")
        if rng.random() < 0.4:
            sprite = ImageOps.invert(sprite)
        x = (place % across + 0.5) * canvas.width / across + rng.uniform(-4, 4)
        y = (place // across + 0.5) * canvas.height / down + rng.uniform(-4, 4)
        canvas.paste(sprite.convert("RGBA"), x, y, PATCH_CLASS_INDEX[names[-1]])
    return canvas.done(questions(rng, names))
