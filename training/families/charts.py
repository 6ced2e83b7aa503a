"""Charts: upright and lying bars, lines, pies."""

import random
from dataclasses import dataclass

from .assets import Assets
from .chart_drawing import draw_bars, draw_line, draw_lying_bars, draw_pie
from .picture import Canvas, Picture, Question, random_color
from .scene_questions import NUMBERS
from .shapes import COLORS
from .vocabulary import CHART_TITLES, CITIES, DAYS, ITEMS, MONTHS, NAMES

KINDS = {"bar": draw_bars, "horizontal bar": draw_lying_bars, "line": draw_line, "pie": draw_pie}


@dataclass(frozen=True)
class Chart:
    """Values by category. `unit` is what an axis is marked in; `shown` says whether values are written out."""

    kind: str
    title: str
    values: dict[str, int]
    colors: list[str]
    unit: int
    shown: bool


def random_chart(rng: random.Random) -> Chart:
    """Three to six different values, from one to ten units."""
    kind = rng.choice(["bar", "bar", "horizontal bar", "pie", "line"])
    count = rng.randint(3, 6)
    pool = rng.choice([ITEMS, CITIES, DAYS, MONTHS, NAMES])
    labels = rng.sample([label for label in pool if len(label) < 8], count)
    if pool in (DAYS, MONTHS):
        labels.sort(key=pool.index)
    unit = rng.choice([1, 2, 5, 10, 50])
    values = [unit * value for value in rng.sample(range(1, 11), count)]
    faint = ["white", "yellow"] if kind == "line" else ["white"]
    colors = rng.sample([color for color in COLORS if color not in faint], count)
    if kind == "line" or (kind != "pie" and rng.random() < 0.3):
        colors = [colors[0]] * count
    return Chart(kind, rng.choice(CHART_TITLES), dict(zip(labels, values)), colors, unit, rng.random() < 0.6)


def questions(rng: random.Random, chart: Chart) -> list[Question]:
    """Extremes, title, kind, number of categories, colour; values where they can be read; a description."""
    labels, values = list(chart.values), list(chart.values.values())
    ask = lambda text, answer: Question("charts", text, answer, "relaxed")
    label = rng.choice(labels)
    highest, lowest = labels[values.index(max(values))], labels[values.index(min(values))]
    asked = [
        ask(rng.choice(["Which category has the highest value?", "Which category is the largest?"]), highest),
        ask(rng.choice(["Which category has the lowest value?", "Which category is the smallest?"]), lowest),
        rng.choice([
            ask("What is the title of the chart?", chart.title),
            ask("What kind of chart is this?", f"{chart.kind} chart"),
            ask("How many categories are there?", NUMBERS[len(labels)]),
        ]),
    ]  # fmt: skip
    if len(set(chart.colors)) > 1:
        asked.append(ask(f"What color is {label} in the chart?", chart.colors[labels.index(label)]))
    if chart.kind != "pie" or chart.shown:
        asked.append(
            ask(
                rng.choice(["What is the value for {}?", "What is the value of {}?"]).format(label),
                str(chart.values[label]),
            )
        )
    if chart.shown:
        clauses = [f"{label} is {value}" for label, value in chart.values.items()]
        said = "; ".join([f"{chart.kind} chart titled {chart.title}", *clauses])
        asked.append(
            Question("chart-caption", rng.choice(["Describe the chart.", "What does the chart show?"]), said, "set-f1")
        )
    missing = rng.choice([city for city in CITIES if city not in chart.values])
    asked.append(Question("refusal", f"What is the value for {missing}?", f"there is no {missing}"))
    return asked


def draw(rng: random.Random, assets: Assets, size: tuple[int, int]) -> Picture:
    """A title and the chart below."""
    chart = random_chart(rng)
    canvas = Canvas(rng, assets, size, random_color(rng, 238, 255))
    fine = rng.uniform(0.75, 1) if canvas.unit > 1.2 else 1
    path, ink = rng.choice(assets.fonts), random_color(rng, 0, 60)
    canvas.text(canvas.width / 2, 4, chart.title, canvas.font_of(path, 16 * fine), ink, "middle")
    KINDS[chart.kind](canvas, chart, canvas.font_of(path, 11.5 * fine), ink)
    return canvas.done(questions(rng, chart))
