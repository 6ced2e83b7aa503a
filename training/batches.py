"""Batches of tiny's training: pictures drawn and questions tokenized ahead, by worker processes.

A batch has pictures of one size and texts of one length. Workers write into memory they share with the trainer, one
batch a slot, so that nothing is copied between processes but slot numbers.
"""

import math
import mmap
import multiprocessing
import os
import random
import time
from dataclasses import dataclass

import numpy as np

from families.assets import Assets
from families.mixture import ONE_VIEW, TILED_SIZES, draw_picture
from families.picture import VIEW, Picture, Question
from text import TINY_TOKENIZER_PATH, Text
from tiling import views

PATCH = 14  # pixels
TEXT_LENGTHS, TEXT_WEIGHTS = [64, 128], [1, 2]  # tokens of a row, and how often
MOST_QUESTIONS = [1, 1, 1, 2, 3, 4, 5]
FILLER_WEIGHT = 0.05
FILLER_TURN = 6  # in `turns`; answers have 1 to 5
MOST_VIEWS = 5
TILED_PART = 2  # a batch of tiled pictures, which take more memory, has only so many times fewer


@dataclass
class Batch:
    """Pictures [n, views, side, side, 3]; token ids [n, length]; the turn that an answer token belongs to.

    Turn 0 is no answer, FILLER_TURN what is behind the last one. Then loss weights, patch classes [n, patches] of the
    first view, and the pictures' size before tiling, width and height in pixels.
    """

    images: np.ndarray
    ids: np.ndarray
    turns: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    size: tuple[int, int]
    questions: int


def patch_labels(picture: Picture) -> list[int]:
    """The class of what is nearest to every patch of the squashed picture, among the boxes that touch it."""
    side = VIEW // PATCH
    labels, nearest = [0] * side**2, [math.inf] * side**2
    across, down = VIEW / picture.image.width / PATCH, VIEW / picture.image.height / PATCH  # patches per pixel
    for left, top, right, bottom, patch_class in picture.boxes:
        left, top, right, bottom = left * across, top * down, right * across, bottom * down
        x, y = (left + right - 1) / 2, (top + bottom - 1) / 2
        for row in range(max(0, int(top)), min(side, int(bottom) + 1)):
            for column in range(max(0, int(left)), min(side, int(right) + 1)):
                far, place = (row - y) ** 2 + (column - x) ** 2, row * side + column
                if far < nearest[place]:
                    nearest[place], labels[place] = far, patch_class
    return labels


def pack_turns(rng: random.Random, text: Text, asked: list[Question], length: int):
    """A conversation of some of the questions: ids, turns and weights of `length` tokens, and how many questions.

    The prompt before the picture is not in it. The last answer is filled up with <|eot_id|>, as at inference.
    """
    before, _ = text.prompt("")
    ids, turns, weights = [], [], []
    most = rng.choice(MOST_QUESTIONS)
    count = 0
    for question in rng.sample(asked, len(asked)):
        prompt = text.prompt(question.text)[1]
        if count:
            prompt = before[1:] + prompt  # the user's header again, without the token that begins a sequence
        answer = text.encode(question.answer) + [text.end_id]
        if len(ids) + len(prompt) + len(answer) > length:
            continue
        count += 1
        ids += prompt + answer
        turns += [0] * len(prompt) + [count] * len(answer)
        weights += [0.0] * len(prompt) + [1.0] * len(answer)
        if count == most:
            break
    filler = length - len(ids)
    return ids + [text.end_id] * filler, turns + [FILLER_TURN] * filler, weights + [FILLER_WEIGHT] * filler, count


class Maker:
    """Draws batches."""

    def __init__(self, seed: int, count: int):
        self.rng = random.Random(seed)
        self.count = count
        self.assets, self.text = Assets("train"), Text(TINY_TOKENIZER_PATH)

    def fill(self, slot: dict[str, np.ndarray], tiled: bool) -> tuple:
        """Writes a batch into a slot; returns what else `read` needs."""
        pictures = self.count // TILED_PART if tiled else self.count
        size = self.rng.choice(TILED_SIZES) if tiled else ONE_VIEW
        length = self.rng.choices(TEXT_LENGTHS, TEXT_WEIGHTS)[0]
        questions, count = 0, 1
        for index in range(pictures):
            asked = 0
            while not asked:  # a long answer may not fit
                picture = draw_picture(self.rng, self.assets, size)
                ids, turns, weights, asked = pack_turns(self.rng, self.text, picture.questions, length)
            seen = views(picture.image, VIEW, tiled)
            count = len(seen)
            slot["images"][index, :count] = seen
            slot["ids"][index, :length], slot["turns"][index, :length] = ids, turns
            slot["weights"][index, :length] = weights
            slot["labels"][index] = patch_labels(picture)
            questions += asked
        return size, length, pictures, count, questions


def new_slot(count: int, most_views: int) -> dict[str, np.ndarray]:
    """Memory for a batch, shared with processes forked later."""
    longest, patches = max(TEXT_LENGTHS), (VIEW // PATCH) ** 2
    shapes = {
        "images": ((count, most_views, VIEW, VIEW, 3), np.uint8),
        "ids": ((count, longest), np.int16),
        "turns": ((count, longest), np.int8),
        "weights": ((count, longest), np.float32),
        "labels": ((count, patches), np.int16),
    }
    sizes = {name: int(np.prod(shape)) * np.dtype(kind).itemsize for name, (shape, kind) in shapes.items()}
    return {
        name: np.frombuffer(mmap.mmap(-1, sizes[name]), kind).reshape(shape) for name, (shape, kind) in shapes.items()
    }


def read(slot: dict[str, np.ndarray], told: tuple) -> Batch:
    """The batch in a slot, as views of its memory."""
    size, length, pictures, count, questions = told
    texts = (slot[name][:pictures, :length] for name in ("ids", "turns", "weights"))
    return Batch(slot["images"][:pictures, :count], *texts, slot["labels"][:pictures], size, questions)


def work(seed: int, count: int, slots: list, tiled, free, full) -> None:
    """A worker: fills free slots for ever."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    maker = Maker(seed, count)
    while True:
        index = free.get()
        is_tiled = bool(tiled.value)
        full.put((index, is_tiled, maker.fill(slots[index], is_tiled)))


class Batches:
    """Endless batches of `count` pictures; `workers` 0 draws them when they are asked for.

    Make it before anything starts threads or CUDA: workers are forked.
    """

    def __init__(self, count: int, workers: int, seed: int, tiled: bool = False):
        slots = workers + 3 if workers else 1
        self.slots = [new_slot(count, MOST_VIEWS) for _ in range(slots)]
        self.held: int | None = None
        self.maker = None if workers else Maker(seed, count)
        self.inline_tiled = tiled
        if workers:
            context = multiprocessing.get_context("fork")
            self.free, self.full = context.SimpleQueue(), context.SimpleQueue()  # these start no threads
            self.tiled = context.Value("b", tiled)
            for index in range(slots):
                self.free.put(index)
            self.workers = []
            for worker in range(workers):
                arguments = (seed + worker, count, self.slots, self.tiled, self.free, self.full)
                self.workers.append(context.Process(target=work, args=arguments, daemon=True))
                self.workers[-1].start()

    def wait(self) -> None:
        """Returns when there is a batch; raises if a worker has ended, for the others may wait for it for ever."""
        while self.full.empty():
            for worker in self.workers:
                if not worker.is_alive():
                    raise RuntimeError(
                        f"a worker that draws pictures ended with code {worker.exitcode}: see its error above; "
                        "-9 means that it was killed, as for want of memory: use fewer --workers"
                    )
            time.sleep(0.002)

    def next(self, tiled: bool) -> Batch:
        """The next batch; the call after this one overwrites it."""
        if self.maker:
            return read(self.slots[0], self.maker.fill(self.slots[0], tiled))
        self.tiled.value = tiled
        if self.held is not None:
            self.free.put(self.held)
        while True:
            self.wait()
            self.held, was_tiled, told = self.full.get()
            if was_tiled or not tiled:  # those drawn before tiling began are dropped
                return read(self.slots[self.held], told)
            self.free.put(self.held)
