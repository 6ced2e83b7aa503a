"""Writes a training's checkpoint in half its bytes, to keep or to carry: all floats as bfloat16.

    python slim.py runs/nano/checkpoint.pt slim.pt

Put it where a run looks for its checkpoint (`DIRECTORY/checkpoint.pt`), and training goes on from it.
"""

import argparse
from pathlib import Path

import torch


def slimmed(value):
    """Every tensor of floats in nested dictionaries and lists, halved."""
    if isinstance(value, dict):
        return {key: slimmed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [slimmed(inner) for inner in value]
    return value.bfloat16() if isinstance(value, torch.Tensor) and value.ndim else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    chosen = parser.parse_args()
    torch.save(slimmed(torch.load(chosen.checkpoint, weights_only=True, map_location="cpu")), chosen.output)
    print(f"{chosen.output.stat().st_size / 1e6:.1f} MB in {chosen.output}")


if __name__ == "__main__":
    main()
