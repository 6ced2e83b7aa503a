"""What the measured programs have in common: one process each that answers the name of a case with the time of a call.

A worker prints a line of JSON that says what it is, then reads one line per measurement, `FORMAT M K N` or `attention HEADS DIM T`,
and answers `{"seconds": …}` or `{"error": …}`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy

Call = Callable[[], object]

# A call is repeated until this much time has passed, so that the clock and the waking of threads weigh little.
SECONDS = 0.03


def threads() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args().threads


def numbers(*shape: int, seed: int = 0) -> numpy.ndarray:
    """Gaussian f32 numbers."""
    return numpy.random.default_rng(seed).standard_normal(shape, dtype=numpy.float32)


def measure(call: Call) -> float:
    """Seconds per call, after one that is not timed."""
    start = time.perf_counter()
    call()
    times = max(1, round(SECONDS / (time.perf_counter() - start)))
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def serve(identity: dict[str, str], prepare: Callable[[str, list[int]], Call]) -> None:
    """Answers every line of standard input; `prepare` makes the call of a case, once."""
    print(json.dumps(identity), flush=True)
    calls: dict[str, Call] = {}
    for line in sys.stdin:
        case = line.strip()
        kind, *sizes = case.split()
        try:
            if case not in calls:
                calls[case] = prepare(kind, [int(size) for size in sizes])
            answer = {"seconds": measure(calls[case])}
        except Exception as error:  # noqa: BLE001 - whatever a peer cannot do is reported, not hidden
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
