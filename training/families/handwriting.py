"""Handwritten numbers of one to five digits, from 8x8 scans."""

import random
from functools import lru_cache

from PIL import Image

from .assets import Assets
from .picture import CHARACTER_CLASS_INDEX, Canvas, Picture, Question, random_color

WORDINGS = ["What number is written by hand?", "Which number is handwritten here?", "Read the handwritten number."]


@lru_cache(8192)
def coverage(split: str, index: int, side: int, assets: Assets) -> Image.Image:
    """How much ink a digit has at each of `side` x `side` pixels."""
    pictures, _ = assets.arrays("digits")
    small = Image.fromarray((pictures[index] * 15.9).astype("uint8"))
    return small.resize((side, side), Image.BICUBIC)


def draw(rng: random.Random, assets: Assets, size: tuple[int, int]) -> Picture:
    """Digits of one size in a row, on paper."""
    canvas = Canvas(rng, assets, size, random_color(rng, 205, 255))
    if rng.random() < 0.3:
        for y in range(rng.randint(8, 20), round(canvas.height), rng.randint(18, 30)):
            canvas.line((0, y, canvas.width, y), random_color(rng, 180, 215))
    _, labels = assets.arrays("digits")
    count = rng.randint(1, 5)
    side = rng.choice([s for s in (32, 36, 40, 48, 56, 64, 72) if s * count * 0.85 < canvas.width - 8])
    ink = random_color(rng, 0, 90)
    x = side / 2 + rng.uniform(2, max(2.1, canvas.width - 2 - side * (0.15 + 0.85 * count)))
    y = rng.uniform(side / 2 + 2, canvas.height - side / 2 - 2)
    number = ""
    for _ in range(count):
        index = rng.randrange(len(labels))
        digit = str(labels[index])
        mask = coverage(assets.split, index, canvas.px(side), assets)
        sprite = Image.new("RGBA", mask.size, ink)
        sprite.putalpha(mask)
        canvas.paste(sprite, x, y + rng.uniform(-2, 2), CHARACTER_CLASS_INDEX[digit])
        x += side * rng.uniform(0.8, 0.87)
        number += digit
    return canvas.done([Question("handwriting", rng.choice(WORDINGS), number)])
