"""Tiny's answers are true of what is drawn, and nothing that the test keeps for itself gets into training."""

import random

import numpy as np
import pytest
from PIL import Image

from batches import FILLER_TURN, PATCH, pack_turns, patch_labels
from families import charts, clothing, forms, receipts, tables, words
from families.assets import SPLITS, TEST_STYLE, Assets, is_test_word
from families.mixture import DRAWERS, FAMILIES, ONE_VIEW, TILED_SIZES, draw_picture
from families.picture import PATCH_CLASS_INDEX, Canvas
from families.scene import Thing
from families.scene_questions import SCENE_FAMILIES, absent_name
from metrics import METRICS, anls, relaxed, set_f1
from text import TINY_TOKENIZER_PATH, Text

THINGS = [
    Thing("red circle", 0, "red", "circle"),
    Thing("cat", 2),
    Thing("red star", 7, "red", "star"),
]


def answers(family: str, things=THINGS) -> set[tuple[str, str]]:
    """Everything a family of scenes says about some things in many draws."""
    rng = random.Random(0)
    found = (SCENE_FAMILIES[family](rng, things) for _ in range(600))
    return {(question.text, question.answer) for question in found if question}


@pytest.mark.parametrize(
    ("family", "question", "answer"),
    [
        ("color", "What color is the circle?", "red"),
        ("exists", "Is there a red star?", "yes"),
        ("exists", "Is there a red square?", "no"),
        ("relation", "Is the cat to the left or to the right of the red star?", "right"),
        ("relation", "Is the cat above or below the red star?", "above"),
        ("count", "How many objects are there?", "three"),
        ("count", "How many red shapes do you see?", "two"),
        ("count", "How many stars are there?", "one"),
        ("where", "Where is the cat?", "at the top right"),
        ("what-at", "What is at the bottom?", "red star"),
        ("what-at", "What is in the center?", "nothing"),
        ("caption", "Describe the picture.",
         "three objects; a red circle at the top left; a cat at the top right; a red star at the bottom"),
        ("refusal", "What color is the ring?", "there is no ring"),
    ],
)  # fmt: skip
def test_scenes_are_answered_truly(family, question, answer):
    found = answers(family)
    assert (question, answer) in found
    assert {said for asked, said in found if asked == question} == {answer}


def test_things_that_occur_twice_are_not_asked_for_by_name():
    twins = [Thing("cat", 0), Thing("cat", 4)]
    for family in ("where", "relation", "color"):
        assert answers(family, twins) == set(), family


def test_absent_names_are_absent():
    rng = random.Random(1)
    assert not {absent_name(rng, THINGS) for _ in range(500)} & {thing.name for thing in THINGS}


def said(asked, beginning: str) -> set[str]:
    return {question.answer for question in asked if question.text.startswith(beginning)}


def test_receipts_add_up():
    receipt = receipts.Receipt("Old Cafe", {"Tea": 250, "Cake": 399, "Milk": 95})
    asked = [question for seed in range(40) for question in receipts.questions(random.Random(seed), receipt)]
    assert said(asked, "What is the total?") == {"7.44"}
    assert said(asked, "How much does the Cake cost?") == {"3.99"}
    assert said(asked, "Which item is the most expensive?") == {"Cake"}
    assert said(asked, "How many items") == {"three"}
    assert said(asked, "What is the name of the shop?") == {"Old Cafe"}
    assert said(asked, "How much does the Rice cost?") == {"there is no Rice"}


def test_tables_are_read_by_row_and_column():
    table = tables.Table("Name", ["Age", "Wins"], {"Ben": [30, 7], "Eva": [41, 7]})
    asked = [question for seed in range(60) for question in tables.questions(random.Random(seed), table)]
    assert said(asked, "What is the age of Ben?") == {"30"}
    assert said(asked, "Who has the highest age?") == {"Eva"}
    assert said(asked, "Who has the highest wins?") == set(), "a tie has no answer"


def test_charts_are_read_where_values_can_be_read():
    chart = charts.Chart("pie", "Sales", {"Tea": 4, "Rice": 9, "Oil": 2}, ["red", "blue", "green"], 1, False)
    asked = [question for seed in range(60) for question in charts.questions(random.Random(seed), chart)]
    assert said(asked, "Which category is the largest?") == {"Rice"}
    assert said(asked, "What color is Oil in the chart?") == {"green"}
    assert said(asked, "What is the value") == {
        answer for answer in said(asked, "What is the value") if answer.startswith("there is no")
    }
    shown = charts.Chart("bar", "Sales", {"Tea": 4, "Rice": 9}, ["red", "blue"], 1, True)
    asked = [question for seed in range(60) for question in charts.questions(random.Random(seed), shown)]
    assert said(asked, "What is the value for Rice?") == {"9"}
    assert said(asked, "Describe the chart.") == {"bar chart titled Sales; Tea is 4; Rice is 9"}


def test_forms_clothes_and_words_are_answered_from_what_is_drawn():
    rng = random.Random(2)
    fields = {"Name": "Ben Bak", "City": "Oslo"}
    asked = [question for _ in range(40) for question in forms.questions(rng, "Invoice", fields, "Phone")]
    assert said(asked, "What is the city?") == {"Oslo"}
    assert said(asked, "What is the phone?") == {"there is no phone"}
    asked = [question for _ in range(40) for question in clothing.questions(rng, ["bag", "coat"])]
    assert said(asked, "Where is the coat?") == {"on the right"}
    assert said(asked, "What piece of clothing is on the left?") == {"bag"}
    asked = [question for _ in range(40) for question in words.questions(rng, ["Sun", "42"])]
    assert said(asked, "Read the text.") == {"Sun 42"}
    assert said(asked, "Read the second line.") == {"42"}


def test_every_drawer_draws_the_size_it_is_asked_for_and_asks_known_families(pack):
    families = set()
    for split in SPLITS:
        assets, rng = Assets(split, pack), random.Random(3)
        for name, (draw, _) in DRAWERS.items():
            for size in {ONE_VIEW, *TILED_SIZES}:
                for _ in range(8):
                    picture = draw(rng, assets, size)
                    assert picture.image.size == size and picture.image.mode == "RGB", name
                    assert picture.questions, name
                    assert all(question.metric in METRICS and question.answer for question in picture.questions)
                    families |= {question.family for question in picture.questions}
    assert families == set(FAMILIES)
    assert sum(share for _, share in DRAWERS.values()) == pytest.approx(1)


def test_the_test_has_content_of_its_own(pack):
    train, test = Assets("train", pack), Assets("test", pack)
    assert not set(train.fonts) & set(test.fonts) and test.fonts
    assert not set(train.words) & set(test.words) and test.words
    assert is_test_word("Sun") == is_test_word("sun")
    with pytest.raises(ValueError, match="for the test only"):
        train.sheet(TEST_STYLE)
    rng = random.Random(4)
    asked = [question.family for _ in range(300) for question in draw_picture(rng, train).questions]
    assert "naming" in asked and "naming-unseen" not in asked


def test_patch_labels_name_what_covers_a_patch(pack):
    canvas = Canvas(random.Random(0), Assets("train", pack), (448, 448), (255, 255, 255))
    canvas.paste(Image.new("RGBA", (112, 112), (255, 0, 0, 255)), 42, 42, PATCH_CLASS_INDEX["red square"])
    labels = np.reshape(patch_labels(canvas.done([])), (224 // PATCH, -1))
    assert (labels[1:5, 1:5] == PATCH_CLASS_INDEX["red square"]).all()
    assert (labels[6:] == 0).all() and (labels[:, 6:] == 0).all()


def test_a_conversation_keeps_questions_and_answers_apart(pack):
    text, rng = Text(TINY_TOKENIZER_PATH), random.Random(5)
    asked = charts.questions(rng, charts.random_chart(rng))
    for _ in range(50):
        ids, turns, weights, count = pack_turns(rng, text, asked, 128)
        assert len(ids) == len(turns) == len(weights) == 128 and count == max(
            turn for turn in turns if turn != FILLER_TURN
        )
        for turn in range(1, count + 1):
            answer = [token for token, place in zip(ids, turns) if place == turn]
            assert text.decode(answer[:-1]) in {question.answer for question in asked}
            assert answer[-1] == text.end_id
        assert {token for token, turn in zip(ids, turns) if turn == FILLER_TURN} <= {text.end_id}
        assert all(weight == 0 for weight, turn in zip(weights, turns) if turn == 0)
    alone = asked[0]
    ids, turns, _, _ = pack_turns(rng, text, [alone], 64)
    assert ids[: turns.index(1)] == text.prompt(alone.text)[1], "one question is asked as at inference"


def test_tiny_tokenizer_encodes_any_text():
    text = Text(TINY_TOKENIZER_PATH)
    for sample in ["Where is the cat?", "three objects; a red circle at the top left", "7:35 $1.20", "Zürich ☀\n\t7"]:
        assert text.decode(text.encode(sample)) == sample
    assert text.vocabulary_size <= 2048


def test_metrics_are_those_of_the_command_line():
    assert (
        anls("Old Cafe", "old  cafe") == 1
        and anls("kitten", "sitting") == pytest.approx(4 / 7)
        and anls("abc", "xyz") == 0
    )
    assert (
        relaxed("104", "100") == 1
        and relaxed("106", "100") == 0
        and relaxed("12%", "0.12") == 1
        and relaxed("0", "0") == 1
    )
    assert set_f1("a cat; a dog", "a dog; a cup; a cat") == pytest.approx(4 / 5)
