"""PyTorch: linears in f32 and bfloat16, dynamic int8, and its fused attention."""

import warnings

import torch
from torch.nn import functional

import worker


def linear(kind: str, m: int, k: int, n: int) -> worker.Call:
    x, weight = torch.from_numpy(worker.numbers(m, k)), torch.from_numpy(worker.numbers(n, k, seed=1))
    if kind == "f32":
        return lambda: functional.linear(x, weight)
    if kind == "bf16":
        x, weight = x.bfloat16(), weight.bfloat16()
        return lambda: functional.linear(x, weight)
    if kind == "int8":
        # One scale per output; inputs are rounded to 8 bits, with one scale for all rows, in every call.
        torch.backends.quantized.engine = "x86"
        module = torch.nn.Linear(k, n, bias=False)
        module.weight.data = weight
        quantized = torch.ao.quantization.quantize_dynamic(
            torch.nn.Sequential(module), qconfig_spec={torch.nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
        )
        return lambda: quantized(x)
    raise ValueError(f"no format {kind}")


def prepare(kind: str, sizes: list[int]) -> worker.Call:
    if kind != "attention":
        return linear(kind, *sizes)
    heads, dim, rows = sizes
    q, k, v = (torch.from_numpy(worker.numbers(1, heads, rows, dim, seed=seed)) for seed in range(3))
    return lambda: functional.scaled_dot_product_attention(q, k, v)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(worker.threads())
    torch.set_grad_enabled(False)
    worker.serve({"engine": "PyTorch", "version": torch.__version__, "isa": torch.backends.cpu.get_cpu_capability()}, prepare)


if __name__ == "__main__":
    main()
