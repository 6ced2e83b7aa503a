"""LLaDA-V's architecture in plain PyTorch, at the sizes of foveate-nano and foveate-tiny.

Module names follow the checkpoint's tensor names, so that the export is a plain state dict.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    """Sizes of the model; nano's unless said otherwise."""

    vocabulary_size: int
    hidden_size: int = 128
    intermediate_size: int = 256
    layers: int = 3
    heads: int = 4
    rope_theta: float = 1000.0
    rms_norm_epsilon: float = 1e-5
    vision_hidden_size: int = 96
    vision_intermediate_size: int = 288
    vision_layers: int = 3  # stored and used; the tower's config.json says one more
    vision_heads: int = 4
    vision_layer_norm_epsilon: float = 1e-6
    image_size: int = 60  # pixels
    patch_size: int = 10
    tiled: bool = False  # anyres views beside the whole picture (tiling.py)
    most_views: int = 2  # `anyres_max_N`: the map of tiles is shrunk to about so many views' worth

    @property
    def visual_tokens(self) -> int:
        """Of one view."""
        return (self.image_size // self.patch_size) ** 2


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[batch, length, width] to [batch, heads, length, width / heads]."""
    batch, length, width = x.shape
    return x.view(batch, length, heads, width // heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """The inverse of `split_heads`."""
    batch, heads, length, width = x.shape
    return x.transpose(1, 2).reshape(batch, length, heads * width)


class VisionAttention(nn.Module):
    """Self-attention of SigLIP."""

    def __init__(self, config: Config):
        super().__init__()
        width = config.vision_hidden_size
        self.heads = config.vision_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(project(x), self.heads) for project in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(merge_heads(F.scaled_dot_product_attention(q, k, v)))


class VisionMlp(nn.Module):
    """Two linear layers around a tanh-GELU."""

    def __init__(self, config: Config):
        super().__init__()
        self.fc1 = nn.Linear(config.vision_hidden_size, config.vision_intermediate_size)
        self.fc2 = nn.Linear(config.vision_intermediate_size, config.vision_hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class VisionLayer(nn.Module):
    """A pre-norm encoder layer of SigLIP."""

    def __init__(self, config: Config):
        super().__init__()
        self.layer_norm1, self.layer_norm2 = (
            nn.LayerNorm(config.vision_hidden_size, eps=config.vision_layer_norm_epsilon) for _ in range(2)
        )
        self.self_attn = VisionAttention(config)
        self.mlp = VisionMlp(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class VisionModel(nn.Module):
    """Patch and position embeddings and the layers; no final norm, as LLaDA-V uses the tower."""

    def __init__(self, config: Config):
        super().__init__()
        width = config.vision_hidden_size
        self.embeddings = nn.Module()
        self.embeddings.patch_embedding = nn.Conv2d(3, width, config.patch_size, config.patch_size)
        self.embeddings.position_embedding = nn.Embedding(config.visual_tokens, width)
        nn.init.normal_(self.embeddings.position_embedding.weight, std=0.02)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.vision_layers))

    def forward(self, images: Tensor) -> Tensor:
        """uint8 images [batch, height, width, 3] to patch features [batch, visual tokens, width]."""
        pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1
        x = self.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        x = x + self.embeddings.position_embedding.weight
        for layer in self.encoder.layers:
            x = layer(x)
        return x


def rotary_tables(config: Config, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [length, head size], halves repeated."""
    head_size = config.hidden_size // config.heads
    frequencies = config.rope_theta ** (-torch.arange(0, head_size, 2, device=device).float() / head_size)
    angles = torch.arange(length, device=device).float()[:, None] * frequencies
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary embedding with split halves."""
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine


def taken(x: Tensor, places: Tensor | None) -> Tensor:
    """Rows [batch, count, width] of x [batch, length, width], or all."""
    return x if places is None else x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))


class LanguageAttention(nn.Module):
    """Bidirectional rotary self-attention without biases."""

    def __init__(self, config: Config):
        super().__init__()
        self.heads = config.heads
        width = config.hidden_size
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], key_mask: Tensor | None, places: Tensor | None = None
    ) -> Tensor:
        """Of all positions, or of those that `places` [batch, count] names."""
        q = split_heads(self.q_proj(taken(x, places)), self.heads)
        k, v = (split_heads(project(x), self.heads) for project in (self.k_proj, self.v_proj))
        there = rotary if places is None else tuple(table[places][:, None] for table in rotary)
        q, k = rotate(q, *there).to(v.dtype), rotate(k, *rotary).to(v.dtype)
        return self.o_proj(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=key_mask)))


class LanguageMlp(nn.Module):
    """SwiGLU."""

    def __init__(self, config: Config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class LanguageLayer(nn.Module):
    """A pre-norm decoder layer of LLaMA, without the causal mask."""

    def __init__(self, config: Config):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = (
            nn.RMSNorm(config.hidden_size, eps=config.rms_norm_epsilon) for _ in range(2)
        )
        self.self_attn = LanguageAttention(config)
        self.mlp = LanguageMlp(config)

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], key_mask: Tensor | None, places: Tensor | None = None
    ) -> Tensor:
        """Of all positions, or of those that `places` [batch, count] names."""
        x = taken(x, places) + self.self_attn(self.input_layernorm(x), rotary, key_mask, places)
        return x + self.mlp(self.post_attention_layernorm(x))


class Foveate(nn.Module):
    """Vision tower, projector and masked-diffusion language model."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        body = self.model = nn.Module()
        body.vision_tower = nn.Module()
        body.vision_tower.vision_tower = nn.Module()
        body.vision_tower.vision_tower.vision_model = VisionModel(config)
        body.mm_projector = nn.Sequential(
            nn.Linear(config.vision_hidden_size, config.hidden_size),
            nn.GELU(),
            nn.Linear(config.hidden_size, config.hidden_size),
        )
        body.image_newline = nn.Parameter(torch.zeros(config.hidden_size), requires_grad=config.tiled)
        body.embed_tokens = nn.Embedding(config.vocabulary_size, config.hidden_size)
        nn.init.normal_(body.embed_tokens.weight, std=0.02)
        body.layers = nn.ModuleList(LanguageLayer(config) for _ in range(config.layers))
        body.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_epsilon)
        self.lm_head = nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)

    def patch_features(self, images: Tensor) -> Tensor:
        """Output of the vision tower, [batch, visual tokens, vision width]."""
        return self.model.vision_tower.vision_tower.vision_model(images)

    def hidden_states(
        self, before: Tensor, visual: Tensor, after: Tensor, after_mask: Tensor | None = None
    ) -> Tensor:
        """Normed states of the `after` positions of [before ids, visual tokens, after ids].

        `after_mask` is false at padding, which no position attends to.
        """
        embed = self.model.embed_tokens
        x = torch.cat([embed(before).expand(len(after), -1, -1), visual, embed(after)], 1)
        start = before.shape[-1] + visual.shape[1]
        key_mask = None
        if after_mask is not None:
            key_mask = F.pad(after_mask, (start, 0), value=True)[:, None, None, :]
        rotary = rotary_tables(self.config, x.shape[1], x.device)
        for layer in self.model.layers:
            x = layer(x, rotary, key_mask)
        return self.model.norm(x[:, start:])

    def states_at(self, places: Tensor, ids: Tensor, rows: Tensor, present: Tensor) -> Tensor:
        """Normed states at `places` [batch, count] of sequences [batch, length] of texts and pictures mixed.

        An id from the vocabulary's size on is a row of `rows` [count, hidden]. `present` is false at padding, which
        no position attends to.
        """
        x = F.embedding(ids, torch.cat([self.model.embed_tokens.weight, rows]))
        rotary = rotary_tables(self.config, x.shape[1], x.device)
        *layers, last = self.model.layers
        for layer in layers:
            x = layer(x, rotary, present[:, None, None, :])
        return self.model.norm(last(x, rotary, present[:, None, None, :], places))


class PatchHead(nn.Module):
    """Auxiliary head on nano's vision tower, dropped at export: what does the patch show?"""

    def __init__(self, config: Config, classes: int):
        super().__init__()
        self.sizes = [classes, 10, 10]
        self.linear = nn.Linear(config.vision_hidden_size, sum(self.sizes))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Loss over class, tens digit and units digit of every patch."""
        outputs = self.linear(features).flatten(0, 1).split(self.sizes, -1)
        losses = []
        for scores, targets in zip(outputs, labels.flatten(0, 1).T):
            known = (targets >= 0).sum().clamp(min=1)
            losses.append(F.cross_entropy(scores, targets, ignore_index=-100, reduction="sum") / known)
        return losses[0] + 0.5 * (losses[1] + losses[2])


@torch.no_grad()
def generate(
    model: Foveate,
    visual: Tensor,
    before: Tensor,
    after: Tensor,
    mask_id: int,
    end_id: int,
    forbidden_ids: list[int],
    length: int = 32,
    steps: int = 16,
    watch: Callable[..., None] | None = None,
) -> list[list[int]]:
    """LLaDA-V's greedy low-confidence unmasking of one block, for prompts of equal length.

    Every step fills the most confident masked positions before the first <|eot_id|> known so far.
    Returns the ids before it. `watch` is told, of every step, the unfinished rows' raw logits, best tokens and
    confidences, and all canvases after it.
    """
    batch, prompt = after.shape
    canvas = torch.full((batch, length), mask_id, device=after.device)
    positions = torch.arange(length, device=after.device)
    for step in range(steps):
        quota = length // steps + (step < length % steps)
        stops = torch.where(canvas == end_id, positions, length).min(1).values
        open_positions = (canvas == mask_id) & (positions < stops[:, None])
        rows = open_positions.any(1).nonzero()[:, 0]  # the others are finished
        if not len(rows):
            break
        states = model.hidden_states(before, visual[rows], torch.cat([after[rows], canvas[rows]], 1))[:, prompt:]
        raw = model.lm_head(states)
        logits = raw.double()
        logits[..., forbidden_ids] = -math.inf
        confidence, tokens = logits.softmax(-1).max(-1)
        confidence = confidence.masked_fill(~open_positions[rows], -1)
        chosen = torch.zeros_like(confidence, dtype=torch.bool).scatter(1, confidence.topk(quota).indices, True)
        canvas[rows] = torch.where(chosen & open_positions[rows], tokens, canvas[rows])
        if watch:
            watch(raw, tokens, confidence, canvas.clone())
    answers = []
    for row in canvas.tolist():
        answers.append(row[: row.index(end_id)] if end_id in row else row)
    return answers
