"""Scenes in pictures of any size: the same things in the same four quarters, which need not be square."""

import random
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from families.assets import Assets
from pictograms import CONCEPT_OF, Pictograms
from scenes import (
    COLORS, DIGIT_FONTS, EMOJI, EMOJI_SPRITE_SIZES, IMAGE_SIZE, SHAPE_SPRITE_SIZES, Blend, Scene, Thing, blend_of,
    emoji_sprite, shape_sprite,
)  # fmt: skip
from tiling import Size

DIGIT_SIZE = 17  # pixels of the font, in a picture of 60 pixels
# The canvases (in tiles) that a picture is to need, how often, and ranges of its width and height in pixels.
SHORT, LONG = (38, 60), (66, 128)
KINDS = [(SHORT, SHORT), (LONG, SHORT), (SHORT, LONG), (LONG, LONG)]
KIND_WEIGHTS = [2, 3, 3, 4]
LONGEST_RATIO = 2.2  # of the sides
# What the frozen set's pictures of other shapes measure.
FROZEN_SIZES = [
    (60, 40), (45, 60), (50, 50), (96, 54), (120, 60), (110, 55), (54, 96), (60, 120), (100, 75), (75, 100), (120, 120),
    (90, 90),
]  # fmt: skip


def random_size(rng: random.Random) -> Size:
    """Width and height in pixels: one tile or four, or two beside or above each other."""
    while True:
        across, down = rng.choices(KINDS, KIND_WEIGHTS)[0]
        size = rng.randint(*across), rng.randint(*down)
        if max(size) <= LONGEST_RATIO * min(size):
            return size


def grounds(rng: random.Random, size: Size) -> np.ndarray:
    """A light tinted gradient, float32 [height, width, 3]."""
    width, height = size
    slopes = [rng.uniform(-20, 20) for _ in range(2)]
    image = np.array([rng.randint(150, 250) for _ in range(3)], np.float32)
    image = image + slopes[0] * np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    return image + slopes[1] * np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]


def noisy(rng: random.Random, image: np.ndarray) -> np.ndarray:
    """The picture as bytes, with some noise."""
    noise = np.random.default_rng(rng.getrandbits(64))
    grain = noise.standard_normal((*image.shape[:2], 1), np.float32) * np.float32(rng.uniform(0, 6))
    return np.clip(image + grain, 0, 255).astype(np.uint8)


@lru_cache(4096)
def shape_blend(shape: str, color: str, size: int) -> Blend:
    return blend_of(shape_sprite(shape, COLORS[color], size))


@lru_cache(4096)
def emoji_blend(name: str, size: int) -> Blend:
    return blend_of(emoji_sprite(EMOJI[name], size))


@lru_cache(4096)
def digit_coverage(font: int, size: int, digit: str) -> np.ndarray:
    """The coverage of one digit of a font's size, between 0 and 1; as high as any other digit's."""
    face = ImageFont.truetype(str(DIGIT_FONTS[font]), size)
    canvas = Image.new("L", (size, round(1.3 * size)))
    ImageDraw.Draw(canvas).text((1, 1), digit, font=face, fill=255)
    left, _, right, _ = canvas.getbbox()
    return np.asarray(canvas.crop((max(0, left - 1), 0, min(size, right + 1), canvas.height)), np.float32) / 255


class Artist:
    """Draws scenes with the pictograms of a split's styles; a share of them are the font's."""

    def __init__(self, assets: Assets, from_font: float = 0.0):
        self.assets, self.styles, self.from_font = assets, Pictograms.styles_of(assets), from_font

    def draw(self, rng: random.Random, scene: Scene, size: Size) -> np.ndarray:
        """uint8 [height, width, 3]. A thing is anywhere in its quarter, as large as it may be in a 60x60 picture."""
        image = grounds(rng, size)
        unit = min(size) / IMAGE_SIZE
        across, down = size[0] / 2, size[1] / 2
        for cell, thing in scene.items():
            keep, add = self.blend(rng, thing, unit)
            height, width = keep.shape[:2]
            x, y = (inside(rng, cell % 2 * across, across, width), inside(rng, cell // 2 * down, down, height))
            left = max(0, min(size[0] - width, x))
            top = max(0, min(size[1] - height, y))
            region = image[top : top + height, left : left + width]
            region *= keep
            region += add
        return noisy(rng, image)

    def blend(self, rng: random.Random, thing: Thing, unit: float) -> Blend:
        """Both factors of a thing's alpha blending."""
        if thing.is_number:
            ink = np.array([rng.randint(0, 70) for _ in range(3)], np.float32)
            font, size = rng.randrange(len(DIGIT_FONTS)), round(DIGIT_SIZE * unit)
            coverage = np.concatenate([digit_coverage(font, size, digit) for digit in thing.digits], 1)[..., None]
            return 1 - coverage, coverage * ink
        sizes = SHAPE_SPRITE_SIZES if thing.is_shape else EMOJI_SPRITE_SIZES
        size = round(rng.uniform(sizes[0], sizes[-1]) * unit)
        if thing.is_shape:
            return shape_blend(thing.shape, thing.color, size)
        if rng.random() < self.from_font:
            return emoji_blend(thing.name, size)
        return self.packed(rng.choice(self.styles), thing.name, size)

    @lru_cache(8192)
    def packed(self, style: str, name: str, size: int) -> Blend:
        """A pictogram of the pack."""
        return blend_of(np.asarray(self.assets.sprite(style, CONCEPT_OF[name], size), np.float32))


def inside(rng: random.Random, start: float, length: float, size: int) -> int:
    """Where something begins that lies within a stretch, or sticks out of it on both sides alike; pixels."""
    room = length - size
    return round(start + room * (rng.uniform(0.1, 0.9) if room > 0 else 0.5))
