"""How the four kinds of charts are drawn."""

from .picture import VIEW, Canvas, Color
from .shapes import COLORS

PALE = (205, 205, 205)


def marks(chart) -> range:
    """Marks of the axis of values: none to ten units."""
    return range(0, 11, 2)


def upright(canvas: Canvas, chart, font, ink: Color) -> list[tuple[str, int, float, float]]:
    """The axes; label, value, middle and top of every category."""
    left, bottom, top = 34, canvas.height - 36, 44
    across = (canvas.width - left - 6) / len(chart.values)
    for mark in marks(chart):
        y = bottom - (bottom - top) * mark / 10
        canvas.line((left, y, canvas.width - 6, y), PALE)
        canvas.text(left - 4, y - 6, str(mark * chart.unit), font, ink, "right")
    placed = []
    for index, (label, value) in enumerate(chart.values.items()):
        x = left + (index + 0.5) * across
        canvas.text(x, bottom + 3 + (index % 2) * 13, label, font, ink, "middle")
        placed.append((label, value, x, bottom - (bottom - top) * value / chart.unit / 10))
    canvas.line((left, bottom, canvas.width - 6, bottom), ink)
    return placed


def draw_bars(canvas: Canvas, chart, font, ink: Color) -> None:
    half = 0.36 * (canvas.width - 40) / len(chart.values)
    for (_, value, x, y), color in zip(upright(canvas, chart, font, ink), chart.colors):
        canvas.rectangle((x - half, y, x + half, canvas.height - 36.5), COLORS[color])
        if chart.shown:
            canvas.text(x, y - 14, str(value), font, ink, "middle")


def draw_line(canvas: Canvas, chart, font, ink: Color) -> None:
    placed, color = upright(canvas, chart, font, ink), COLORS[chart.colors[0]]
    canvas.line(tuple(part for _, _, x, y in placed for part in (x, y)), color, 2.5)
    for _, value, x, y in placed:
        canvas.draw.ellipse(canvas.points((x - 3, y - 3, x + 3, y + 3)), fill=color)
        if chart.shown:
            canvas.text(x, y - 17, str(value), font, ink, "middle")


def draw_lying_bars(canvas: Canvas, chart, font, ink: Color) -> None:
    left, top, bottom = 62, 28, canvas.height - 20
    right = canvas.width - 34
    step = (bottom - top) / len(chart.values)
    for index, ((label, value), color) in enumerate(zip(chart.values.items(), chart.colors)):
        y = top + (index + 0.5) * step
        end = left + (right - left) * value / chart.unit / 10
        canvas.rectangle((left, y - 0.34 * step, end, y + 0.34 * step), COLORS[color])
        canvas.text(left - 5, y - 6, label, font, ink, "right")
        if chart.shown:
            canvas.text(end + 4, y - 6, str(value), font, ink)
    canvas.line((left, top, left, bottom), ink)
    for mark in marks(chart):
        x = left + (right - left) * mark / 10
        canvas.line((x, bottom, x, bottom + 4), ink)
        canvas.text(x, bottom + 4, str(mark * chart.unit), font, ink, "middle")


def draw_pie(canvas: Canvas, chart, font, ink: Color) -> None:
    total, turn = sum(chart.values.values()), canvas.rng.choice([-90, 0, 90])
    side = 0.56 * VIEW
    top = (canvas.height - side) / 2 + 6
    for index, ((label, value), color) in enumerate(zip(chart.values.items(), chart.colors)):
        end = turn + 360 * value / total
        canvas.draw.pieslice(
            canvas.points((8, top, 8 + side, top + side)), turn, end, fill=COLORS[color], outline=(255, 255, 255)
        )
        turn = end
        y = canvas.height / 2 + 6 + (index - len(chart.values) / 2) * 22
        canvas.rectangle((side + 18, y, side + 28, y + 10), COLORS[color])
        canvas.text(side + 33, y - 2, f"{label} {value}" if chart.shown else label, font, ink)
