"""Questions that nano cannot know the answer of, and what it says to them.

Three kinds: ordinary questions and requests of many topics, from templates and from words of a dictionary; questions
about the things of the pictures that no picture answers; and noise.
"""

import random

from scenes import EMOJI, SHAPES
from wordings import decorated, parsed, said

REFUSAL = "I only know drawn pictures: shapes, things, numbers."
FAMILY = "refusal"

# `{w}` and `{v}` are words of the dictionary, `{n}` a number, `{p}` a name, `{l}` a place.
TEMPLATES = [
    "what is the (capital|population|language|currency|flag|president|king|history|area|climate) of {l}",
    "(who|what) is the (president|king|queen|mayor|leader|prime minister) of {l}",
    "how (big|far|old|rich|hot|cold|large|safe) is {l}",
    "where is {l}", "(which|what) (country|continent|city|river) is {l} in", "how do I (get|travel|drive|fly) to {l}",
    "what is the (time|weather|date|temperature)( in {l}| today| now| tomorrow|)", "what (time|day|month|year) is it( now| today|)",
    "(will|does|did) it (rain|snow|freeze|be sunny)( tomorrow| today| in {l}| next week|)", "how is the weather( in {l}| today|)",
    "who (is|was|are) {p}( {p}|)", "when (was|did) {p} (born|die|live|married)", "who (wrote|painted|invented|discovered|won|made) (the |){w}( {v}|)",
    "when was (the |){w} (built|invented|found|discovered|written)", "(why|how) (do|does|did) (people|birds|cats|dogs|children|men|women|we|I|they) {w}",
    "what is ({n} (plus|minus|times|divided by) {n}|{n} + {n}|{n} * {n}|{n} - {n}|the square root of {n}|{n} percent of {n})", "{n} (+|-|*|x) {n}",
    "solve (x + {n} = {n}|{n} x = {n}|this equation)", "is {n} (a prime number|even|odd|larger than {n}|divisible by {n})", "(count|add|multiply) {n} and {n}",
    "write (me |)a (poem|story|letter|song|program|function|speech|joke|essay|text|mail|haiku)( about (the |){w}| in Python| for {p}|)",
    "tell me a (joke|story|secret|fact|riddle)( about {w}|)", "(sing|play|read) (me |)a (song|game|book|{w})", "make me a {w}",
    "translate ({w} {v}|{w}|this|hello) (to|into) (French|German|Spanish|Chinese|Latin|English|Polish)", "how do you say {w} in (French|German|Spanish|Italian)",
    "what does (the word |){w} mean", "(define|explain|spell|pronounce|summarize) (the word |){w}", "what is (a |the |){w}", "what is the (meaning|opposite|plural|origin|definition) of {w}",
    "what are {w}s (made of|used for|good for|like)", "how do I {w} (a|the|my) {v}", "how (can|do|should) I (cook|bake|fix|clean|learn|sell|build|open|install|repair|grow) (a |the |my |){w}",
    "what is the best {w}( in {l}| for {v}|)", "(should|can|may|must) I {w} (the |my |a |){v}", "which {w} is better, {v} or {w}", "is {w} (good|bad|healthy|dangerous|cheap|legal|real|true)",
    "why is (the |){w} {v}", "how (long|fast|deep|heavy|high|expensive|much|strong) is (a |the |my |){w}", "how many {w}s (are there in|has|fit in) (a |the |){v}",
    "how many (people|days|hours|states|countries|planets|legs|bones|oceans|cities) (are|live|does) (there in |in |)(the |a |){w}",
    "(who|what) are you", "what('s| is) your (name|age|job|favorite {w}|model|purpose|opinion on {w})", "how (are you|old are you|do you feel|were you made|do you work|smart are you)",
    "where (are|do) you (live|from|come from)", "(hello|hi|hey|good morning|good evening|good night|bye|thanks|thank you|ok|yes|no|test|help)( there| you| friend|)",
    "are you (a robot|human|alive|happy|sure|an ai|real|a person|there|smart|conscious)", "(can|could|will|would) you (help me|dance|think|learn|sing|cook|code|speak French|{w}|{w} the {v})( please|)",
    "do you (like|know|have|want|love|hate|remember|speak) ({w}|{p}|me|my {w}|any {w}|{l})", "who (made|created|trained|owns) you", "what (can|do) you (do|know|think|eat|want|like)",
    "I (feel|am|think|want|need|like|love|lost|have) (a |the |my |){w}", "my {w} is {v}", "what should I (eat|wear|do|read|watch|say|buy|cook)( today| tonight| for {w}|)",
    "(recommend|suggest|find|buy|sell|send|order|book|call|open|close|start|stop|delete) (me |)(a |the |my |some |){w}", "give me (a |the |some |your |){w}",
    "(what|who) (won|lost|happened in|started|ended) (the |){w}( in {n}|)", "what (happened|is new|is going on) in (the year {n}|{l}|{w})", "when (is|was) (the |){w}( day|)",
    "(list|name) (three|five|ten|some|all) {w}s", "what is the (chemical symbol|formula|boiling point|speed|weight|price|mass|size|age|cause|symptom) of (a |the |){w}",
    "how do (planes|birds|cars|computers|engines|batteries|clocks|magnets) (fly|work|move|run)", "who is the (best|richest|tallest|oldest|strongest|first) (man|woman|player|{w})( in {l}|)",
    "what (is|are) the (rules|news|laws|causes|colors of the rainbow|planets|seasons|symptoms|steps)( of {w}|)", "what is (love|life|god|money|time|art|music|happiness|gravity|water|the moon made of)",
    "{w}", "{w} {v}", "the {w} {v}", "{w} {v} {w} {v}", "a {w} and a {v}", "{w}, {v}!", "{w} is {v}", "(why|how|when|who|what|where) {w} {v}", "(why|who|when|how)",
    "the {w} of the {v} is {w}", "in the {w} there is {v}", "(import|print|select|def|sudo|git|cd|ls) {w}", "if {w} then {v}", "{n}", "{n} {w}s", "(what about|and) {w} then",
]  # fmt: skip
ABOUT_THINGS = [
    "what is the {t}'s name", "what is the name of the {t}", "how old is the {t}", "who (made|drew|painted|owns|bought|sold) the {t}", "why is the {t} (there|here|red|blue|so big|happy|sad|alone)",
    "is the {t} (happy|sad|hungry|real|expensive|old|new|tired|friendly|alive|asleep|heavy|clean|angry)", "what does the {t} (eat|think|want|say|like|smell like|taste like|mean|weigh|do)",
    "how (heavy|expensive|fast|old|heavy|warm|far away|long) is the {t}", "can the {t} (fly|swim|talk|sing|run|see me|dance|jump)", "where (did|does) the {t} (come from|live|go|sleep)", "who (lives in|drives|eats|loves|wears) the {t}",
    "when was the {t} (made|drawn|bought|painted|born)", "do you (like|love|own|want|hate) (the |a |){t}s", "what (brand|kind|breed|type|model|material) is the {t}", "(draw|paint|make|buy|sell|move|remove|delete|add|color|cook|feed|wash) (me |)(a|the) {t}",
    "how do I draw a {t}", "tell me a (story|joke|poem) about (a|the) {t}", "what is a {t}", "why do {t}s exist", "how many {t}s (are there in the world|live in {l}|do you have|can I eat)",
    "(who|when) (took|made|painted|drew) (the|this) (picture|photo|image|drawing)", "(where|when|why|how) was (the|this) (picture|photo|image|drawing) (taken|made|painted|drawn)", "is (the|this) (picture|photo|image|drawing) (real|old|good|nice|yours|art|beautiful)",
    "what (camera|artist|paint|style|year|tool|program) (made|took|is|was used for) (the|this) (picture|photo|image|drawing)", "(save|print|send|edit|rotate|enlarge|crop|share) (the|this) (picture|photo|image|drawing)", "do you like (the|this) (picture|photo|image|drawing)",
    "what is the (mood|title|meaning|story|style|resolution) of (the|this) (picture|photo|image|drawing)", "what is behind the {t}", "what will the {t} do next", "is it (day|night|summer|winter|raining|cold) in (the|this) (picture|photo|image|drawing)",
]  # fmt: skip
PEOPLE = (
    "Anna Peter Maria John Lisa Tom Paul Emma Shakespeare Mozart Einstein Napoleon Caesar Darwin Picasso Newton Gandhi Obama Lincoln Bach Goethe Dante Plato "
    "Madonna Messi Tesla Edison Curie Turing Tolkien Hitchcock Elvis Homer Aristotle Galileo Kepler Columbus Luther Marx Freud Kafka"
).split()  # fmt: skip
PLACES = (
    "France Germany Spain Italy Poland Japan China India Brazil Canada Egypt Kenya Rome Paris Berlin London Madrid Vienna Tokyo Moscow Texas Norway Sweden "
    "Peru Chile Cuba Greece Turkey Iran Nepal Prague Dublin Boston Chicago Lisbon Athens Hamburg Venice Africa Asia Europe America Mars"
).split()  # fmt: skip
ABOUT_THINGS_SHARE, NOISE_SHARE = 0.3, 0.06
KEYS = "abcdefghijklmnopqrstuvwxyz0123456789.,;!?-+/ "


class Refusals:
    """Draws questions that are none of nano's business; `words` are those of the training part of a dictionary."""

    def __init__(self, words: list[str]):
        self.words = words

    def draw(self, rng: random.Random) -> tuple[str, str, str]:
        """(family, question, answer)."""
        kind = rng.random()
        if kind < NOISE_SHARE:
            return FAMILY, "".join(rng.choice(KEYS) for _ in range(rng.randint(2, 24))).strip() or "?", REFUSAL
        templates = ABOUT_THINGS if kind < NOISE_SHARE + ABOUT_THINGS_SHARE else TEMPLATES
        slots = {
            "w": rng.choice(self.words), "v": rng.choice(self.words), "n": rng.choice([rng.randrange(20), rng.randrange(2100)]),
            "p": rng.choice(PEOPLE), "l": rng.choice(PLACES), "t": rng.choice([*EMOJI, *SHAPES]),
        }  # fmt: skip
        text = said(rng, parsed(rng.choice(templates))).format(**slots)
        return FAMILY, decorated(rng, text, rng.choice(["?", "?", "?", ".", "!"])), REFUSAL
