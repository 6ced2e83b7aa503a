"""What nano's training looks at: scenes, receipts, charts, and the training part of easy-VQA."""

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from families.assets import Assets
from nano_charts import draw_chart
from nano_receipts import Receipts
from pictograms import Pictograms
from questions import draw_questions
from scenes import IMAGE_SIZE, PATCHES_PER_SIDE, UNKNOWN, draw_scenes, patch_labels, random_scene, scene_of_shapes

QUESTIONS_PER_IMAGE = 4
EASY_VQA, RECEIPTS, CHARTS = 0.12, 0.22, 0.08  # shares of the pictures; the others are scenes
# Share of the scenes with two to four shapes and nothing else. A question about the shape of a colour teaches nothing
# where there is one shape, and that is most scenes of the held-out kind.
SHAPES_ONLY = 0.35
FROM_FONT = 0.5  # of the pictograms; the others have one of the styles of the pack
VALIDATION = 100  # pictures of easy-VQA that training leaves alone
NO_LABELS = np.full((PATCHES_PER_SIDE**2, 3), UNKNOWN)


@dataclass
class Pictures:
    """Pictures uint8 [n, 60, 60, 3], patch labels [n, 36, 3], and (family, question, answer) triples of each."""

    images: np.ndarray
    labels: np.ndarray
    questions: list[list[tuple[str, str, str]]]


def blur(images: np.ndarray, amount: float) -> np.ndarray:
    """A light blur or sharpening with a three-tap kernel, as resizing filters leave behind."""
    x = images.astype(np.float32)
    for axis in (1, 2):
        x = x + amount * (np.roll(x, 1, axis) + np.roll(x, -1, axis) - 2 * x)
    return np.clip(x, 0, 255).astype(np.uint8)


class EasyVqa:
    """easy-VQA's pictures as nano sees them, and their questions."""

    def __init__(self, assets: Assets):
        pictures, asked = assets.easy_vqa
        size = (IMAGE_SIZE, IMAGE_SIZE)
        self.images = np.stack([np.asarray(Image.fromarray(image).resize(size, Image.BICUBIC)) for image in pictures])
        self.asked = [[("easy-vqa", *pair) for pair in pairs] for pairs in asked]

    def draw(self, rng: random.Random) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str, str]]]:
        """A picture, half of them mirrored, a little brighter or darker; no labels; and some of its questions."""
        index = rng.randrange(len(self.images) - VALIDATION)
        image = self.images[index][:, :: rng.choice((1, -1))] * rng.uniform(0.96, 1.04)
        return np.clip(image, 0, 255).astype(np.uint8), NO_LABELS, self.some_questions(rng, index)

    def some_questions(self, rng: random.Random, index: int) -> list[tuple[str, str, str]]:
        """At most QUESTIONS_PER_IMAGE of a picture's questions."""
        asked = self.asked[index]
        return rng.sample(asked, min(QUESTIONS_PER_IMAGE, len(asked)))


class Mixture:
    """Draws batches of all of them."""

    def __init__(self, rng: random.Random, assets: Assets):
        self.rng = rng
        self.pictograms, self.easy_vqa = Pictograms(assets, FROM_FONT), EasyVqa(assets)
        self.receipts = Receipts(assets)

    def scenes(self, count: int) -> Pictures:
        """Scenes with questions whose families are drawn by weight."""
        rng = self.rng
        scenes = [scene_of_shapes(rng) if rng.random() < SHAPES_ONLY else random_scene(rng) for _ in range(count)]
        labels = np.stack([patch_labels(scene) for scene in scenes])
        questions = [draw_questions(rng, scene, QUESTIONS_PER_IMAGE) for scene in scenes]
        return Pictures(draw_scenes(rng, scenes, self.pictograms), labels, questions)

    def documents(self, rng: random.Random, receipts: int, charts: int) -> list[tuple]:
        """So many pictures, labels and lists of questions of each kind."""
        grounds = iter(draw_scenes(rng, [{}] * (receipts + charts)))
        found = [self.receipts.draw(rng, next(grounds)) for _ in range(receipts)]
        for ground in grounds:
            image, asked = draw_chart(rng, ground)
            found.append((image, NO_LABELS, asked))
        return found

    def draw(self, count: int, labelled: bool = False) -> Pictures:
        """A batch, half of the time slightly blurred; `labelled` leaves out what has no patch labels."""
        rng = self.rng
        others = self.documents(rng, round(count * RECEIPTS), 0 if labelled else round(count * CHARTS))
        others += [self.easy_vqa.draw(rng) for _ in range(0 if labelled else round(count * EASY_VQA))]
        found = self.scenes(count - len(others))
        images, labels, questions = zip(*others)
        found.images = np.concatenate([found.images, images])
        found.labels = np.concatenate([found.labels, labels])
        found.questions += questions
        if rng.random() < 0.5:
            found.images = blur(found.images, rng.uniform(-0.05, 0.12))
        return found

    def validation(self, rng: random.Random, count: int) -> list[tuple[np.ndarray, tuple[str, str, str]]]:
        """Pictures with a question each: all but scenes, easy-VQA's being such that training leaves alone."""
        found = [(image, rng.choice(asked)) for image, _, asked in self.documents(rng, count, count)]
        for index in range(count):
            place = len(self.easy_vqa.images) - 1 - index % VALIDATION
            found.append((self.easy_vqa.images[place], rng.choice(self.easy_vqa.asked[place])))
        return found
