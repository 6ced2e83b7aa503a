"""Receipts for nano: two or three things with their prices, in the fonts of a split."""

import random

import numpy as np
from PIL import Image, ImageDraw

from families.assets import Assets
from families.picture import advances
from scenes import IMAGE_SIZE, PATCH_CLASS_INDEX, PATCH_SIZE, PATCHES_PER_SIDE, UNKNOWN

ITEMS = "fish cup key apple car tree house rocket".split()  # a toy shop: names of pictograms, one token each
SIZES = range(12, 16)  # of the font, pixels
WIDEST = 57  # pixels
MARGIN = 2


class TextLabels:
    """Patch labels as scenes have them, of text: the nearest line that touches a patch, else what was marked first."""

    def __init__(self):
        self.labels = np.full((PATCHES_PER_SIDE, PATCHES_PER_SIDE, 3), UNKNOWN)
        self.labels[..., 0] = 0
        self.nearest = np.full((PATCHES_PER_SIDE, PATCHES_PER_SIDE), np.inf)

    @property
    def rows(self) -> np.ndarray:
        """[36, 3]."""
        return self.labels.reshape(-1, 3)

    def mark(self, left: float, right: float, top: float, size: int, label: tuple[int, int, int]) -> None:
        """What stands between `left` and `right` in a line of a font's size; all in pixels."""
        y = (top + 0.7 * size) / PATCH_SIZE - 0.5
        for row in patches(top + 0.3 * size, top + size):
            for column in patches(left, right):
                if abs(row - y) < self.nearest[row, column]:
                    self.nearest[row, column] = abs(row - y)
                    self.labels[row, column] = label


def patches(begin: float, end: float) -> range:
    """The rows or columns of patches between two coordinates in pixels."""
    return range(int(begin // PATCH_SIZE), min(int(end // PATCH_SIZE) + 1, PATCHES_PER_SIDE))


class Receipts:
    """Draws receipts."""

    def __init__(self, assets: Assets):
        self.assets = assets

    def draw(self, rng: random.Random, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray, list]:
        """A receipt on a picture uint8 [60, 60, 3]; its patch labels; and questions about it."""
        items = rng.sample(ITEMS, rng.choice([2, 3]))
        prices = [str(price) for price in rng.sample(range(10, 100), len(items))]
        size, font = self.fitting_font(rng, [f"{item} {price}" for item, price in zip(items, prices)])
        widths = advances(font)
        step = rng.uniform(1.15 * size, (IMAGE_SIZE - 2) / len(items))
        top = rng.uniform(0, IMAGE_SIZE - 1 - len(items) * step)
        mask, labels = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE)), TextLabels()
        pen = ImageDraw.Draw(mask)
        right = IMAGE_SIZE - MARGIN
        for row, (item, price) in enumerate(zip(items, prices)):
            line, left = top + row * step, right - sum(widths[digit] for digit in price)
            for start, text in ((MARGIN, item), (left, price)):
                pen.text((start, line), text, font=font, fill=255)
            end = MARGIN + sum(widths[letter] for letter in item)
            labels.mark(MARGIN, end, line, size, (PATCH_CLASS_INDEX[item], UNKNOWN, UNKNOWN))
            # A price's patch says of what it is the price, so that it is found by the name.
            labels.mark(left, right, line, size, (PATCH_CLASS_INDEX[item], int(price[0]), int(price[1])))
        coverage = np.asarray(mask, np.float32)[..., None] / 255
        ink = np.array([rng.randint(0, 70) for _ in range(3)], np.float32)
        image = (ground * (1 - coverage) + ink * coverage).astype(np.uint8)
        return image, labels.rows, ask(rng, items, prices)

    def fitting_font(self, rng: random.Random, lines: list[str]):
        """A size in pixels and a font in which all lines are narrow enough."""
        path = rng.choice(self.assets.fonts)
        for size in range(rng.choice(SIZES), 0, -1):
            font = self.assets.font(path, size)
            if max(sum(advances(font)[character] for character in line) for line in lines) <= WIDEST:
                return size, font
        raise ValueError(f"{path}: no line fits in {WIDEST} pixels")


def ask(rng: random.Random, items: list[str], prices: list[str]) -> list[tuple[str, str, str]]:
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
