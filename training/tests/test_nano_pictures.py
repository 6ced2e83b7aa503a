"""Nano's pictograms, receipts, charts and frozen set are what they are said to be."""

import json
import random

import numpy as np
import pytest
from families.assets import TEST_STYLE, TRAINING_STYLES, Assets
from frozen_nano import HELD_OUT, read_held_out
from nano_charts import draw_chart
from nano_pictures import VALIDATION, Mixture
from nano_receipts import ITEMS, Receipts
from patch_labels import TextLabels, Unlabelled
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
    grid = labels.labels().reshape(6, 6, 3)
    assert grid[0, :, 0].tolist() == [5, 5, 5, 0, 1, 1] and grid[0, 4].tolist() == [1, 4, 2]
    assert grid[2, :3, 0].tolist() == [6, 6, 6], "the second line"
    assert not grid[4:, :, 0].any()


def test_receipts_are_asked_for_prices_and_things_that_are_on_them(pack):
    rng, ground = random.Random(0), np.full((60, 60, 3), 255, np.uint8)
    receipts = Receipts(Assets("train", pack))
    for _ in range(50):
        image, written, asked, (_, _, caption) = receipts.draw(rng, ground)
        assert image.min() < 100 and 2 <= len(asked) <= 3
        shown = {(patch_class, f"{tens}{units}") for patch_class, tens, units in written.labels() if tens >= 0}
        for family, question, answer in asked:
            asked_for = question.rstrip("?").removesuffix(" cost").split()[-1]
            price, item = (answer, asked_for) if answer.isdigit() else (asked_for, answer)
            assert f"{item} {price}" in caption.split("; ")
            assert family == "receipt" and item in ITEMS and (PATCH_CLASS_INDEX[item], price) in shown


def test_charts_are_answered_by_their_bars():
    rng, ground = random.Random(0), np.full((60, 60, 3), 255, np.uint8)
    for _ in range(100):
        image, asked, caption = draw_chart(rng, ground)
        tall = {name: np.flatnonzero((image == rgb).all(-1).any(1)).size for name, rgb in COLORS.items()}
        tall = {name: height for name, height in tall.items() if height}
        assert set(caption[2].split("; ")) == {f"{name} bar" for name in tall}
        for _, question, answer in asked:
            words = question.rstrip("?").split()
            if words[-1] in ("tallest", "highest", "shortest", "lowest"):
                extreme = max if words[-1] in ("tallest", "highest") else min
                assert answer == extreme(tall, key=tall.get)
            elif words[0] == "Is":
                assert answer == ("yes" if tall[words[2]] > tall[words[-2]] else "no")
            else:
                assert answer == COUNT_WORDS[len(tall)]


def mixture_of_many(pack) -> Mixture:
    """The pack of the tests has too few pictures of easy-VQA to leave some alone."""
    mixture = Mixture(random.Random(0), Assets("train", pack))
    few = mixture.easy_vqa
    few.pictures = np.repeat(few.pictures, VALIDATION, 0)
    few.asked = [asked for asked in few.asked for _ in range(VALIDATION)]
    return mixture


def test_a_batch_has_labels_where_it_is_known_what_a_patch_shows(pack):
    pictures = mixture_of_many(pack).draw(60)
    families = [{family for family, _, _ in picture.questions} for picture in pictures]
    assert any("easy-vqa" in asked for asked in families) and any("receipt" in asked for asked in families)
    for picture, asked in zip(pictures, families):
        assert picture.image.dtype == np.uint8 and picture.questions
        unlabelled = bool(asked & {"easy-vqa", "chart"})
        assert isinstance(picture.shown, Unlabelled) == unlabelled or asked <= {"refusal", "easy-caption"}
        assert ((picture.shown.labels()[:, 0] == UNKNOWN).all()) == isinstance(picture.shown, Unlabelled)


def test_an_evaluation_leaves_the_pictures_of_the_training_alone(pack):
    drawn = []
    for evaluations in (0, 1):
        mixture = mixture_of_many(pack)
        for index in range(evaluations * 5):
            mixture.left_out(random.Random(1), index, (60, 60))
        drawn.append([picture.image.tobytes() for picture in mixture.draw(40, labelled=True)])
    assert drawn[0] == drawn[1]


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
