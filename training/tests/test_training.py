"""What of the training needs torch: visual tokens, masking, and the way to a folder and back."""

import random
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import numpy as np
import torch.nn.functional as F

import batches
import export
import train
from batches import FILLER_TURN
from configs import CONFIGS
from conftest import MISSING
from exported import load
from families.assets import Assets
from model import Config, Foveate
from text import TINY_TOKENIZER_PATH, Text
from train_tiny import masked, varied
from visual import tile_map, visual_tokens

if MISSING:
    pytest.skip("nano's pictures need the fonts of ./fetch_assets.sh", allow_module_level=True)

import nano_pictures
import train_nano
from nano_pictures import Picture
from nano_sequences import seen
from nano_shapes import FROZEN_SIZES, Artist
from patch_labels import Unlabelled
from scenes import random_scene
from slim import slimmed


def small(vocabulary_size: int) -> Config:
    """Tiny's views at a fraction of its width."""
    return Config(
        vocabulary_size, hidden_size=32, intermediate_size=32, layers=1, heads=2, vision_hidden_size=16,
        vision_intermediate_size=16, vision_layers=1, vision_heads=2, image_size=224, patch_size=14, tiled=True,
    )  # fmt: skip


def test_the_map_of_tiles_is_shrunk_as_torch_does_it():
    torch.manual_seed(0)
    model = Foveate(small(64))
    model.model.image_newline.data.normal_()
    features = torch.randn(2, 5, 256, 16)
    tokens = visual_tokens(model, features, tile_map((448, 336), model.config, True))
    projected = model.model.mm_projector(features)
    tiles = projected[:, 1:].view(2, 2, 2, 16, 16, 32).transpose(2, 3).reshape(2, 32, 32, 32)
    shrunk = F.interpolate(tiles[:, 4:28].permute(0, 3, 1, 2), (19, 26), mode="bilinear", align_corners=False)
    rows = torch.cat([shrunk.permute(0, 2, 3, 1), model.model.image_newline.expand(2, 19, 1, -1)], 2)
    expected = torch.cat([projected[:, 0], rows.flatten(1, 2)], 1)
    assert tokens.shape == expected.shape and torch.allclose(tokens, expected, atol=1e-5)


def test_answers_are_hidden_apart_and_prompts_never():
    torch.manual_seed(0)
    turns = torch.tensor([[0] * 20 + [1] * 20 + [0] * 10 + [2] * 20 + [FILLER_TURN] * 30]).repeat(3000, 1)
    hidden = masked(turns)
    assert not hidden[turns == 0].any()
    answers = [hidden[:, 20:40].float().mean(1), hidden[:, 50:70].float().mean(1)]
    filler = hidden[:, 70:].float().mean(1)
    assert 0.6 < (answers[0] == 1).float().mean() < 0.8
    assert ((answers[0] == 1) & (answers[1] < 1)).float().mean() > 0.1
    assert ((answers[0] == 1) & (filler < 0.1)).float().mean() > 0.02, "an answer is hidden behind written filler"


def test_a_worker_that_fails_ends_the_training_instead_of_stopping_it_for_ever(monkeypatch):
    def fail(*_):
        raise FileNotFoundError("no pictures to draw with")

    monkeypatch.setattr(batches, "Maker", fail)
    with pytest.raises(RuntimeError, match="ended with code 1"):
        batches.Batches(2, workers=2, seed=1).next(False)


def test_varied_pictures_stay_pictures():
    torch.manual_seed(0)
    pictures = torch.randint(0, 256, (3, 2, 28, 28, 3), dtype=torch.uint8)
    changed = varied(pictures)
    assert changed.shape == pictures.shape and changed.min() >= 0 and changed.max() <= 255
    assert (changed - pictures.float()).abs().mean() < 40


@pytest.mark.parametrize(("tiled_steps", "aspect"), [(0, "pad"), (3, "anyres_max_2")])
def test_an_exported_folder_is_the_averaged_model(tmp_path, monkeypatch, tiled_steps, aspect):
    torch.manual_seed(0)
    text = Text(TINY_TOKENIZER_PATH)
    model = Foveate(small(text.vocabulary_size))
    torch.save({"average": model.state_dict(), "tiled_steps": tiled_steps}, tmp_path / "checkpoint.pt")
    monkeypatch.setitem(CONFIGS, "tiny", small)
    arguments = ["--config", "tiny", "--checkpoint", str(tmp_path / "checkpoint.pt"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["export.py", *arguments])
    export.main()
    again, text_again = load(tmp_path / "out")
    assert again.config.tiled == (aspect != "pad")
    assert f'"image_aspect_ratio": "{aspect}"' in (tmp_path / "out/config.json").read_text()
    assert text_again.vocabulary_size == text.vocabulary_size
    for name, value in model.state_dict().items():
        assert np.array_equal(value.bfloat16().float().numpy(), again.state_dict()[name].numpy()), name


def nano_model() -> tuple[Text, Foveate]:
    torch.manual_seed(1)
    text = Text()
    model = Foveate(CONFIGS["nano"](text.vocabulary_size))
    model.model.image_newline.data.normal_()
    return text, model.eval()


def test_states_of_mixed_sequences_are_those_of_one_sequence_alone():
    text, model = nano_model()
    before, after = text.prompt("Where is the cat?")
    rows = torch.randn(50, model.config.hidden_size)
    alone = model.hidden_states(torch.tensor([before]), rows[None], torch.tensor([after]))
    ids = before + [text.vocabulary_size + row for row in range(len(rows))] + after
    batch, present = torch.zeros(2, len(ids) + 9, dtype=torch.long), torch.zeros(2, len(ids) + 9, dtype=torch.bool)
    batch[0, : len(ids)], present[0, : len(ids)], present[1, 0] = torch.tensor(ids), True, True
    places = torch.arange(len(ids) - len(after), len(ids)).repeat(2, 1)
    mixed = model.states_at(places, batch, rows, present)
    assert torch.allclose(mixed[0], alone[0], atol=1e-5)


def test_visual_tokens_of_training_are_those_of_answering(pack):
    _, model = nano_model()
    rng = random.Random(0)
    for size in FROZEN_SIZES:
        picture = Picture(Artist(Assets("train", pack)).draw(rng, random_scene(rng), size), Unlabelled(), [])
        how = next(how for how in iter(lambda: seen(rng, picture, 60, 10, 4), None) if len(how.views) > 1)
        features = model.patch_features(torch.from_numpy(how.views))
        rows = torch.cat([model.model.mm_projector(features).flatten(0, 1), model.model.image_newline[None]])
        expected = visual_tokens(model, features[None], tile_map(size, model.config, True))[0]
        assert torch.allclose(rows[how.tokens], expected, atol=1e-5)


def test_a_training_step_of_nano_goes_on_from_its_checkpoint(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(train_nano, "Assets", lambda split: Assets(split, pack))
    monkeypatch.setattr(nano_pictures, "VALIDATION", 0)
    monkeypatch.setattr(sys, "argv", ["train.py", "--directory", str(tmp_path), "--vision-minutes", "0"])
    first = train_nano.NanoTrainer(train.options())
    answer, _ = first.train_step()
    assert answer > 0 and first.images == train_nano.IMAGES_PER_STEP and first.questions > first.images
    first.save()
    again = train_nano.NanoTrainer(train.options())
    assert again.step == 1
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    torch.save(slimmed(torch.load(first.path, weights_only=True)), first.path)
    slim = train_nano.NanoTrainer(train.options())
    slim.train_step()
    assert slim.step == 2 and all(value.dtype == torch.float32 for value in slim.average.values())
