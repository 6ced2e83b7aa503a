"""Answers the frozen questions (heldout/ or heldout-tiny/) with an exported checkpoint folder, in plain PyTorch."""

import argparse
import json
from pathlib import Path

import torch

HERE = Path(__file__).parent
RESULTS = {"nano": "heldout.json", "tiny": "heldout-tiny.json"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", choices=list(RESULTS), default="nano")
    parser.add_argument("--model", type=Path, help="../models/foveate-CONFIG if not given")
    parser.add_argument("--output", type=Path, help="where the scores go; in results/ if not given")
    parser.add_argument("--limit", type=int, help="questions per family, all if not given")
    parser.add_argument("--threads", type=int, default=2)
    tiny = parser.add_argument_group("tiny")
    tiny.add_argument("--device", default="auto", help="cpu, cuda, or auto: cuda where there is one")
    nano = parser.add_argument_group("nano")
    nano.add_argument("--shapes", action="store_true", help="ask heldout-shapes/ in place of heldout/")
    nano.add_argument("--write-held-out", type=int, metavar="PER_FAMILY", help="draw the frozen set and stop")
    nano.add_argument("--write-captions", type=Path, metavar="FOLDER", help="draw pictures with long captions and stop")
    nano.add_argument("--count", type=int, default=100, help="pictures with long captions")
    options = parser.parse_args()
    options.model = options.model or HERE.parent / f"models/foveate-{options.config}"
    torch.set_num_threads(options.threads)
    if options.config == "tiny":
        from evaluate_tiny import evaluate
    else:
        from evaluate_nano import evaluate
        from frozen_nano import write_captions, write_held_out

        if options.write_held_out:
            return write_held_out(options.write_held_out)
        if options.write_captions:
            return write_captions(options.write_captions, options.model, options.count)
    result = evaluate(options)
    print(json.dumps(result, indent=2))
    if options.output or not options.limit:
        name = "heldout-shapes.json" if options.shapes else RESULTS[options.config]
        output = options.output or HERE / "results" / name
        output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
