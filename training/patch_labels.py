"""Targets of the auxiliary loss: what every patch of a view shows, [36, 3]: class, tens digit, units digit.

A picture says in its own pixels what is where; a view is any placement of it (tiling.py).
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from scenes import IMAGE_SIZE, PATCH_SIZE, PATCHES_PER_SIDE, UNKNOWN, Scene
from tiling import Placement, Size

WHOLE = Placement(1.0, 1.0)  # the only view of a picture of 60x60 pixels
Label = tuple[int, int, int]
NOTHING = (0, UNKNOWN, UNKNOWN)


class Shown(Protocol):
    """What a picture shows where."""

    def labels(self, view: Placement = WHOLE) -> np.ndarray:
        """[36, 3]; UNKNOWN where the loss is to say nothing."""


class Unlabelled:
    """A picture of which nothing is said."""

    def labels(self, view: Placement = WHOLE) -> np.ndarray:
        return np.full((PATCHES_PER_SIDE**2, 3), UNKNOWN)


@dataclass
class SceneLabels:
    """A scene's things fill their cells, each a quarter of the picture."""

    scene: Scene
    size: Size

    def labels(self, view: Placement = WHOLE) -> np.ndarray:
        middles = np.arange(PATCH_SIZE / 2, IMAGE_SIZE, PATCH_SIZE)
        x, y = (middles - view.left) / view.across, (middles - view.top) / view.down
        cells = [(*NOTHING,) for _ in range(4)]
        for cell, thing in self.scene.items():
            digits = map(int, thing.digits) if thing.is_number else (UNKNOWN, UNKNOWN)
            cells[cell] = (thing.patch_class, *digits)
        column, row = x >= self.size[0] / 2, y >= self.size[1] / 2
        found = np.array(cells)[2 * row[:, None] + column[None]]
        outside = ((x < 0) | (x >= self.size[0]))[None] | ((y < 0) | (y >= self.size[1]))[:, None]
        found[outside] = UNKNOWN
        return found.reshape(-1, 3)


@dataclass
class TextLabels:
    """Text: a patch shows the nearest line that touches it, of two as near the one marked first."""

    marks: list[tuple[float, float, float, float, Label]] = field(default_factory=list)

    def mark(self, left: float, right: float, top: float, size: float, label: Label) -> None:
        """What stands between `left` and `right` in a line of a font's size; all in the picture's pixels."""
        self.marks.append((left, right, top, size, label))

    def labels(self, view: Placement = WHOLE) -> np.ndarray:
        found = np.full((PATCHES_PER_SIDE, PATCHES_PER_SIDE, 3), UNKNOWN)
        found[..., 0] = 0
        nearest = np.full((PATCHES_PER_SIDE, PATCHES_PER_SIDE), np.inf)
        for left, right, top, size, label in self.marks:
            top, size = top * view.down + view.top, size * view.down
            y = (top + 0.7 * size) / PATCH_SIZE - 0.5
            for row in touched(top + 0.3 * size, top + size):
                for column in touched(left * view.across + view.left, right * view.across + view.left):
                    if abs(row - y) < nearest[row, column]:
                        nearest[row, column] = abs(row - y)
                        found[row, column] = label
        return found.reshape(-1, 3)


def touched(begin: float, end: float) -> range:
    """The rows or columns of patches between two coordinates in pixels of a view."""
    return range(max(0, int(begin // PATCH_SIZE)), min(int(end // PATCH_SIZE) + 1, PATCHES_PER_SIDE))
