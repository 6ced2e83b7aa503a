"""One large pictogram: what is it?"""

import random

from .assets import CONCEPTS, TEST_STYLE, TRAINING_STYLES, Assets
from .picture import PATCH_CLASS_INDEX, Canvas, Picture, Question, background

WORDINGS = ["What is shown in the picture?", "What is this?", "What is in the image?"]


def draw(rng: random.Random, assets: Assets, size: tuple[int, int], style: str = "") -> Picture:
    """A concept in a random style; in the test split half of the time in the style that training never shows."""
    if not style:
        style = TEST_STYLE if assets.split == "test" and rng.random() < 0.5 else rng.choice(TRAINING_STYLES)
    concept = rng.randrange(len(CONCEPTS))
    canvas = Canvas(rng, assets, size, background(rng, assets, size))
    side = rng.choice([72, 84, 96, 112, 128, 144, 160])
    sprite = assets.sprite(style, concept, canvas.px(side))
    x, y = rng.uniform(side / 2, canvas.width - side / 2), rng.uniform(side / 2, canvas.height - side / 2)
    canvas.paste(sprite, x, y, PATCH_CLASS_INDEX[CONCEPTS[concept]])
    family = "naming-unseen" if style == TEST_STYLE else "naming"
    return canvas.done([Question(family, rng.choice(WORDINGS), CONCEPTS[concept])])
