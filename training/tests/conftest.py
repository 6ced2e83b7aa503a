"""What tests share: a pack of drawings made on the spot; and which tests need fonts."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).parents[1]))

from families.assets import CONCEPT_LIST, CONCEPTS, SPLITS, SPRITE_SIZE, SPRITES_PER_ROW, STYLES  # noqa: E402

FONTS = Path("/usr/share/fonts/truetype")
MISSING = [name for name in ("noto/NotoColorEmoji.ttf", "dejavu", "liberation2") if not (FONTS / name).exists()]
collect_ignore = ["test_questions.py", "test_nano_pictures.py", "test_shapes.py"] if MISSING else []


def pytest_report_header() -> str:
    """Says what is left out."""
    left_out = ", ".join(collect_ignore)
    return f"left out: {left_out}: there is no {FONTS / MISSING[0]}; run ./fetch_assets.sh" if MISSING else ""


@pytest.fixture(scope="session")
def pack(tmp_path_factory) -> Path:
    """A pack of plain drawings, so that no download is needed."""
    folder = tmp_path_factory.mktemp("pack")
    rows = -(-len(CONCEPTS) // SPRITES_PER_ROW)
    for shade, style in enumerate(STYLES):
        sheet = Image.new("RGBA", (SPRITES_PER_ROW * SPRITE_SIZE, rows * SPRITE_SIZE))
        ImageDraw.Draw(sheet).rectangle((0, 0, *sheet.size), fill=(60 * shade, 90, 200, 255))
        sheet.save(folder / f"sprites-{style}.webp", lossless=True)
    shutil.copy(CONCEPT_LIST, folder)
    (folder / "fonts").mkdir()
    for index in range(12):
        (folder / "fonts" / f"{index:02d}.ttf").write_bytes(ImageFont.load_default(20).path.getvalue())
    (folder / "textures").mkdir()
    Image.new("RGB", (256, 256), (90, 120, 90)).save(folder / "textures/plain.jpg")
    (folder / "words.txt").write_text("\n".join(f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in "klmnp"))
    noise = np.random.default_rng(0)
    for split in SPLITS:
        for name, side, labels in (("fashion", 28, 10), ("digits", 8, 10)):
            pictures = noise.integers(0, 17, (20, side, side), dtype=np.uint8)
            np.savez(folder / f"{name}-{split}.npz", pictures=pictures, labels=np.arange(20) % labels)
        np.savez(folder / f"easy-vqa-{split}.npz", pictures=noise.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
        (folder / f"easy-vqa-{split}.json").write_text('[["what color is the shape?", "red", 0], ["is it?", "no", 1]]')
    return folder
