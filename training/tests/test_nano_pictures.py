"""Nano's pictograms, receipts, charts and frozen set are what they are said to be."""

import json
import random

import numpy as np
import pytest
from families.assets import TEST_STYLE, TRAINING_STYLES, Assets
from frozen_nano import HELD_OUT, read_held_out
from nano_charts import draw_chart
from nano_pictures import VALIDATION, EasyVqa, Mixture
from nano_receipts import ITEMS, Receipts, TextLabels
from pictograms import Pictograms
from questions import COUNT_WORDS
from scenes import (
    BLENDS, COLORS, EMOJI, EMOJI_SPRITE_SIZES, PATCH_CLASS_INDEX, UNKNOWN, Thing, draw_scenes, scene_of_pictograms,
)  # fmt: skip


def test_pictograms_of_a_split_are_in_its_styles(pack):
    assert Pictograms(Assets("train", pack)).styles == TRAINING_STYLES
    assert Pictograms(Assets("test", pack)).styles == [TEST_STYLE]


def test_a_share_of_the_pictograms_is_the_fonts(pack):
    rng, pictograms = random.Random(0), Pictograms(Assets("train", pack), from_font=0.5)
    size = EMOJI_SPRITE_SIZES[0]
    from_font = sum(pictograms.pick(rng, "cat", size) is BLENDS["cat", size] for _ in range(1000))
    assert 430 < from_font < 570


def test_another_style_changes_the_pictograms_and_nothing_else(pack):
    scene = {0: Thing("cat"), 3: Thing("sun")}
    font, packed = (draw_scenes(random.Random(1), [scene], of)[0] for of in (None, Pictograms(Assets("test", pack))))
    assert (font[5:25, 5:25] != packed[5:25, 5:25]).any()
    assert (font[5:25, 35:55] == packed[5:25, 35:55]).all()


def test_a_scene_of_pictograms_has_two_to_four_different_ones():
    rng = random.Random(0)
    for _ in range(200):
        names = [thing.name for thing in scene_of_pictograms(rng).values()]
        assert 2 <= len(names) <= 4 and len(set(names)) == len(names) and set(names) <= set(EMOJI)


def test_text_is_labelled_where_it_stands():
    labels = TextLabels()
    labels.mark(2, 28, 0, 14, (5, -100, -100))
    labels.mark(40, 56, 0, 14, (1, 4, 2))
    labels.mark(2, 28, 14, 14, (6, -100, -100))
    grid = labels.rows.reshape(6, 6, 3)
    assert grid[0, :, 0].tolist() == [5, 5, 5, 0, 1, 1] and grid[0, 4].tolist() == [1, 4, 2]
    assert grid[2, :3, 0].tolist() == [6, 6, 6], "the second line"
    assert not grid[4:, :, 0].any()


def test_receipts_are_asked_for_prices_and_things_that_are_on_them(pack):
    rng, ground = random.Random(0), np.full((60, 60, 3), 255, np.uint8)
    receipts = Receipts(Assets("train", pack))
    for _ in range(50):
        image, labels, asked = receipts.draw(rng, ground)
        assert image.min() < 100 and 2 <= len(asked) <= 3
        shown = {(patch_class, f"{tens}{units}") for patch_class, tens, units in labels if tens >= 0}
        for family, question, answer in asked:
            asked_for = question.rstrip("?").removesuffix(" cost").split()[-1]
            price, item = (answer, asked_for) if answer.isdigit() else (asked_for, answer)
            assert family == "receipt" and item in ITEMS and (PATCH_CLASS_INDEX[item], price) in shown


def test_charts_are_answered_by_their_bars():
    rng, ground = random.Random(0), np.full((60, 60, 3), 255, np.uint8)
    for _ in range(100):
        image, asked = draw_chart(rng, ground)
        tall = {name: np.flatnonzero((image == rgb).all(-1).any(1)).size for name, rgb in COLORS.items()}
        tall = {name: height for name, height in tall.items() if height}
        for _, question, answer in asked:
            words = question.rstrip("?").split()
            if words[-1] in ("tallest", "highest", "shortest", "lowest"):
                extreme = max if words[-1] in ("tallest", "highest") else min
                assert answer == extreme(tall, key=tall.get)
            elif words[0] == "Is":
                assert answer == ("yes" if tall[words[2]] > tall[words[-2]] else "no")
            else:
                assert answer == COUNT_WORDS[len(tall)]


def test_a_batch_has_labels_where_it_is_known_what_a_patch_shows(pack):
    mixture = Mixture(random.Random(0), Assets("train", pack))
    mixture.easy_vqa = EasyVqaOfMany(mixture.easy_vqa)
    pictures = mixture.draw(40)
    assert pictures.images.shape == (40, 60, 60, 3) and pictures.images.dtype == np.uint8
    assert pictures.labels.shape == (40, 36, 3) and len(pictures.questions) == 40
    for labels, asked in zip(pictures.labels, pictures.questions):
        families = {family for family, _, _ in asked}
        assert ((labels[:, 0] == UNKNOWN).all()) == (families <= {"easy-vqa", "chart"})


class EasyVqaOfMany(EasyVqa):
    """The pack of the tests has too few pictures to leave some alone."""

    def __init__(self, few: EasyVqa):
        self.images = np.repeat(few.images, VALIDATION, 0)
        self.asked = [asked for asked in few.asked for _ in range(VALIDATION)]


def test_an_evaluation_leaves_the_pictures_of_the_training_alone(pack):
    drawn = []
    for evaluations in (0, 1):
        mixture = Mixture(random.Random(0), Assets("train", pack))
        mixture.easy_vqa = EasyVqaOfMany(mixture.easy_vqa)
        for _ in range(evaluations):
            mixture.validation(random.Random(1), 5)
        drawn.append(mixture.draw(40, labelled=True).images)
    assert (drawn[0] == drawn[1]).all()


@pytest.fixture(scope="module")
def held_out():
    return read_held_out()


def test_every_family_of_the_frozen_set_is_asked_as_often(held_out):
    records, pictures = held_out
    counts: dict[str, int] = {}
    for record in records:
        counts[record["family"]] = counts.get(record["family"], 0) + 1
    assert set(counts.values()) == {320} and len(counts) == 14
    assert len(pictures) == len(records)
    seen = {record["picture"] for record in records}
    assert seen == set(range(len(seen)))


def test_pictures_of_the_frozen_set_are_all_different(held_out):
    records, pictures = held_out
    distinct = {picture.tobytes() for picture in pictures}
    assert len(distinct) == len({record["picture"] for record in records})
    assert json.loads((HELD_OUT / "questions.json").read_text()) == records
