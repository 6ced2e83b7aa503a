"""How foveate-tiny learns, from scratch, on a GPU or (slowly) on a CPU.

First the vision tower alone learns what every patch shows; then the whole model learns to answer by LLaDA's masked
diffusion, first about one view of the picture, then, in the last part of the time, about tiled pictures. A sequence
is a conversation of up to five questions about one picture, every answer masked at a ratio of its own.
"""

import argparse
import random
import time
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asking import ask, mean_scores
from batches import FILLER_TURN, Batch, Batches
from configs import tiny
from families.assets import Assets
from families.mixture import ONE_VIEW, TILED_SIZES, draw_picture
from families.picture import CHARACTERS, PATCH_CLASS_COUNT, PATCH_CLASSES
from model import Foveate
from text import TINY_TOKENIZER_PATH, Text
from trainer import Trainer
from visual import tile_map, tower_rows, visual_tokens

EMA_DECAY = 0.99  # every AVERAGE_EVERY steps
BACKGROUND_WEIGHT = 0.05  # of patches that show nothing
VALIDATION_SEED = 999_983


class PatchLoss(nn.Module):
    """Auxiliary losses on the vision side, dropped at export: a patch's class, and the words for it.

    The second pulls a visual token towards the embeddings of the words for what it shows, so that the language model
    need not discover which picture content goes with which word.
    """

    def __init__(self, width: int, text: Text):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, PATCH_CLASS_COUNT)
        names = [*PATCH_CLASSES, *CHARACTERS]
        words = sorted({word for name in names for word in name.split()})
        pairs = [(word, text.encode(prefix + word)) for word in words for prefix in ("", " ")]
        pairs = [(word, ids[0]) for word, ids in pairs if len(ids) == 1]
        table = torch.tensor([[float(word in name.split()) for word, _ in pairs] for name in names])
        self.register_buffer("word_ids", torch.tensor([token for _, token in pairs]), persistent=False)
        self.register_buffer("word_table", table, persistent=False)

    def forward(self, features: Tensor, visual: Tensor, labels: Tensor, embedding: nn.Embedding) -> Tensor:
        """Of tower rows and visual tokens of the first view, [batch, patches, …], and its classes."""
        weights = torch.where(labels > 0, 1.0, BACKGROUND_WEIGHT)
        losses = F.cross_entropy(
            self.linear(self.norm(features)).float().flatten(0, 1), labels.flatten(), reduction="none"
        )
        classes = (losses * weights.flatten()).sum() / weights.sum()
        some = slice(None, None, 4)  # a quarter of the pictures is enough
        scores = visual[some] @ embedding(self.word_ids).T.to(visual.dtype) - 3
        naming = F.binary_cross_entropy_with_logits(scores.float(), self.word_table[labels[some]], reduction="none")
        return classes + 4 * (naming.mean(-1) * weights[some]).sum() / weights[some].sum()


def masked(turns: Tensor) -> Tensor:
    """LLaDA's masking, every answer and the filler at a ratio of its own.

    Answers' ratios are biased high, and half of them are one. In two fifths of the rows all is hidden, as decoding
    begins. Filler is written before the answer, so it has to be seen without.
    """
    ratios = torch.rand(len(turns), FILLER_TURN + 1, device=turns.device)
    ratios[:, :FILLER_TURN] = ratios[:, :FILLER_TURN].sqrt().clamp(min=0.1)
    whole = torch.rand_like(ratios) < 0.5
    whole[:, FILLER_TURN] = False
    whole |= torch.rand_like(ratios[:, :1]) < 0.4
    ratios = torch.where(whole, 1.0, ratios)
    return (torch.rand(turns.shape, device=turns.device) < ratios.gather(1, turns)) & (turns > 0)


def varied(images: Tensor) -> Tensor:
    """Pictures with noise, a change of brightness and a light blur or sharpening, each by a random amount; float."""
    count, device = len(images), images.device
    amounts = torch.rand(4, count, 1, 1, 1, 1, device=device)
    x = images.float()
    for axis in (2, 3):
        sides = torch.roll(x, 1, axis) + torch.roll(x, -1, axis) - 2 * x
        x = x + (0.2 * amounts[0] - 0.05) * sides
    x = x * (0.85 + 0.3 * amounts[1])
    return (x + 8 * amounts[2] * (amounts[3] < 0.5) * torch.randn_like(x[..., :1])).clamp(0, 255)


def residual_zero(model: Foveate) -> None:
    """Starts every layer as the identity."""
    for name, parameter in model.named_parameters():
        if name.endswith(("out_proj.weight", "fc2.weight", "o_proj.weight", "down_proj.weight")):
            nn.init.zeros_(parameter)


class TinyTrainer(Trainer):
    """Tiny's model and steps."""

    PROGRESS = (*Trainer.PROGRESS, "tiled_steps")
    AVERAGE_EVERY = 4
    FINAL_EVALUATION, CURVE_EVALUATION = 40, 10

    def __init__(self, options: argparse.Namespace):
        cuda = torch.cuda.is_available() if options.device == "auto" else options.device == "cuda"
        self.count = options.images_per_step or (512 if cuda else 16)
        self.batches = Batches(self.count, options.workers, seed=int(time.time()) * 64 % 2**31)  # before CUDA starts
        torch.manual_seed(0)
        self.device = "cuda" if cuda else "cpu"
        text = Text(TINY_TOKENIZER_PATH)
        model = Foveate(tiny(text.vocabulary_size)).to(self.device)
        residual_zero(model)
        self.tiled_steps, self.waited = 0, 0.0  # count, seconds
        super().__init__(
            options, model, PatchLoss(model.config.vision_hidden_size, text).to(self.device), text, EMA_DECAY
        )
        torch.manual_seed(self.step + int(time.time()))
        self.before = torch.tensor([text.prompt("")[0]], device=self.device)
        self.stream = torch.cuda.Stream() if cuda else None
        self.ahead: tuple[Batch, dict[str, Tensor]] | None = None
        if cuda:
            torch.backends.cuda.matmul.allow_tf32 = True
        if options.compile:
            torch._dynamo.config.suppress_errors = True  # what cannot be compiled runs as it is
            for layer in (*model.model.layers, *model.model.vision_tower.vision_tower.vision_model.encoder.layers):
                layer.forward = torch.compile(layer.forward)
        print(f"{sum(parameter.numel() for parameter in model.parameters())} parameters on {self.device}", flush=True)

    @property
    def is_tiled(self) -> bool:
        """Whether the time for tiled pictures has come."""
        return self.elapsed > (1 - self.options.tiled_share) * self.options.minutes * 60

    def note(self) -> str:
        return f", {self.waited:.0f} s spent waiting for pictures"

    def load_batch(self) -> tuple[Batch, dict[str, Tensor]]:
        """The next batch, on the device. On a GPU it is copied while earlier steps still run."""
        begin = time.time()
        batch = self.batches.next(self.is_tiled)
        self.waited += time.time() - begin
        kinds = {"labels": torch.long, "ids": torch.long, "turns": torch.long, "weights": torch.float32}
        with torch.cuda.stream(self.stream) if self.stream else nullcontext():
            tensors = {name: torch.from_numpy(getattr(batch, name)).to(self.device) for name in ("images", *kinds)}
            return batch, {name: value.to(kinds.get(name, value.dtype)) for name, value in tensors.items()}

    def take_batch(self) -> tuple[Batch, dict[str, Tensor]]:
        """What `load_batch` loaded during the last step."""
        batch, tensors = self.ahead or self.load_batch()
        self.ahead = None
        if self.stream:
            torch.cuda.current_stream().wait_stream(self.stream)
            for value in tensors.values():
                value.record_stream(torch.cuda.current_stream())
        return batch, tensors

    def answer_loss(self, ids: Tensor, turns: Tensor, weights: Tensor, visual: Tensor) -> Tensor:
        """Mean cross-entropy of the masked answer tokens, filler counting less."""
        hidden = masked(turns)
        states = self.model.hidden_states(self.before, visual, torch.where(hidden, self.text.mask_id, ids))
        losses = F.cross_entropy(self.model.lm_head(states[hidden]).float(), ids[hidden], reduction="none")
        return (losses * weights[hidden]).sum() / weights[hidden].sum().clamp(min=1)

    def train_step(self) -> tuple[Tensor, Tensor]:
        vision_only = self.elapsed < self.options.vision_minutes * 60
        self.set_rates()
        batch, on = self.take_batch()
        layout = tile_map(batch.size, self.model.config, batch.images.shape[1] > 1, self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            features = tower_rows(self.model, varied(on["images"]))
            visual = visual_tokens(self.model, features, layout)
            first = visual[:, : features.shape[2]]
            patch = self.head(features[:, 0], first, on["labels"], self.model.model.embed_tokens)
            answer = torch.zeros((), device=self.device)
            if not vision_only:
                answer = self.answer_loss(on["ids"], on["turns"], on["weights"], visual)
        share = self.elapsed / 60 / self.options.minutes
        patch_weight = 1.0 if vision_only else max(0.1, 0.6 - share)
        (answer + patch_weight * patch).backward()
        self.images += len(on["images"])
        self.questions += 0 if vision_only else batch.questions
        self.tiled_steps += layout.views > 1
        if self.stream:
            self.ahead = self.load_batch()
        self.apply_gradients()
        if self.options.stop_after and self.step >= self.options.stop_after:
            self.elapsed = self.options.minutes * 60
        return answer.detach(), patch.detach()

    def evaluate(self, per_family: int) -> dict[str, float]:
        """On pictures of a fixed seed made of training material; the frozen set is left alone."""
        model = Foveate(self.model.config).to(self.device).eval()
        model.load_state_dict(self.average)
        rng, assets = random.Random(VALIDATION_SEED), Assets("train")
        rows, seen, size = [], {}, TILED_SIZES[0] if self.is_tiled else ONE_VIEW
        for _ in range(30 * per_family):
            picture = draw_picture(rng, assets, size)
            for question in picture.questions:
                if seen.setdefault(question.family, 0) < per_family:
                    seen[question.family] += 1
                    rows.append((picture.image, question))
        said = ask(model, self.text, [(image, question.text) for image, question in rows], self.is_tiled)
        return mean_scores([question for _, question in rows], said)
