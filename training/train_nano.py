"""How foveate-nano learns, from scratch and on a CPU, on pictures drawn on the fly.

First the vision tower alone learns what every patch shows, which is cheap; then the whole model
learns to answer by LLaDA's masked diffusion, with the patch loss as a helper.
"""

import argparse
import math
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from evaluate_nano import family_scores
from families.assets import Assets
from model import Config, Foveate, PatchHead
from nano_pictures import Mixture
from questions import FAMILIES
from scenes import PATCH_CLASSES, draw_scenes, random_scene
from text import Text
from trainer import Trainer

IMAGES_PER_STEP = 32
VISION_IMAGES_PER_STEP = 128
CANVAS_LENGTHS, CANVAS_WEIGHTS = [4, 8, 16, 32], [9, 5, 2, 4]
CAPTION_CANVAS_LENGTHS, CAPTION_CANVAS_WEIGHTS = [16, 24, 32], [1, 1, 5]
FILLER_WEIGHT = 0.1
BUCKET = 16  # tokens by which the lengths of sequences of a batch may differ
EMA_DECAY = 0.99


def draw_canvas(rng: random.Random, text: Text, family: str, answer: str) -> tuple[list[int], int]:
    """Answer ids and <|eot_id|>, filled up with <|eot_id|> to a random length; and where filler starts."""
    ids = text.encode(answer) + [text.end_id]
    if family == "caption":
        length = rng.choices(CAPTION_CANVAS_LENGTHS, CAPTION_CANVAS_WEIGHTS)[0]
    else:
        length = rng.choices(CANVAS_LENGTHS, CANVAS_WEIGHTS)[0]
    return ids + [text.end_id] * (length - len(ids)), len(ids)


def masked_positions(rng: random.Random, length: int, used: int) -> list[bool]:
    """Which of a canvas's positions are hidden; its filler starts at `used`.

    Two fifths of the time everything, as at the start. Else LLaDA's random ratio, biased high: for
    the whole canvas, or for answer and filler each its own. By confidence, filler is written before
    the answer, and a model that never saw such canvases answers worse with every step.
    """
    kind = rng.random()
    if kind < 0.4:
        return [True] * length
    ratios = [max(0.1, math.sqrt(rng.random()))] * 2
    if kind < 0.75:
        ratios = [1.0 if rng.random() < 0.3 else ratios[0], rng.random()]
    return [rng.random() < ratios[place >= used] for place in range(length)]


def answer_loss(rng: random.Random, model: Foveate, text: Text, visual: Tensor, questions) -> tuple[Tensor, Tensor]:
    """Weighted sum of the cross-entropies of masked answer tokens, and the sum of the weights.

    Every question is a sequence of its own behind the tokens of its picture, as at inference.
    Sequences of about one length are batched together.
    """
    buckets: dict[int, list] = {}
    for index, asked in enumerate(questions):
        for family, question, answer in asked:
            before, after = text.prompt(question)
            canvas, used = draw_canvas(rng, text, family, answer)
            buckets.setdefault((len(after) + len(canvas)) // BUCKET, []).append((index, after, canvas, used))
    loss, weight = torch.zeros(()), torch.zeros(())
    for rows in buckets.values():
        width = max(len(after) + len(canvas) for _, after, canvas, _ in rows)
        inputs = torch.zeros(len(rows), width, dtype=torch.long)
        present = torch.zeros(len(rows), width, dtype=torch.bool)
        weights = torch.zeros(len(rows), width)
        targets = torch.zeros(len(rows), width, dtype=torch.long)
        for row, (_, after, canvas, used) in enumerate(rows):
            masked = masked_positions(rng, len(canvas), used)
            start, end = len(after), len(after) + len(canvas)
            shown = [text.mask_id if hide else token for hide, token in zip(masked, canvas)]
            inputs[row, :end] = torch.tensor(after + shown)
            targets[row, start:end] = torch.tensor(canvas)
            present[row, :end] = True
            weights[row, start:end] = torch.tensor(
                [hide * (1.0 if place < used else FILLER_WEIGHT) for place, hide in enumerate(masked)]
            )
        picked = visual[torch.tensor([row[0] for row in rows])]
        states = model.hidden_states(torch.tensor([before]), picked, inputs, present)
        where = weights > 0
        losses = F.cross_entropy(model.lm_head(states[where]).float(), targets[where], reduction="none")
        loss = loss + (losses * weights[where]).sum()
        weight = weight + weights.sum()
    return loss, weight


def patch_names(text: Text) -> tuple[Tensor, Tensor]:
    """Token ids of all words in names, and which of them name each patch class, [classes, ids]."""
    words = sorted({word for name in PATCH_CLASSES for word in name.split()})
    pairs = [(word, text.encode(prefix + word)) for word in words for prefix in ("", " ")]
    pairs = [(word, ids[0]) for word, ids in pairs if len(ids) == 1]
    table = torch.tensor([[float(word in name.split()) for word, _ in pairs] for name in PATCH_CLASSES])
    return torch.tensor([token for _, token in pairs]), table


def naming_loss(visual: Tensor, embedding: torch.nn.Embedding, ids: Tensor, table: Tensor, classes: Tensor) -> Tensor:
    """Pulls a visual token towards the embeddings of the words for what it shows, where that is known.

    The language model can then find a thing by its name without having to discover the mapping.
    """
    known = classes >= 0
    logits = visual[known] @ embedding(ids).T - 3
    return 4 * F.binary_cross_entropy_with_logits(logits, table[classes[known]])


class NanoTrainer(Trainer):
    """Nano's model and steps."""

    def __init__(self, options: argparse.Namespace):
        torch.manual_seed(0)
        text = Text()
        self.rng = random.Random(7 + int(time.time()))
        model = Foveate(Config(text.vocabulary_size))
        super().__init__(options, model, PatchHead(model.config, len(PATCH_CLASSES)), text, EMA_DECAY)
        self.name_ids, self.name_table = patch_names(text)
        self.mixture = Mixture(self.rng, Assets("train"))

    def train_step(self) -> tuple[float, float]:
        """One optimizer step; returns the answer loss and the patch loss."""
        vision_only = self.elapsed < self.options.vision_minutes * 60
        self.set_rates()
        if vision_only:
            pictures = self.mixture.draw(VISION_IMAGES_PER_STEP, labelled=True)
        else:
            pictures = self.mixture.draw(IMAGES_PER_STEP)
        labels = torch.from_numpy(pictures.labels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = self.model.patch_features(torch.from_numpy(pictures.images))
            patch = self.head(features, labels)
        visual = self.model.model.mm_projector(features.float())
        embedding = self.model.model.embed_tokens
        patch = patch + naming_loss(visual, embedding, self.name_ids, self.name_table, labels[..., 0])
        answer = torch.zeros(())
        if not vision_only:
            loss, weight = answer_loss(self.rng, self.model, self.text, visual, pictures.questions)
            answer = loss / weight
        share = self.elapsed / 60 / self.options.minutes
        patch_weight = 1.0 if vision_only else 0.5 if share < 0.6 else 0.15
        (answer + patch_weight * patch).backward()
        self.apply_gradients()
        self.images += len(pictures.images)
        self.questions += 0 if vision_only else sum(map(len, pictures.questions))
        return answer.item(), patch.item()

    def evaluate(self, per_family: int) -> dict[str, float]:
        """Scores of the averaged weights on pictures of a fixed seed, decoded as at inference."""
        model = Foveate(self.model.config)
        model.load_state_dict(self.average)
        rng = random.Random(999_983)
        rows = []
        for family, ask in FAMILIES.items():
            for _ in range(per_family):
                found = None
                while not found:
                    scene = random_scene(rng)
                    found = ask(rng, scene)
                rows.append((family, scene, *found))
        images = list(draw_scenes(rng, [row[1] for row in rows]))
        rows = [(family, question, answer) for family, _, question, answer in rows]
        for image, triple in self.mixture.validation(rng, per_family):
            images.append(image)
            rows.append(triple)
        scores = family_scores(model, self.text, rows, np.stack(images))
        means = {family: float(np.mean(values)) for family, values in scores.items()}
        return {**means, "mean": float(np.mean(list(means.values())))}
