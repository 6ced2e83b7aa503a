"""Synthetic scenes: 60x60 pictures with one to four things in a 2x2 grid.

A thing is a coloured shape ("red circle"), a pictogram drawn with the Noto colour emoji font
("cat"; pictograms.py has other styles), or a two-digit number ("number 42", at most one per scene).
All sprites are rendered once; drawing a scene is then a handful of alpha blends.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT_ROOT = Path("/usr/share/fonts/truetype")
EMOJI_FONT = FONT_ROOT / "noto/NotoColorEmoji.ttf"
DIGIT_FONTS = [
    FONT_ROOT / "dejavu/DejaVuSans.ttf",
    FONT_ROOT / "dejavu/DejaVuSans-Bold.ttf",
    FONT_ROOT / "dejavu/DejaVuSansMono.ttf",
    FONT_ROOT / "dejavu/DejaVuSansMono-Bold.ttf",
    FONT_ROOT / "liberation2/LiberationSans-Regular.ttf",
    FONT_ROOT / "liberation2/LiberationSans-Bold.ttf",
]

IMAGE_SIZE = 60
PATCH_SIZE = 10
CELL_SIZE = 30
PATCHES_PER_SIDE = IMAGE_SIZE // PATCH_SIZE

COLORS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 210, 40),
    "purple": (150, 50, 180),
    "black": (25, 25, 25),
}
SHAPES = ["circle", "square", "triangle", "star"]
EMOJI = {
    "dog": "🐶", "cat": "🐱", "apple": "🍎", "banana": "🍌", "car": "🚗", "house": "🏠", "tree": "🌳",
    "sun": "☀", "moon": "🌙", "fish": "🐟", "cup": "☕", "key": "🔑", "heart": "❤", "rocket": "🚀",
}
CELLS = ["top left", "top right", "bottom left", "bottom right"]
SHAPE_SPRITE_SIZES = (18, 22, 26)
EMOJI_SPRITE_SIZES = (22, 25, 28)

# The classes of the auxiliary per-patch loss.
PATCH_CLASSES = ["nothing", "number", *EMOJI, *(f"{color} {shape}" for color in COLORS for shape in SHAPES)]
UNKNOWN = -100  # a label that the loss ignores
PATCH_CLASS_INDEX = {name: index for index, name in enumerate(PATCH_CLASSES)}


@dataclass(frozen=True)
class Thing:
    """One object of a scene. `name` is what an answer calls it."""

    name: str
    color: str = ""
    shape: str = ""
    digits: str = ""

    @property
    def is_shape(self) -> bool:
        return bool(self.shape)

    @property
    def is_number(self) -> bool:
        return bool(self.digits)

    @property
    def patch_class(self) -> int:
        return PATCH_CLASS_INDEX["number" if self.is_number else self.name]


Blend = tuple[np.ndarray, np.ndarray]
Scene = dict[int, Thing]  # cell index (0 top left ... 3 bottom right) -> thing


def shape_sprite(shape: str, color: tuple[int, int, int], size: int) -> np.ndarray:
    """An anti-aliased RGBA sprite of a shape, as float32."""
    big = size * 4
    canvas = Image.new("RGBA", (big, big), (0, 0, 0, 0))
    draw = ImageDraw.Draw(canvas)
    fill = color + (255,)
    if shape == "circle":
        draw.ellipse((2, 2, big - 3, big - 3), fill=fill)
    elif shape == "square":
        draw.rectangle((6, 6, big - 7, big - 7), fill=fill)
    elif shape == "triangle":
        draw.polygon([(big / 2, 2), (big - 3, big - 4), (2, big - 4)], fill=fill)
    else:
        points = []
        for corner in range(10):
            radius = big / 2 - 2 if corner % 2 == 0 else big / 5
            angle = -np.pi / 2 + corner * np.pi / 5
            points.append((big / 2 + radius * np.cos(angle), big / 2 + radius * np.sin(angle)))
        draw.polygon(points, fill=fill)
    return np.asarray(canvas.resize((size, size), Image.LANCZOS), np.float32)


def emoji_sprite(character: str, size: int) -> np.ndarray:
    """An RGBA sprite of a pictogram whose longer side is `size`, as float32."""
    font = ImageFont.truetype(str(EMOJI_FONT), 109)  # the only size of the bitmap font
    canvas = Image.new("RGBA", (136, 128))
    ImageDraw.Draw(canvas).text((0, 0), character, font=font, embedded_color=True)
    canvas = canvas.crop(canvas.getbbox())
    scale = size / max(canvas.size)
    target = (max(1, int(canvas.width * scale)), max(1, int(canvas.height * scale)))
    return np.asarray(canvas.resize(target, Image.LANCZOS), np.float32)


def digit_mask(font: ImageFont.FreeTypeFont, digit: str) -> np.ndarray:
    """The coverage of one digit, between 0 and 255, as float32."""
    canvas = Image.new("L", (14, 24))
    ImageDraw.Draw(canvas).text((1, 1), digit, font=font, fill=255)
    left, _, right, _ = canvas.getbbox()
    return np.asarray(canvas.crop((max(0, left - 1), 0, min(14, right + 1), 22)), np.float32)


def render_sprites():
    """All sprites: (thing name, size) -> RGBA array, (font, digit) -> coverage."""
    sprites = {}
    for name, character in EMOJI.items():
        for size in EMOJI_SPRITE_SIZES:
            sprites[name, size] = emoji_sprite(character, size)
    for shape in SHAPES:
        for color, rgb in COLORS.items():
            for size in SHAPE_SPRITE_SIZES:
                sprites[f"{color} {shape}", size] = shape_sprite(shape, rgb, size)
    digits = {}
    for index, path in enumerate(DIGIT_FONTS):
        font = ImageFont.truetype(str(path), 17)
        for digit in "0123456789":
            digits[index, digit] = digit_mask(font, digit)
    return sprites, digits


def blend_of(sprite: np.ndarray) -> Blend:
    """Both factors of alpha blending, which is image * (1 - alpha) + color * alpha."""
    return 1 - sprite[..., 3:] / 255, sprite[..., :3] * sprite[..., 3:] / 255


SPRITES, DIGITS = render_sprites()
BLENDS = {key: blend_of(sprite) for key, sprite in SPRITES.items()}


def random_shape(rng: random.Random) -> Thing:
    """Draws a coloured shape."""
    color, shape = rng.choice(list(COLORS)), rng.choice(SHAPES)
    return Thing(f"{color} {shape}", color=color, shape=shape)


def random_thing(rng: random.Random, allow_number: bool) -> Thing:
    """Draws a thing: 45 % shapes, 35 % pictograms, 20 % numbers where one is still allowed."""
    kind = rng.random()
    if kind < 0.45:
        return random_shape(rng)
    if kind < 0.8 or not allow_number:
        return Thing(rng.choice(list(EMOJI)))
    digits = rng.choice("0123456789") + rng.choice("0123456789")
    return Thing(f"number {digits}", digits=digits)


def random_scene(rng: random.Random) -> Scene:
    """One to four different things in different cells, at most one of them a number."""
    scene: Scene = {}
    for cell in rng.sample(range(4), rng.choice([1, 2, 2, 3, 3, 4])):
        names = {thing.name for thing in scene.values()}
        has_number = any(thing.is_number for thing in scene.values())
        thing = random_thing(rng, not has_number)
        while thing.name in names:
            thing = random_thing(rng, not has_number)
        scene[cell] = thing
    return dict(sorted(scene.items()))


def scene_of_pictograms(rng: random.Random) -> Scene:
    """Two to four different pictograms in different cells."""
    cells = sorted(rng.sample(range(4), rng.choice([2, 3, 4])))
    return {cell: Thing(name) for cell, name in zip(cells, rng.sample(list(EMOJI), len(cells)))}


def scene_of_shapes(rng: random.Random) -> Scene:
    """Two to four different shapes in different cells."""
    scene: Scene = {}
    for cell in rng.sample(range(4), rng.choice([2, 3, 4])):
        names = {thing.name for thing in scene.values()}
        thing = random_shape(rng)
        while thing.name in names:
            thing = random_shape(rng)
        scene[cell] = thing
    return dict(sorted(scene.items()))


def blend(image: np.ndarray, keep: np.ndarray, add: np.ndarray, left: int, top: int) -> None:
    """Blends a sprite into `image` in place, shifted so that it lies inside."""
    height, width = keep.shape[:2]
    left = max(0, min(IMAGE_SIZE - width, left))
    top = max(0, min(IMAGE_SIZE - height, top))
    region = image[top : top + height, left : left + width]
    region *= keep
    region += add


def draw_things(rng: random.Random, image: np.ndarray, scene: Scene, pictograms) -> None:
    """Draws the things of `scene` into a float32 background, with random sizes and offsets.

    Pictograms are the font's where `pictograms` is None.
    """
    for cell, thing in scene.items():
        x = cell % 2 * CELL_SIZE + CELL_SIZE // 2 + rng.randint(-2, 2)
        y = cell // 2 * CELL_SIZE + CELL_SIZE // 2 + rng.randint(-2, 2)
        if thing.is_number:
            font = rng.randrange(len(DIGIT_FONTS))
            ink = np.array([rng.randint(0, 70) for _ in range(3)], np.float32)
            coverage = np.concatenate([DIGITS[font, digit] for digit in thing.digits], 1)[..., None] / 255
            blend(image, 1 - coverage, coverage * ink, x - coverage.shape[1] // 2, y - 11)
        else:
            size = rng.choice(SHAPE_SPRITE_SIZES if thing.is_shape else EMOJI_SPRITE_SIZES)
            packed = pictograms and not thing.is_shape
            keep, add = pictograms.pick(rng, thing.name, size) if packed else BLENDS[thing.name, size]
            blend(image, keep, add, x - keep.shape[1] // 2, y - keep.shape[0] // 2)


def draw_scenes(rng: random.Random, scenes: list[Scene], pictograms=None) -> np.ndarray:
    """Pictures of the scenes, uint8 [count, 60, 60, 3]: light tinted gradient, things, noise.

    `pictograms` (pictograms.py) may have art styles beside the font's.
    """
    count = len(scenes)
    noise = np.random.default_rng(rng.getrandbits(64))
    ramp = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32)
    slopes = noise.uniform(-20, 20, (2, count, 1, 1, 1)).astype(np.float32)
    images = noise.integers(150, 251, (count, 1, 1, 3)).astype(np.float32)
    images = images + slopes[0] * ramp[None, :, None, None] + slopes[1] * ramp[None, None, :, None]
    for image, scene in zip(images, scenes):
        draw_things(rng, image, scene, pictograms)
    amount = noise.uniform(0, 6, (count, 1, 1, 1)).astype(np.float32)
    images += noise.standard_normal((count, IMAGE_SIZE, IMAGE_SIZE, 1), np.float32) * amount
    return np.clip(images, 0, 255).astype(np.uint8)
