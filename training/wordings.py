"""Other wordings of nano's questions: paraphrases, lower case, no question mark, politeness, a wrong letter now and then.

A question is recognised by the family's own wording, and said again with one of many templates. In a template
`(a|b)` stands for either; an empty alternative is allowed, and `{}` for what is asked about.
"""

import random
import re
from functools import lru_cache

PICTURE = "(picture|image|photo|drawing)"
HERE = f"( here| in the {PICTURE}| in this {PICTURE}|)"
TELL = "(tell me|say|please say|can you tell me|could you tell me|do you know|I want to know|please tell me)"
YOU_SEE = "(can you see|do you see|can you find|do you notice|do you find)"

# What is asked, the wordings of questions.py and its neighbours that ask it, and templates that ask it too.
INTENTS: dict[str, tuple[str, list[str]]] = {
    "color": (
        r"(?:What color is the|What is the color of the|Which color is the) (.+)\?",
        [
            f"(what|which) (color|colour) (is|has) the {{}}{HERE}",
            f"(what's|what is) the (color|colour) of the {{}}{HERE}",
            f"(what's|what is) the {{}}'s (color|colour)",
            f"(what|which) (color|colour) (does the {{}} have|do you see on the {{}}|is that {{}}|is this {{}})",
            f"{TELL} (what|which) (color|colour) the {{}} (is|has)",
            f"{TELL} the (color|colour) of the {{}}",
            "(the |){} is (what|which) (color|colour)",
            f"(name|give me) the (color|colour) of the {{}}{HERE}",
            f"there is a {{}}{HERE}(.|,) (what|which) (color|colour) is it",
            "in (what|which) (color|colour) is the {} (drawn|painted|)",
        ],
    ),
    "shape": (
        r"(?:What shape is|Which shape is|What is the(?= \S+ shape\?)) (.+?)(?: shape)?\?",
        [
            f"(what|which) shape is {{}}{HERE}",
            f"(what|which) of the shapes is {{}}",
            f"(what's|what is) the {{}} shape{HERE}",
            f"(what's|what is) the {{}} (one|thing|object|figure){HERE}",
            f"(what|which) (kind|sort|type) of shape is {{}}",
            f"(what|which) shape (has the color {{}}|is in {{}}|is colored {{}}|do you see in {{}})",
            f"{TELL} (what|which) shape is {{}}",
            f"{TELL} what the {{}} shape is",
            f"(name|find) the {{}} shape",
            "the {} shape is (a what|what|which one)",
            f"which (figure|object){HERE} is {{}}",
        ],
    ),
    "count": (
        r"How many (objects|shapes) (?:are there|do you see)\?",
        [
            f"how many {{}} (are there|do you see|can you see|are shown|are visible|does it show|do you count){HERE}",
            f"how many {{}} (are|can be seen) in (the|this) {PICTURE}",
            f"(what is|what's|give me|{TELL}) the number of {{}}{HERE}",
            f"(count|please count|can you count) (the|all|all the) {{}}{HERE}",
            f"{TELL} how many {{}} (there are|you see|you can see)",
            "(the |)number of {}",
            f"how many {{}}",
            f"how many different {{}} (are there|do you see){HERE}",
            f"how many {{}} does (the|this) {PICTURE} (show|have|contain)",
        ],
    ),
    "where": (
        r"(?:Where is the|Where do you see the) ([^,]+)\?",
        [
            f"where (is|do you see|can I find|can I see|did you find) the {{}}{HERE}",
            f"where('s| exactly is| do I find| does it show) the {{}}",
            f"(in|at) (which|what) (corner|part|place|position|spot) (is|do you see|can I find) the {{}}{HERE}",
            f"(which|what) (corner|part of the {PICTURE}|place) (has|shows|holds) the {{}}",
            f"(what is|what's|give me) the (position|place|location) of the {{}}{HERE}",
            f"{TELL} where the {{}} is",
            f"(find|locate|show me|point at|point to|look for) the {{}}{HERE}",
            f"the {{}} is where",
            f"where in (the|this) {PICTURE} is the {{}}",
            f"do you know where the {{}} (is|can be found)",
        ],
    ),
    "what-at": (
        r"(?:What is at the|What do you see at the) (.+)\?",
        [
            f"what (is|can you see|do you see|do you find|is there|is shown|is drawn) (at|in|on) the {{}}{HERE}",
            f"what('s| thing is| object is) (at|in|on) the {{}}( corner|)",
            f"what (is|do you see) (at|in) the {{}} (corner|part|place|position|cell)",
            f"which (thing|object) (is|do you see) (at|in) the {{}}",
            f"{TELL} what is (at|in) the {{}}( corner|)",
            f"what does the {{}} (show|contain|have|hold)",
            f"(name|describe) (the thing|the object|what is|what you see) (at|in) the {{}}( corner|)",
            "(at|in) the {}(,|) what (is there|do you see|can you see)",
            f"(and |)the {{}}( corner|)",
            f"(look at|what about) the {{}}(, what is there| corner|)",
        ],
    ),
    "number": (
        r"(?:What number is shown|Which number is shown|What number do you see)()\?",
        [
            f"(what|which) number (is shown|is it|do you see|can you see|is there|can you read|does it show|is written){HERE}",
            f"(what's|what is|read|name|give me|read me) the number{HERE}",
            f"{TELL} (what|which) number (you see|is shown|is there|it is)",
            f"(what|which) (digits|two digits) (do you see|are shown|are there|can you read){HERE}",
            f"(can you|please|could you) read the (number|digits){HERE}",
            f"{TELL} the number",
            f"(there is a number|I see a number){HERE}(,|.) (which|what) (is it|one|number is it)",
            f"(what|which) number does (the|this) {PICTURE} (show|have|contain)",
            f"the number is (what|which)",
        ],
    ),
    "exists": (
        r"(?:Is there|Do you see) (.+)\?",
        [
            f"is there {{}}{HERE}",
            f"{YOU_SEE} {{}}{HERE}",
            f"(does|would) (the|this) {PICTURE} (show|contain|have|include) {{}}",
            f"is {{}} (shown|visible|there|present|drawn|in the {PICTURE}|in this {PICTURE})",
            f"(are you able to|could you|can I) (see|find) {{}}{HERE}",
            f"{TELL} (if|whether) there is {{}}{HERE}",
            f"{TELL} (if|whether) you see {{}}",
            f"any chance there is {{}}{HERE}",
            f"(have you seen|did you see|did you find) {{}}{HERE}",
            f"there is {{}}{HERE}(, right|, isn't there|, yes or no|, is that right)",
            f"{{}}(, yes or no| in there| here)",
            f"(yes or no: |)is {{}} (here|there|anywhere|in it)",
        ],
    ),
    "caption": (
        r"(?:Describe the image\.|Describe the picture\.|What do you see\?)()",
        [
            f"describe (the|this) {PICTURE}( in detail| for me| please| briefly|)",
            f"(can you|could you|please|would you) describe (the|this) {PICTURE}( in detail| for me|)",
            f"what (do you see|can you see|is there|is shown|is in there|do you notice|is drawn){HERE}",
            f"what('s| is) (in|on) (the|this) {PICTURE}",
            f"what does (the|this) {PICTURE} (show|contain|have|depict)",
            f"{TELL} what (you see|you can see|is in the {PICTURE}|is in this {PICTURE}|it shows|is shown)",
            f"(what is|what's) (this|that|here|going on here|there|to see here)",
            f"what (is|does) this {PICTURE} (about|show)",
            f"(give me|write|make|I need) (a description|a caption|a list of everything)( of the {PICTURE}|)",
            f"(list|name|show me|tell me) (everything|all things|all objects|the things|the objects|all the things)( you see|{HERE})",
            f"(which|what) (things|objects) (are there|do you see|can you see|are shown){HERE}",
            f"(caption|description|explain)( this| the {PICTURE}|)",
            f"tell me (about|more about) (the|this) {PICTURE}",
            f"(look at|see) (the|this) {PICTURE}(, what is there|. what do you see| and describe it)",
            f"what am I looking at",
        ],
    ),
    "relation-is": (
        r"(?:Is|Where is) the (.+?),? (left or right of|above or below) the (.+)\?",
        [
            "is the {} {} the {}",
            "where is the {}, {} the {}",
            f"{TELL} (if|whether) the {{}} is {{}} the {{}}",
            "the {}, is it {} the {}",
            "(do you see|can I find|would you say) the {} {} the {}",
            "the {} is {} the {}",
            "(where do I find|where do you see|where can I see) the {}: {} the {}",
            "look at the {}: is it {} the {}",
        ],
    ),
    "price": (
        r"(?:What does the (?=.+ cost)|How much is the |What number is the )(\S+)(?: cost)?\?",
        [
            f"(what|how much) does the {{}} cost{HERE}",
            f"how much (is|for|costs|must I pay for|do I pay for|money is) the {{}}",
            f"(what's|what is) the (price|cost) of the {{}}",
            f"(what|which) (price|number) (has|does it say for|is at|is next to|is beside|belongs to) the {{}}",
            f"{TELL} (how much|what) the {{}} costs",
            f"{TELL} the price of the {{}}",
            f"(for|at) (what|which) price (is|do they sell|can I buy|do I get) the {{}}",
            f"(the |)price of (the |){{}}",
            f"I want to buy the {{}}(, how much is it|. what does it cost|, what is the price)",
        ],
    ),
    "costs": (
        r"(?:What costs|What is number) (\d+)\?",
        [
            f"(what|which thing|which item) costs {{}}{HERE}",
            f"(what|which thing|which item|which one) (has the price|is priced at|is sold for|can I buy for|do I get for) {{}}",
            f"{TELL} what costs {{}}",
            f"{{}} is the (price|cost) of (what|which thing|which item)",
            f"(what|which thing) is (for |at |number |){{}}",
            f"I have {{}}, what can I buy",
        ],
    ),
    "tallest": (
        r"Which bar is the (?:tallest|highest)()\?",
        [
            f"(which|what) bar is (the tallest|the highest|the biggest|the largest|the longest|tallest|highest){HERE}",
            f"(which|what) (is|color is|color has) the (tallest|highest|biggest|largest|longest) bar{HERE}",
            f"{TELL} (which|what) bar is the (tallest|highest|biggest|largest)",
            "(name|find|show me) the (tallest|highest|biggest|longest) bar",
            "(the |)(tallest|highest|biggest) bar",
            "which of the bars is the (tallest|highest|biggest|largest)",
            "which bar (goes up the most|has the highest value|has the largest value|wins|is on top|is the maximum)",
        ],
    ),
    "shortest": (
        r"Which bar is the (?:shortest|lowest)()\?",
        [
            f"(which|what) bar is (the shortest|the lowest|the smallest|shortest|lowest|smallest){HERE}",
            f"(which|what) (is|color is|color has) the (shortest|lowest|smallest) bar{HERE}",
            f"{TELL} (which|what) bar is the (shortest|lowest|smallest)",
            "(name|find|show me) the (shortest|lowest|smallest) bar",
            "(the |)(shortest|lowest|smallest) bar",
            "which of the bars is the (shortest|lowest|smallest)",
            "which bar (has the lowest value|has the smallest value|loses|is the minimum|goes up the least)",
        ],
    ),
    "taller": (
        r"Is the (\S+) bar taller than the (\S+) bar\?",
        [
            "is the {} bar (taller|higher|bigger|larger|longer) than the {} (bar|one)",
            "is {} (taller|higher|bigger|larger) than {}",
            f"{TELL} (if|whether) the {{}} bar is (taller|higher|bigger) than the {{}} (bar|one)",
            "does the {} bar (reach higher|go higher|go up more) than the {} (bar|one)",
            "the {} bar is (taller|higher|bigger) than the {} (bar|one)(, right|, isn't it|, yes or no)",
            "(comparing|of) the {} bar and the {} bar(,|:) is the first (taller|higher|bigger)",
        ],
    ),
    "bars": (
        r"How many bars are there()\?",
        [
            f"how many bars (are there|do you see|can you see|are shown|does it have){HERE}",
            f"(what is|what's|{TELL}) the number of bars{HERE}",
            f"(count|please count|can you count) the bars{HERE}",
            f"{TELL} how many bars (there are|you see)",
            "how many bars",
            f"how many (columns|different bars) (are there|do you see|does the chart have)",
            f"how many bars does the (chart|{PICTURE}) (have|show)",
        ],
    ),
}
RECOGNISED = {intent: re.compile(pattern) for intent, (pattern, _) in INTENTS.items()}
COUNTED = {"objects": ["objects", "things", "items", "objects", "things"], "shapes": ["shapes", "shapes", "figures"]}
BEFORE = [
    "please, ", "hey, ", "ok, ", "so, ", "now, ", "hello, ", "hi, ", "well, ", "quick question: ", "question: ",
    "one more: ", "and ", "excuse me, ", "tell me, ", "tell me: ", "say, ", "please: ", "dear model, ",
]  # fmt: skip
AFTER = [" please", ", please", " thanks", ", thank you", " now", ", tell me", " for me", " again", " then"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Shares of the questions that are not left as they are.
KEEP_WORDING, POLITE, LOWER, BARE, WRONG_LETTER = 0.3, 0.2, 0.35, 0.3, 0.1


@lru_cache(4096)
def parsed(template: str) -> tuple:
    """A template as nested tuples: a sequence of texts and of choices, which are lists of sequences."""
    sequence: list = []
    choices, stack = None, []
    for piece in re.split(r"([()|])", template):
        if piece == "(":
            stack.append((sequence, choices))
            sequence, choices = [], []
        elif piece == "|":
            choices.append(tuple(sequence))
            sequence = []
        elif piece == ")":
            whole = (*choices, tuple(sequence))
            sequence, choices = stack.pop()
            sequence.append(whole)
        elif piece:
            sequence.append(piece)
    return tuple(sequence)


def said(rng: random.Random, sequence: tuple) -> str:
    """One of the texts that a parsed template stands for."""
    return "".join(part if isinstance(part, str) else said(rng, rng.choice(part)) for part in sequence)


def pattern_of(template: str) -> str:
    """A regular expression of all texts of a template."""
    escaped = "".join(piece if piece in "(|)" else re.escape(piece) for piece in re.split(r"([()|])", template))
    return escaped.replace(re.escape("{}"), "(.+)")


def intent_of(question: str) -> tuple[str, list[str]] | None:
    """What a question in its family's own wording asks, and about what."""
    for intent, pattern in RECOGNISED.items():
        match = pattern.fullmatch(question)
        if match:
            return intent, [group for group in match.groups() if group]
    return None


def reworded(rng: random.Random, question: str) -> str | None:
    """A question in other words, without capitals and full stops of its own; None where it is not known."""
    found = intent_of(question)
    if not found:
        return None
    intent, slots = found
    if intent == "count":
        slots = [rng.choice(COUNTED[slots[0]])]
    return said(rng, parsed(rng.choice(INTENTS[intent][1]))).format(*slots)


def with_wrong_letter(rng: random.Random, text: str) -> str:
    """One letter left out, doubled, changed, or two swapped, in a word of at least four letters."""
    words = [match for match in re.finditer(r"[A-Za-z]{4,}", text)]
    if not words:
        return text
    word = rng.choice(words)
    place = rng.randrange(word.start() + 1, word.end() - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:place] + text[place + 1 :]
    if kind == 1:
        return text[:place] + text[place] + text[place:]
    if kind == 2:
        return text[:place] + rng.choice(LETTERS) + text[place + 1 :]
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def decorated(rng: random.Random, text: str, mark: str = "?") -> str:
    """As people type: with politeness, a capital, a question mark and a wrong letter, or without."""
    if rng.random() < POLITE:
        if rng.random() < 0.6:
            text = rng.choice(BEFORE) + text
        else:
            text += rng.choice(AFTER)
    text = text.lower() if rng.random() < LOWER else text[0].upper() + text[1:]
    if rng.random() >= BARE:
        text += mark
    return with_wrong_letter(rng, text) if rng.random() < WRONG_LETTER else text


def varied(rng: random.Random, question: str) -> str:
    """A question as it is or in other words, said the way people type."""
    if rng.random() < KEEP_WORDING:
        return question
    text = reworded(rng, question)
    if text is None or rng.random() < 0.15:
        text = question.rstrip("?.")
    return decorated(rng, text, rng.choice(["?", "?", "?", "?", ".", "!"]))
