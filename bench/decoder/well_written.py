"""The same answer from the work it needs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from decoder.shape import Answer, Shape, Weights, head_flop, layer_flop, rotary_angles

Linear = Callable[[torch.Tensor], torch.Tensor]


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
