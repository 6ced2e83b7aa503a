"""Clock faces with two hands, to five minutes."""

import math
import random

from PIL import Image, ImageDraw

from .assets import Assets
from .picture import Canvas, Picture, Question, background, random_color

WORDINGS = ["What time does the clock show?", "What time is it?", "Read the clock."]


def hand(draw: ImageDraw.ImageDraw, middle: float, turn: float, length: float, width: int, color) -> None:
    """A hand from the middle; `turn` is its part of a full turn, from the top."""
    angle = 2 * math.pi * turn
    end = (middle + length * math.sin(angle), middle - length * math.cos(angle))
    draw.line((middle, middle, *end), fill=color, width=width)
    draw.ellipse((end[0] - width / 2, end[1] - width / 2, end[0] + width / 2, end[1] + width / 2), fill=color)


def draw(rng: random.Random, assets: Assets, size: tuple[int, int]) -> Picture:
    """A clock with numerals or with marks, drawn at twice its size and reduced."""
    canvas = Canvas(rng, assets, size, background(rng, assets, size, light=True))
    radius = rng.choice([62, 72, 82, 92, 104])
    big = 4 * canvas.px(radius)
    face = Image.new("RGBA", (big, big))
    ink, paper = random_color(rng, 0, 60), random_color(rng, 225, 255)
    pen, middle = ImageDraw.Draw(face), big / 2
    pen.ellipse((2, 2, big - 3, big - 3), fill=paper, outline=ink, width=max(4, big // 40))
    numerals = rng.random() < 0.6
    font = assets.font(rng.choice(assets.fonts), max(10, big // 13))
    for hour in range(1, 13):
        angle = 2 * math.pi * hour / 12
        x, y = math.sin(angle), -math.cos(angle)
        if numerals:
            pen.text((middle + 0.79 * middle * x, middle + 0.79 * middle * y), str(hour), ink, font, anchor="mm")
        else:
            outer, inner = 0.9 * middle, (0.75 if hour % 3 == 0 else 0.82) * middle
            ends = (middle + inner * x, middle + inner * y, middle + outer * x, middle + outer * y)
            pen.line(ends, fill=ink, width=max(3, big // 60))
    hour, minute = rng.randrange(12), rng.randrange(0, 60, 5)
    colors = (ink, random_color(rng, 0, 130)) if rng.random() < 0.5 else (ink, ink)
    hand(pen, middle, (hour + minute / 60) / 12, 0.42 * middle, big // 22, colors[0])
    hand(pen, middle, minute / 60, 0.68 * middle, big // 38, colors[1])
    x, y = rng.uniform(radius, canvas.width - radius), rng.uniform(radius, canvas.height - radius)
    canvas.paste(face.resize((big // 2, big // 2), Image.BOX), x, y)
    return canvas.done([Question("clock", rng.choice(WORDINGS), f"{hour or 12}:{minute:02d}")])
