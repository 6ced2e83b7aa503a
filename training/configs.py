"""The sizes of the two models."""

from model import Config
from text import TINY_TOKENIZER_PATH, TOKENIZER_PATH

TOKENIZERS = {"nano": TOKENIZER_PATH, "tiny": TINY_TOKENIZER_PATH}


def nano(vocabulary_size: int) -> Config:
    """36 visual tokens of a 60x60 view, and at most four tiles, whose map is never shrunk."""
    return Config(vocabulary_size, tiled=True, most_views=4)


def tiny(vocabulary_size: int) -> Config:
    """256 visual tokens of a 224x224 view, and tiles."""
    return Config(
        vocabulary_size,
        hidden_size=384,
        intermediate_size=1024,
        layers=6,
        heads=6,
        rope_theta=10000.0,
        vision_hidden_size=256,
        vision_intermediate_size=992,  # with 1024 the exported folder would be over 38 MB
        vision_layers=8,
        vision_heads=4,
        image_size=224,
        patch_size=14,
        tiled=True,
    )


CONFIGS = {"nano": nano, "tiny": tiny}
