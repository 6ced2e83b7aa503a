"""What every family draws into, and what it says about it."""

import random
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw

from .assets import CONCEPTS, Assets
from .shapes import COLORS, SHAPES

CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:/-$"
CLOTHES = [
    "t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
]  # fmt: skip

# The classes of the auxiliary per-patch loss: nothing, things, clothes, single characters.
PATCH_CLASSES = ["nothing", *CONCEPTS, *(f"{color} {shape}" for color in COLORS for shape in SHAPES), *CLOTHES]
FIRST_CHARACTER_CLASS = len(PATCH_CLASSES)
PATCH_CLASS_COUNT = FIRST_CHARACTER_CLASS + len(CHARACTERS)
PATCH_CLASS_INDEX = {name: index for index, name in enumerate(PATCH_CLASSES)}
CHARACTER_CLASS_INDEX = {name: FIRST_CHARACTER_CLASS + index for index, name in enumerate(CHARACTERS)}

VIEW = 224  # pixels: a side of what the model sees at once
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Question:
    """A question with its answer. The metric's name is one of `foveate eval`."""

    family: str
    text: str
    answer: str
    metric: str = "exact"


@dataclass
class Picture:
    """A picture, what may be asked about it, and (left, top, right, bottom, class) of what it shows."""

    image: Image.Image
    questions: list[Question]
    boxes: list[tuple[float, float, float, float, int]] = field(default_factory=list)


class Canvas:
    """A picture in the making. Lengths are in 1/224 of the shorter side unless they are said to be pixels."""

    def __init__(self, rng: random.Random, assets: Assets, size: tuple[int, int], background: Image.Image | Color):
        self.rng, self.assets, self.size = rng, assets, size
        self.unit = min(size) / VIEW  # pixels
        plain = isinstance(background, tuple)
        self.image = Image.new("RGB", size, background) if plain else background
        self.draw = ImageDraw.Draw(self.image)
        self.boxes: list[tuple[float, float, float, float, int]] = []

    @property
    def width(self) -> float:
        return self.size[0] / self.unit

    @property
    def height(self) -> float:
        return self.size[1] / self.unit

    def px(self, length: float) -> int:
        """A length in pixels."""
        return round(length * self.unit)

    def points(self, flat: tuple) -> tuple:
        """Coordinates in pixels."""
        return tuple(value * self.unit for value in flat)

    def paste(self, sprite: Image.Image, x: float, y: float, patch_class: int = 0) -> None:
        """Blends an RGBA sprite in, centred at (x, y)."""
        left, top = self.px(x) - sprite.width // 2, self.px(y) - sprite.height // 2
        self.image.paste(sprite, (left, top), sprite)
        if patch_class:
            self.boxes.append((left, top, left + sprite.width, top + sprite.height, patch_class))

    def line(self, points: tuple, color: Color, width: float = 1) -> None:
        self.draw.line(self.points(points), fill=color, width=max(1, self.px(width)))

    def rectangle(self, box: tuple, color: Color | None = None, outline: Color | None = None) -> None:
        self.draw.rectangle(self.points(box), fill=color, outline=outline)

    def font_of(self, path: Path, size: float):
        """A font whose size is given as a length."""
        return self.assets.font(path, max(8, self.px(size)))

    def text_width(self, font, text: str) -> float:
        return sum(advances(font)[character] for character in text) / self.unit

    def text(self, x: float, y: float, text: str, font, color: Color, align: str = "left") -> None:
        """A line of text; (x, y) is the top of its left end, middle or right end."""
        widths = advances(font)
        length = sum(widths[character] for character in text)
        left = x * self.unit - {"left": 0, "middle": length / 2, "right": length}[align]
        top = y * self.unit
        self.draw.text((left, top), text, font=font, fill=color)
        for character in text:
            right = left + widths[character]
            patch_class = CHARACTER_CLASS_INDEX.get(character)
            if patch_class:
                self.boxes.append((left, top, right, top + 1.15 * font.size, patch_class))
            left = right

    def done(self, questions: list[Question]) -> Picture:
        return Picture(self.image, questions, self.boxes)


@lru_cache(4096)
def advances(font) -> dict[str, float]:
    """Widths of all characters, pixels."""
    return {character: font.getlength(character) for character in map(chr, range(32, 127))}


def random_color(rng: random.Random, low: int, high: int) -> Color:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def gradient(rng: random.Random, size: tuple[int, int], low: int, high: int) -> Image.Image:
    """A smooth change between four random colours in the corners."""
    corners = Image.new("RGB", (2, 2))
    base = random_color(rng, low, high)
    clamp = lambda level: max(low, min(high, level))
    for place in ((0, 0), (0, 1), (1, 0), (1, 1)):
        corners.putpixel(place, tuple(clamp(level + rng.randint(-30, 30)) for level in base))
    return corners.resize(size, Image.BILINEAR)


def background(rng: random.Random, assets: Assets, size: tuple[int, int], light: bool | None = None):
    """A plain colour, a gradient or a photographed surface."""
    light = rng.random() < 0.75 if light is None else light
    low, high = (165, 255) if light else (0, 85)
    kind = rng.random()
    if kind < 0.4:
        return random_color(rng, low, high)
    if kind < 0.8 or not assets.textures:
        return gradient(rng, size, low, high)
    texture = rng.choice(assets.textures)
    side = rng.randint(100, min(texture.size))
    left, top = rng.randint(0, texture.width - side), rng.randint(0, texture.height - side)
    part = texture.resize(size, Image.BILINEAR, (left, top, left + side, top + side))
    return Image.blend(part, Image.new("RGB", size, random_color(rng, low, high)), rng.uniform(0.5, 0.85))


def ink_on(rng: random.Random, color: Color) -> Color:
    """A colour that can be read on another."""
    return random_color(rng, 0, 75) if sum(color) > 380 else random_color(rng, 190, 255)


def mean_color(image: Image.Image) -> Color:
    return image.resize((1, 1), Image.BOX).getpixel((0, 0))
