"""Receipts for nano: two or three things with their prices, in the fonts of a split."""

import random

import numpy as np
from PIL import Image, ImageDraw

from families.assets import Assets
from families.picture import advances
from patch_labels import TextLabels
from questions import CAPTION_QUESTION, Asked
from scenes import IMAGE_SIZE, PATCH_CLASS_INDEX, UNKNOWN
from tiling import Size

ITEMS = "fish cup key apple car tree house rocket".split()  # a toy shop: names of pictograms, one token each
SIZES = range(12, 16)  # of the font, pixels where the shorter side has 60
MARGIN = 2  # pixels


class Receipts:
    """Draws receipts."""

    def __init__(self, assets: Assets):
        self.assets = assets

    def draw(self, rng: random.Random, ground: np.ndarray) -> tuple[np.ndarray, TextLabels, list[Asked], Asked]:
        """A receipt on a picture uint8 [height, width, 3]; what stands where; questions, and one for a caption."""
        height, width = ground.shape[:2]
        items = rng.sample(ITEMS, rng.choice([2, 3]))
        prices = [str(price) for price in rng.sample(range(10, 100), len(items))]
        size, font = self.fitting_font(rng, [f"{item} {price}" for item, price in zip(items, prices)], (width, height))
        widths = advances(font)
        step = rng.uniform(1.15 * size, (height - 2) / len(items))
        top = rng.uniform(0, height - 1 - len(items) * step)
        mask, shown = Image.new("L", (width, height)), TextLabels()
        pen = ImageDraw.Draw(mask)
        right = width - MARGIN
        for row, (item, price) in enumerate(zip(items, prices)):
            line, left = top + row * step, right - sum(widths[digit] for digit in price)
            for start, text in ((MARGIN, item), (left, price)):
                pen.text((start, line), text, font=font, fill=255)
            end = MARGIN + sum(widths[letter] for letter in item)
            shown.mark(MARGIN, end, line, size, (PATCH_CLASS_INDEX[item], UNKNOWN, UNKNOWN))
            # A price's patch says of what it is the price, so that it is found by the name.
            shown.mark(left, right, line, size, (PATCH_CLASS_INDEX[item], int(price[0]), int(price[1])))
        coverage = np.asarray(mask, np.float32)[..., None] / 255
        ink = np.array([rng.randint(0, 70) for _ in range(3)], np.float32)
        image = (ground * (1 - coverage) + ink * coverage).astype(np.uint8)
        caption = "; ".join(f"{item} {price}" for item, price in zip(items, prices))
        return image, shown, ask(rng, items, prices), ("receipt-caption", CAPTION_QUESTION, caption)

    def fitting_font(self, rng: random.Random, lines: list[str], picture: Size):
        """A size in pixels and a font in which all lines are narrow and low enough."""
        path = rng.choice(self.assets.fonts)
        largest = min(int(rng.choice(SIZES) * min(picture) / IMAGE_SIZE), int((picture[1] - 2) / 1.15 / len(lines)))
        for size in range(largest, 0, -1):
            font = self.assets.font(path, size)
            if max(sum(advances(font)[character] for character in line) for line in lines) <= picture[0] - MARGIN - 1:
                return size, font
        raise ValueError(f"{path}: no line fits in {picture[0]} pixels")


def ask(rng: random.Random, items: list[str], prices: list[str]) -> list[Asked]:
    """(family, question, answer) triples: prices by thing, or the thing by its price."""
    asked = []
    for row in rng.sample(range(len(items)), len(items)):
        if rng.random() < 0.7:
            wording = rng.choice(["What does the {} cost?", "How much is the {}?", "What number is the {}?"])
            asked.append(("receipt", wording.format(items[row]), prices[row]))
        else:
            wording = rng.choice(["What costs {}?", "What is number {}?"])
            asked.append(("receipt", wording.format(prices[row]), items[row]))
    return asked
