"""How foveate-nano learns, on a CPU and on pictures of many shapes drawn on the fly.

First the vision tower alone learns what every patch shows, which is cheap; then the whole model
learns to answer by LLaDA's masked diffusion, with the patch loss as a helper. It never sees a sequence from which
visual tokens are missing.
"""

import argparse
import os
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import exported
from configs import nano
from families.assets import Assets
from model import Foveate, PatchHead
from nano_pictures import Mixture, Picture
from nano_sequences import Seen, Sequence, seen, sequences
from nano_validation import Validation
from scenes import PATCH_CLASSES
from text import Text
from trainer import Trainer

IMAGES_PER_STEP = 24
VISION_IMAGES_PER_STEP = 48
BUCKET = 48  # tokens by which the lengths of sequences of a batch may differ
EMA_DECAY = 0.997


def matrix_units() -> bool:
    """Whether bfloat16 is fast here; elsewhere it takes many times as long as float32."""
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def batches(found: list[Sequence]) -> list[list[Sequence]]:
    """Sequences of about one length together."""
    buckets: dict[int, list[Sequence]] = {}
    for sequence in found:
        buckets.setdefault(len(sequence.ids) // BUCKET, []).append(sequence)
    return list(buckets.values())


def answer_loss(model: Foveate, rows: Tensor, batch: list[Sequence]) -> Tensor:
    """Weighted sum of the cross-entropies of masked answer tokens.

    `rows` are the visual tokens of all pictures.
    """
    length = max(len(sequence.ids) for sequence in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    present = torch.zeros(len(batch), length, dtype=torch.bool)
    places, targets, weights = [], [], []
    for row, sequence in enumerate(batch):
        end, start = len(sequence.ids), len(sequence.ids) - len(sequence.targets)
        ids[row, :end] = torch.tensor(sequence.ids)
        present[row, :end] = True
        asked = [place for place, weight in enumerate(sequence.weights) if weight]
        places.append([start + place for place in asked])
        targets.append([sequence.targets[place] for place in asked])
        weights.append([sequence.weights[place] for place in asked])
    places, targets, weights = (padded_rows(values) for values in (places, targets, weights))
    states = model.states_at(places.long(), ids, rows, present)
    where = weights > 0
    losses = F.cross_entropy(model.lm_head(states[where]).float(), targets[where].long(), reduction="none")
    return (losses * weights[where]).sum()


def padded_rows(values: list[list[float]]) -> Tensor:
    """Rows of different lengths as a matrix, zeros at their ends."""
    found = torch.zeros(len(values), max(map(len, values)))
    for row, of_row in enumerate(values):
        found[row, : len(of_row)] = torch.tensor(of_row)
    return found


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

    FINAL_EVALUATION, CURVE_EVALUATION = 40, 8  # questions per family

    def __init__(self, options: argparse.Namespace):
        text = Text()
        config = nano(text.vocabulary_size)
        torch.manual_seed(0)
        model = Foveate(config)
        if options.start:
            model.load_state_dict(exported.load(Path(options.start))[0].state_dict())
        super().__init__(options, model, PatchHead(config, len(PATCH_CLASSES)), text, EMA_DECAY)
        self.name_ids, self.name_table = patch_names(text)
        # Another seed in every run, so that no two train on the same pictures.
        self.rng = random.Random(f"{time.time()} {os.getpid()}")
        self.mixture = Mixture(self.rng, Assets("train"))
        self.validation = Validation(self.mixture)
        self.half = matrix_units()

    def clock(self) -> float:
        """Processor time of a thread: the cores may be busy with other work for most of an hour."""
        return time.process_time() / torch.get_num_threads()

    def train_step(self) -> tuple[float, float]:
        """One optimizer step; returns the answer loss and the patch loss."""
        vision_only = self.elapsed < self.options.vision_minutes * 60
        self.set_rates()
        pictures = self.mixture.draw(VISION_IMAGES_PER_STEP if vision_only else IMAGES_PER_STEP, labelled=vision_only)
        config = self.model.config
        shown = [seen(self.rng, one, config.image_size, config.patch_size, config.most_views) for one in pictures]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.half):
            features = self.model.patch_features(torch.from_numpy(np.concatenate([one.views for one in shown])))
            labels = [what.shown.labels(view) for what, how in zip(pictures, shown) for view in how.placements]
            labels = torch.from_numpy(np.stack(labels))
            patch = self.head(features, labels)
        visual = self.model.model.mm_projector(features.float())
        embedding = self.model.model.embed_tokens
        patch = patch + naming_loss(visual, embedding, self.name_ids, self.name_table, labels[..., 0])
        share = self.elapsed / 60 / self.options.minutes
        loss, answer = (1.0 if vision_only else 0.5 if share < 0.6 else 0.15) * patch, 0.0
        if not vision_only:
            rows = torch.cat([visual.flatten(0, 1), self.model.model.image_newline[None]])
            answer, slopes = self.learn_answers(pictures, shown, rows)
            loss = loss + (rows * slopes).sum()
        loss.backward()
        self.apply_gradients()
        self.images += len(pictures)
        return answer, patch.item()

    def learn_answers(self, pictures: list[Picture], shown: list[Seen], rows: Tensor) -> tuple[float, Tensor]:
        """The answer loss, and its gradient by `rows`, the visual tokens of all pictures and the newline.

        Gradients of the language model are added, batch after batch.
        """
        patches, first = self.model.config.visual_tokens, self.text.vocabulary_size
        newline = first + len(rows) - 1
        tokens = []
        for how in shown:
            last = len(how.views) * patches
            tokens.append([newline if token == last else first + token for token in how.tokens])
            first += last
        found = sequences(self.rng, self.text, pictures, tokens)
        leaf = rows.detach().requires_grad_()
        total = sum(sum(sequence.weights) for sequence in found) or 1.0
        answer = 0.0
        for batch in batches([sequence for sequence in found if any(sequence.weights)]):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.half):
                loss = answer_loss(self.model, leaf, batch) / total
            loss.backward()
            answer += loss.item()
            self.questions += sum(sequence.questions for sequence in batch)
        return answer, leaf.grad

    def evaluate(self, per_family: int) -> dict[str, float]:
        """Scores of the averaged weights on pictures of a fixed seed, decoded as at inference."""
        model = Foveate(self.model.config)
        model.load_state_dict(self.average)
        return self.validation.scores(model.eval(), self.text, per_family)
