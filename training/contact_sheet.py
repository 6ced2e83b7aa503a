"""Draws a few pictures of every family with their questions, to look at: runs/contact-sheet.png."""

import argparse
import random
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from families.assets import Assets
from families.mixture import DRAWERS

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", default="train")
    parser.add_argument("--family", choices=list(DRAWERS), nargs="*", default=list(DRAWERS))
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), help="width and height in pixels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", action="store_true", help="also say how many pictures a core draws in a second")
    parser.add_argument("--output", type=Path, default=HERE / "runs/contact-sheet.png")
    options = parser.parse_args()
    assets, rng, size = Assets(options.split), random.Random(options.seed), tuple(options.size)
    caption = 92
    sheet = Image.new("RGB", (options.columns * (size[0] + 6), len(options.family) * (size[1] + caption)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for row, name in enumerate(options.family):
        for column in range(options.columns):
            picture = DRAWERS[name][0](rng, assets, size)
            left, top = column * (size[0] + 6), row * (size[1] + caption)
            sheet.paste(picture.image, (left, top))
            lines = [f"{asked.text} {asked.answer}" for asked in picture.questions]
            width = size[0] // 5
            wrapped = [line[at : at + width] for line in lines for at in range(0, len(line), width)]
            pen.multiline_text((left, top + size[1] + 1), "\n".join(wrapped[:8]), "black", font, spacing=1)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.output)
    if options.speed:
        weighted = 0.0
        for name, (draw, share) in DRAWERS.items():
            begin, count = time.process_time(), 300
            for _ in range(count):
                draw(rng, assets, size)
            spent = (time.process_time() - begin) / count
            weighted += share * spent
            print(f"{name:12} {1 / spent:6.0f} pictures/s")
        print(f"{'mixture':12} {1 / weighted:6.0f} pictures/s")


if __name__ == "__main__":
    main()
