"""Answers the frozen questions in heldout/ with an exported foveate-nano, in plain PyTorch."""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from exported import load
from frozen_nano import read_held_out
from model import Foveate, generate
from questions import score
from scenes import IMAGE_SIZE
from text import Text


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


def family_scores(model: Foveate, text: Text, rows: list[tuple[str, str, str]], images: np.ndarray) -> dict[str, list]:
    """Scores by family of (family, question, right answer) rows, one picture a row."""
    scores: dict[str, list[float]] = {family: [] for family, _, _ in rows}
    for (family, _, truth), said in zip(rows, answer(model, text, images, [question for _, question, _ in rows])):
        scores[family].append(score(family, said, truth))
    return scores


def evaluate(options: argparse.Namespace) -> dict:
    """Score and number of questions by family."""
    model, text = load(options.model)
    records, images = read_held_out()
    chosen, seen = [], dict.fromkeys((record["family"] for record in records), 0)
    for index, record in enumerate(records):
        seen[record["family"]] += 1
        if not options.limit or seen[record["family"]] <= options.limit:
            chosen.append(index)
    records, images = [records[index] for index in chosen], images[chosen]
    rows = [(record["family"], record["question"], record["answer"]) for record in records]
    scores = family_scores(model, text, rows, images)
    return {
        "questions_per_family": {family: len(values) for family, values in scores.items()},
        "score": {family: round(float(np.mean(values)), 4) for family, values in scores.items()},
    }
