"""The tokenizer, and the exact prompt ids that LLaDA-V's code produces."""

from functools import lru_cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL_TOKENS = [
    "<|startoftext|>", "<|endoftext|>", "<|mdm_mask|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
]
FORBIDDEN_TOKENS = ["<|startoftext|>", "<|endoftext|>", "<|start_header_id|>", "<|end_header_id|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{% set piece = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + (message['content'] | trim) + '<|eot_id|>' %}{% if loop.first %}{% set piece = bos_token + piece %}{% endif %}"
    "{{ piece }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
TOKENIZER_PATH = Path(__file__).with_name("tokenizer.json")
TINY_TOKENIZER_PATH = Path(__file__).with_name("tokenizer-tiny.json")


def new_tokenizer() -> Tokenizer:
    """A byte-level BPE without merges. Newlines and digits are always pieces of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex("\n"), "isolated"),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def trained_tokenizer(lines: list[str], size: int, min_frequency: int) -> Tokenizer:
    """Learns merges from `lines`; special tokens come on top of `size`.

    The full byte alphabet is in the vocabulary, so that any text can be encoded.
    """
    tokenizer = new_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return tokenizer


class Text:
    """Encodes questions and answers with a tokenizer file."""

    def __init__(self, path: Path = TOKENIZER_PATH):
        self.tokenizer = Tokenizer.from_file(str(path))
        self.vocabulary_size = self.tokenizer.get_vocab_size()
        self.mask_id, self.end_id = map(self.tokenizer.token_to_id, ["<|mdm_mask|>", "<|eot_id|>"])
        self.forbidden_ids = [self.tokenizer.token_to_id(token) for token in FORBIDDEN_TOKENS]
        self.encode = lru_cache(100_000)(self._encode)
        self.prompt = lru_cache(100_000)(self._prompt)

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def _prompt(self, question: str) -> tuple[list[int], list[int]]:
        """The ids before and after the image.

        LLaDA-V tokenizes the two sides of `<image>` separately and drops the first token of the
        second side, which here is the newline.
        """
        before = "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\n"
        after = f"\n{question.strip()}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        return self._encode(before), self._encode(after)[1:]

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)
