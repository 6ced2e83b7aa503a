"""Measures Foveate's linears and attention and those of its peers in turn, round after round, on the same shapes.

    python bench/peers/measure.py --rounds 9 --foveate target/release/examples/roofline --out bench/peers/results/NAME.jsonl

Each program is a process of its own that computes only while it is asked. Every line of the output holds the seconds of one
program in one format on one shape, a number per round, as they were measured.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Rows, inputs, outputs.
LINEARS = [(64, 4096, 4096), (256, 4096, 4096), (1024, 4096, 4096), (256, 4096, 12288)]
# Heads, their width, queries and keys.
ATTENTION = (32, 128, 1024)
PEERS = {
    "torch_worker.py": ["f32", "bf16", "int8"],
    "ggml_worker.py": ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_0_repacked", "q4_k", "q4_k_repacked"],
    "onnx_worker.py": ["f32", "int8", "q8_blocks", "q4_blocks"],
}
FORMATS = ["F32", "Bf16", "Q8", "Q4"]


class Worker:
    """A process that answers a line with a line."""

    def __init__(self, command: list[str], threads: int) -> None:
        self.process = subprocess.Popen(
            [*command, "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
        )
        self.identity = self.read()

    def read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[:2]} ended before it answered")
        return json.loads(line)

    def ask(self, question: str) -> dict:
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.read()


class Case:
    """One program, format and shape, and what was measured."""

    def __init__(self, worker: Worker, threads: int, kind: str, sizes: tuple[int, ...], question: str) -> None:
        self.worker, self.question = worker, question
        self.row = {
            "engine": worker.identity["engine"],
            "format": kind,
            "threads": threads,
            "sizes": list(sizes),
            "seconds": [],
        }

    def measure(self) -> None:
        answer = self.worker.ask(self.question)
        if "error" in answer:
            self.row["error"] = answer["error"]
        else:
            self.row["seconds"].append(float(f"{answer['seconds']:.5g}"))
            if not self.row["sizes"]:
                self.row["flops"] = answer["flops"]


def cases(foveate: str, threads: int) -> list[Case]:
    """All programs shape by shape, so that what is compared is measured close together."""
    names = [f"linear {m}x{k}x{n} None {kind}" for m, k, n in LINEARS for kind in FORMATS]
    heads, dim, rows = ATTENTION
    plain = f"attend {heads}x{dim} q {rows} k {rows}"
    ours = Worker([foveate, "--listen", "yes", "--only", ",".join([*names, plain])], threads)
    peers = {name: Worker([sys.executable, str(HERE / name)], threads) for name in PEERS}
    listed = [Case(ours, threads, "peak", (), "peak")]
    for m, k, n in LINEARS:
        sizes = (m, k, n)
        for kind in FORMATS:
            listed.append(Case(ours, threads, kind.lower(), sizes, f"linear {m}x{k}x{n} None {kind}"))
        for name, kinds in PEERS.items():
            listed.extend(Case(peers[name], threads, kind, sizes, f"{kind} {m} {k} {n}") for kind in kinds)
    listed.append(Case(ours, threads, "attention", ATTENTION, plain))
    listed.append(Case(ours, threads, "attention, summed over rows", ATTENTION, f"{plain} probe OverRows"))
    listed.append(Case(peers["torch_worker.py"], threads, "attention", ATTENTION, f"attention {heads} {dim} {rows}"))
    return listed


def processor() -> dict[str, str]:
    wanted = {"model name", "cpu family", "model", "flags"}
    found = {}
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() in wanted:
                found.setdefault(name.strip(), value.strip())
    flags = found.pop("flags", "").split()
    found["flags"] = " ".join(flag for flag in flags if flag.startswith(("avx", "fma", "amx")))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, one after the other")
    parser.add_argument("--foveate", default="target/release/examples/roofline", metavar="ROOFLINE")
    parser.add_argument("--out", required=True, metavar="FILE", help="raw results, a JSON object a line")
    arguments = parser.parse_args()
    with open(arguments.out, "w", encoding="utf-8") as out:
        machine = {
            "date": datetime.date.today().isoformat(),
            "command": " ".join(["python", *sys.argv]),
            "rounds": arguments.rounds,
            "processor": processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load": os.getloadavg(),
        }
        for number, threads in enumerate(map(int, arguments.threads.split(","))):
            listed = cases(arguments.foveate, threads)
            workers = {id(case.worker): case.worker for case in listed}.values()
            if number == 0:
                machine["programs"] = [worker.identity for worker in workers]
                print(json.dumps(machine), file=out)
            for done in range(arguments.rounds):
                for case in listed:
                    case.measure()
                print(f"{threads} threads, round {done + 1} of {arguments.rounds}", file=sys.stderr)
            for case in listed:
                print(json.dumps(case.row), file=out, flush=True)
            for worker in workers:
                worker.process.terminate()


if __name__ == "__main__":
    main()
