"""Nano's frozen test set, heldout/: one sheet of pictures, questions.json, and their checksums.

Seeds are not used in training. The fonts of receipts, easy-VQA's pictures and the style of `naming-unseen` belong to
the test split (families/assets.py).
"""

import json
import random
from pathlib import Path

import numpy as np
from PIL import Image

import checksums
from families.assets import Assets
from nano_charts import draw_chart
from nano_pictures import QUESTIONS_PER_IMAGE, EasyVqa
from nano_receipts import Receipts
from pictograms import Pictograms
from questions import CELLS, FAMILIES, FIRST_FAMILIES
from scenes import IMAGE_SIZE, draw_scenes, random_scene, scene_of_pictograms
from text import Text

HELD_OUT = Path(__file__).with_name("heldout")
SEED = 20_260_101
CAPTION_SEED = SEED + 1
PER_ROW = 20  # pictures of the sheet


class FrozenSet:
    """Pictures and questions in the making."""

    def __init__(self, per_family: int):
        self.per_family = per_family
        self.images: list[np.ndarray] = []
        self.records: list[dict] = []

    def add(self, image: np.ndarray, asked: list[tuple[str, str, str]]) -> None:
        """A picture with its (family, question, answer) triples."""
        keys = ("family", "question", "answer")
        for triple in asked:
            self.records.append({"picture": len(self.images), **dict(zip(keys, triple))})
        self.images.append(image)

    def room(self, family: str) -> int:
        """How many questions of a family are still to be asked."""
        return self.per_family - sum(record["family"] == family for record in self.records)

    def add_scenes(self) -> None:
        """Scenes with one question of every first family that fits, until each has enough."""
        rng = random.Random(SEED)
        counts = dict.fromkeys(FIRST_FAMILIES, 0)
        drawn = []
        while min(counts.values()) < self.per_family:
            scene, asked = random_scene(rng), []
            for family in FIRST_FAMILIES:
                found = FAMILIES[family](rng, scene) if counts[family] < self.per_family else None
                if found:
                    counts[family] += 1
                    asked.append((family, *found))
            if asked:
                drawn.append((scene, asked))
        for image, (_, asked) in zip(draw_scenes(rng, [scene for scene, _ in drawn]), drawn):
            self.add(image, asked)

    def add_relations(self) -> None:
        """Scenes of at least two things."""
        rng = random.Random(SEED + 2)
        while room := self.room("relation"):
            scene = random_scene(rng)
            found = {FAMILIES["relation"](rng, scene) for _ in range(QUESTIONS_PER_IMAGE)} - {None}
            if found:
                self.add(draw_scenes(rng, [scene])[0], [("relation", *pair) for pair in sorted(found)[:room]])

    def add_pictograms(self, family: str, split: str, seed: int) -> None:
        """What is where, in scenes of pictograms in the styles of a split."""
        rng, pictograms = random.Random(seed), Pictograms(Assets(split))
        while room := self.room(family):
            scene = scene_of_pictograms(rng)
            asked = [(family, f"What is at the {CELLS[cell]}?", thing.name) for cell, thing in scene.items()]
            self.add(draw_scenes(rng, [scene], pictograms)[0], asked[:room])

    def add_receipts(self) -> None:
        """Receipts in fonts that no receipt of the training has."""
        rng, receipts = random.Random(SEED + 5), Receipts(Assets("test"))
        while room := self.room("receipt"):
            image, _, asked, _ = receipts.draw(rng, draw_scenes(rng, [{}])[0])
            self.add(image, asked[:room])

    def add_charts(self) -> None:
        """Bar charts."""
        rng = random.Random(SEED + 7)
        while room := self.room("chart"):
            image, asked, _ = draw_chart(rng, draw_scenes(rng, [{}])[0])
            self.add(image, asked[:room])

    def add_easy_vqa(self) -> None:
        """Pictures of the official test part."""
        rng, easy_vqa = random.Random(SEED + 6), EasyVqa(Assets("test"))
        for place in rng.sample(range(len(easy_vqa)), len(easy_vqa)):
            asked = easy_vqa.some_questions(rng, place)[: self.room("easy-vqa")]
            if not asked:
                break
            self.add(easy_vqa.image(place), asked)

    def write(self) -> None:
        """The sheet, PER_ROW pictures in a row, the questions and the checksums."""
        missing = -len(self.images) % PER_ROW
        images = np.stack([*self.images, *[np.zeros_like(self.images[0])] * missing])
        grid = images.reshape(-1, PER_ROW, IMAGE_SIZE, IMAGE_SIZE, 3).swapaxes(1, 2)
        HELD_OUT.mkdir(exist_ok=True)
        sheet = Image.fromarray(grid.reshape(-1, PER_ROW * IMAGE_SIZE, 3))
        sheet.save(HELD_OUT / "pictures.webp", lossless=True, method=6)
        lines = ",\n".join(json.dumps(record) for record in self.records)
        (HELD_OUT / "questions.json").write_text(f"[\n{lines}\n]\n")
        checksums.write(HELD_OUT, ["pictures.webp", "questions.json"])


def write_held_out(per_family: int) -> None:
    """Draws the frozen set."""
    frozen = FrozenSet(per_family)
    frozen.add_scenes()
    frozen.add_relations()
    frozen.add_pictograms("naming", "train", SEED + 3)
    frozen.add_pictograms("naming-unseen", "test", SEED + 4)
    frozen.add_easy_vqa()
    frozen.add_receipts()
    frozen.add_charts()
    frozen.write()


def read_held_out() -> tuple[list[dict], np.ndarray]:
    """The questions of the frozen set and, for each, its picture."""
    checksums.check(HELD_OUT)
    records = json.loads((HELD_OUT / "questions.json").read_text())
    sheet = np.asarray(Image.open(HELD_OUT / "pictures.webp").convert("RGB"))
    grid = sheet.reshape(-1, IMAGE_SIZE, PER_ROW, IMAGE_SIZE, 3).swapaxes(1, 2)
    pictures = grid.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 3)
    return records, pictures[[record["picture"] for record in records]]


def write_captions(folder: Path, model: Path, count: int, tokens: int = 20) -> None:
    """Draws pictures whose captions are long, with a questions.jsonl for `foveate bench --matrix --jsonl`.

    The seed is used by nothing else.
    """
    rng = random.Random(CAPTION_SEED)
    text = Text(model / "tokenizer.json")
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    while len(lines) < count:
        scene = random_scene(rng)
        question, truth = FAMILIES["caption"](rng, scene)
        if len(text.encode(truth)) >= tokens:
            name = f"{len(lines)}.png"
            Image.fromarray(draw_scenes(rng, [scene])[0]).save(folder / name)
            lines.append(json.dumps({"image": name, "question": question, "answer": truth}))
    (folder / "questions.jsonl").write_text("".join(f"{line}\n" for line in lines))
