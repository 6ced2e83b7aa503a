"""Learns the tokenizers of nano (tokenizer.json) and tiny (tokenizer-tiny.json) from the questions they are asked."""

import argparse
import random

from text import SPECIAL_TOKENS, TINY_TOKENIZER_PATH, TOKENIZER_PATH, trained_tokenizer

TINY_TOKENS = 2048


def nano_lines() -> list[str]:
    """Questions, answers and names, so often that every word becomes one token."""
    from questions import FAMILIES, FIRST_FAMILIES
    from scenes import CELLS, COLORS, EMOJI, SHAPES, random_scene

    rng = random.Random(0)
    lines = ["user", "assistant"] * 50
    for _ in range(3000):
        scene = random_scene(rng)
        for family in FIRST_FAMILIES:
            lines.extend(FAMILIES[family](rng, scene) or [])
    words = [*EMOJI, *COLORS, *SHAPES, *" ".join(CELLS).split(), "nothing", "number"]
    return lines + [text for word in words for text in (word, f"a {word}")] * 50


def tiny_lines() -> list[str]:
    """Questions and answers of training pictures, and some words in three cases."""
    from families.assets import CONCEPTS, Assets
    from families.mixture import draw_picture
    from families.picture import CLOTHES

    rng, assets = random.Random(0), Assets("train")
    lines = ["user", "assistant"] * 500
    for _ in range(6000):
        for question in draw_picture(rng, assets).questions:
            lines += [question.text, question.answer]
    lines += [text for name in (*CONCEPTS, *CLOTHES) for text in (name, f"a {name}")] * 40
    words = rng.sample(assets.words, 6000)
    return lines + [text for word in words for text in (word, word.title(), word.upper())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", choices=["nano", "tiny"], default="nano")
    if parser.parse_args().config == "nano":
        trained_tokenizer(nano_lines(), 1000, 20).save(str(TOKENIZER_PATH))
    else:
        size = TINY_TOKENS - len(SPECIAL_TOKENS)
        trained_tokenizer(tiny_lines(), size, 2).save(str(TINY_TOKENIZER_PATH))


if __name__ == "__main__":
    main()
