"""Which families there are, and how often training shows each."""

import random

from . import charts, clock, clothing, easy_vqa, forms, handwriting, naming, receipts, scene, tables, words
from .assets import Assets
from .picture import VIEW, Picture

# A drawer makes a picture and questions, often of several families; its share of the training pictures.
DRAWERS = {
    "scene": (scene.draw, 0.34),
    "naming": (naming.draw, 0.13),
    "words": (words.draw, 0.15),
    "receipts": (receipts.draw, 0.06),
    "forms": (forms.draw, 0.05),
    "tables": (tables.draw, 0.05),
    "charts": (charts.draw, 0.10),
    "clock": (clock.draw, 0.03),
    "clothing": (clothing.draw, 0.04),
    "handwriting": (handwriting.draw, 0.03),
    "easy-vqa": (easy_vqa.draw, 0.02),
}  # fmt: skip
FAMILIES = [
    "color", "exists", "relation", "count", "where", "what-at", "caption", "refusal", "naming", "naming-unseen",
    "words", "receipts", "forms", "tables", "charts", "chart-caption", "clock", "clothing", "handwriting", "easy-vqa",
]  # fmt: skip

ONE_VIEW = (VIEW, VIEW)
TILED_SIZES = [(448, 448), (224, 224), (448, 336), (336, 448)]  # width, height in pixels


def draw_picture(rng: random.Random, assets: Assets, size: tuple[int, int] = ONE_VIEW) -> Picture:
    """A picture of a random family."""
    names = list(DRAWERS)
    name = rng.choices(names, [share for _, share in DRAWERS.values()])[0]
    return DRAWERS[name][0](rng, assets, size)
