"""Nano's frozen test set of other shapes and other words: heldout-shapes/.

The families of heldout/ about pictures of twelve sizes, all of them other than 60x60; 300 paraphrases, one of each line's
wordings in paraphrases.txt; and 300 questions that no picture answers, of unrelated.txt. Neither list is read by
training. Pictures of one size lie on a sheet; `questions.json` lists sheets and questions as heldout-tiny/ has them.

    python frozen_shapes.py --unpack FOLDER && foveate eval --jsonl FOLDER/questions.jsonl
"""

import argparse
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

import checksums
from families.assets import Assets
from nano_charts import draw_chart
from nano_pictures import EasyVqa
from nano_receipts import Receipts
from nano_shapes import FROZEN_SIZES, Artist, grounds, noisy
from questions import CELLS, FAMILIES, Asked
from refusals import FAMILY as REFUSAL
from refusals import REFUSAL as SENTENCE
from scenes import random_scene, scene_of_pictograms
from tiling import Size
from wordings import COUNTED, intent_of

FOLDER = Path(__file__).with_name("heldout-shapes")
LISTS = ["paraphrases.txt", "unrelated.txt"]
SEED = 20_261_129
COLUMNS = 12
QUALITY = 88  # of WebP
PARAPHRASE = "paraphrase"
INTENT_FAMILIES = {"relation-is": "relation"}  # others are named alike
CHART_INTENTS, RECEIPT_INTENTS = {"tallest", "shortest", "taller", "bars"}, {"price", "costs"}


def paraphrases() -> list[tuple[str, str]]:
    """(intent, template) pairs."""
    lines = (line.split(": ", 1) for line in (FOLDER / LISTS[0]).read_text().splitlines())
    return [(intent, template) for intent, templates in lines for template in templates.split(" | ")]


def unrelated() -> list[str]:
    return [text for line in (FOLDER / LISTS[1]).read_text().splitlines() for text in line.split(" | ")]


def filled(template: str, slots: list[str], rng: random.Random, intent: str) -> str:
    """A paraphrase about something."""
    if intent == "count":
        slots = [rng.choice(COUNTED[slots[0]][:2])]
    return template.format("", *slots) if "{1}" in template else template.format(*slots)


class ShapesSet:
    """Pictures and questions in the making; sizes take turns."""

    def __init__(self, per_family: int):
        self.per_family, self.rng, self.counts = per_family, random.Random(SEED), Counter()
        train, test = Assets("train"), Assets("test")
        self.font, self.seen, self.unseen = Artist(train, 1.0), Artist(train), Artist(test)
        self.receipts, self.easy_vqa = Receipts(test), EasyVqa(test)
        self.pictures: list[tuple[Size, np.ndarray, list[Asked]]] = []

    @property
    def size(self) -> Size:
        """Of the next picture."""
        return FROZEN_SIZES[len(self.pictures) % len(FROZEN_SIZES)]

    def add(self, image: np.ndarray, asked: list[Asked]) -> None:
        """A picture with those of its questions that are still wanted, if any."""
        kept = []
        for family, question, answer in asked:
            if self.counts[family] < (self.per_family if family != PARAPHRASE else 10**6):
                self.counts[family] += 1
                kept.append((family, question, answer))
        if kept:
            self.pictures.append((self.size, image, kept))

    def full(self, *families: str) -> bool:
        return all(self.counts[family] >= self.per_family for family in families)

    def ground(self) -> np.ndarray:
        return noisy(self.rng, grounds(self.rng, self.size))

    def add_families(self) -> None:
        """Every family of heldout/."""
        rng = self.rng
        while not self.full(*FAMILIES):
            scene = random_scene(rng)
            found = ((family, ask(rng, scene)) for family, ask in FAMILIES.items())
            self.add(self.font.draw(rng, scene, self.size), [(family, *pair) for family, pair in found if pair])
        for family, artist in (("naming", self.seen), ("naming-unseen", self.unseen)):
            while not self.full(family):
                scene = scene_of_pictograms(rng)
                asked = [(family, f"What is at the {CELLS[cell]}?", thing.name) for cell, thing in scene.items()]
                self.add(artist.draw(rng, scene, self.size), asked)
        for place in rng.sample(range(len(self.easy_vqa)), len(self.easy_vqa)):
            if self.full("easy-vqa"):
                break
            self.add(self.easy_vqa.image(place, self.size), self.easy_vqa.some_questions(rng, place))
        while not self.full("receipt"):
            image, _, asked, _ = self.receipts.draw(rng, self.ground())
            self.add(image, asked)
        while not self.full("chart"):
            image, asked, _ = draw_chart(rng, self.ground())
            self.add(image, asked)

    def add_paraphrases(self) -> None:
        """A picture for every template."""
        for intent, template in paraphrases():
            image, question, answer = self.about(intent)
            slots = intent_of(question)[1]
            self.add(image, [(PARAPHRASE, filled(template, slots, self.rng, intent), answer)])

    def about(self, intent: str) -> tuple[np.ndarray, str, str]:
        """A picture and a question of an intent."""
        rng = self.rng
        while True:
            if intent in CHART_INTENTS:
                image, asked, _ = draw_chart(rng, self.ground())
            elif intent in RECEIPT_INTENTS:
                image, _, asked, _ = self.receipts.draw(rng, self.ground())
            else:
                family, scene = INTENT_FAMILIES.get(intent, intent), random_scene(rng)
                pair = FAMILIES[family](rng, scene)
                if not pair:
                    continue
                image, asked = self.font.draw(rng, scene, self.size), [(family, *pair)]
            for _, question, answer in asked:
                if intent_of(question)[0] == intent:
                    return image, question, answer

    def ask_unrelated(self) -> None:
        """Of pictures that are there."""
        chosen = self.rng.sample(range(len(self.pictures)), len(unrelated()))
        for place, question in zip(chosen, unrelated()):
            self.pictures[place][2].append((REFUSAL, question, SENTENCE))

    def write(self) -> None:
        """A sheet for every size, the questions by family, and the checksums."""
        sheets, questions = [], []
        for width, height in FROZEN_SIZES:
            of_size = [(image, asked) for size, image, asked in self.pictures if size == (width, height)]
            first = sum(sheet["pictures"] for sheet in sheets)
            sheet = Image.new("RGB", (COLUMNS * width, -(-len(of_size) // COLUMNS) * height))
            for index, (image, asked) in enumerate(of_size):
                sheet.paste(Image.fromarray(image), (index % COLUMNS * width, index // COLUMNS * height))
                questions += [record(first + index, *triple) for triple in asked]
            file = f"pictures-{width}x{height}.webp"
            sheet.save(FOLDER / file, quality=QUALITY, method=6)
            sheets.append({"file": file, "width": width, "height": height, "pictures": len(of_size)})
        self.rng.shuffle(questions)  # so that the first ones of a family are of many sizes
        questions.sort(key=lambda question: question["family"])
        listed, lines = (",\n".join(map(json.dumps, values)) for values in (sheets, questions))
        text = f'{{"columns": {COLUMNS}, "sheets": [\n{listed}\n], "questions": [\n{lines}\n]}}\n'
        (FOLDER / "questions.json").write_text(text)
        checksums.write(FOLDER, [*(sheet["file"] for sheet in sheets), "questions.json", *LISTS])


def record(picture: int, family: str, question: str, answer: str) -> dict:
    metric = "set-f1" if family == "caption" or family == PARAPHRASE and ";" in answer else "exact"
    return {"picture": picture, "family": family, "question": question, "answer": answer, "metric": metric}


def read_told() -> tuple[dict, list[Image.Image]]:
    """questions.json and, by number, the pictures."""
    checksums.check(FOLDER)
    told, pictures = json.loads((FOLDER / "questions.json").read_text()), []
    for listed in told["sheets"]:
        sheet, width, height = Image.open(FOLDER / listed["file"]).convert("RGB"), listed["width"], listed["height"]
        for index in range(listed["pictures"]):
            left, top = index % told["columns"] * width, index // told["columns"] * height
            pictures.append(sheet.crop((left, top, left + width, top + height)))
    return told, pictures


def read_shapes() -> list[tuple[str, Image.Image, str, str]]:
    """(family, picture, question, right answer) of every question; captions among the paraphrases are told apart."""
    told, pictures = read_told()
    return [
        (
            f"{PARAPHRASE}-caption" if one["family"] == PARAPHRASE and one["metric"] != "exact" else one["family"],
            pictures[one["picture"]], one["question"], one["answer"],
        )
        for one in told["questions"]
    ]  # fmt: skip


def unpack(folder: Path) -> None:
    """Writes pictures as PNG and questions as `foveate eval --jsonl` reads them."""
    told, pictures = read_told()
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number:04}.png")
    keys = ("question", "answer", "family", "metric")
    lines = (
        json.dumps({"image": f"{one['picture']:04}.png", **{key: one[key] for key in keys}}) for one in told["questions"]
    )
    (folder / "questions.jsonl").write_text("".join(f"{line}\n" for line in lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", type=int, metavar="PER_FAMILY", help="draw the set (it is frozen)")
    action.add_argument("--unpack", type=Path, metavar="FOLDER", help="write pictures and a questions.jsonl")
    options = parser.parse_args()
    if options.unpack:
        return unpack(options.unpack)
    drawn = ShapesSet(options.write)
    drawn.add_families()
    drawn.add_paraphrases()
    drawn.ask_unrelated()
    drawn.write()


if __name__ == "__main__":
    main()
