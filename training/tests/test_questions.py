"""The answers are true of the scenes, and the text survives the tokenizer."""

import random

import numpy as np
import pytest

from patch_labels import SceneLabels
from questions import COUNT_WORDS, FAMILIES, absent_name, ask_where_color, caption_f1
from scenes import CELLS, Scene, Thing, draw_scenes, random_scene, scene_of_shapes
from text import Text

SCENE: Scene = {
    0: Thing("red circle", color="red", shape="circle"),
    1: Thing("cat"),
    3: Thing("number 42", digits="42"),
}


def answers(family: str) -> set[tuple[str, str]]:
    """Everything a family says about SCENE in many draws."""
    rng = random.Random(0)
    return {FAMILIES[family](rng, SCENE) for _ in range(300)}


@pytest.mark.parametrize(
    ("family", "question", "answer"),
    [
        ("color", "What color is the circle?", "red"),
        ("shape", "What shape is red?", "circle"),
        ("count", "How many objects are there?", "three"),
        ("count", "How many shapes are there?", "one"),
        ("where", "Where is the cat?", "top right"),
        ("where", "Where is the number?", "bottom right"),
        ("what-at", "What is at the top left?", "red circle"),
        ("what-at", "What is at the bottom left?", "nothing"),
        ("what-at", "What is at the bottom right?", "number 42"),
        ("number", "What number is shown?", "42"),
        ("exists", "Is there a red circle?", "yes"),
        ("exists", "Is there an apple?", "no"),
        ("relation", "Is the red circle left or right of the cat?", "left"),
        ("relation", "Is the number above or below the cat?", "below"),
        ("relation", "Where is the red circle, above or below the number?", "above"),
        ("caption", "Describe the image.", "top left red circle; top right cat; bottom right number 42"),
    ],
)
def test_answer(family, question, answer):
    found = answers(family)
    assert (question, answer) in found
    assert {said for asked, said in found if asked == question} == {answer}


def test_ambiguous_shapes_are_not_asked_about():
    twins = {0: Thing("red star", color="red", shape="star"), 1: Thing("blue star", color="blue", shape="star")}
    assert FAMILIES["color"](random.Random(0), twins) is None


def test_the_cell_of_a_colour_is_asked_where_one_shape_has_it():
    assert ask_where_color(random.Random(0), SCENE) in {
        ("Where is the red shape?", "top left"),
        ("Where do you see the red shape?", "top left"),
    }
    twins = {0: Thing("red star", color="red", shape="star"), 1: Thing("red circle", color="red", shape="circle")}
    assert ask_where_color(random.Random(0), twins) is None


def test_scenes_of_shapes_hold_two_to_four_different_shapes():
    rng = random.Random(2)
    for scene in (scene_of_shapes(rng) for _ in range(300)):
        names = [thing.name for thing in scene.values()]
        assert 2 <= len(names) <= 4 and len(set(names)) == len(names)
        assert all(thing.is_shape for thing in scene.values())


def test_random_scenes():
    rng = random.Random(1)
    scenes = [random_scene(rng) for _ in range(500)]
    for scene in scenes:
        names = [thing.name for thing in scene.values()]
        assert 1 <= len(names) == len(set(names)) <= 4
        assert sum(thing.is_number for thing in scene.values()) <= 1
        assert absent_name(rng, scene) not in names
    assert {COUNT_WORDS[len(scene)] for scene in scenes} == set(COUNT_WORDS[1:])


def test_yes_and_no_are_balanced():
    rng = random.Random(2)
    said = [FAMILIES["exists"](rng, random_scene(rng))[1] for _ in range(2000)]
    assert 0.42 < said.count("yes") / len(said) < 0.55


def test_pictures_show_the_things_in_their_cells():
    empty, full = draw_scenes(random.Random(3), [{}, {0: SCENE[0]}])
    red = (full[..., 0] > 180) & (full[..., 1] < 90)
    assert red[:30, :30].sum() > 150 and red[30:].sum() == 0
    assert empty.dtype == np.uint8 and empty.shape == (60, 60, 3)


def test_patch_labels():
    labels = SceneLabels(SCENE, (60, 60)).labels().reshape(6, 6, 3)
    assert (labels[3:, :3, 0] == 0).all()
    assert (labels[3:, 3:] == [1, 4, 2]).all()
    assert (labels[:3, :, 1:] == -100).all()


def test_caption_f1():
    truth = "top left cat; top right dog"
    assert caption_f1(truth, truth) == 1
    assert caption_f1("top left cat", truth) == pytest.approx(2 / 3)


def test_tokenizer_round_trip_and_prompt():
    text = Text()
    for sample in [answer for family in FAMILIES for _, answer in answers(family)] + ["Zürich ☀\n\t7"]:
        assert text.decode(text.encode(sample)) == sample
    before, after = text.prompt("Where is the cat?")
    tokens = [text.tokenizer.id_to_token(token) for token in after]
    assert tokens[:2] == ["Where", "Ġis"], "the newline after the image is dropped, and nothing else"
    assert tokens[-2:] == ["Ċ", "Ċ"] and tokens[5:7] == ["<|eot_id|>", "<|start_header_id|>"]
    assert all(len(text.encode(cell)) == 2 for cell in CELLS)
