"""Makes the tables of README.md from raw results: `python bench/peers/table.py bench/peers/results/zen5.jsonl`."""

import json
import statistics
import sys
from pathlib import Path

README = Path(__file__).parent / "README.md"
START, END = "<!-- table -->", "<!-- /table -->"
ROWS = [
    ("Foveate", ["f32", "bf16", "q8", "q4"]),
    ("PyTorch", ["f32", "bf16", "int8"]),
    ("llama.cpp", ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_0_repacked", "q4_k", "q4_k_repacked"]),
    ("onnxruntime", ["f32", "int8", "q8_blocks", "q4_blocks"]),
]
SHAPES = [(64, 4096, 4096), (256, 4096, 4096), (1024, 4096, 4096), (256, 4096, 12288)]
ATTENTION = (32, 128, 1024)
# What Foveate is measured against: a name, its format, the peer's formats (the fastest counts), and shapes.
RATIOS = [
    ("f32 : PyTorch f32", "f32", "PyTorch", ["f32"]),
    ("q8 : llama.cpp Q8_0", "q8", "llama.cpp", ["q8_0"]),
    ("q4 : llama.cpp Q4_K, the faster", "q4", "llama.cpp", ["q4_k", "q4_k_repacked"]),
    ("q4 : llama.cpp's fastest 4 bits", "q4", "llama.cpp", ["q4_0", "q4_0_repacked", "q4_k", "q4_k_repacked"]),
]


def work(kind: str, sizes: tuple[int, ...]) -> float:
    """Floating-point operations of a case."""
    a, b, c = sizes
    return 4.0 * a * b * c * c if kind.startswith("attention") else 2.0 * a * b * c


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        machine, *rows = map(json.loads, file)
    speed: dict[tuple, float] = {}
    peak: dict[int, float] = {}
    for row in rows:
        if not row["seconds"]:
            continue
        seconds = statistics.median(row["seconds"])
        sizes = tuple(row["sizes"])
        if not sizes:
            peak[row["threads"]] = row["flops"] / seconds / 1e9
            continue
        speed[row["engine"], row["format"], row["threads"], sizes] = work(row["format"], sizes) / seconds / 1e9

    names = ["×".join(map(str, shape)) for shape in SHAPES]
    lines = [
        f"{machine['processor']['model name']} (family {machine['processor']['cpu family']}, model {machine['processor']['model']}), "
        f"{machine['cores']} cores, {machine['processor']['flags']}. {machine['date']}, {machine['rounds']} rounds.",
        "`" + machine["command"] + "`. " + "; ".join(f"{p['engine']} {p['version']}" for p in machine["programs"]) + ".",
    ]
    for threads in sorted(peak):
        title = f"GFLOP/s, {threads} thread{'s' if threads > 1 else ''} (f32 multiply-adds alone: {peak[threads]:.0f})"
        lines += ["", f"| {title} | " + " | ".join(names) + " |", "|---|" + "--:|" * len(SHAPES)]
        for engine, kinds in ROWS:
            for kind in kinds:
                cells = [speed.get((engine, kind, threads, shape)) for shape in SHAPES]
                if any(cells):
                    shown = ["–" if cell is None else f"{cell:.0f}" for cell in cells]
                    lines.append(f"| {engine} {kind} | " + " | ".join(shown) + " |")
        for label, kind, engine, kinds in RATIOS:
            shown = []
            for shape in SHAPES:
                best = max((speed.get((engine, peer, threads, shape), 0.0) for peer in kinds), default=0.0)
                shown.append(f"**{speed['Foveate', kind, threads, shape] / best:.2f}**" if best else "–")
            lines.append(f"| *{label}* | " + " | ".join(shown) + " |")
    lines += ["", "| attention, 32 heads of 128, 1,024 rows, f32, GFLOP/s | 1 thread | 2 threads |", "|---|--:|--:|"]
    for engine, kind in [("Foveate", "attention"), ("Foveate", "attention, summed over rows"), ("PyTorch", "attention")]:
        cells = [speed.get((engine, kind, threads, ATTENTION)) for threads in sorted(peak)]
        lines.append(f"| {engine} {kind} | " + " | ".join("–" if c is None else f"{c:.0f}" for c in cells) + " |")

    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    _, after = rest.split(END)
    README.write_text(before + START + "\n" + "\n".join(lines) + "\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
