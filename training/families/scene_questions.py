"""Questions about scenes: one function per family, from the things to a question, or None where none fits."""

import random

from .assets import CONCEPTS
from .picture import Question
from .shapes import COLORS, PLURALS, SHAPES

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
NO_ARTICLE = set(
    "grapes,cherries,blueberries,peanuts,pancakes,french fries,chopsticks,skis,jeans,gloves,socks,shorts,glasses,"
    "goggles,headphones,maracas,books,milk,honey,salt,butter,bread,rice,corn,garlic,bacon,popcorn,coffee,wood,fire,"
    "soap,salad,chocolate,yarn,thread,spaghetti,sushi,dna,broccoli,clover,candy".split(",")
)


def with_article(name: str) -> str:
    """The name with its indefinite article, if it takes one."""
    if name in NO_ARTICLE:
        return name
    return ("an " if name[0] in "aeiou" and not name.startswith("unicorn") else "a ") + name


def only_ones(values: list) -> list[int]:
    """Indices of the values that occur once."""
    return [index for index, value in enumerate(values) if values.count(value) == 1]


def absent_name(rng: random.Random, things: list) -> str:
    """The name of a thing that is not there, often one that shares the colour or the kind of a shape."""
    names = {thing.name for thing in things}
    shapes = [thing for thing in things if thing.shape]
    while True:
        kind = rng.random()
        if kind < 0.4:
            name = rng.choice(CONCEPTS)
        elif kind < 0.6 or not shapes:
            name = f"{rng.choice(list(COLORS))} {rng.choice(SHAPES)}"
        elif kind < 0.8:
            name = f"{rng.choice(shapes).color} {rng.choice(SHAPES)}"
        else:
            name = f"{rng.choice(list(COLORS))} {rng.choice(shapes).shape}"
        if name not in names:
            return name


def ask_color(rng: random.Random, things: list) -> Question | None:
    """The colour of the only shape of its kind."""
    shapes = [thing for thing in things if thing.shape]
    unique = only_ones([thing.shape for thing in shapes])
    if not unique:
        return None
    thing = shapes[rng.choice(unique)]
    wording = rng.choice(["What color is the {}?", "What is the color of the {}?", "Which color does the {} have?"])
    return Question("color", wording.format(thing.shape), thing.color)


def ask_exists(rng: random.Random, things: list) -> Question:
    """Whether a thing is there: half yes, half no."""
    wording = rng.choice(["Is there {}?", "Do you see {}?", "Is there {} in the picture?"])
    if rng.random() < 0.5:
        return Question("exists", wording.format(with_article(rng.choice(things).name)), "yes")
    return Question("exists", wording.format(with_article(absent_name(rng, things))), "no")


def ask_relation(rng: random.Random, things: list) -> Question | None:
    """Which of two things is further left or further up."""
    unique = [things[index] for index in only_ones([thing.name for thing in things])]
    if len(unique) < 2:
        return None
    one, other = rng.sample(unique, 2)
    kinds = [kind for kind in ("column", "row") if getattr(one, kind) != getattr(other, kind)]
    if rng.choice(kinds) == "column":
        text = f"Is the {one.name} to the left or to the right of the {other.name}?"
        return Question("relation", text, "left" if one.column < other.column else "right")
    text = f"Is the {one.name} above or below the {other.name}?"
    return Question("relation", text, "above" if one.row < other.row else "below")


def ask_count(rng: random.Random, things: list) -> Question:
    """How many things, shapes, shapes of a colour or shapes of a kind."""
    shapes = [thing for thing in things if thing.shape]
    kind = rng.choice(["all", "all", "shapes", "color", "shape"]) if shapes else "all"
    wording = rng.choice(["How many {} are there?", "How many {} do you see?"])
    if kind == "all":
        return Question("count", wording.format("objects"), NUMBERS[len(things)])
    if kind == "shapes":
        return Question("count", wording.format("colored shapes"), NUMBERS[len(shapes)])
    thing = rng.choice(shapes)
    if kind == "color":
        count = sum(other.color == thing.color for other in shapes)
        return Question("count", wording.format(f"{thing.color} shapes"), NUMBERS[count])
    count = sum(other.shape == thing.shape for other in shapes)
    return Question("count", wording.format(PLURALS[thing.shape]), NUMBERS[count])


def ask_where(rng: random.Random, things: list) -> Question | None:
    """The region of a thing that is there once."""
    unique = only_ones([thing.name for thing in things])
    if not unique:
        return None
    thing = things[rng.choice(unique)]
    wording = rng.choice(["Where is the {}?", "Where do you see the {}?"])
    return Question("where", wording.format(thing.name), thing.place)


def ask_what_at(rng: random.Random, things: list) -> Question:
    """The thing in a region; an eighth of the time any region, which may be empty."""
    from .scene import REGIONS

    wording = rng.choice(["What is {}?", "What do you see {}?"])
    thing = rng.choice(things)
    if rng.random() < 0.125:
        region = rng.randrange(9)
        name = next((thing.name for thing in things if thing.region == region), "nothing")
        return Question("what-at", wording.format(REGIONS[region]), name)
    return Question("what-at", wording.format(thing.place), thing.name)


def ask_caption(rng: random.Random, things: list) -> Question:
    """Everything, region by region, in clauses."""
    wording = rng.choice(["Describe the image in detail.", "Describe the picture.", "What does the picture show?"])
    clauses = [f"{with_article(thing.name)} {thing.place}" for thing in things]
    noun = "object" if len(things) == 1 else "objects"
    return Question("caption", wording, "; ".join([f"{NUMBERS[len(things)]} {noun}", *clauses]), "set-f1")


def ask_refusal(rng: random.Random, things: list) -> Question:
    """A question that takes for granted what is not there."""
    shapes = {thing.shape for thing in things if thing.shape}
    missing = [shape for shape in SHAPES if shape not in shapes]
    if rng.random() < 0.4:
        shape = rng.choice(missing)
        return Question("refusal", f"What color is the {shape}?", f"there is no {shape}")
    name = absent_name(rng, things)
    return Question(
        "refusal", rng.choice(["Where is the {}?", "Where do you see the {}?"]).format(name), f"there is no {name}"
    )


SCENE_FAMILIES = {
    "color": ask_color,
    "exists": ask_exists,
    "relation": ask_relation,
    "count": ask_count,
    "where": ask_where,
    "what-at": ask_what_at,
    "caption": ask_caption,
    "refusal": ask_refusal,
}


def ask_all(rng: random.Random, things: list) -> list[Question]:
    """One question of every family that fits."""
    asked = (ask(rng, things) for ask in SCENE_FAMILIES.values())
    return [question for question in asked if question]
