"""What the published Python code does at every denoising step."""

from __future__ import annotations

import math
import time

import torch
from torch.nn import functional

from decoder.shape import Answer, Shape, Weights, head_flop, layer_flop, rotary_angles


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
