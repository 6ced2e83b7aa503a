"""Answers the frozen questions in heldout-tiny/ with an exported foveate-tiny, in plain PyTorch."""

import argparse

import numpy as np
import torch

from asking import ask
from exported import load
from frozen import limited, pictures_of, read_questions
from metrics import METRICS


def evaluate(options: argparse.Namespace) -> dict:
    """Score and number of questions by family."""
    cuda = torch.cuda.is_available() if options.device == "auto" else options.device == "cuda"
    model, text = load(options.model)
    model = model.to("cuda" if cuda else "cpu")
    sheets, questions = read_questions()
    questions = limited(questions, options.limit)
    pictures = pictures_of(sheets, {question["picture"] for question in questions})
    rows = [(pictures[question["picture"]], question["question"]) for question in questions]
    said = ask(model, text, rows, model.config.tiled)
    scores: dict[str, list[float]] = {}
    for question, answer in zip(questions, said):
        score = METRICS[question["metric"]](answer, question["answer"])
        scores.setdefault(question["family"], []).append(score)
    return {
        "questions_per_family": {family: len(values) for family, values in scores.items()},
        "score": {family: round(float(np.mean(values)), 4) for family, values in scores.items()},
    }
