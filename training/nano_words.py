"""Pictures of one word for nano, in the fonts and words of a split."""

import random

import numpy as np
from PIL import Image, ImageDraw

from families.assets import Assets
from families.picture import advances
from scenes import FIRST_LETTER, IMAGE_SIZE, PATCH_SIZE, PATCHES_PER_SIDE

WORDINGS = ["What does the text say?", "Read the text.", "What word is shown?"]
LENGTHS = range(3, 6)  # letters
SIZES = range(16, 25)  # of the font, pixels
WIDEST = 56  # pixels


class Words:
    """Draws words of a few letters."""

    def __init__(self, assets: Assets):
        self.assets = assets
        self.words = [word for word in assets.words if len(word) in LENGTHS]

    def draw(self, rng: random.Random, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray, list]:
        """A word somewhere on a picture uint8 [60, 60, 3]; its patch labels; and the question what it says."""
        word, path = rng.choice(self.words), rng.choice(self.assets.fonts)
        for size in range(rng.choice(SIZES), 0, -1):
            font = self.assets.font(path, size)
            width = sum(advances(font)[letter] for letter in word)
            if width <= WIDEST:
                break
        left, top = rng.uniform(1, IMAGE_SIZE - 1 - width), rng.uniform(0, IMAGE_SIZE - 1.3 * size)
        mask = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE))
        ImageDraw.Draw(mask).text((left, top), word, font=font, fill=255)
        coverage = np.asarray(mask, np.float32)[..., None] / 255
        ink = np.array([rng.randint(0, 70) for _ in range(3)], np.float32)
        image = (ground * (1 - coverage) + ink * coverage).astype(np.uint8)
        labels = TextLabels()
        labels.mark_word(word, left, top, size, advances(font))
        return image, labels.rows, [("words", rng.choice(WORDINGS), word)]


class TextLabels:
    """Patch labels as scenes have them, of text: the nearest of what touches a patch."""

    def __init__(self):
        self.labels = np.full((PATCHES_PER_SIDE, PATCHES_PER_SIDE, 3), -100)
        self.labels[..., 0] = 0
        self.nearest = np.full((PATCHES_PER_SIDE, PATCHES_PER_SIDE), np.inf)

    @property
    def rows(self) -> np.ndarray:
        """[36, 3]."""
        return self.labels.reshape(-1, 3)

    def mark(self, left: float, right: float, top: float, size: int, label: tuple[int, int, int]) -> None:
        """What stands between `left` and `right` in a line of a font's size; all in pixels."""
        x, y = (left + right) / 2 / PATCH_SIZE - 0.5, (top + 0.7 * size) / PATCH_SIZE - 0.5
        for row in patches(top + 0.3 * size, top + size):
            for column in patches(left, right):
                far = (row - y) ** 2 + (column - x) ** 2
                if far < self.nearest[row, column]:
                    self.nearest[row, column] = far
                    self.labels[row, column] = label

    def mark_word(self, word: str, left: float, top: float, size: int, widths: dict[str, float]) -> None:
        """Every letter of a word."""
        for letter in word:
            right = left + widths[letter]
            self.mark(left, right, top, size, (FIRST_LETTER + ord(letter) - ord("a"), -100, -100))
            left = right


def patches(begin: float, end: float) -> range:
    """The rows or columns of patches between two coordinates in pixels."""
    return range(int(begin // PATCH_SIZE), min(int(end // PATCH_SIZE) + 1, PATCHES_PER_SIDE))
