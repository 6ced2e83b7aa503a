"""What nano's training looks at: scenes, receipts, charts, and the training part of easy-VQA, in many shapes."""

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from families.assets import Assets
from nano_charts import draw_chart
from nano_receipts import Receipts
from nano_shapes import Artist, grounds, noisy, random_size
from patch_labels import SceneLabels, Shown, Unlabelled
from pictograms import Pictograms
from questions import CAPTION_QUESTION, Asked, draw_questions
from refusals import Refusals
from scenes import IMAGE_SIZE, draw_scenes, random_scene, scene_of_shapes
from tiling import Size
from wordings import varied

QUESTIONS_PER_IMAGE = 4
KINDS = ["scene", "receipt", "chart", "easy-vqa"]
KIND_WEIGHTS = [58, 22, 8, 12]
LABELLED_KINDS = 2  # the first ones
# Share of the scenes with two to four shapes and nothing else. A question about the shape of a colour teaches nothing
# where there is one shape, and that is most scenes of the held-out kind.
SHAPES_ONLY = 0.35
FROM_FONT = 0.5  # of the pictograms; the others have one of the styles of the pack
SQUARE = 0.3  # share of the pictures with 60x60 pixels
CAPTIONED = 0.25  # share of receipts, charts and easy-VQA's pictures of which a description is asked, too
REFUSED = 0.08  # share of the questions that no picture answers
VALIDATION = 100  # pictures of easy-VQA that training leaves alone
OLD_SIZE = (IMAGE_SIZE, IMAGE_SIZE)


@dataclass
class Picture:
    """A picture uint8 [height, width, 3], what it shows where, and (family, question, answer) triples."""

    image: np.ndarray
    shown: Shown
    questions: list[Asked]

    @property
    def size(self) -> Size:
        return self.image.shape[1], self.image.shape[0]


def blur(image: np.ndarray, amount: float) -> np.ndarray:
    """A light blur or sharpening with a three-tap kernel, as resizing filters leave behind."""
    x = image.astype(np.float32)
    for axis in (0, 1):
        x = x + amount * (np.roll(x, 1, axis) + np.roll(x, -1, axis) - 2 * x)
    return np.clip(x, 0, 255).astype(np.uint8)


class EasyVqa:
    """easy-VQA's pictures, and their questions."""

    def __init__(self, assets: Assets):
        self.pictures, asked = assets.easy_vqa
        self.asked = [[("easy-vqa", *pair) for pair in pairs] for pairs in asked]

    def __len__(self) -> int:
        return len(self.pictures)

    def image(self, index: int, size: Size = OLD_SIZE) -> np.ndarray:
        return np.asarray(Image.fromarray(self.pictures[index]).resize(size, Image.BICUBIC))

    def draw(self, rng: random.Random, size: Size = OLD_SIZE) -> tuple[np.ndarray, list[Asked], Asked | None]:
        """A picture, half of them mirrored, a little brighter or darker; some questions, and one for a caption."""
        index = rng.randrange(len(self) - VALIDATION)
        image = self.image(index, size)[:, :: rng.choice((1, -1))] * rng.uniform(0.96, 1.04)
        image = np.clip(image, 0, 255).astype(np.uint8)
        return image, self.some_questions(rng, index), self.caption(index)

    def some_questions(self, rng: random.Random, index: int) -> list[Asked]:
        """At most QUESTIONS_PER_IMAGE of a picture's questions."""
        asked = self.asked[index]
        return rng.sample(asked, min(QUESTIONS_PER_IMAGE, len(asked)))

    def caption(self, index: int) -> Asked | None:
        """Colour and shape, where both are asked for."""
        answers = {question.split()[1]: answer for _, question, answer in self.asked[index] if question[:4] == "what"}
        if {"color", "shape"} <= answers.keys():
            return "easy-caption", CAPTION_QUESTION, f"{answers['color']} {answers['shape']}"
        return None


class Mixture:
    """Draws pictures of all kinds; `generator` is the training's."""

    def __init__(self, generator: random.Random, assets: Assets):
        self.rng = generator
        self.artist, self.easy_vqa, self.receipts = Artist(assets, FROM_FONT), EasyVqa(assets), Receipts(assets)
        self.pictograms = Pictograms(assets, FROM_FONT)
        self.refusals = Refusals(assets.words)

    def draw(self, count: int, labelled: bool = False) -> list[Picture]:
        """Pictures with questions in varied words; `labelled` leaves out kinds that have no patch labels."""
        rng = self.rng
        kinds = slice(LABELLED_KINDS if labelled else None)
        found = []
        for kind in rng.choices(KINDS[kinds], KIND_WEIGHTS[kinds], k=count):
            size = OLD_SIZE if rng.random() < SQUARE else random_size(rng)
            picture = self.picture(rng, kind, size)
            picture.questions = [self.question(rng, asked) for asked in picture.questions]
            if rng.random() < 0.5:
                picture.image = blur(picture.image, rng.uniform(-0.05, 0.12))
            found.append(picture)
        return found

    def question(self, rng: random.Random, asked: Asked) -> Asked:
        """A question in varied words, or another that no picture answers."""
        if rng.random() < REFUSED:
            return self.refusals.draw(rng)
        family, question, answer = asked
        return family, varied(rng, question), answer

    def picture(self, rng: random.Random, kind: str, size: Size) -> Picture:
        """A picture with its questions in the families' own words."""
        if kind == "scene":
            return self.scene(rng, size)
        shown, caption = Unlabelled(), None
        if kind == "easy-vqa":
            image, questions, caption = self.easy_vqa.draw(rng, size)
        else:
            ground = noisy(rng, grounds(rng, size))
            if kind == "receipt":
                image, shown, questions, caption = self.receipts.draw(rng, ground)
            else:
                image, questions, caption = draw_chart(rng, ground)
        if caption and rng.random() < CAPTIONED:
            questions = [*questions, caption]
        return Picture(image, shown, questions)

    def scene(self, rng: random.Random, size: Size) -> Picture:
        """A scene with questions whose families are drawn by weight."""
        scene = scene_of_shapes(rng) if rng.random() < SHAPES_ONLY else random_scene(rng)
        if size == OLD_SIZE:
            image = draw_scenes(rng, [scene], self.pictograms)[0]
        else:
            image = self.artist.draw(rng, scene, size)
        return Picture(image, SceneLabels(scene, size), draw_questions(rng, scene, QUESTIONS_PER_IMAGE))

    def left_out(self, rng: random.Random, index: int, size: Size) -> tuple[np.ndarray, Asked]:
        """A picture of easy-VQA that training leaves alone, with a question."""
        place = len(self.easy_vqa) - 1 - index % VALIDATION
        return self.easy_vqa.image(place, size), rng.choice(self.easy_vqa.asked[place])
