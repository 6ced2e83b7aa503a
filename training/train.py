"""Trains foveate-nano or foveate-tiny. Stopping and starting again continues from the last checkpoint.

Times are minutes of training; loading, evaluation and the start of the workers come on top.
"""

import argparse
import os
from pathlib import Path

RUNS = Path(__file__).with_name("runs")
# Of each model: minutes in all, minutes of them with the vision tower alone, between evaluations; part in which the
# rate falls; rates.
SCHEDULES = {
    "nano": {
        "minutes": 60, "vision_minutes": 8, "evaluation_minutes": 6, "decay_share": 0.3,
        "muon_rate": 0.02, "adam_rate": 2e-3,
    },
    "tiny": {
        "minutes": 21, "vision_minutes": 1.5, "evaluation_minutes": 60, "decay_share": 0.45,
        "muon_rate": 0.02, "adam_rate": 2e-3,
    },
}  # fmt: skip


def options() -> argparse.Namespace:
    """The command line, with what depends on the model filled in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", choices=list(SCHEDULES), default="nano")
    parser.add_argument("--directory", help="where the checkpoint is; runs/CONFIG if not given")
    parser.add_argument("--minutes", type=float, help="training time in all (nano 60, tiny 21)")
    parser.add_argument("--run-minutes", type=float, help="training time of this run; all of it if not given")
    parser.add_argument("--vision-minutes", type=float, help="with the vision tower alone (nano 8, tiny 1.5)")
    parser.add_argument(
        "--decay-share", type=float, help="share of the time in which the rate falls (nano 0.3, tiny 0.45)"
    )
    parser.add_argument("--evaluation-minutes", type=float, help="between evaluations (nano 6, tiny 60)")
    parser.add_argument("--final-questions", type=int, help="per family, at the end, 0 for none (nano 150, tiny 40)")
    parser.add_argument("--log-seconds", type=float, default=30)
    parser.add_argument("--muon-rate", type=float)
    parser.add_argument("--adam-rate", type=float)
    parser.add_argument("--threads", type=int, default=2)
    nano = parser.add_argument_group("nano")
    nano.add_argument("--start", help="an exported folder whose weights a new training begins with")
    tiny = parser.add_argument_group("tiny")
    tiny.add_argument("--device", default="auto", help="cpu, cuda, or auto: cuda where there is one")
    tiny.add_argument("--images-per-step", type=int, help="512 on cuda, 16 on a CPU")
    tiny.add_argument("--workers", type=int, default=0, help="processes that draw pictures; 0 draws them in between")
    tiny.add_argument("--compile", action="store_true", help="compile the layers with torch.compile")
    tiny.add_argument(
        "--tiled-share", type=float, default=0.35, help="share of the time, the last, with tiled pictures"
    )
    tiny.add_argument("--stop-after", type=int, help="end this run after so many steps")
    found = parser.parse_args()
    for name, value in SCHEDULES[found.config].items():
        if getattr(found, name) is None:
            setattr(found, name, value)
    found.directory = found.directory or str(RUNS / found.config)
    return found


def main() -> None:
    chosen = options()
    # Threads that wait must sleep: spinning takes the time of the others where cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    import torch

    torch.set_num_threads(chosen.threads)
    if chosen.config == "nano":
        from train_nano import NanoTrainer as Trainer
    else:
        from train_tiny import TinyTrainer as Trainer
    Trainer(chosen).run()


if __name__ == "__main__":
    main()
