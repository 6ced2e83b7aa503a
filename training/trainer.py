"""What the trainings of both models share: time, learning rates, running average, checkpoint, log."""

import argparse
import csv
import os
import time
from pathlib import Path

import numpy as np
import torch

from model import Foveate
from optimizer import Muon
from text import Text


Loss = float | torch.Tensor


def mean(losses: list[Loss]) -> float:
    """Read only now, so that a GPU need not be waited for at every step."""
    return float(np.mean([float(loss) for loss in losses]))


class Trainer:
    """A training whose schedule goes by the time spent, and which continues from its last checkpoint."""

    PROGRESS = ("elapsed", "step", "images", "questions")
    AVERAGE_EVERY = 1  # steps
    FINAL_EVALUATION, CURVE_EVALUATION = 150, 25  # questions per family

    def __init__(self, options: argparse.Namespace, model: Foveate, head: torch.nn.Module, text: Text, decay: float):
        self.options, self.model, self.head, self.text = options, model, head, text
        self.average_decay = decay
        matrices, others = [], list(self.head.parameters())
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                (matrices if ".layers." in name and parameter.ndim == 2 else others).append(parameter)
        self.optimizers = [
            Muon(matrices, lr=options.muon_rate),
            torch.optim.AdamW(others, lr=options.adam_rate, betas=(0.9, 0.95), weight_decay=0.01),
        ]
        self.rates = [options.muon_rate, options.adam_rate]
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.elapsed, self.step, self.images, self.questions = 0.0, 0, 0, 0  # seconds and counts
        self.path = Path(options.directory) / "checkpoint.pt"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self.load()

    def train_step(self) -> tuple[Loss, Loss]:
        """One optimizer step; returns the answer loss and the patch loss."""
        raise NotImplementedError

    def evaluate(self, per_family: int) -> dict[str, float]:
        """Scores of the averaged weights by family, decoded as at inference."""
        raise NotImplementedError

    def clock(self) -> float:
        """Seconds of training since some moment; the schedule goes by them."""
        return time.time()

    def note(self) -> str:
        """More for the end of a line of the log."""
        return ""

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "head": self.head.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            **{name: getattr(self, name) for name in self.PROGRESS},
        }
        torch.save(state, self.path.with_suffix(".new"))
        os.replace(self.path.with_suffix(".new"), self.path)

    def load(self) -> None:
        state = torch.load(self.path, weights_only=True, map_location="cpu")
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])
        device = next(self.model.parameters()).device
        self.average = {name: value.float().to(device) for name, value in state["average"].items()}
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        for name in self.PROGRESS:
            setattr(self, name, state[name])

    def set_rates(self) -> None:
        """Warm-up, constant, then a linear fall over the last part of the time."""
        total, minutes = self.options.minutes, self.elapsed / 60
        remaining = (total - minutes) / (self.options.decay_share * total)
        factor = min(1.0, max(0.01, remaining)) * min(1.0, (self.step + 1) / 100)
        for optimizer, rate in zip(self.optimizers, self.rates):
            optimizer.param_groups[0]["lr"] = rate * factor

    def apply_gradients(self) -> None:
        """Clips, steps every optimizer, and moves the running average."""
        for optimizer in self.optimizers:
            torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
            optimizer.step()
            optimizer.zero_grad()
        if self.step % self.AVERAGE_EVERY == 0:
            steps = self.step // self.AVERAGE_EVERY
            decay = min(self.average_decay, steps / (steps + 10))
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        self.step += 1

    def run(self) -> None:
        """Trains until the time of this run or of the whole training is up."""
        end = self.options.minutes * 60
        if self.options.run_minutes:
            end = min(end, self.elapsed + self.options.run_minutes * 60)
        last_log = last_save = last_evaluation = time.time()
        answers, patches, answer, patch = [], [], 0.0, 0.0
        logged_images = self.images
        while self.elapsed < end:
            begin = self.clock()
            answer, patch = self.train_step()
            answers.append(answer)
            patches.append(patch)
            now = time.time()
            self.elapsed += self.clock() - begin
            if now - last_log > self.options.log_seconds:
                speed = (self.images - logged_images) / (now - last_log)
                last_log, logged_images = now, self.images
                print(
                    f"{self.elapsed / 60:.1f} min, step {self.step}, images {self.images} ({speed:.0f}/s), questions "
                    f"{self.questions}, answer loss {mean(answers):.4f}, patch loss {mean(patches):.4f}{self.note()}",
                    flush=True,
                )
                if now - last_evaluation > self.options.evaluation_minutes * 60:
                    if self.questions:
                        self.log(mean(answers), mean(patches), self.evaluate(self.CURVE_EVALUATION))
                    last_evaluation = time.time()
                answers, patches = [], []
            if now - last_save > 180:
                last_save = now
                self.save()
        self.save()
        asked = self.options.final_questions
        asked = self.FINAL_EVALUATION if asked is None else asked
        if asked:
            self.log(float(answer), float(patch), self.evaluate(asked))

    def log(self, answer: float, patch: float, scores: dict[str, float]) -> None:
        """Appends a line to curve.csv."""
        print(scores, flush=True)
        path = self.path.with_name("curve.csv")
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["minutes", "images", "questions", "answer_loss", "patch_loss", *scores])
            figures = [f"{self.elapsed / 60:.1f}", self.images, self.questions, f"{answer:.4f}", f"{patch:.4f}"]
            writer.writerow([*figures, *(f"{value:.3f}" for value in scores.values())])
