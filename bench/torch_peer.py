#!/usr/bin/env python3
"""The decoder that `foveate bench` measures, written in PyTorch for the CPU.

Six modes answer the same request with the same random weights (see `MODES` and README.md):

* `reference` does what the published Python code does at every denoising step;
* `well-written` gives the same answer without the work whose result nobody reads;
* `packed` is `well-written` with weights that oneDNN reordered once, through private operators;
* each of them with `+prune` drops visual rows after the first step, as RedVTP does.

Needs torch and numpy, nothing else.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy
import torch
from torch.nn import functional

Linear = Callable[[torch.Tensor], torch.Tensor]


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


class Reference:
    """The published code: batch of one, every row through every layer, every logit, each step.

    `ratio` below 1 prunes as RedVTP does: the first step computes the whole attention map of every
    layer eagerly, averaged over heads and then over layers.
    """

    def __init__(self, shape: Shape, weights: Weights, ratio: float = 1.0) -> None:
        self.shape = shape
        self.weights = weights
        self.ratio = ratio

    @torch.no_grad()
    def answer(self) -> Answer:
        shape, answer = self.shape, Answer()
        embedding = self.weights.embedding
        mask_embedding = embedding[shape.mask]
        start = shape.prompt_rows
        x = torch.full((1, shape.rows), shape.mask)
        embedded = torch.cat([self.weights.prompt, mask_embedding.expand(shape.answer_rows, -1)])[None]
        answer.kept = list(range(shape.visual_rows))
        for step in range(shape.steps):
            clock = begun = time.perf_counter()
            # The code finds the masks by their embedding, not by their id.
            masked = torch.all(torch.abs(embedded - mask_embedding) < 1e-5, dim=2)
            want_maps = step == 0 and self.ratio < 1.0
            hidden, attention = self.decode(embedded, want_maps)
            rows = embedded.shape[1]
            answer.flop += shape.layers * layer_flop(shape, rows, rows)
            clock = answer.spent("decoder", clock)

            logits = functional.linear(hidden, self.weights.head).float()
            answer.flop += head_flop(shape, rows)
            clock = answer.spent("head", clock)

            for token in shape.forbidden:
                logits[:, :, token] = torch.where(masked, -math.inf, logits[:, :, token])
            guesses = torch.argmax(logits, dim=-1)
            probabilities = functional.softmax(logits.to(torch.float64), dim=-1)
            confidence = torch.squeeze(torch.gather(probabilities, -1, guesses[..., None]), -1)
            guessed_embedded = functional.embedding(guesses, embedding)
            guessed_embedded = torch.where(masked[..., None].expand_as(embedded), guessed_embedded, embedded)
            guesses = torch.where(masked, guesses, x)
            confidence = torch.where(masked, confidence, -math.inf)
            transfer = torch.zeros_like(masked)
            _, chosen = torch.topk(confidence[0], k=shape.commits(step))
            transfer[0, chosen] = True
            embedded[transfer] = guessed_embedded[transfer]
            x[transfer] = guesses[transfer]
            positions = sorted(chosen.tolist())
            answer.commits.append([(p - start, int(x[0, p])) for p in positions])
            clock = answer.spent("ranking", clock)

            if attention is not None:
                queries = (masked & ~transfer)[0, start:].nonzero().squeeze(-1) + start
                if len(queries) > 0:
                    visual = slice(shape.visual_start, shape.visual_start + shape.visual_rows)
                    importance = attention[0, queries, visual].mean(dim=0)
                    count = shape.kept(self.ratio)
                    kept = torch.topk(importance, count).indices.sort().values
                    answer.kept = kept.tolist()
                    left = torch.ones(rows, dtype=torch.bool)
                    left[visual] = False
                    left[kept + shape.visual_start] = True
                    # Positions are not stored: the rows left are numbered from 0 again.
                    embedded, x = embedded[:, left], x[:, left]
                    start -= shape.visual_rows - count
                answer.spent("pruning", clock)
            answer.steps.append(time.perf_counter() - begun)
        return answer

    def decode(self, embedded: torch.Tensor, want_maps: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The final hidden rows, and the attention map `[1, rows, rows]` if wanted."""
        shape = self.shape
        x = embedded
        rows = x.shape[1]
        maps = []
        for layer in self.weights.layers:
            normed = self.norm(x, layer.input_norm)
            query, key, value = (
                functional.linear(normed, matrix).view(1, rows, shape.heads, shape.head_size).transpose(1, 2)
                for matrix in (layer.query, layer.key, layer.value)
            )
            angles = rotary_angles(shape, torch.arange(rows))
            angles = torch.cat([angles, angles], dim=-1)
            cosine, sine = angles.cos(), angles.sin()
            query = query * cosine + self.rotate_half(query) * sine
            key = key * cosine + self.rotate_half(key) * sine
            if want_maps:
                scores = torch.matmul(query, key.transpose(2, 3)) / math.sqrt(shape.head_size)
                attention = functional.softmax(scores, dim=-1, dtype=torch.float32)
                maps.append(attention.mean(dim=1))
                mixed = torch.matmul(attention, value)
            else:
                mixed = functional.scaled_dot_product_attention(query, key, value)
            mixed = mixed.transpose(1, 2).contiguous().view(1, rows, shape.hidden)
            x = x + functional.linear(mixed, layer.output)
            normed = self.norm(x, layer.mlp_norm)
            gated = functional.silu(functional.linear(normed, layer.gate)) * functional.linear(normed, layer.up)
            x = x + functional.linear(gated, layer.down)
        attention_map = torch.stack(maps).mean(dim=0) if maps else None
        return self.norm(x, self.weights.final_norm), attention_map

    def norm(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        variance = x.pow(2).mean(-1, keepdim=True)
        return scale * (x * torch.rsqrt(variance + self.shape.norm_epsilon))

    @staticmethod
    def rotate_half(x: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


def plain_linear(weight: torch.Tensor, _rows: int) -> Linear:
    """A product with `weight` by torch's public operator (MKL for f32)."""
    return lambda x: functional.linear(x, weight)


def packed_linear(weight: torch.Tensor, rows: int) -> Linear:
    """A product with `weight` by oneDNN, its weight reordered once for `rows` rows.

    These are the operators that `torch.compile` uses with frozen weights; they are not public.
    """
    operators = torch.ops.mkldnn
    packed = operators._reorder_linear_weight(weight, rows)
    return lambda x: operators._linear_pointwise(x, packed, None, "none", [], "")


@dataclass
class FusedLayer:
    input_norm: torch.Tensor
    query_key_value: Linear
    #: The parts of `query_key_value`, for the last layer, where few rows ask.
    query: Linear
    key_value: Linear
    output: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear


class WellWritten:
    """The same answer from the work it needs.

    Fused projections; in the last layer only the rows still masked ask, and only they reach the head;
    f32 confidences from one log-sum-exp; the rotary table is made once. With `ratio` below 1 the first
    step reads attention from the answer's rows to the visual ones only.
    """

    def __init__(
        self,
        shape: Shape,
        weights: Weights,
        ratio: float = 1.0,
        linear: Callable[[torch.Tensor, int], Linear] = plain_linear,
    ) -> None:
        self.shape = shape
        self.weights = weights
        self.ratio = ratio
        angles = rotary_angles(shape, torch.arange(shape.rows))
        # [rows, 1, half]: one table for all heads of queries and keys.
        self.cosine = angles.cos()[:, None]
        self.sine = angles.sin()[:, None]
        rows = shape.rows
        few = shape.answer_rows
        self.layers = []
        for number, layer in enumerate(weights.layers):
            leaving = few if number + 1 == shape.layers else rows
            self.layers.append(
                FusedLayer(
                    input_norm=layer.input_norm,
                    query_key_value=linear(torch.cat([layer.query, layer.key, layer.value]), rows),
                    query=linear(layer.query, few),
                    key_value=linear(torch.cat([layer.key, layer.value]), rows),
                    output=linear(layer.output, leaving),
                    mlp_norm=layer.mlp_norm,
                    gate_up=linear(torch.cat([layer.gate, layer.up]), leaving),
                    down=linear(layer.down, leaving),
                )
            )
        self.head = linear(weights.head, few)

    @torch.inference_mode()
    def answer(self) -> Answer:
        shape, answer = self.shape, Answer()
        embedding = self.weights.embedding
        embedded = torch.cat([self.weights.prompt, embedding[shape.mask].expand(shape.answer_rows, -1)])
        start = shape.prompt_rows
        masked = torch.arange(shape.answer_rows)
        answer.kept = list(range(shape.visual_rows))
        for step in range(shape.steps):
            clock = begun = time.perf_counter()
            probe = (
                torch.zeros(shape.answer_rows, shape.visual_rows)
                if step == 0 and self.ratio < 1.0
                else None
            )
            hidden = self.decode(embedded, masked + start, probe)
            rows, asking = len(embedded), len(masked)
            answer.flop += (shape.layers - 1) * layer_flop(shape, rows, rows)
            answer.flop += layer_flop(shape, rows, asking)
            if probe is not None:
                answer.flop += shape.layers * 2 * shape.answer_rows * rows * shape.hidden
            clock = answer.spent("decoder", clock)

            logits = self.head(hidden)
            answer.flop += head_flop(shape, asking)
            clock = answer.spent("head", clock)

            logits[:, shape.forbidden] = -math.inf
            best, guesses = logits.max(dim=-1)
            confidence = best - logits.logsumexp(dim=-1)
            chosen = confidence.topk(shape.commits(step)).indices.sort().values
            positions, tokens = masked[chosen], guesses[chosen]
            embedded[positions + start] = embedding[tokens]
            answer.commits.append(list(zip(positions.tolist(), tokens.tolist(), strict=True)))
            # A guess that is the mask itself uses up its turn and leaves the position masked.
            stays = torch.ones(asking, dtype=torch.bool)
            stays[chosen] = False
            unchosen = masked[stays]
            stays[chosen] = tokens == shape.mask
            masked = masked[stays]
            clock = answer.spent("ranking", clock)

            if probe is not None and len(unchosen) > 0:
                importance = probe[unchosen].mean(dim=0)
                count = shape.kept(self.ratio)
                kept = importance.topk(count).indices.sort().values
                answer.kept = kept.tolist()
                end = shape.visual_start + shape.visual_rows
                embedded = torch.cat(
                    [embedded[: shape.visual_start], embedded[kept + shape.visual_start], embedded[end:]]
                )
                start -= shape.visual_rows - count
                answer.spent("pruning", clock)
            answer.steps.append(time.perf_counter() - begun)
        return answer

    def decode(self, embedded: torch.Tensor, leaving: torch.Tensor, probe: torch.Tensor | None) -> torch.Tensor:
        """Final hidden rows of `leaving`; adds the answer rows' attention over all layers to `probe`."""
        shape = self.shape
        heads, size, hidden = shape.heads, shape.head_size, shape.hidden
        rows = len(embedded)
        cosine, sine = self.cosine[:rows], self.sine[:rows]
        x = embedded.clone()
        for number, layer in enumerate(self.layers):
            last = number + 1 == shape.layers
            normed = self.norm(x, layer.input_norm)
            if last:
                x = x[leaving]
                key_value = layer.key_value(normed).view(rows, 2 * heads, size)
                query = self.rotate(layer.query(normed[leaving]).view(-1, heads, size), cosine[leaving], sine[leaving])
                key, value = self.rotate(key_value[:, :heads], cosine, sine), key_value[:, heads:]
            else:
                fused = layer.query_key_value(normed).view(rows, 3 * heads, size)
                turned = self.rotate(fused[:, : 2 * heads], cosine, sine)
                query, key, value = turned[:, :heads], turned[:, heads:], fused[:, 2 * heads :]
            query, key, value = (t.transpose(0, 1)[None] for t in (query, key, value))
            if probe is not None:
                # In the first step every answer row is masked, so they are the last layer's queries too.
                scores = torch.matmul(query[0, :, -shape.answer_rows :], key[0].transpose(1, 2))
                attention = scores.mul_(size**-0.5).softmax(dim=-1)
                visual = slice(shape.visual_start, shape.visual_start + shape.visual_rows)
                probe += attention[:, :, visual].mean(dim=0)
            mixed = functional.scaled_dot_product_attention(query, key, value)
            x += layer.output(mixed[0].transpose(0, 1).reshape(-1, hidden))
            gate_up = layer.gate_up(self.norm(x, layer.mlp_norm))
            gated = functional.silu(gate_up[:, : shape.mlp]).mul_(gate_up[:, shape.mlp :])
            x += layer.down(gated)
        return self.norm(x, self.weights.final_norm)

    def norm(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, (self.shape.hidden,), scale, self.shape.norm_epsilon)

    @staticmethod
    def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        low, high = x[..., :half], x[..., half:]
        turned = torch.empty(x.shape)
        torch.mul(low, cosine, out=turned[..., :half]).addcmul_(high, sine, value=-1.0)
        torch.mul(high, cosine, out=turned[..., half:]).addcmul_(low, sine)
        return turned


Mode = Reference | WellWritten
MODES: dict[str, Callable[[Shape, Weights, float], Mode]] = {
    "reference": lambda shape, weights, _: Reference(shape, weights),
    "well-written": lambda shape, weights, _: WellWritten(shape, weights),
    "reference+prune": Reference,
    "well-written+prune": WellWritten,
    "packed": lambda shape, weights, _: WellWritten(shape, weights, linear=packed_linear),
    "packed+prune": lambda shape, weights, ratio: WellWritten(shape, weights, ratio, packed_linear),
}
DEFAULT_MODES = ["reference", "well-written", "reference+prune", "well-written+prune"]


def foveate_seconds(report: dict) -> dict[float, float]:
    """Seconds per answer by keep ratio, out of the report of `foveate bench --json`."""
    return {float(row["keep"]): float(row["answer_ms"]) / 1e3 for row in report["rows"]}


def run_foveate(binary: str, shape: str, ratio: float, threads: int) -> dict[float, float]:
    command = [binary, "bench", "--shape", shape, "--keep", f"1,{ratio:g}", "--prune", "redvtp"]
    command += ["--threads", str(threads), "--rounds", "1", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return foveate_seconds(json.loads(done.stdout))


@dataclass
class Result:
    """A mode over all rounds."""

    name: str
    #: Seconds per answer, one per round.
    seconds: list[float] = field(default_factory=list)
    #: Per round, seconds of each step; empty for another program.
    steps: list[list[float]] = field(default_factory=list)
    #: Processor seconds per answer over all threads: with one thread, what a quiet machine would take.
    processor: list[float] = field(default_factory=list)
    phases: list[dict[str, float]] = field(default_factory=list)
    forwards: int = 0
    flop: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    @property
    def floor(self) -> float | None:
        """The fastest round of each step, summed: what a busy machine disturbs least."""
        return float(numpy.array(self.steps).min(axis=0).sum()) if self.steps else None

    def summary(self) -> dict:
        phases = {}
        for name in self.phases[0] if self.phases else ():
            phases[name] = statistics.median(p[name] for p in self.phases)
        return {
            "mode": self.name,
            "median_s": self.median,
            "min_s": self.minimum,
            "floor_s": self.floor,
            "processor_s": statistics.median(self.processor) if self.processor else None,
            "seconds": self.seconds,
            "forwards": self.forwards,
            "gflop": self.flop / 1e9,
            "phases_s": phases,
        }


def ratios(results: dict[str, Result]) -> list[tuple[str, float]]:
    """Quotients of medians worth reading, those of modes that ran."""
    pairs = [
        ("well-written vs reference", "well-written", "reference"),
        ("packed vs reference", "packed", "reference"),
        ("packed vs well-written", "packed", "well-written"),
        ("reference: pruned vs plain", "reference+prune", "reference"),
        ("well-written: pruned vs plain", "well-written+prune", "well-written"),
        ("packed: pruned vs plain", "packed+prune", "packed"),
        ("foveate: plain vs reference", "foveate", "reference"),
        ("foveate: plain vs well-written", "foveate", "well-written"),
        ("foveate: plain vs packed", "foveate", "packed"),
        ("foveate: pruned vs own plain", "foveate+prune", "foveate"),
        ("foveate: pruned vs reference plain", "foveate+prune", "reference"),
    ]
    return [
        (label, results[slow].median / results[fast].median)
        for label, fast, slow in pairs
        if fast in results and slow in results
    ]


def measure(
    shape: Shape, names: list[str], ratio: float, rounds: int, threads: int, seed: int, foveate: str | None
) -> dict[str, Result]:
    """Runs every mode once per round, in turn, after one short warm-up each."""
    weights = Weights.random(shape, seed)
    modes = {name: MODES[name](shape, weights, ratio) for name in names}
    for name in names:
        # Two steps warm up the kernels and the allocator.
        warm = MODES[name](replace(shape, steps=2, answer_rows=4), weights, ratio)
        warm.answer()
    results = {name: Result(name) for name in names}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for name, mode in modes.items():
            clock, processor_clock = time.perf_counter(), time.process_time()
            answer = mode.answer()
            result = results[name]
            result.seconds.append(time.perf_counter() - clock)
            result.processor.append(time.process_time() - processor_clock)
            result.steps.append(answer.steps)
            result.phases.append(answer.phases)
            result.forwards, result.flop = len(answer.steps), answer.flop
        if foveate is not None:
            seconds = run_foveate(foveate, shape.name, ratio, threads)
            for name, keep in (("foveate", 1.0), ("foveate+prune", ratio)):
                result = results.setdefault(name, Result(name, forwards=shape.steps))
                result.seconds.append(seconds[keep])
    return results


def check(seed: int, ratio: float) -> None:
    """All modes write the same tokens in the same steps and keep the same visual rows."""
    for number in range(8):
        weights = Weights.random(TINY, seed + number)
        for prefix, pruned in (("", ""), ("+prune", " pruned")):
            expected = MODES["reference" + prefix](TINY, weights, ratio).answer()
            written = sum(len(step) for step in expected.commits)
            assert written == TINY.answer_rows, f"{written} tokens written"
            count = TINY.kept(ratio) if prefix else TINY.visual_rows
            assert len(expected.kept) == count, f"{len(expected.kept)} visual tokens kept"
            for name in ("well-written", "packed"):
                got = MODES[name + prefix](TINY, weights, ratio).answer()
                assert got.kept == expected.kept, f"seed {seed + number}: {name}{pruned} keeps other rows"
                assert got.commits == expected.commits, f"seed {seed + number}: {name}{pruned} writes other tokens"
    print("check: all modes write the same tokens and keep the same rows, 8 seeds")


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line for line in file if line.startswith("model name")]
        return lines[0].split(":", 1)[1].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def environment(threads: int) -> dict[str, str | int | list[float]]:
    return {
        "torch": torch.__version__,
        "processor": processor(),
        "cores": os.cpu_count() or 0,
        "threads": threads,
        "isa": torch.backends.cpu.get_cpu_capability(),
        "load": list(os.getloadavg()),
    }


def print_table(shape: Shape, machine: dict, results: dict[str, Result]) -> None:
    print(f"torch {machine['torch']} · {machine['processor']} · {machine['isa']} · {machine['threads']} threads")
    print(f"shape {shape.name}: {shape.rows} rows, {shape.answer_rows} tokens in {shape.steps} steps")
    print(f"{'seconds per answer':<20}{'median':>8}{'min':>8}{'floor':>8}{'cpu':>8}{'forwards':>10}{'GFLOP':>8}{'GFLOP/s':>9}")
    for result in results.values():
        floor = f"{result.floor:.2f}" if result.floor is not None else "–"
        spent = f"{statistics.median(result.processor):.2f}" if result.processor else "–"
        flop = f"{result.flop / 1e9:.0f}" if result.flop else "–"
        rate = f"{result.flop / 1e9 / result.median:.0f}" if result.flop else "–"
        print(
            f"{result.name:<20}{result.median:>8.2f}{result.minimum:>8.2f}{floor:>8}{spent:>8}"
            f"{result.forwards:>10}{flop:>8}{rate:>9}"
        )
    for result in results.values():
        phases = result.summary()["phases_s"]
        if phases:
            print(f"{result.name:<20}" + " · ".join(f"{name} {spent:.2f}" for name, spent in phases.items()))
    for label, quotient in ratios(results):
        print(f"{label:<36}{quotient:.2f}×")


def mode_list(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in MODES]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; there are {', '.join(MODES)}")
    return names


def keep_ratio(text: str) -> float:
    ratio = float(text)
    if not 0.0 < ratio < 1.0:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return ratio


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="mid")
    parser.add_argument(
        "--modes",
        type=mode_list,
        default=DEFAULT_MODES,
        metavar="NAMES",
        help=f"any of {', '.join(MODES)}; all but the packed ones by default",
    )
    parser.add_argument("--prune", type=keep_ratio, default=0.25, metavar="RATIO", help="visual tokens that the pruned modes keep")
    parser.add_argument("--threads", type=positive, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--foveate", metavar="BINARY", help="also run its `bench` in every round")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--check", action="store_true", help="only compare the modes on a tiny shape")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.check:
        check(arguments.seed, arguments.prune)
        return
    shape = SHAPES[arguments.shape]
    results = measure(
        shape,
        arguments.modes,
        arguments.prune,
        arguments.rounds,
        arguments.threads,
        arguments.seed,
        arguments.foveate,
    )
    machine = environment(arguments.threads)
    if arguments.json:
        report = {
            **machine,
            "shape": asdict(shape),
            "prune": arguments.prune,
            "modes": [result.summary() for result in results.values()],
            "ratios": dict(ratios(results)),
        }
        print(json.dumps(report, indent=2))
    else:
        print_table(shape, machine, results)


if __name__ == "__main__":
    main()
