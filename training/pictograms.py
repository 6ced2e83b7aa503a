"""Nano's pictograms in several art styles, out of the pack that `fetch_assets.sh tiny` makes."""

import random

import numpy as np

from families.assets import CONCEPTS, TEST_STYLE, TRAINING_STYLES, Assets
from scenes import BLENDS, EMOJI, EMOJI_SPRITE_SIZES, Blend, blend_of

CONCEPT_OF = {name: CONCEPTS.index({"cup": "coffee"}.get(name, name)) for name in EMOJI}


class Pictograms:
    """The pictograms as the scenes of a split show them; a share of them as the font has them."""

    def __init__(self, assets: Assets, from_font: float = 0.0):
        self.from_font = from_font
        self.styles = self.styles_of(assets)
        self.blends = {
            (style, name, size): blend_of(np.asarray(assets.sprite(style, CONCEPT_OF[name], size), np.float32))
            for style in self.styles
            for name in EMOJI
            for size in EMOJI_SPRITE_SIZES
        }

    @staticmethod
    def styles_of(assets: Assets) -> list[str]:
        """The art styles that a split may show."""
        return TRAINING_STYLES if assets.split == "train" else [TEST_STYLE]

    def pick(self, rng: random.Random, name: str, size: int) -> Blend:
        """A pictogram in a random style."""
        if rng.random() < self.from_font:
            return BLENDS[name, size]
        return self.blends[rng.choice(self.styles), name, size]
