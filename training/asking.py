"""Answers of a model in plain PyTorch, decoded as LLaDA-V does."""

import numpy as np
import torch
from PIL import Image

from families.mixture import FAMILIES
from families.picture import Question
from metrics import METRICS
from model import Foveate, generate
from text import Text
from tiling import views
from visual import tile_map, tower_rows, visual_tokens

LENGTH, STEPS = 64, 32  # of the answer: tokens, denoising steps


@torch.no_grad()
def ask(
    model: Foveate, text: Text, rows: list[tuple[Image.Image, str]], tiled: bool,
    length: int = LENGTH, steps: int = STEPS, most: int = 64, keep: float = 1.0,
) -> list[str]:  # fmt: skip
    """One answer for every picture and question, up to `most` at a time.

    `keep` less than 1 leaves that share of the visual tokens, drawn at random, in every batch others.
    """
    device = next(model.parameters()).device
    groups: dict[tuple, list[int]] = {}
    for index, (image, question) in enumerate(rows):
        size = image.size if tiled else (0, 0)
        groups.setdefault((len(text.prompt(question)[1]), size), []).append(index)
    answers = [""] * len(rows)
    for (_, size), members in groups.items():
        layout = tile_map(size, model.config, tiled, str(device))
        for indices in (members[start : start + most] for start in range(0, len(members), most)):
            seen = np.stack([views(rows[index][0], model.config.image_size, tiled) for index in indices])
            visual = visual_tokens(model, tower_rows(model, torch.from_numpy(seen).to(device)), layout)
            if keep < 1:
                count = visual.shape[1]
                visual = visual[:, torch.randperm(count)[: max(1, round(keep * count))].sort().values.to(device)]
            prompts = [text.prompt(rows[index][1]) for index in indices]
            before = torch.tensor([prompts[0][0]], device=device)
            after = torch.tensor([prompt[1] for prompt in prompts], device=device)
            found = generate(model, visual, before, after, text.mask_id, text.end_id, text.forbidden_ids, length, steps)
            for index, ids in zip(indices, found):
                answers[index] = text.decode(ids)
    return answers


def mean_scores(questions: list[Question], said: list[str]) -> dict[str, float]:
    """Mean score by family, in the order of FAMILIES, and the mean of these."""
    scores: dict[str, list[float]] = {family: [] for family in FAMILIES}
    for question, answer in zip(questions, said):
        scores[question.family].append(METRICS[question.metric](answer, question.answer))
    means = {family: float(np.mean(values)) if values else float("nan") for family, values in scores.items()}
    return {**means, "mean": float(np.nanmean(list(means.values())))}
