"""Pictures of other shapes, other wordings, refusals, and the frozen set of all three."""

import random
import re
from collections import Counter

import numpy as np
import pytest
from families.assets import Assets
from frozen_shapes import FOLDER, PARAPHRASE, paraphrases, read_told, unrelated
from nano_pictures import Mixture, Picture
from nano_sequences import Sequence, masked_positions, seen, sequences
from nano_shapes import FROZEN_SIZES, Artist, random_size
from patch_labels import SceneLabels
from questions import FAMILIES, draw_questions
from refusals import REFUSAL, Refusals
from scenes import UNKNOWN, Thing, random_scene
from text import Text
from tiling import best_canvas, padded_placement, placements, token_sources
from wordings import INTENTS, decorated, intent_of, pattern_of, reworded, varied

RED, CAT = Thing("red square", color="red", shape="square"), Thing("cat")


def test_sizes_need_every_grid_of_tiles_and_36_to_192_tokens():
    rng = random.Random(0)
    sizes = [random_size(rng) for _ in range(300)]
    assert {best_canvas(size, 60) for size in sizes} == {(60, 60), (120, 60), (60, 120), (120, 120)}
    counts = [len(token_sources(size, 60, 10, True, 4)[0]) for size in sizes]
    assert 60 <= min(counts) < 70 and 180 < max(counts) <= 192 and len(set(counts)) > 10


def test_a_thing_lies_in_its_quarter_whatever_the_shape(pack):
    rng, artist = random.Random(1), Artist(Assets("train", pack))
    for size in FROZEN_SIZES:
        image = artist.draw(rng, {3: RED}, size).astype(int)
        assert image.shape == (size[1], size[0], 3)
        down, across = np.nonzero((image[..., 0] > 150) & (image[..., 1] < 110))
        assert across.min() >= size[0] // 2 - 1 and down.min() >= size[1] // 2 - 1, size


def test_labels_of_a_tile_are_those_of_what_it_shows():
    shown = SceneLabels({0: RED, 3: CAT}, (120, 90))
    base, *tiles = (shown.labels(view).reshape(6, 6, 3)[..., 0] for view in placements((120, 90), 60, True))
    assert (base[:3, :3] == RED.patch_class).all() and (base[3:, 3:] == CAT.patch_class).all()
    top_left, top_right, _, bottom_right = tiles
    assert (top_left[0] == UNKNOWN).all(), "the letter-box"
    assert (top_left[2:] == RED.patch_class).all() and (top_right[2:] == 0).all()
    assert (bottom_right[:4] == CAT.patch_class).all()


def test_a_padded_picture_is_labelled_inside_its_square():
    labels = SceneLabels({1: CAT}, (120, 60)).labels(padded_placement((120, 60), 60)).reshape(6, 6, 3)[..., 0]
    assert (labels[0] == UNKNOWN).all() and (labels[5] == UNKNOWN).all()
    assert labels[2].tolist() == [0, 0, 0, CAT.patch_class, CAT.patch_class, CAT.patch_class]


def test_every_question_is_known_and_keeps_what_it_asks_about():
    rng = random.Random(2)
    for _ in range(300):
        for family, question, _ in draw_questions(rng, random_scene(rng), 2):
            intent, slots = intent_of(question)
            other = reworded(rng, question)
            assert family != "exists" or intent == "exists"
            assert all(slot in other for slot in slots) or intent == "count", (question, other)


def test_people_type_in_many_ways():
    rng = random.Random(3)
    said = [varied(rng, "Where is the cat?") for _ in range(2000)]
    assert 0.25 < said.count("Where is the cat?") / len(said) < 0.4
    assert len(set(said)) > 500
    assert 0.1 < sum(text == text.lower() for text in said) / len(said) < 0.5
    assert sum("?" not in text for text in said) > 200


def test_a_wrong_letter_leaves_numbers_alone():
    rng = random.Random(4)
    assert all("42" in decorated(rng, "what costs 42") for _ in range(500))


def test_held_out_paraphrases_are_other_wordings_than_those_of_training():
    learned = [template for _, templates in INTENTS.values() for template in templates]
    patterns = [re.compile(pattern_of(template).replace("(.+)", r"\{\d?\}"), re.IGNORECASE) for template in learned]
    found = paraphrases()
    assert len(found) == len(set(found)) == 300 and {intent for intent, _ in found} == set(INTENTS)
    for _, template in found:
        assert not any(pattern.fullmatch(template.rstrip("?.!")) for pattern in patterns), template


def test_refusals_are_of_many_kinds_and_not_those_of_the_test(pack):
    rng, refusals = random.Random(5), Refusals(Assets("train", pack).words)
    drawn = [refusals.draw(rng) for _ in range(3000)]
    assert {answer for _, _, answer in drawn} == {REFUSAL}
    asked = {question.lower().rstrip("?.!") for _, question, _ in drawn}
    assert len(asked) > 2500
    assert len(unrelated()) == len(set(unrelated())) == 300
    assert len(asked & {question.lower().rstrip("?.!") for question in unrelated()}) < 10


def test_the_sentence_of_refusals_fits_in_an_answer():
    assert len(Text().encode(REFUSAL)) < 32


def drawn_sequences(pack) -> tuple[Text, list[Picture], list[list[int]], list[Sequence]]:
    rng, text = random.Random(6), Text()
    mixture = Mixture(rng, Assets("train", pack))
    pictures = mixture.draw(40, labelled=True)
    tokens = [[1000 + index] * len(seen(rng, one, 60, 10, 4).tokens) for index, one in enumerate(pictures)]
    return text, pictures, tokens, sequences(rng, text, pictures, tokens)


def test_training_never_drops_a_visual_token(pack):
    _, pictures, tokens, found = drawn_sequences(pack)
    for sequence in found:
        counts = Counter(token for token in sequence.ids if token >= 1000)
        assert 1 <= len(counts) <= 2
        for token, count in counts.items():
            assert count % len(tokens[token - 1000]) == 0


def test_only_hidden_tokens_of_answers_are_learned(pack):
    text, _, _, found = drawn_sequences(pack)
    assert any(sequence.questions > 1 for sequence in found)
    for sequence in found:
        tail = sequence.ids[-len(sequence.targets) :]
        for shown, target, weight in zip(tail, sequence.targets, sequence.weights):
            assert (shown == text.mask_id) == (weight > 0) and (weight or shown == target)


def test_masks_hide_everything_as_at_the_start_two_times_in_five():
    rng = random.Random(7)
    whole = sum(all(masked_positions(rng, 12, 4)) for _ in range(2000)) / 2000
    assert 0.38 < whole < 0.6


@pytest.fixture(scope="module")
def told():
    return read_told()


def test_the_frozen_set_has_every_family_in_every_size(told):
    questions, pictures = told[0]["questions"], told[1]
    counts = Counter(question["family"] for question in questions)
    assert counts.pop(PARAPHRASE) == counts.pop("refusal") == 300
    assert set(FAMILIES) < set(counts) and len(counts) == 14 and set(counts.values()) == {320}
    assert {picture.size for picture in pictures} == set(FROZEN_SIZES)
    for family in counts:
        sizes = {pictures[question["picture"]].size for question in questions if question["family"] == family}
        assert len(sizes) == len(FROZEN_SIZES), family


def test_the_lists_are_what_the_frozen_set_asks(told):
    asked = {question["question"] for question in told[0]["questions"] if question["family"] == "refusal"}
    assert asked == set(unrelated()) and (FOLDER / "sha256sums.txt").read_text().count("\n") == len(FROZEN_SIZES) + 3
