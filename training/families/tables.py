"""Tables of names and numbers: cells and the largest of a column."""

import random
from dataclasses import dataclass

from .assets import Assets
from .picture import Canvas, Picture, Question, random_color
from .scene_questions import NUMBERS
from .vocabulary import CITIES, COLUMNS, ITEMS, NAMES


@dataclass(frozen=True)
class Table:
    """Numbers by row and column; `heading` stands above the rows' names."""

    heading: str
    columns: list[str]
    rows: dict[str, list[int]]


def random_table(rng: random.Random, rows: int, columns: int) -> Table:
    heading, pool = rng.choice([("Name", NAMES), ("City", CITIES), ("Item", ITEMS)])
    names = rng.sample(pool, rows)
    return Table(
        heading, rng.sample(COLUMNS, columns), {name: [rng.randint(1, 99) for _ in range(columns)] for name in names}
    )


def questions(rng: random.Random, table: Table) -> list[Question]:
    """A cell, the extremes of a column, how many rows, and a row that is not there."""
    names, index = list(table.rows), rng.randrange(len(table.columns))
    column, name = table.columns[index], rng.choice(names)
    values = [table.rows[name][index] for name in names]
    wording = rng.choice(["What is the {} of {}?", "What {} does {} have?"])
    asked = [Question("tables", wording.format(column.lower(), name), str(table.rows[name][index]), "anls")]
    noun = {"Name": "Who", "City": "Which city", "Item": "Which item"}[table.heading]
    for word, value in (("highest", max(values)), ("lowest", min(values))):
        if values.count(value) == 1:
            text = f"{noun} has the {word} {column.lower()}?"
            asked.append(Question("tables", text, names[values.index(value)], "anls"))
    if rng.random() < 0.3:
        asked.append(Question("tables", "How many rows are under the heading?", NUMBERS[len(names)]))
    missing = rng.choice(
        [n for n in {"Name": NAMES, "City": CITIES, "Item": ITEMS}[table.heading] if n not in table.rows]
    )
    asked.append(Question("refusal", f"What is the {column.lower()} of {missing}?", f"there is no {missing}"))
    return asked


def draw(rng: random.Random, assets: Assets, size: tuple[int, int]) -> Picture:
    """A heading row, then the rows; with lines between, stripes, or neither."""
    canvas = Canvas(rng, assets, size, random_color(rng, 228, 255))
    fine = rng.uniform(0.75, 1) if canvas.unit > 1.2 else 1
    path, ink = rng.choice(assets.fonts), random_color(rng, 0, 60)
    step = rng.uniform(23, 28) * fine
    rows, columns = rng.randint(2, min(9, int(canvas.height / step) - 2)), rng.choice([1, 2, 2])
    table = random_table(rng, rows, columns)
    style, aligned = rng.choice(["lines", "stripes", "plain"]), rng.choice(["left", "right"])
    font = canvas.font_of(path, rng.uniform(13, 15) * fine)
    right = canvas.width - 8
    edges = [right - (columns - index) * (right - 84) / columns for index in range(columns + 1)]
    color = random_color(rng, 190, 222)
    y = rng.uniform(5, 16)
    for row, cells in enumerate([[table.heading, *table.columns], *([n, *map(str, v)] for n, v in table.rows.items())]):
        if row == 0 or (style == "stripes" and row % 2 == 0):
            canvas.rectangle((6, y, right, y + step - 1), color)
        if style == "lines":
            canvas.line((6, y + step - 1, right, y + step - 1), (150, 150, 150))
        canvas.text(10, y + 0.15 * step, cells[0], font, ink)
        for index, cell in enumerate(cells[1:]):
            x = edges[index] + 4 if aligned == "left" else edges[index + 1] - 6
            canvas.text(x, y + 0.15 * step, cell, font, ink, aligned)
        y += step
    return canvas.done(questions(rng, table))
