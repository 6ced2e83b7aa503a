"""Answers the frozen questions in heldout/ with an exported foveate-nano, in plain PyTorch."""

import argparse
import hashlib
import json
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from exported import load
from model import Foveate, generate
from questions import FAMILIES, score
from scenes import IMAGE_SIZE, draw_scenes, random_scene
from text import Text

HERE = Path(__file__).parent
HELD_OUT = HERE / "heldout"
HELD_OUT_SEED = 20_260_101
SCENES_PER_SHEET = 20  # a row of a sheet


def load_picture(path: Path) -> np.ndarray:
    """A picture file as the model sees it: padded to a grey square, resized with Pillow's bicubic."""
    picture = Image.open(path).convert("RGB")
    side = max(picture.size)
    square = Image.new("RGB", (side, side), (127, 127, 127))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return np.asarray(square.resize((IMAGE_SIZE, IMAGE_SIZE), Image.BICUBIC))


def answer(
    model: Foveate, text: Text, images: np.ndarray, questions: list[str], length: int = 32, steps: int = 16
) -> list[str]:
    """One answer for every picture [count, 60, 60, 3] and its question."""
    groups: dict[int, list[int]] = {}
    for index, question in enumerate(questions):
        groups.setdefault(len(text.prompt(question)[1]), []).append(index)
    answers = [""] * len(questions)
    for members in groups.values():
        for indices in (members[start : start + 128] for start in range(0, len(members), 128)):
            with torch.no_grad():
                visual = model.model.mm_projector(model.patch_features(torch.from_numpy(images[indices])))
            prompts = [text.prompt(questions[index]) for index in indices]
            before, after = torch.tensor([prompts[0][0]]), torch.tensor([prompt[1] for prompt in prompts])
            rows = generate(
                model, visual, before, after, text.mask_id, text.end_id, text.forbidden_ids, length, steps
            )
            for index, ids in zip(indices, rows):
                answers[index] = text.decode(ids)
    return answers


def write_held_out(per_family: int) -> None:
    """Draws the frozen set: one sheet of pictures, questions.json, and their checksums.

    A scene is asked one question of every family that fits; scenes are drawn until every family
    has enough. The seed is not used in training, and two scenes are never the same picture.
    """
    rng = random.Random(HELD_OUT_SEED)
    counts = dict.fromkeys(FAMILIES, 0)
    scenes, records = [], []
    while min(counts.values()) < per_family:
        scene = random_scene(rng)
        asked = []
        for family, ask in FAMILIES.items():
            found = ask(rng, scene) if counts[family] < per_family else None
            if found:
                counts[family] += 1
                question, truth = found
                asked.append({"picture": len(scenes), "family": family, "question": question, "answer": truth})
        if asked:
            scenes.append(scene)
            records.extend(asked)
    images = draw_scenes(rng, scenes)
    missing = -len(images) % SCENES_PER_SHEET
    padded = np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])
    grid = padded.reshape(-1, SCENES_PER_SHEET, IMAGE_SIZE, IMAGE_SIZE, 3).swapaxes(1, 2)
    HELD_OUT.mkdir(exist_ok=True)
    Image.fromarray(grid.reshape(-1, SCENES_PER_SHEET * IMAGE_SIZE, 3)).save(HELD_OUT / "pictures.webp", lossless=True)
    lines = ",\n".join(json.dumps(record) for record in records)
    (HELD_OUT / "questions.json").write_text(f"[\n{lines}\n]\n")
    names = ["pictures.webp", "questions.json"]
    sums = [f"{hashlib.sha256((HELD_OUT / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (HELD_OUT / "sha256sums.txt").write_text("".join(sums))


def read_held_out() -> tuple[list[dict], np.ndarray]:
    """The questions of the frozen set and, for each, its picture."""
    for line in (HELD_OUT / "sha256sums.txt").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((HELD_OUT / name).read_bytes()).hexdigest() == digest, f"{name} has changed"
    records = json.loads((HELD_OUT / "questions.json").read_text())
    sheet = np.asarray(Image.open(HELD_OUT / "pictures.webp").convert("RGB"))
    grid = sheet.reshape(-1, IMAGE_SIZE, SCENES_PER_SHEET, IMAGE_SIZE, 3).swapaxes(1, 2)
    pictures = grid.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 3)
    return records, pictures[[record["picture"] for record in records]]


def write_captions(folder: Path, model: Path, count: int, tokens: int = 20) -> None:
    """Draws pictures whose captions are long, with a questions.jsonl for `foveate bench --matrix --jsonl`.

    The seed is used by nothing else.
    """
    rng = random.Random(HELD_OUT_SEED + 1)
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


def evaluate(options: argparse.Namespace) -> dict:
    """Score and number of questions by family."""
    model, text = load(options.model)
    records, images = read_held_out()
    chosen, seen = [], dict.fromkeys(FAMILIES, 0)
    for index, record in enumerate(records):
        seen[record["family"]] += 1
        if not options.limit or seen[record["family"]] <= options.limit:
            chosen.append(index)
    records, images = [records[index] for index in chosen], images[chosen]
    answers = answer(model, text, images, [record["question"] for record in records])
    scores = {family: [] for family in FAMILIES}
    for record, said in zip(records, answers):
        scores[record["family"]].append(score(record["family"], said, record["answer"]))
    return {
        "questions_per_family": {family: len(values) for family, values in scores.items()},
        "score": {family: round(float(np.mean(values)), 4) for family, values in scores.items()},
    }
