"""Scenes: one to seven things, pictograms and coloured shapes, in a 3x3 grid of regions."""

import random
from dataclasses import dataclass

from PIL import Image

from .assets import CONCEPTS, TRAINING_STYLES, Assets
from .picture import PATCH_CLASS_INDEX, Canvas, Picture, background, mean_color
from .scene_questions import ask_all
from .shapes import COLORS, SHADES, SHAPES, shape_sprite

REGIONS = [
    "at the top left", "at the top", "at the top right", "on the left", "in the center", "on the right",
    "at the bottom left", "at the bottom", "at the bottom right",
]  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """What lies in a region (0 to 8 by rows). `color` and `shape` are empty for a pictogram."""

    name: str
    region: int
    color: str = ""
    shape: str = ""

    @property
    def row(self) -> int:
        return self.region // 3

    @property
    def column(self) -> int:
        return self.region % 3

    @property
    def place(self) -> str:
        return REGIONS[self.region]


def random_things(rng: random.Random) -> list[Thing]:
    """One to seven things in different regions, by region; some of them alike."""
    count = rng.choice([1, 2, 2, 3, 3, 4, 4, 5, 6, 7])
    regions = sorted(rng.sample(range(9), count))
    shape_share = rng.choice([0.2, 0.5, 0.5, 0.9])
    things: list[Thing] = []
    for region in regions:
        if things and rng.random() < 0.15:
            like = rng.choice(things)
            things.append(Thing(like.name, region, like.color, like.shape))
        elif rng.random() < shape_share:
            color, shape = rng.choice(list(COLORS)), rng.choice(SHAPES)
            things.append(Thing(f"{color} {shape}", region, color, shape))
        else:
            things.append(Thing(rng.choice(CONCEPTS), region))
    return things


def draw_thing(canvas: Canvas, thing: Thing, largest: float) -> None:
    """Draws a thing near the middle of its region."""
    rng = canvas.rng
    side = canvas.px(rng.choice([s for s in (32, 36, 40, 46, 52, 58, 64, 72, 84, 96, 112, 128) if s <= largest]))
    if thing.shape:
        sprite = shape_sprite(thing.shape, thing.color, side, rng.randrange(SHADES))
    else:
        sprite = canvas.assets.sprite(rng.choice(TRAINING_STYLES), CONCEPTS.index(thing.name), side)
        if rng.random() < 0.25:
            sprite = sprite.rotate(rng.uniform(-18, 18), Image.BILINEAR)
    reach = 9
    x = (thing.column + 0.5) * canvas.width / 3 + rng.uniform(-reach, reach)
    y = (thing.row + 0.5) * canvas.height / 3 + rng.uniform(-reach, reach)
    half = side / canvas.unit / 2
    x, y = max(half, min(canvas.width - half, x)), max(half, min(canvas.height - half, y))
    canvas.paste(sprite, x, y, PATCH_CLASS_INDEX[thing.name])


def hidden_by(color: str, ground: tuple[int, int, int]) -> bool:
    """Whether a shape of this colour can hardly be told from the ground."""
    return sum(abs(a - b) for a, b in zip(COLORS[color], ground)) < 90


def draw(rng: random.Random, assets: Assets, size: tuple[int, int]) -> Picture:
    """A scene on a background that hides none of its shapes."""
    ground = background(rng, assets, size)
    level = ground if isinstance(ground, tuple) else mean_color(ground)
    things = random_things(rng)
    while any(thing.color and hidden_by(thing.color, level) for thing in things):
        things = random_things(rng)
    canvas = Canvas(rng, assets, size, ground)
    for thing in things:
        draw_thing(canvas, thing, 128 if len(things) == 1 else 72)
    return canvas.done(ask_all(rng, things))
