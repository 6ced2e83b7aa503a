"""What pictures are made of, and which part of it only the test may use.

Disjoint by content: one art style, every sixth font, a tenth of the words, every fifth handwritten digit, and the
official test parts of Fashion-MNIST and easy-VQA belong to the test split.
"""

import json
import os
import zlib
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

HERE = Path(__file__).parent
PACK = Path(os.environ.get("FOVEATE_PACK", HERE.parent / "data/pack"))
CONCEPT_LIST = HERE / "concepts.txt"
SPRITE_SIZE = 96  # pixels
SPRITES_PER_ROW = 24
TRAINING_STYLES = ["noto", "fluent-flat", "fluent-3d"]
TEST_STYLE = "twemoji"
STYLES = [*TRAINING_STYLES, TEST_STYLE]
SPLITS = ["train", "test"]


def read_concepts() -> list[tuple[str, str]]:
    """Code points (as file names spell them) and names of the things there are sprites of."""
    lines = CONCEPT_LIST.read_text().splitlines()
    return [tuple(line.split(" ", 1)) for line in lines]


CONCEPTS = [name for _, name in read_concepts()]


def is_test_word(word: str) -> bool:
    """Whether a word is kept for the test, whatever its case: a tenth of all, by checksum."""
    return zlib.crc32(word.lower().encode()) % 10 == 0


class Assets:
    """The pack as one split may use it. Parts are read when they are first asked for."""

    def __init__(self, split: str = "train", pack: Path = PACK):
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {SPLITS}, got {split!r}")
        if not pack.is_dir():
            raise FileNotFoundError(f"{pack}: expected the packed assets; run ./fetch_assets.sh tiny")
        if (pack / CONCEPT_LIST.name).read_bytes() != CONCEPT_LIST.read_bytes():
            raise ValueError(
                f"{pack}: expected sprites of the things in {CONCEPT_LIST}, got others; run ./fetch_assets.sh tiny"
            )
        self.split, self.pack = split, pack

    @cached_property
    def fonts(self) -> list[Path]:
        """Every sixth font is for the test."""
        paths = sorted((self.pack / "fonts").iterdir())
        return [path for index, path in enumerate(paths) if (index % 6 == 0) == (self.split == "test")]

    @cached_property
    def words(self) -> list[str]:
        words = (self.pack / "words.txt").read_text().split()
        return [word for word in words if is_test_word(word) == (self.split == "test")]

    @lru_cache(4096)
    def sprite(self, style: str, concept: int, side: int) -> Image.Image:
        """A concept's RGBA sprite, `side` pixels wide and high."""
        sheet = self.sheet(style)
        left, top = concept % SPRITES_PER_ROW * SPRITE_SIZE, concept // SPRITES_PER_ROW * SPRITE_SIZE
        sprite = sheet.crop((left, top, left + SPRITE_SIZE, top + SPRITE_SIZE))
        return sprite if side == SPRITE_SIZE else sprite.resize((side, side), Image.BICUBIC)

    @lru_cache(len(STYLES))
    def sheet(self, style: str) -> Image.Image:
        if (style == TEST_STYLE) and self.split != "test":
            raise ValueError(f"style: {style} is for the test only")
        return Image.open(self.pack / f"sprites-{style}.webp").convert("RGBA")

    @lru_cache(2048)
    def font(self, path: Path, size: int) -> ImageFont.FreeTypeFont:
        """A font at a size in pixels."""
        return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)

    @cached_property
    def textures(self) -> list[Image.Image]:
        return [Image.open(path).convert("RGB") for path in sorted((self.pack / "textures").iterdir())]

    def arrays(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Pictures and labels of `fashion` or `digits`."""
        return self._arrays[name]

    @cached_property
    def _arrays(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        found = {}
        for name in ("fashion", "digits"):
            with np.load(self.pack / f"{name}-{self.split}.npz") as file:
                found[name] = (file["pictures"], file["labels"])
        return found

    @cached_property
    def easy_vqa(self) -> tuple[np.ndarray, list[list[tuple[str, str]]]]:
        """Pictures [count, 64, 64, 3] and for each its questions with answers."""
        with np.load(self.pack / f"easy-vqa-{self.split}.npz") as file:
            pictures = file["pictures"]
        asked: list[list[tuple[str, str]]] = [[] for _ in pictures]
        for question, answer, picture in json.loads((self.pack / f"easy-vqa-{self.split}.json").read_text()):
            asked[picture].append((question, answer))
        return pictures, asked
