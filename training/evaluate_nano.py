"""Answers the frozen questions in heldout/ with an exported foveate-nano, in plain PyTorch."""

import argparse

import numpy as np
from PIL import Image

from asking import ask
from exported import load
from frozen_nano import read_held_out
from frozen_shapes import read_shapes
from model import Foveate
from questions import score
from text import Text
from tiling import padded

LENGTH, STEPS = 32, 16  # of an answer: tokens, denoising steps
Row = tuple[str, Image.Image, str, str]  # family, picture, question, right answer


def answers(model: Foveate, text: Text, rows: list[tuple[Image.Image, str]], **decoding) -> list[str]:
    """One answer for every picture and question; a model without tiles sees pictures on a grey square."""
    tiled = model.config.tiled
    rows = rows if tiled else [(padded(image), question) for image, question in rows]
    return ask(model, text, rows, tiled, **{"length": LENGTH, "steps": STEPS, "most": 128, **decoding})


def family_scores(model: Foveate, text: Text, rows: list[Row]) -> dict[str, list]:
    """Scores by family."""
    scores: dict[str, list[float]] = {family: [] for family, *_ in rows}
    said = answers(model, text, [(image, question) for _, image, question, _ in rows])
    for (family, _, _, truth), answer in zip(rows, said):
        scores[family].append(score(family, answer, truth))
    return scores


def limited(rows: list[Row], limit: int | None) -> list[Row]:
    """At most so many of every family."""
    seen: dict[str, int] = {}
    found = []
    for row in rows:
        seen[row[0]] = seen.get(row[0], 0) + 1
        if not limit or seen[row[0]] <= limit:
            found.append(row)
    return found


def evaluate(options: argparse.Namespace) -> dict:
    """Score and number of questions by family."""
    model, text = load(options.model)
    if options.shapes:
        rows = read_shapes()
    else:
        records, images = read_held_out()
        rows = [
            (record["family"], Image.fromarray(image), record["question"], record["answer"])
            for record, image in zip(records, images)
        ]
    scores = family_scores(model, text, limited(rows, options.limit))
    return {
        "questions_per_family": {family: len(values) for family, values in scores.items()},
        "score": {family: round(float(np.mean(values)), 4) for family, values in scores.items()},
    }
