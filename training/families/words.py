"""Words and numbers in many fonts: reading."""

import random

from .assets import Assets
from .picture import Canvas, Picture, Question, background, ink_on, mean_color, random_color
from .scene_questions import NUMBERS

ORDINALS = ["first", "second", "third", "fourth"]


def random_line(rng: random.Random, words: list[str]) -> str:
    """A word in some case, or a number."""
    if rng.random() < 0.25:
        return "".join(rng.choice("0123456789") for _ in range(rng.randint(2, 6)))
    word = rng.choice(words)
    return rng.choice([word, word, word.title(), word.upper()])


def questions(rng: random.Random, lines: list[str]) -> list[Question]:
    """About lines of one word each."""
    whole = rng.choice(["What text is written in the image?", "What does the text say?", "Read the text."])
    asked = [Question("words", whole, " ".join(lines), "anls")]
    if len(lines) > 1:
        line = rng.randrange(len(lines))
        wording = rng.choice(["What does the {} line say?", "Read the {} line."])
        asked.append(Question("words", wording.format(ORDINALS[line]), lines[line], "anls"))
        asked.append(Question("count", "How many lines of text are there?", NUMBERS[len(lines)]))
    return asked


def draw(rng: random.Random, assets: Assets, size: tuple[int, int]) -> Picture:
    """One to four lines, on the background or on a panel."""
    canvas = Canvas(rng, assets, size, background(rng, assets, size))
    lines = [random_line(rng, assets.words) for _ in range(rng.choice([1, 1, 2, 3, 4]))]
    path, text_size = rng.choice(assets.fonts), rng.uniform(18, 44 if len(lines) < 3 else 30)
    while True:
        font = canvas.font_of(path, text_size)
        widths = [canvas.text_width(font, line) for line in lines]
        if max(widths) < canvas.width - 12 or text_size < 11:
            break
        text_size *= 0.9
    step = 1.45 * text_size
    top = rng.uniform(4, max(4.1, canvas.height - len(lines) * step - 4))
    ground = mean_color(canvas.image)
    if rng.random() < 0.4:
        ground = random_color(rng, 215, 255) if rng.random() < 0.7 else random_color(rng, 0, 70)
        canvas.rectangle((2, top - 4, canvas.width - 3, top + len(lines) * step + 2), ground)
    color = ink_on(rng, ground)
    aligned = rng.choice(["left", "middle", "free"])
    for index, (line, width) in enumerate(zip(lines, widths)):
        free = canvas.width - width
        left = {"left": 6, "middle": free / 2, "free": rng.uniform(5, max(5.1, free - 5))}[aligned]
        canvas.text(left, top + index * step, line, font, color)
    return canvas.done(questions(rng, lines))
