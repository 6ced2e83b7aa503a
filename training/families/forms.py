"""Forms: what a field says."""

import random

from .assets import Assets
from .picture import Canvas, Picture, Question, random_color
from .scene_questions import NUMBERS
from .vocabulary import CITIES, FORM_TITLES, NAMES


def random_fields(rng: random.Random, words: list[str], count: int) -> dict[str, str]:
    """Labels and values of a form."""
    values = {
        "Name": f"{rng.choice(NAMES)} {rng.choice(words).title()}",
        "City": rng.choice(CITIES),
        "Date": f"{rng.randint(1, 28):02d}/{rng.randint(1, 12):02d}/{rng.randint(1990, 2029)}",
        "Invoice": str(rng.randint(1000, 99999)),
        "Phone": f"555-{rng.randint(1000, 9999)}",
        "Amount": f"{rng.randint(10, 999)}.{rng.randint(0, 99):02d}",
        "Street": f"{rng.choice(words).title()} {rng.randint(1, 99)}",
        "Room": str(rng.randint(1, 499)),
        "Code": "".join(rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(2)) + f"-{rng.randint(10, 99)}",
    }
    return {label: values[label] for label in rng.sample(list(values), count)}


def questions(rng: random.Random, title: str, fields: dict[str, str], missing: str) -> list[Question]:
    """Two fields, the title, how many fields, and a field that is not there."""
    asked = [
        Question(
            "forms", rng.choice(["What is the {}?", "Which {} is given?"]).format(label.lower()), fields[label], "anls"
        )
        for label in rng.sample(list(fields), min(3, len(fields)))
    ]
    asked.append(
        Question("forms", rng.choice(["What is the title of the form?", "What kind of form is this?"]), title, "anls")
    )
    if rng.random() < 0.3:
        asked.append(Question("forms", "How many fields does the form have?", NUMBERS[len(fields)]))
    asked.append(Question("refusal", f"What is the {missing.lower()}?", f"there is no {missing.lower()}"))
    return asked


def draw(rng: random.Random, assets: Assets, size: tuple[int, int]) -> Picture:
    """Labels with values behind, in a second column, or in boxes."""
    canvas = Canvas(rng, assets, size, random_color(rng, 225, 255))
    fine = rng.uniform(0.75, 1) if canvas.unit > 1.2 else 1
    path, ink, pale = rng.choice(assets.fonts), random_color(rng, 0, 70), random_color(rng, 140, 200)
    count = rng.randint(2, 6)
    everything = random_fields(rng, assets.words, count + 1)
    missing = list(everything)[-1]
    fields = {label: value for label, value in everything.items() if label != missing}
    title = rng.choice(FORM_TITLES)
    bold = path if rng.random() < 0.5 else rng.choice(assets.fonts)
    canvas.text(12, 6, title, canvas.font_of(bold, 19 * fine), ink)
    font, style = canvas.font_of(path, rng.uniform(13, 15) * fine), rng.choice(["behind", "column", "boxes"])
    y, step = 38, min(29, (canvas.height - 42) / count)
    for label, value in fields.items():
        if style == "behind":
            canvas.text(12, y, f"{label}: {value}", font, ink)
        else:
            canvas.text(12, y, label, font, random_color(rng, 60, 110))
            if style == "boxes":
                canvas.rectangle((98, y - 3, canvas.width - 8, y + step - 7), outline=pale)
            canvas.text(102, y, value, font, ink)
        y += step
    return canvas.done(questions(rng, title, fields, missing))
