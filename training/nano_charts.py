"""Bar charts for nano: two to four coloured bars."""

import random

import numpy as np

from questions import COUNT_WORDS
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


def draw_chart(rng: random.Random, ground: np.ndarray) -> tuple[np.ndarray, list[tuple[str, str, str]]]:
    """Bars on a picture uint8 [60, 60, 3], and questions about them."""
    count = rng.choice([2, 3, 3, 4])
    names, tall = rng.sample(list(COLORS), count), heights(rng, count)
    width = rng.randint(7, min(14, 52 // count - 2))
    gap = rng.randint(2, max(2, (54 - count * width) // count))
    left = rng.randint(3, IMAGE_SIZE - 2 - count * (width + gap))
    floor = rng.randint(HIGHEST + 4, IMAGE_SIZE - 3)
    image = ground.copy()
    shade = [rng.randint(30, 90)] * 3
    image[floor, left - 2 : left + count * (width + gap)] = shade
    if rng.random() < 0.6:
        image[floor - HIGHEST : floor, left - 2] = shade
    for place, (name, height) in enumerate(zip(names, tall)):
        start = left + place * (width + gap) + gap // 2
        image[floor - height : floor, start : start + width] = COLORS[name]
    return image, ask(rng, names, tall)


def ask(rng: random.Random, names: list[str], tall: list[int]) -> list[tuple[str, str, str]]:
    """(family, question, answer) triples of every kind."""
    one, other = rng.sample(range(len(names)), 2)
    asked = [
        (f"Which bar is the {rng.choice(['tallest', 'highest'])}?", names[tall.index(max(tall))]),
        (f"Which bar is the {rng.choice(['shortest', 'lowest'])}?", names[tall.index(min(tall))]),
        (f"Is the {names[one]} bar taller than the {names[other]} bar?", "yes" if tall[one] > tall[other] else "no"),
        ("How many bars are there?", COUNT_WORDS[len(names)]),
    ]
    return [("chart", *pair) for pair in asked]
