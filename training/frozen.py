"""The frozen test set of foveate-tiny: heldout-tiny/.

Pictures of one kind and size lie on a sheet, SHEET_COLUMNS in a row; `questions.json` lists the sheets and, by the
number of the picture over all sheets, the questions. The seed is used by nothing else, and the test split draws with
fonts, words, digits, photographs and (family naming-unseen) an art style that training never shows; see
families/assets.py. Of a family the first 50 questions are the subset for sweeps, the first 5 the one for quick checks.

    python frozen.py --unpack FOLDER [--limit 50] && foveate eval --jsonl FOLDER/questions.jsonl
"""

import argparse
import json
import random
from pathlib import Path

from PIL import Image

import checksums
from families import naming
from families.assets import TEST_STYLE, TRAINING_STYLES, Assets
from families.mixture import DRAWERS, ONE_VIEW

FOLDER = Path(__file__).with_name("heldout-tiny")
SEED = 20_260_202
SHEET_COLUMNS = 16
QUALITY = 80  # of WebP
LARGE = (448, 448)
PER_FAMILY = 500
# What is drawn: a drawer, a size, and how many questions of its families suffice (others than PER_FAMILY).
SHEETS = [
    ("scene", ONE_VIEW, {"refusal": 200}),
    ("naming", ONE_VIEW, {}),
    ("naming-unseen", ONE_VIEW, {}),
    ("words", ONE_VIEW, {}),
    ("receipts", ONE_VIEW, {"receipts": 300}),
    ("receipts", LARGE, {}),
    ("forms", ONE_VIEW, {"forms": 300}),
    ("forms", LARGE, {}),
    ("tables", ONE_VIEW, {"tables": 300}),
    ("tables", LARGE, {}),
    ("charts", ONE_VIEW, {"charts": 300, "chart-caption": 80}),
    ("charts", LARGE, {"chart-caption": 140}),
    ("clock", ONE_VIEW, {"clock": 400}),
    ("clothing", ONE_VIEW, {}),
    ("handwriting", ONE_VIEW, {"handwriting": 400}),
    ("easy-vqa", ONE_VIEW, {}),
]
# The questions that go into the set from each drawer.
OWN_FAMILIES = {
    "scene": ["color", "exists", "relation", "count", "where", "what-at", "caption", "refusal"],
    "charts": ["charts", "chart-caption"],
}


def drawing(name: str):
    """The drawer of a sheet."""
    if name == "naming-unseen":
        return lambda rng, assets, size: naming.draw(rng, assets, size, TEST_STYLE)
    if name == "naming":
        return lambda rng, assets, size: naming.draw(rng, assets, size, rng.choice(TRAINING_STYLES))
    return DRAWERS[name][0]


def write() -> None:
    """Draws the set."""
    rng, assets = random.Random(SEED), Assets("test")
    counts: dict[str, int] = {}
    sheets, records, number = [], [], 0
    FOLDER.mkdir(exist_ok=True)
    for name, size, enough in SHEETS:
        families = OWN_FAMILIES.get(name, [name])
        images = []
        wanted = {family: enough.get(family, PER_FAMILY) for family in families}
        most = wanted if name == "scene" else {"refusal": PER_FAMILY, **wanted}  # refusals come along
        while any(counts.get(family, 0) < count for family, count in wanted.items()):
            picture = drawing(name)(rng, assets, size)
            asked = []
            for question in picture.questions:
                if counts.get(question.family, 0) < most.get(question.family, 0):
                    counts[question.family] = counts.get(question.family, 0) + 1
                    asked.append(question)
            if not asked:
                continue
            for question in asked:
                records.append({
                    "picture": number + len(images), "family": question.family, "question": question.text,
                    "answer": question.answer, "metric": question.metric,
                })  # fmt: skip
            images.append(picture.image)
        rows = -(-len(images) // SHEET_COLUMNS)
        sheet = Image.new("RGB", (SHEET_COLUMNS * size[0], rows * size[1]))
        for index, image in enumerate(images):
            sheet.paste(image, (index % SHEET_COLUMNS * size[0], index // SHEET_COLUMNS * size[1]))
        file = f"{name}-{size[0]}.webp"
        sheet.save(FOLDER / file, quality=QUALITY, method=6)
        sheets.append({"file": file, "width": size[0], "height": size[1], "pictures": len(images)})
        number += len(images)
        print(file, len(images), "pictures", (FOLDER / file).stat().st_size, "bytes", flush=True)
    lines = ",\n".join(json.dumps(record) for record in records)
    listed = ",\n".join(json.dumps(sheet) for sheet in sheets)
    (FOLDER / "questions.json").write_text(
        f'{{"columns": {SHEET_COLUMNS}, "sheets": [\n{listed}\n], "questions": [\n{lines}\n]}}\n'
    )
    checksums.write(FOLDER, [*(sheet["file"] for sheet in sheets), "questions.json"])
    print(counts)


def read_questions() -> tuple[list[dict], list[dict]]:
    """The sheets and the questions, after checking every file."""
    checksums.check(FOLDER)
    told = json.loads((FOLDER / "questions.json").read_text())
    return told["sheets"], told["questions"]


def limited(questions: list[dict], per_family: int | None) -> list[dict]:
    """The first ones of every family."""
    seen: dict[str, int] = {}
    chosen = []
    for question in questions:
        seen[question["family"]] = seen.get(question["family"], 0) + 1
        if not per_family or seen[question["family"]] <= per_family:
            chosen.append(question)
    return chosen


def pictures_of(sheets: list[dict], wanted: set[int]) -> dict[int, Image.Image]:
    """Pictures by their number."""
    found, first = {}, 0
    for told in sheets:
        numbers = wanted & set(range(first, first + told["pictures"]))
        if numbers:
            sheet = Image.open(FOLDER / told["file"]).convert("RGB")
            for number in sorted(numbers):
                left = (number - first) % SHEET_COLUMNS * told["width"]
                top = (number - first) // SHEET_COLUMNS * told["height"]
                found[number] = sheet.crop((left, top, left + told["width"], top + told["height"]))
        first += told["pictures"]
    return found


def unpack(folder: Path, per_family: int | None) -> None:
    """Writes pictures as PNG and questions as `foveate eval --jsonl` reads them."""
    sheets, questions = read_questions()
    questions = limited(questions, per_family)
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in pictures_of(sheets, {question["picture"] for question in questions}).items():
        picture.save(folder / f"{number:04}.png")
    lines = []
    for question in questions:
        told = {key: question[key] for key in ("question", "answer", "family", "metric")}
        lines.append(json.dumps({"image": f"{question['picture']:04}.png", **told}) + "\n")
    (folder / "questions.jsonl").write_text("".join(lines))
    print(f"{len(lines)} questions in {folder}/questions.jsonl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="draw the set (it is frozen: its numbers would change)")
    action.add_argument("--unpack", type=Path, metavar="FOLDER", help="write pictures and a questions.jsonl")
    parser.add_argument("--limit", type=int, help="questions per family, all if not given")
    options = parser.parse_args()
    if options.write:
        write()
    else:
        unpack(options.unpack, options.limit)


if __name__ == "__main__":
    main()
