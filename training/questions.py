"""Questions and answers about a scene, in nine families.

Every family is a function from (random generator, scene) to (question, answer), or to None where
the scene has nothing to ask about. Questions come in two or three wordings.
"""

import random

from scenes import CELLS, COLORS, EMOJI, SHAPES, Scene

COUNT_WORDS = ["zero", "one", "two", "three", "four"]
CAPTION_QUESTION = "Describe the image."
QuestionAnswer = tuple[str, str]
Asked = tuple[str, str, str]  # family, question, answer


def with_article(name: str) -> str:
    """The name with its indefinite article."""
    return ("an " if name[0] in "aeiou" else "a ") + name


def only_ones(values: list[str]) -> list[int]:
    """Indices of the values that occur once."""
    return [index for index, value in enumerate(values) if values.count(value) == 1]


def ask_color(rng: random.Random, scene: Scene) -> QuestionAnswer | None:
    """The colour of the only shape of its kind."""
    shapes = [thing for thing in scene.values() if thing.is_shape]
    unique = only_ones([thing.shape for thing in shapes])
    if not unique:
        return None
    thing = shapes[rng.choice(unique)]
    wording = rng.choice(["What color is the {}?", "What is the color of the {}?", "Which color is the {}?"])
    return wording.format(thing.shape), thing.color


def ask_shape(rng: random.Random, scene: Scene) -> QuestionAnswer | None:
    """The kind of the only shape of its colour."""
    shapes = [thing for thing in scene.values() if thing.is_shape]
    unique = only_ones([thing.color for thing in shapes])
    if not unique:
        return None
    thing = shapes[rng.choice(unique)]
    wording = rng.choice(["What shape is {}?", "Which shape is {}?", "What is the {} shape?"])
    return wording.format(thing.color), thing.shape


def ask_count(rng: random.Random, scene: Scene) -> QuestionAnswer:
    """How many things, or how many coloured shapes."""
    if rng.random() < 0.5:
        wording = rng.choice(["How many objects are there?", "How many objects do you see?"])
        return wording, COUNT_WORDS[len(scene)]
    wording = rng.choice(["How many shapes are there?", "How many shapes do you see?"])
    return wording, COUNT_WORDS[sum(thing.is_shape for thing in scene.values())]


def ask_where(rng: random.Random, scene: Scene) -> QuestionAnswer:
    """The cell of a thing."""
    cell, thing = rng.choice(list(scene.items()))
    wording = rng.choice(["Where is the {}?", "Where do you see the {}?"])
    return wording.format("number" if thing.is_number else thing.name), CELLS[cell]


def ask_what_at(rng: random.Random, scene: Scene) -> QuestionAnswer:
    """The thing in a cell; 15 % of the cells are drawn from all four and may be empty."""
    cell = rng.choice(list(scene)) if rng.random() < 0.85 else rng.randrange(4)
    wording = rng.choice(["What is at the {}?", "What do you see at the {}?"])
    return wording.format(CELLS[cell]), scene[cell].name if cell in scene else "nothing"


def ask_number(rng: random.Random, scene: Scene) -> QuestionAnswer | None:
    """The two digits shown."""
    digits = [thing.digits for thing in scene.values() if thing.is_number]
    if not digits:
        return None
    wording = rng.choice(["What number is shown?", "Which number is shown?", "What number do you see?"])
    return wording, digits[0]


def absent_name(rng: random.Random, scene: Scene) -> str:
    """A name that is not in the scene, often one that shares the colour or the kind of a shape."""
    names = {thing.name for thing in scene.values()}
    shapes = [thing for thing in scene.values() if thing.is_shape]
    while True:
        kind = rng.random()
        if kind < 0.4:
            name = rng.choice(list(EMOJI))
        elif kind < 0.6 or not shapes:
            name = f"{rng.choice(list(COLORS))} {rng.choice(SHAPES)}"
        elif kind < 0.8:
            name = f"{rng.choice(shapes).color} {rng.choice(SHAPES)}"
        else:
            name = f"{rng.choice(list(COLORS))} {rng.choice(shapes).shape}"
        if name not in names:
            return name


def ask_exists(rng: random.Random, scene: Scene) -> QuestionAnswer:
    """Whether a thing is there: half yes, half no."""
    wording = rng.choice(["Is there {}?", "Do you see {}?"])
    present = [thing.name for thing in scene.values() if not thing.is_number]
    if present and rng.random() < 0.5:
        return wording.format(with_article(rng.choice(present))), "yes"
    return wording.format(with_article(absent_name(rng, scene))), "no"


def ask_caption(rng: random.Random, scene: Scene) -> QuestionAnswer:
    """Everything, cell by cell."""
    wording = rng.choice([CAPTION_QUESTION, "Describe the picture.", "What do you see?"])
    return wording, "; ".join(f"{CELLS[cell]} {thing.name}" for cell, thing in scene.items())


def ask_relation(rng: random.Random, scene: Scene) -> QuestionAnswer | None:
    """Which of two things is further left or further up."""
    if len(scene) < 2:
        return None
    (one, first), (other, second) = rng.sample(list(scene.items()), 2)
    names = ["number" if thing.is_number else thing.name for thing in (first, second)]
    differ = [kind for kind, same in (("across", one % 2 == other % 2), ("down", one // 2 == other // 2)) if not same]
    wording = rng.choice(["Is the {} {} the {}?", "Where is the {}, {} the {}?"])
    if rng.choice(differ) == "across":
        return wording.format(names[0], "left or right of", names[1]), "left" if one % 2 < other % 2 else "right"
    return wording.format(names[0], "above or below", names[1]), "above" if one < other else "below"


def ask_where_color(rng: random.Random, scene: Scene) -> QuestionAnswer | None:
    """The cell of the only shape of its colour. Training alone asks this: it teaches to look a colour up."""
    shapes = [(cell, thing) for cell, thing in scene.items() if thing.is_shape]
    unique = only_ones([thing.color for _, thing in shapes])
    if not unique:
        return None
    cell, thing = shapes[rng.choice(unique)]
    wording = rng.choice(["Where is the {} shape?", "Where do you see the {} shape?"])
    return wording.format(thing.color), CELLS[cell]


FAMILIES = {
    "color": ask_color,
    "shape": ask_shape,
    "count": ask_count,
    "where": ask_where,
    "what-at": ask_what_at,
    "number": ask_number,
    "exists": ask_exists,
    "caption": ask_caption,
    "relation": ask_relation,
}

# The families that the tokenizer was learned on and the oldest part of the frozen set asks.
FIRST_FAMILIES = [family for family in FAMILIES if family != "relation"]

# The share of the questions about shapes that become `ask_where_color` in training.
WHERE_COLOR = 0.4

# How often training asks each family: the harder ones more often.
TRAINING_WEIGHTS = {
    "color": 0.4, "shape": 2.2, "count": 0.3, "where": 1.2, "what-at": 1.0, "number": 0.4, "exists": 1.8,
    "caption": 0.9, "relation": 3.5,
}


def draw_questions(rng: random.Random, scene: Scene, count: int) -> list[Asked]:
    """`count` (family, question, answer) triples about one scene, families drawn by weight."""
    names, weights = list(TRAINING_WEIGHTS), list(TRAINING_WEIGHTS.values())
    drawn = []
    while len(drawn) < count:
        family = rng.choices(names, weights)[0]
        ask = ask_where_color if family == "shape" and rng.random() < WHERE_COLOR else FAMILIES[family]
        question_answer = ask(rng, scene)
        if question_answer:
            drawn.append((family, *question_answer))
    return drawn


def caption_f1(answer: str, truth: str) -> float:
    """F1 of the set of clauses of a caption."""
    said, true = set(answer.split("; ")), set(truth.split("; "))
    return 2 * len(said & true) / (len(said) + len(true))


def score(family: str, answer: str, truth: str) -> float:
    """Exact match, or clause F1 for captions."""
    return caption_f1(answer, truth) if family.endswith("caption") else float(answer == truth)
