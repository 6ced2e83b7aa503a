"""The frozen set of tiny is what its checksums say, and of the test's own content."""

import json

import pytest
from PIL import Image

import frozen
from families.assets import is_test_word
from families.mixture import FAMILIES
from families.vocabulary import SHOPS
from metrics import METRICS


@pytest.fixture(scope="module")
def frozen_set():
    return frozen.read_questions()


def test_every_family_is_asked_about_and_by_a_known_metric(frozen_set):
    sheets, questions = frozen_set
    pictures = sum(sheet["pictures"] for sheet in sheets)
    assert {question["family"] for question in questions} == set(FAMILIES)
    assert all(question["metric"] in METRICS for question in questions)
    assert {question["picture"] for question in questions} == set(range(pictures))


def test_words_and_shops_are_made_of_test_words(frozen_set):
    _, questions = frozen_set
    read = [question["answer"] for question in questions if question["family"] == "words"]
    written = {word for answer in read for word in answer.split() if word.isalpha()}
    assert len(written) > 300 and all(map(is_test_word, written))
    shops = {answer["answer"].split()[0] for answer in questions if answer["answer"].split()[-1] in SHOPS}
    assert len(shops) > 30 and all(map(is_test_word, shops))


def test_a_sheet_with_another_checksum_is_refused(tmp_path, monkeypatch):
    (tmp_path / "questions.json").write_text("{}")
    (tmp_path / "sha256sums.txt").write_text(f"{'0' * 64}  questions.json\n")
    monkeypatch.setattr(frozen, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="expected the checksum 0000"):
        frozen.read_questions()


def test_a_subset_unpacks_to_pictures_and_lines(tmp_path, frozen_set):
    frozen.unpack(tmp_path, 2)
    lines = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * len(FAMILIES)
    assert {Image.open(tmp_path / line["image"]).size for line in lines} <= {(224, 224), (448, 448)}
    assert set(lines[0]) == {"image", "question", "answer", "family", "metric"}
