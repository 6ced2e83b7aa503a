#!/usr/bin/env python3
"""The decoder that `foveate bench` measures, written in PyTorch for the CPU.

Six modes answer the same request with the same random weights (see `MODES` and README.md):

* `reference` does what the published Python code does at every denoising step;
* `well-written` gives the same answer without the work whose result nobody reads;
* `packed` is `well-written` with weights that oneDNN reordered once, through private operators;
* each of them with `+prune` drops visual rows after the first step, as RedVTP does.

Needs torch and numpy, nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy
import torch

from decoder.reference import Reference
from decoder.shape import SHAPES, TINY, Shape, Weights
from decoder.well_written import WellWritten, packed_linear

Mode = Reference | WellWritten
MODES: dict[str, Callable[[Shape, Weights, float], Mode]] = {
    "reference": lambda shape, weights, _: Reference(shape, weights),
    "well-written": lambda shape, weights, _: WellWritten(shape, weights),
    "reference+prune": Reference,
    "well-written+prune": WellWritten,
    "packed": lambda shape, weights, _: WellWritten(shape, weights, linear=packed_linear),
    "packed+prune": lambda shape, weights, ratio: WellWritten(shape, weights, ratio, packed_linear),
}
DEFAULT_MODES = ["reference", "well-written", "reference+prune", "well-written+prune"]


def foveate_seconds(report: dict) -> dict[float, float]:
    """Seconds per answer by keep ratio, out of the report of `foveate bench --json`."""
    return {float(row["keep"]): float(row["answer_ms"]) / 1e3 for row in report["rows"]}


def run_foveate(binary: str, shape: str, ratio: float, threads: int) -> dict[float, float]:
    command = [binary, "bench", "--shape", shape, "--keep", f"1,{ratio:g}", "--prune", "redvtp"]
    command += ["--threads", str(threads), "--rounds", "1", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return foveate_seconds(json.loads(done.stdout))


@dataclass
class Result:
    """A mode over all rounds."""

    name: str
    #: Seconds per answer, one per round.
    seconds: list[float] = field(default_factory=list)
    #: Per round, seconds of each step; empty for another program.
    steps: list[list[float]] = field(default_factory=list)
    #: Processor seconds per answer over all threads: with one thread, what a quiet machine would take.
    processor: list[float] = field(default_factory=list)
    phases: list[dict[str, float]] = field(default_factory=list)
    forwards: int = 0
    flop: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    @property
    def floor(self) -> float | None:
        """The fastest round of each step, summed: what a busy machine disturbs least."""
        return float(numpy.array(self.steps).min(axis=0).sum()) if self.steps else None

    def summary(self) -> dict:
        phases = {}
        for name in self.phases[0] if self.phases else ():
            phases[name] = statistics.median(p[name] for p in self.phases)
        return {
            "mode": self.name,
            "median_s": self.median,
            "min_s": self.minimum,
            "floor_s": self.floor,
            "processor_s": statistics.median(self.processor) if self.processor else None,
            "seconds": self.seconds,
            "forwards": self.forwards,
            "gflop": self.flop / 1e9,
            "phases_s": phases,
        }


def ratios(results: dict[str, Result]) -> list[tuple[str, float]]:
    """Quotients of medians worth reading, those of modes that ran."""
    pairs = [
        ("well-written vs reference", "well-written", "reference"),
        ("packed vs reference", "packed", "reference"),
        ("packed vs well-written", "packed", "well-written"),
        ("reference: pruned vs plain", "reference+prune", "reference"),
        ("well-written: pruned vs plain", "well-written+prune", "well-written"),
        ("packed: pruned vs plain", "packed+prune", "packed"),
        ("foveate: plain vs reference", "foveate", "reference"),
        ("foveate: plain vs well-written", "foveate", "well-written"),
        ("foveate: plain vs packed", "foveate", "packed"),
        ("foveate: pruned vs own plain", "foveate+prune", "foveate"),
        ("foveate: pruned vs reference plain", "foveate+prune", "reference"),
    ]
    return [
        (label, results[slow].median / results[fast].median)
        for label, fast, slow in pairs
        if fast in results and slow in results
    ]


def measure(
    shape: Shape, names: list[str], ratio: float, rounds: int, threads: int, seed: int, foveate: str | None
) -> dict[str, Result]:
    """Runs every mode once per round, in turn, after one short warm-up each."""
    weights = Weights.random(shape, seed)
    modes = {name: MODES[name](shape, weights, ratio) for name in names}
    for name in names:
        # Two steps warm up the kernels and the allocator.
        warm = MODES[name](replace(shape, steps=2, answer_rows=4), weights, ratio)
        warm.answer()
    results = {name: Result(name) for name in names}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for name, mode in modes.items():
            clock, processor_clock = time.perf_counter(), time.process_time()
            answer = mode.answer()
            result = results[name]
            result.seconds.append(time.perf_counter() - clock)
            result.processor.append(time.process_time() - processor_clock)
            result.steps.append(answer.steps)
            result.phases.append(answer.phases)
            result.forwards, result.flop = len(answer.steps), answer.flop
        if foveate is not None:
            seconds = run_foveate(foveate, shape.name, ratio, threads)
            for name, keep in (("foveate", 1.0), ("foveate+prune", ratio)):
                result = results.setdefault(name, Result(name, forwards=shape.steps))
                result.seconds.append(seconds[keep])
    return results


def check(seed: int, ratio: float) -> None:
    """All modes write the same tokens in the same steps and keep the same visual rows."""
    for number in range(8):
        weights = Weights.random(TINY, seed + number)
        for prefix, pruned in (("", ""), ("+prune", " pruned")):
            expected = MODES["reference" + prefix](TINY, weights, ratio).answer()
            written = sum(len(step) for step in expected.commits)
            assert written == TINY.answer_rows, f"{written} tokens written"
            count = TINY.kept(ratio) if prefix else TINY.visual_rows
            assert len(expected.kept) == count, f"{len(expected.kept)} visual tokens kept"
            for name in ("well-written", "packed"):
                got = MODES[name + prefix](TINY, weights, ratio).answer()
                assert got.kept == expected.kept, f"seed {seed + number}: {name}{pruned} keeps other rows"
                assert got.commits == expected.commits, f"seed {seed + number}: {name}{pruned} writes other tokens"
    print("check: all modes write the same tokens and keep the same rows, 8 seeds")


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line for line in file if line.startswith("model name")]
        return lines[0].split(":", 1)[1].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def environment(threads: int) -> dict[str, str | int | list[float]]:
    return {
        "torch": torch.__version__,
        "processor": processor(),
        "cores": os.cpu_count() or 0,
        "threads": threads,
        "isa": torch.backends.cpu.get_cpu_capability(),
        "load": list(os.getloadavg()),
    }


def print_table(shape: Shape, machine: dict, results: dict[str, Result]) -> None:
    print(f"torch {machine['torch']} · {machine['processor']} · {machine['isa']} · {machine['threads']} threads")
    print(f"shape {shape.name}: {shape.rows} rows, {shape.answer_rows} tokens in {shape.steps} steps")
    print(f"{'seconds per answer':<20}{'median':>8}{'min':>8}{'floor':>8}{'cpu':>8}{'forwards':>10}{'GFLOP':>8}{'GFLOP/s':>9}")
    for result in results.values():
        floor = f"{result.floor:.2f}" if result.floor is not None else "–"
        spent = f"{statistics.median(result.processor):.2f}" if result.processor else "–"
        flop = f"{result.flop / 1e9:.0f}" if result.flop else "–"
        rate = f"{result.flop / 1e9 / result.median:.0f}" if result.flop else "–"
        print(
            f"{result.name:<20}{result.median:>8.2f}{result.minimum:>8.2f}{floor:>8}{spent:>8}"
            f"{result.forwards:>10}{flop:>8}{rate:>9}"
        )
    for result in results.values():
        phases = result.summary()["phases_s"]
        if phases:
            print(f"{result.name:<20}" + " · ".join(f"{name} {spent:.2f}" for name, spent in phases.items()))
    for label, quotient in ratios(results):
        print(f"{label:<36}{quotient:.2f}×")


def mode_list(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in MODES]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; there are {', '.join(MODES)}")
    return names


def keep_ratio(text: str) -> float:
    ratio = float(text)
    if not 0.0 < ratio < 1.0:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return ratio


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="mid")
    parser.add_argument(
        "--modes",
        type=mode_list,
        default=DEFAULT_MODES,
        metavar="NAMES",
        help=f"any of {', '.join(MODES)}; all but the packed ones by default",
    )
    parser.add_argument("--prune", type=keep_ratio, default=0.25, metavar="RATIO", help="visual tokens that the pruned modes keep")
    parser.add_argument("--threads", type=positive, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--foveate", metavar="BINARY", help="also run its `bench` in every round")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--check", action="store_true", help="only compare the modes on a tiny shape")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.check:
        check(arguments.seed, arguments.prune)
        return
    shape = SHAPES[arguments.shape]
    results = measure(
        shape,
        arguments.modes,
        arguments.prune,
        arguments.rounds,
        arguments.threads,
        arguments.seed,
        arguments.foveate,
    )
    machine = environment(arguments.threads)
    if arguments.json:
        report = {
            **machine,
            "shape": asdict(shape),
            "prune": arguments.prune,
            "modes": [result.summary() for result in results.values()],
            "ratios": dict(ratios(results)),
        }
        print(json.dumps(report, indent=2))
    else:
        print_table(shape, machine, results)


if __name__ == "__main__":
    main()
