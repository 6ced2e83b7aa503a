"""Coloured shapes, drawn once each."""

import math
from functools import lru_cache

from PIL import Image, ImageDraw

COLORS = {
    "red": (214, 39, 40), "green": (44, 160, 44), "blue": (45, 85, 200), "yellow": (242, 214, 30),
    "purple": (140, 55, 185), "orange": (250, 130, 20), "brown": (130, 82, 55), "pink": (242, 135, 195),
    "gray": (130, 130, 130), "black": (22, 22, 22), "cyan": (25, 195, 210), "white": (250, 250, 250),
}  # fmt: skip
SHAPES = ["circle", "square", "triangle", "star", "diamond", "cross", "hexagon", "ring"]
PLURALS = {shape: f"{shape}s" for shape in SHAPES} | {"cross": "crosses"}
SHADES = 5  # variants of every colour


def polygon(corners: int, radius: float, middle: float, turn: float = -math.pi / 2, inner: float = 1) -> list:
    """Points on a circle, every second one at `inner` times the radius."""
    return [
        (
            middle + radius * (inner if index % 2 else 1) * math.cos(turn + 2 * math.pi * index / corners),
            middle + radius * (inner if index % 2 else 1) * math.sin(turn + 2 * math.pi * index / corners),
        )
        for index in range(corners)
    ]


def shade_of(color: str, shade: int) -> tuple[int, int, int]:
    """A slightly lighter or darker variant; shade 0 is the colour itself."""
    change = (0, 12, -12, 6, -6)[shade]
    return tuple(max(0, min(255, level + change)) for level in COLORS[color])


@lru_cache(16384)
def shape_sprite(shape: str, color: str, side: int, shade: int = 0) -> Image.Image:
    """An anti-aliased RGBA sprite, `side` pixels wide and high."""
    big = 3 * side
    sprite = Image.new("RGBA", (big, big), shade_of(color, shade) + (0,))
    draw = ImageDraw.Draw(sprite)
    fill = shade_of(color, shade) + (255,)
    middle = big / 2
    if shape == "circle":
        draw.ellipse((3, 3, big - 4, big - 4), fill=fill)
    elif shape == "ring":
        draw.ellipse((3, 3, big - 4, big - 4), outline=fill, width=round(big * 0.18))
    elif shape == "square":
        draw.rectangle((big * 0.08, big * 0.08, big * 0.92, big * 0.92), fill=fill)
    elif shape == "triangle":
        draw.polygon([(middle, big * 0.05), (big * 0.97, big * 0.93), (big * 0.03, big * 0.93)], fill=fill)
    elif shape == "cross":
        draw.rectangle((big * 0.36, big * 0.04, big * 0.64, big * 0.96), fill=fill)
        draw.rectangle((big * 0.04, big * 0.36, big * 0.96, big * 0.64), fill=fill)
    elif shape == "star":
        draw.polygon(polygon(10, middle - 2, middle, inner=0.42), fill=fill)
    else:
        draw.polygon(polygon({"diamond": 4, "hexagon": 6}[shape], middle - 2, middle), fill=fill)
    return sprite.resize((side, side), Image.LANCZOS)
