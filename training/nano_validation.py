"""What the training curve asks: every family in the old shape and in others, other wordings, and refusals."""

import random

import numpy as np
import torch
from PIL import Image

from evaluate_nano import Row, answers
from model import Foveate
from nano_charts import draw_chart
from nano_pictures import OLD_SIZE, Mixture
from nano_shapes import FROZEN_SIZES, grounds, noisy
from questions import FAMILIES, Asked, score
from refusals import FAMILY as REFUSAL
from refusals import REFUSAL as SENTENCE
from scenes import draw_scenes, random_scene
from text import Text
from tiling import Size
from wordings import decorated, reworded

SEED = 999_983
STEPS = 8  # denoising steps of an answer; half as many as `foveate eval` takes
PARTS = ["shapes", "reworded", "half"]  # beside the families: other shapes, other wordings, half of the tokens


class Validation:
    """Questions of a fixed seed about pictures that training does not see."""

    def __init__(self, mixture: Mixture):
        self.mixture = mixture

    def scene_row(self, rng: random.Random, family: str, size: Size) -> Row:
        found = None
        while not found:
            scene = random_scene(rng)
            found = FAMILIES[family](rng, scene)
        old = size == OLD_SIZE
        image = draw_scenes(rng, [scene])[0] if old else self.mixture.artist.draw(rng, scene, size)
        return family, Image.fromarray(image), *found

    def row(self, rng: random.Random, family: str, index: int, size: Size) -> Row:
        """A picture with a question of a family."""
        if family in FAMILIES:
            return self.scene_row(rng, family, size)
        if family == "easy-vqa":
            image, asked = self.mixture.left_out(rng, index, size)
        else:
            ground = noisy(rng, grounds(rng, size))
            if family == "receipt":
                image, _, some, _ = self.mixture.receipts.draw(rng, ground)
            else:
                image, some, _ = draw_chart(rng, ground)
            asked = rng.choice(some)
        return family, Image.fromarray(image), *asked[1:]

    def rows(self, count: int) -> dict[str, list[Row]]:
        """`count` rows of every family in the old shape (as part ""), and for each of PARTS and for refusals."""
        rng = random.Random(SEED)
        families = [*FAMILIES, "receipt", "chart", "easy-vqa"]
        old = [self.row(rng, family, index, OLD_SIZE) for family in families for index in range(count)]
        other = [
            self.row(rng, family, index, FROZEN_SIZES[index % len(FROZEN_SIZES)])
            for family in families
            for index in range(count)
        ]
        reworded_rows = [
            (family, image, decorated(rng, text), answer)
            for family, image, question, answer in other
            if (text := reworded(rng, question))
        ]
        refused = [(REFUSAL, rng.choice(other)[1], self.mixture.refusals.draw(rng)[1], SENTENCE) for _ in range(3 * count)]
        return {"": old, "shapes": other, "reworded": reworded_rows, REFUSAL: refused}

    def scores(self, model: Foveate, text: Text, count: int) -> dict[str, float]:
        """Means by family in the old shape, then by part; "false" is the share of questions refused wrongly."""
        rows = self.rows(count)
        rows["half"] = rows["shapes"]
        found: dict[str, list[float]] = {}
        false = []
        for part, asked in rows.items():
            torch.manual_seed(0)
            pairs = [(image, question) for _, image, question, _ in asked]
            said = answers(model, text, pairs, steps=STEPS, keep=0.5 if part == "half" else 1.0)
            for (family, _, _, truth), answer in zip(asked, said):
                found.setdefault(part or family, []).append(score(family, answer, truth))
                if family != REFUSAL:
                    false.append(answer == SENTENCE)
        means = {name: float(np.mean(values)) for name, values in found.items()}
        return {**means, "false": float(np.mean(false))}
