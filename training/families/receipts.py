"""Receipts: prices, the total, the shop."""

import random
from dataclasses import dataclass

from .assets import Assets
from .picture import Canvas, Picture, Question, random_color
from .scene_questions import NUMBERS
from .vocabulary import ITEMS, SHOPS


@dataclass(frozen=True)
class Receipt:
    """A shop and what was bought there; prices in cents."""

    shop: str
    prices: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.prices.values())


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def random_receipt(rng: random.Random, words: list[str], most: int) -> Receipt:
    items = rng.sample(ITEMS, rng.randint(2, most))
    return Receipt(f"{rng.choice(words).title()} {rng.choice(SHOPS)}", {item: rng.randint(50, 1999) for item in items})


def questions(rng: random.Random, receipt: Receipt) -> list[Question]:
    """Price, total, shop, number of items, the dearest, and something that was not bought."""
    items, prices = list(receipt.prices), list(receipt.prices.values())
    item = rng.choice(items)
    asked = [
        Question("receipts", rng.choice(["How much does the {} cost?", "What is the price of the {}?"]).format(item),
                 money(receipt.prices[item]), "anls"),
        Question("receipts", rng.choice(["What is the total?", "How much is the total?"]),
                 money(receipt.total), "anls"),
        Question("receipts", rng.choice(["What is the name of the shop?", "Which shop is this receipt from?"]),
                 receipt.shop, "anls"),
        Question("receipts", "How many items are on the receipt?", NUMBERS[len(items)]),
    ]  # fmt: skip
    if prices.count(max(prices)) == 1:
        asked.append(
            Question("receipts", "Which item is the most expensive?", items[prices.index(max(prices))], "anls")
        )
    missing = rng.choice([item for item in ITEMS if item not in receipt.prices])
    asked.append(Question("refusal", f"How much does the {missing} cost?", f"there is no {missing}"))
    return asked


def draw(rng: random.Random, assets: Assets, size: tuple[int, int]) -> Picture:
    """Name on top, prices on the right, the total under a line."""
    canvas = Canvas(rng, assets, size, random_color(rng, 222, 255))
    fine = rng.uniform(0.75, 1) if canvas.unit > 1.2 else 1  # larger pictures may have smaller print
    path, ink = rng.choice(assets.fonts), random_color(rng, 0, 70)
    step = rng.uniform(20, 24) * fine
    receipt = random_receipt(rng, assets.words, min(9, int((canvas.height - 70) / step)))
    font, large = canvas.font_of(path, rng.uniform(13.5, 16) * fine), canvas.font_of(path, 18 * fine)
    left, right = rng.uniform(8, 20), canvas.width - rng.uniform(8, 20)
    middle = rng.random() < 0.5
    canvas.text(canvas.width / 2 if middle else left, 7, receipt.shop, large, ink, "middle" if middle else "left")
    currency = rng.choice(["", "", "$"])
    y = 36
    for item, price in receipt.prices.items():
        canvas.text(left, y, item, font, ink)
        canvas.text(right, y, currency + money(price), font, ink, "right")
        y += step
    canvas.line((left, y + 1, right, y + 1), ink)
    canvas.text(left, y + 5, rng.choice(["Total", "TOTAL", "Sum"]), large, ink)
    canvas.text(right, y + 5, currency + money(receipt.total), large, ink, "right")
    return canvas.done(questions(rng, receipt))
