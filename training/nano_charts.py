"""Bar charts for nano: two to four coloured bars."""

import random

import numpy as np

from questions import CAPTION_QUESTION, COUNT_WORDS, Asked
from scenes import COLORS, IMAGE_SIZE

LOWEST, HIGHEST = 6, 50  # pixels
APART = 5  # pixels by which bars differ at least


def heights(rng: random.Random, count: int) -> list[int]:
    """Heights of bars, pixels."""
    while True:
        found = [rng.randint(LOWEST, HIGHEST) for _ in range(count)]
        ordered = sorted(found)
        if all(upper - lower >= APART for lower, upper in zip(ordered, ordered[1:])):
            return found


def draw_chart(rng: random.Random, ground: np.ndarray) -> tuple[np.ndarray, list[Asked], Asked]:
    """Bars on a picture uint8 [height, width, 3], questions about them, and what is asked for a caption."""
    count = rng.choice([2, 3, 3, 4])
    names, tall = rng.sample(list(COLORS), count), heights(rng, count)
    width = rng.randint(7, min(14, 52 // count - 2))
    gap = rng.randint(2, max(2, (54 - count * width) // count))
    left = rng.randint(3, IMAGE_SIZE - 2 - count * (width + gap))
    floor = rng.randint(HIGHEST + 4, IMAGE_SIZE - 3)
    image = ground.copy()
    shade = [rng.randint(30, 90)] * 3
    fill(image, (left - 2, floor), (left + count * (width + gap), floor + 1), shade)
    if rng.random() < 0.6:
        fill(image, (left - 2, floor - HIGHEST), (left - 1, floor), shade)
    for place, (name, height) in enumerate(zip(names, tall)):
        start = left + place * (width + gap) + gap // 2
        fill(image, (start, floor - height), (start + width, floor), COLORS[name])
    return image, ask(rng, names, tall), caption(names)


def fill(image: np.ndarray, begin: tuple[int, int], end: tuple[int, int], color) -> None:
    """Colours a rectangle between two corners (x, y), in 60ths of a side."""
    height, width = image.shape[:2]
    left, right = (x * width // IMAGE_SIZE for x in (begin[0], end[0]))
    top, bottom = (y * height // IMAGE_SIZE for y in (begin[1], end[1]))
    image[top : max(bottom, top + 1), left : max(right, left + 1)] = color


def ask(rng: random.Random, names: list[str], tall: list[int]) -> list[Asked]:
    """(family, question, answer) triples of every kind."""
    one, other = rng.sample(range(len(names)), 2)
    asked = [
        (f"Which bar is the {rng.choice(['tallest', 'highest'])}?", names[tall.index(max(tall))]),
        (f"Which bar is the {rng.choice(['shortest', 'lowest'])}?", names[tall.index(min(tall))]),
        (f"Is the {names[one]} bar taller than the {names[other]} bar?", "yes" if tall[one] > tall[other] else "no"),
        ("How many bars are there?", COUNT_WORDS[len(names)]),
    ]
    return [("chart", *pair) for pair in asked]


def caption(names: list[str]) -> Asked:
    """What a chart shows, said from left to right."""
    return "chart-caption", CAPTION_QUESTION, "; ".join(f"{name} bar" for name in names)
