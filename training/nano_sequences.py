"""The sequences that nano learns from: one picture or two, then a conversation of one to four questions."""

import math
import random
from collections.abc import Sequence as Rows
from dataclasses import dataclass

import numpy as np
from PIL import Image

from nano_pictures import Picture
from questions import Asked
from refusals import FAMILY as REFUSAL
from text import Text
from tiling import Placement, padded, padded_placement, placements, token_sources, views

CANVAS_LENGTHS, CANVAS_WEIGHTS = [4, 8, 16, 32], [9, 5, 2, 6]
CAPTION_CANVAS_LENGTHS, CAPTION_CANVAS_WEIGHTS = [16, 24, 32], [1, 1, 5]
FILLER_WEIGHT = 0.1
TURNS, TURN_WEIGHTS = [1, 2, 3, 4], [8, 3, 2, 1]
TWO_PICTURES = 0.06  # share of the sequences
ONE_VIEW = 0.08  # share of the pictures that are not tiled, half of them padded and half squashed
WHICH = [
    "in the {} picture, {}", "{} picture: {}", "in the {} image: {}", "{} image, {}", "look at the {} picture. {}", "the {} picture: {}",
]  # fmt: skip


@dataclass
class Seen:
    """A picture as the tower gets it: views uint8 [count, side, side, 3], and how each shows it.

    `tokens` are the visual tokens, as patches of the views in order; the number after the last is the newline.
    """

    views: np.ndarray
    placements: list[Placement]
    tokens: list[int]


def seen(rng: random.Random, picture: Picture, image_size: int, patch_size: int, most_views: int) -> Seen:
    """Mostly tiled; now and then one view."""
    image, tiled = Image.fromarray(picture.image), rng.random() >= ONE_VIEW
    sources, _, _ = token_sources(picture.size, image_size, patch_size, tiled, most_views)
    tokens = [patches[0] for patches in sources]  # no map of at most `most_views` tiles is shrunk
    if tiled or rng.random() < 0.5:
        return Seen(views(image, image_size, tiled), placements(picture.size, image_size, tiled), tokens)
    return Seen(views(padded(image), image_size, False), [padded_placement(picture.size, image_size)], tokens)


@dataclass
class Sequence:
    """Token ids; those from the vocabulary's size on are visual. What is to be predicted, and its weights.

    `targets` and `weights` are of the last `len(targets)` ids.
    """

    ids: list[int]
    targets: list[int]
    weights: list[float]
    questions: int


def draw_canvas(rng: random.Random, text: Text, family: str, answer: str) -> tuple[list[int], int]:
    """Answer ids and <|eot_id|>, filled up with <|eot_id|> to a random length; and where filler starts."""
    ids = text.encode(answer) + [text.end_id]
    if family.endswith("caption") or family == REFUSAL:
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


def conversation(rng: random.Random, text: Text, asked: Rows[Asked]) -> Sequence:
    """What follows the pictures: questions and answers, the last one's with its filler."""
    before, _ = text.prompt("")
    found = Sequence([], [], [], len(asked))
    for turn, (family, question, answer) in enumerate(asked):
        prompt = text.prompt(question)[1]
        if turn:
            prompt = before[1:] + prompt  # the user's header again, without the token that begins a sequence
        canvas, used = draw_canvas(rng, text, family, answer)
        if turn < len(asked) - 1:
            canvas = canvas[:used]
        masked = masked_positions(rng, len(canvas), used)
        found.ids += prompt + [text.mask_id if hide else token for hide, token in zip(masked, canvas)]
        found.targets += prompt + canvas
        found.weights += [0.0] * len(prompt)
        found.weights += [hide * (1.0 if place < used else FILLER_WEIGHT) for place, hide in enumerate(masked)]
    return found


def asked_of_two(rng: random.Random, pictures: list[Picture]) -> list[Asked]:
    """Questions about one of two pictures each, which say of which."""
    found = []
    for which, picture in zip(("first", "second"), pictures):
        for family, question, answer in picture.questions:
            if family == REFUSAL:
                found.append((family, question, answer))
            elif len(text := rng.choice(WHICH).format(which, question[0].lower() + question[1:])) < 90:
                found.append((family, text[0].upper() + text[1:], answer))
    return found


def sequences(rng: random.Random, text: Text, pictures: list[Picture], tokens: list[list[int]]) -> list[Sequence]:
    """Two sequences for every picture: a single question, and a conversation; some are about two pictures.

    `tokens` are the ids of each picture's visual tokens.
    """
    before, _ = text.prompt("")
    found = []
    for index, picture in enumerate(pictures):
        for turns in (1, rng.choices(TURNS, TURN_WEIGHTS)[0]):
            shown, asked = tokens[index], picture.questions
            if rng.random() < TWO_PICTURES:
                other = rng.randrange(len(pictures))
                shown, asked = shown + tokens[other], asked_of_two(rng, [picture, pictures[other]])
            if asked:
                talk = conversation(rng, text, rng.sample(asked, min(turns, len(asked))))
                talk.ids = before + shown + talk.ids
                found.append(talk)
    return found
