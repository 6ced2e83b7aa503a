"""The whole official test part of easy-VQA, as `foveate eval --jsonl` reads it.

    pip download --no-deps easy-vqa==1.0
    python easy_vqa_test.py easy_vqa-1.0-py3-none-any.whl FOLDER && foveate eval --jsonl FOLDER/questions.jsonl

Pictures are the 64x64 ones of the package, unchanged (Victor Zhou, MIT).
"""

import argparse
import json
import zipfile
from pathlib import Path

INSIDE = "easy_vqa/data/test"


def unpack(wheel: Path, folder: Path) -> int:
    """Writes pictures and questions; returns how many are asked."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as package:
        asked = json.loads(package.read(f"{INSIDE}/questions.json"))
        for index in sorted({picture for _, _, picture in asked}):
            (folder / f"{index}.png").write_bytes(package.read(f"{INSIDE}/images/{index}.png"))
    lines = (
        json.dumps({"image": f"{picture}.png", "question": question, "answer": answer, "family": "easy-vqa"}) + "\n"
        for question, answer, picture in asked
    )
    (folder / "questions.jsonl").write_text("".join(lines))
    return len(asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the package easy-vqa 1.0")
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    print(f"{unpack(chosen.wheel, chosen.folder)} questions in {chosen.folder}/questions.jsonl")


if __name__ == "__main__":
    main()
