"""LLaDA-V's anyres tiling: the views of a picture, and the visual tokens made of them.

The whole picture squashed to a square is the first view. The picture letter-boxed on the best canvas is cut into tiles;
their tokens form one map, without the letter-box, shrunk to about `anyres_max_N`'s N views' worth, a newline after every
row. A model without tiles sees one view: the picture on a grey square (`pad`), or squashed.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

GREY = (127, 127, 127)
Size = tuple[int, int]  # width, height in pixels


def canvases(side: int) -> list[Size]:
    """One tile, two beside or above each other, or four; as `image_grid_pinpoints` lists them."""
    return [(width * side, height * side) for width in (1, 2) for height in (1, 2)]


def best_canvas(size: Size, side: int) -> Size:
    """The canvas that keeps most of the picture's own pixels, then wastes least."""

    def merit(canvas: Size) -> tuple[int, int]:
        scale = min(canvas[0] / size[0], canvas[1] / size[1])
        kept = min(int(size[0] * scale) * int(size[1] * scale), size[0] * size[1])
        return kept, kept - canvas[0] * canvas[1]

    return max(canvases(side), key=merit)


def resized(picture: Image.Image, size: Size) -> Image.Image:
    """Bicubic, across and then down whatever the picture's shape, as Pillow before 13 and the engine have it."""
    for step in ((size[0], picture.height), size):
        picture = picture if step == picture.size else picture.resize(step, Image.BICUBIC)
    return picture


def fitted(size: Size, canvas: Size) -> Size:
    """The size at which a picture fills a canvas one way and fits in it the other."""
    across, down = canvas[0] / size[0], canvas[1] / size[1]
    if across < down:
        return canvas[0], min(math.ceil(size[1] * across), canvas[1])
    return min(math.ceil(size[0] * down), canvas[0]), canvas[1]


def letter_boxed(picture: Image.Image, canvas: Size) -> Image.Image:
    """The picture as large as fits, in the middle of a black canvas."""
    size = fitted(picture.size, canvas)
    boxed = Image.new("RGB", canvas)
    boxed.paste(resized(picture, size), ((canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2))
    return boxed


def padded(picture: Image.Image) -> Image.Image:
    """The picture in the middle of a grey square."""
    side = max(picture.size)
    square = Image.new("RGB", (side, side), GREY)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


@dataclass(frozen=True)
class Placement:
    """Where a view shows its picture: view pixels per picture pixel, and the view pixel of the picture's corner."""

    across: float
    down: float
    left: float = 0.0
    top: float = 0.0


def placements(size: Size, side: int, tiled: bool) -> list[Placement]:
    """How each of `views` shows a picture of some size."""
    found = [Placement(side / size[0], side / size[1])]
    if tiled:
        canvas = best_canvas(size, side)
        inside = fitted(size, canvas)
        left, top = (canvas[0] - inside[0]) // 2, (canvas[1] - inside[1]) // 2
        across, down = inside[0] / size[0], inside[1] / size[1]
        found += [
            Placement(across, down, left - x, top - y)
            for y in range(0, canvas[1], side)
            for x in range(0, canvas[0], side)
        ]
    return found


def padded_placement(size: Size, side: int) -> Placement:
    """How the only view of a padded picture shows it."""
    square = max(size)
    scale = side / square
    return Placement(scale, scale, (square - size[0]) // 2 * scale, (square - size[1]) // 2 * scale)


def views(picture: Image.Image, side: int, tiled: bool) -> np.ndarray:
    """uint8 [views, side, side, 3]: the squashed picture, then, if tiled, its tiles by rows."""
    whole = np.array(resized(picture, (side, side)))[None]
    if not tiled:
        return whole
    canvas = best_canvas(picture.size, side)
    tiles = np.asarray(letter_boxed(picture, canvas))
    tiles = tiles.reshape(canvas[1] // side, side, canvas[0] // side, side, 3).swapaxes(1, 2)
    return np.concatenate([whole, tiles.reshape(-1, side, side, 3)])


def token_sources(
    size: Size, image_size: int, patch_size: int, tiled: bool, most_views: int
) -> tuple[list, list, int]:
    """The visual tokens of a picture of some size: four sources and four weights for each, and the number of views.

    Sources are rows of the tower, view by view; the row after the last is the learned newline.
    """
    side = image_size // patch_size
    patches = side * side
    sources = [[patch] * 4 for patch in range(patches)]
    weights = [[1.0, 0.0, 0.0, 0.0]] * patches
    count = 1
    if tiled:
        canvas = best_canvas(size, image_size)
        tile_rows, tile_columns = canvas[1] // image_size, canvas[0] // image_size
        count += tile_rows * tile_columns
        grid = np.arange(tile_rows * tile_columns * patches).reshape(tile_rows, tile_columns, side, side)
        grid = patches + grid.swapaxes(1, 2).reshape(tile_rows * side, tile_columns * side)
        for row_sources, row_weights in shrunk_rows(unpadded(grid, size), patches * most_views):
            sources += [*row_sources, [count * patches] * 4]
            weights += [*row_weights, [1.0, 0.0, 0.0, 0.0]]
    return sources, weights, count


def unpadded(grid: np.ndarray, size: Size) -> np.ndarray:
    """The part of a map of tokens that shows the picture."""
    rows, columns = grid.shape
    if size[0] / size[1] > columns / rows:
        margin = (rows - int(size[1] * (columns / size[0]))) // 2
        return grid[margin : rows - margin]
    margin = (columns - int(size[0] * (rows / size[1]))) // 2
    return grid[:, margin : columns - margin]


def shrunk_rows(grid: np.ndarray, most: int):
    """Rows of (four sources, four weights), after bilinear shrinking if the map has many more than `most` tokens."""
    rows, columns = grid.shape
    times = math.sqrt(rows * columns / most)
    new_rows, new_columns = (int(rows // times), int(columns // times)) if times > 1.1 else (rows, columns)
    down, across = taps(rows, new_rows), taps(columns, new_columns)
    for top, bottom, below in down:
        line = [
            (
                [int(grid[top, left]), int(grid[top, right]), int(grid[bottom, left]), int(grid[bottom, right])],
                [(1 - below) * (1 - beyond), (1 - below) * beyond, below * (1 - beyond), below * beyond],
            )
            for left, right, beyond in across
        ]
        yield [sources for sources, _ in line], [weights for _, weights in line]


def taps(size: int, new_size: int) -> list[tuple[int, int, float]]:
    """For each new cell two old ones and the second one's share, as PyTorch's bilinear interpolation has them."""
    found = []
    for index in range(new_size):
        position = max((index + 0.5) * size / new_size - 0.5, 0.0)
        first = min(int(position), size - 1)
        found.append((first, min(first + 1, size - 1), position - first if first + 1 < size else 0.0))
    return found
