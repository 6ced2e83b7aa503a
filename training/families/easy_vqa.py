"""easy-VQA's pictures and questions, as they are; its official test part belongs to the test split."""

import random

from PIL import Image

from .assets import Assets
from .picture import Picture, Question

MOST = 4  # questions of a picture at a time


def draw(rng: random.Random, assets: Assets, size: tuple[int, int]) -> Picture:
    """One of the 64x64 pictures, enlarged, with some of its questions."""
    pictures, asked = assets.easy_vqa
    index = rng.randrange(len(pictures))
    chosen = rng.sample(asked[index], min(MOST, len(asked[index])))
    image = Image.fromarray(pictures[index]).resize(size, Image.BICUBIC)
    return Picture(image, [Question("easy-vqa", question, answer) for question, answer in chosen])
