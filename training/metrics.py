"""How answers are scored: the metrics of `foveate eval`, for the trainings' own curves and `evaluate.py`."""


def exact(said: str, right: str) -> float:
    return float(said.strip() == right.strip())


def distance(a: str, b: str) -> int:
    """Fewest insertions, deletions and replacements of characters."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        diagonal, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            diagonal, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, diagonal + (x != y))
    return row[-1]


def anls(said: str, right: str) -> float:
    """Average normalised Levenshtein similarity (Biten et al., arXiv 1905.13648), case and runs of space ignored."""
    said, right = " ".join(said.split()).lower(), " ".join(right.split()).lower()
    longest = max(len(said), len(right))
    share = distance(said, right) / longest if longest else 0.0
    return 1 - share if share < 0.5 else 0.0


def number(text: str) -> float | None:
    """A finite number in plain digits, percent as hundredths."""
    if not text.isascii() or "_" in text:
        return None
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def relaxed(said: str, right: str) -> float:
    """ChartQA's relaxed accuracy (Masry et al., arXiv 2203.10244): numbers may be 5 % off."""
    said, right = said.strip(), right.strip()
    a, b = number(said), number(right)
    if a is not None and b:
        return float(abs((a - b) / b) <= 0.05)
    return float(said.lower() == right.lower())


def set_f1(said: str, right: str) -> float:
    """F1 of the sets of clauses, divided by `; `."""
    a, b = set(said.split("; ")), set(right.split("; "))
    return 2 * len(a & b) / (len(a) + len(b))


METRICS = {"exact": exact, "anls": anls, "relaxed": relaxed, "set-f1": set_f1}
