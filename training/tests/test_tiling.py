"""Tiling makes the visual tokens that LLaDA-V's code makes."""

import random

import numpy as np
import pytest
from PIL import Image

from tiling import best_canvas, token_sources, views


@pytest.mark.parametrize(
    ("size", "canvas", "count", "tokens"),
    [
        ((224, 224), (224, 224), 2, 256 + 16 * 17),
        ((448, 448), (448, 448), 5, 256 + 22 * 23),
        ((448, 336), (448, 448), 5, 256 + 19 * 27),
        ((336, 448), (448, 448), 5, 256 + 26 * 20),
        ((448, 224), (448, 224), 3, 256 + 16 * 33),
    ],
)
def test_sizes_become_views_and_tokens(size, canvas, count, tokens):
    assert best_canvas(size, 224) == canvas
    sources, weights, found = token_sources(size, 224, 14, True, 2)
    assert (len(sources), found) == (tokens, count)
    assert np.allclose(np.sum(weights, 1), 1)
    assert np.max(sources) == count * 256
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert views(Image.fromarray(noise), 224, True).shape == (count, 224, 224, 3)


def test_one_view_is_the_squashed_picture():
    picture = Image.new("RGB", (448, 336), (10, 20, 30))
    assert views(picture, 224, False).shape == (1, 224, 224, 3)
    sources, _, count = token_sources(picture.size, 224, 14, False, 2)
    assert count == 1 and [row[0] for row in sources] == list(range(256))


def test_tiles_of_a_picture_of_the_canvas_size_are_its_parts():
    noise = np.random.default_rng(1).integers(0, 256, (448, 448, 3), dtype=np.uint8)
    seen = views(Image.fromarray(noise), 224, True)
    assert (seen[1] == noise[:224, :224]).all() and (seen[2] == noise[:224, 224:]).all()
    assert (seen[3] == noise[224:, :224]).all() and (seen[4] == noise[224:, 224:]).all()


def test_no_picture_has_more_than_five_views_and_880_tokens():
    rng = random.Random(0)
    for _ in range(50):
        size = rng.randint(60, 900), rng.randint(60, 900)  # width, height
        sources, _, count = token_sources(size, 224, 14, True, 2)
        assert len(sources) <= 880 and count <= 5
