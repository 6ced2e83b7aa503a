"""The decoder's sizes, its random weights, what an answer records, and the cost of a layer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import torch


@dataclass(frozen=True)
class Shape:
    """Sizes of the decoder and of the one request it answers."""

    name: str
    hidden: int
    layers: int
    heads: int
    mlp: int
    vocabulary: int
    text_rows: int
    visual_rows: int
    answer_rows: int
    steps: int
    #: Text rows in front of the visual ones.
    visual_start: int
    norm_epsilon: float = 1e-5
    rope_theta: float = 500_000.0
    #: Standard deviation of the head's logits; a spread keeps near-ties out of the self-check.
    logit_spread: float = 3.0

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    @property
    def prompt_rows(self) -> int:
        return self.text_rows + self.visual_rows

    @property
    def rows(self) -> int:
        return self.prompt_rows + self.answer_rows

    @property
    def mask(self) -> int:
        """The mask's id: the last one."""
        return self.vocabulary - 1

    @property
    def forbidden(self) -> list[int]:
        """Four ids that are never written, like the end and header tokens of LLaDA-V."""
        return [self.vocabulary - 2 - i for i in range(4)]

    def commits(self, step: int) -> int:
        """Tokens written in `step` (from 0) of the linear schedule."""
        base, more = divmod(self.answer_rows, self.steps)
        return base + (step < more)

    def kept(self, ratio: float) -> int:
        return max(1, int(self.visual_rows * ratio))


MID = Shape(
    "mid",
    hidden=512,
    layers=8,
    heads=8,
    mlp=1536,
    vocabulary=32768,
    text_rows=64,
    visual_rows=729,
    answer_rows=64,
    steps=32,
    visual_start=47,
)
TINY = Shape(
    "tiny",
    hidden=64,
    layers=3,
    heads=4,
    mlp=96,
    vocabulary=500,
    text_rows=9,
    visual_rows=60,
    answer_rows=16,
    steps=8,
    visual_start=4,
)
SHAPES = {s.name: s for s in (MID, replace(MID, name="mid-wide", visual_rows=2929), TINY)}


@dataclass
class LayerWeights:
    """One layer; matrices are `[outputs, inputs]` as in a checkpoint."""

    input_norm: torch.Tensor
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    output: torch.Tensor
    mlp_norm: torch.Tensor
    gate: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor


@dataclass
class Weights:
    """Everything random: the model and the prompt it reads."""

    embedding: torch.Tensor
    layers: list[LayerWeights]
    final_norm: torch.Tensor
    head: torch.Tensor
    #: Embedded prompt, `[prompt_rows, hidden]`: text, visual features, text.
    prompt: torch.Tensor

    @classmethod
    def random(cls, shape: Shape, seed: int) -> Weights:
        generator = torch.Generator().manual_seed(seed)

        def normal(*sizes: int, scale: float) -> torch.Tensor:
            return torch.randn(*sizes, generator=generator) * scale

        def matrix(outputs: int, inputs: int) -> torch.Tensor:
            return normal(outputs, inputs, scale=inputs**-0.5)

        def scale_vector() -> torch.Tensor:
            return 1.0 + normal(shape.hidden, scale=0.1)

        hidden, mlp = shape.hidden, shape.mlp
        layers = [
            LayerWeights(
                input_norm=scale_vector(),
                query=matrix(hidden, hidden),
                key=matrix(hidden, hidden),
                value=matrix(hidden, hidden),
                output=matrix(hidden, hidden),
                mlp_norm=scale_vector(),
                gate=matrix(mlp, hidden),
                up=matrix(mlp, hidden),
                down=matrix(hidden, mlp),
            )
            for _ in range(shape.layers)
        ]
        embedding = normal(shape.vocabulary, hidden, scale=1.0)
        ids = torch.randint(shape.vocabulary - 5, (shape.text_rows,), generator=generator)
        text = embedding[ids]
        visual = normal(shape.visual_rows, hidden, scale=1.0)
        prompt = [text[: shape.visual_start], visual, text[shape.visual_start :]]
        return cls(
            embedding=embedding,
            layers=layers,
            final_norm=scale_vector(),
            head=matrix(shape.vocabulary, hidden) * shape.logit_spread,
            prompt=torch.cat(prompt),
        )


@dataclass
class Answer:
    """What a mode wrote, and what it cost."""

    #: Per step, `(answer position, id)` in ascending position.
    commits: list[list[tuple[int, int]]] = field(default_factory=list)
    #: Visual tokens kept, ascending; all of them without pruning.
    kept: list[int] = field(default_factory=list)
    #: Seconds of each step.
    steps: list[float] = field(default_factory=list)
    #: Seconds by phase: decoder, head, ranking, pruning.
    phases: dict[str, float] = field(default_factory=dict)
    flop: float = 0.0

    def spent(self, phase: str, since: float) -> float:
        """Books the time since `since` under `phase` and returns the time now."""
        now = time.perf_counter()
        self.phases[phase] = self.phases.get(phase, 0.0) + now - since
        return now


def rotary_angles(shape: Shape, positions: torch.Tensor) -> torch.Tensor:
    """Angles of the rotary embedding, `[positions, head_size / 2]`."""
    exponents = torch.arange(0, shape.head_size, 2, dtype=torch.float32) / shape.head_size
    return positions[:, None].float() * (1.0 / shape.rope_theta**exponents)


def layer_flop(shape: Shape, rows: int, queries: int) -> float:
    """A layer in which `rows` rows give keys and values and `queries` of them leave."""
    key_value = 2 * rows * shape.hidden * 2 * shape.hidden
    per_query = 2 * shape.hidden * (2 * shape.hidden + 3 * shape.mlp)
    return key_value + queries * per_query + 4 * queries * rows * shape.hidden


def head_flop(shape: Shape, rows: int) -> float:
    return 2 * rows * shape.hidden * shape.vocabulary
