"""llama.cpp: the products of its ggml library, as built inside the llama-cpp-python package.

`q4_k` lies in memory as in a GGUF file; `q4_k_repacked` in the buffer that llama.cpp prefers where this processor has kernels for it.
"""

import ctypes
import os
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_float, c_int, c_int64, c_size_t, c_uint32, c_void_p
from pathlib import Path

import numpy

# The package prints nothing, but loads its libraries when it is imported; only its place and version are wanted.
import importlib.metadata
import importlib.util

import worker

# `enum ggml_type` in ggml.h.
TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "q4_k": 12, "bf16": 30}
# `enum ggml_backend_buffer_usage` in ggml-backend.h.
USAGE_WEIGHTS = 1
NODES_BYTES = 1 << 20


class InitParams(Structure):
    """`struct ggml_init_params` in ggml.h."""

    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


class PoolParams(Structure):
    """`struct ggml_threadpool_params` in ggml.h."""

    _fields_ = [
        ("cpumask", c_bool * 512),
        ("n_threads", c_int),
        ("prio", c_int),
        ("poll", c_uint32),
        ("strict_cpu", c_bool),
        ("paused", c_bool),
    ]


def load() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    spec = importlib.util.find_spec("llama_cpp")
    folder = Path(spec.origin).parent / "lib"
    base = ctypes.CDLL(folder / "libggml-base.so", mode=ctypes.RTLD_GLOBAL)
    cpu = ctypes.CDLL(folder / "libggml-cpu.so", mode=ctypes.RTLD_GLOBAL)
    pointer = c_void_p
    for library, name, result, arguments in [
        (base, "ggml_version", c_char_p, []),
        (base, "ggml_init", pointer, [InitParams]),
        (base, "ggml_new_tensor_2d", pointer, [pointer, c_int, c_int64, c_int64]),
        (base, "ggml_mul_mat", pointer, [pointer, pointer, pointer]),
        (base, "ggml_new_graph", pointer, [pointer]),
        (base, "ggml_build_forward_expand", None, [pointer, pointer]),
        (base, "ggml_nbytes", c_size_t, [pointer]),
        (base, "ggml_quantize_chunk", c_size_t, [c_int, pointer, pointer, c_int64, c_int64, c_int64, pointer]),
        (base, "ggml_backend_alloc_ctx_tensors", pointer, [pointer, pointer]),
        (base, "ggml_backend_alloc_ctx_tensors_from_buft", pointer, [pointer, pointer]),
        (base, "ggml_backend_buffer_set_usage", None, [pointer, c_int]),
        (base, "ggml_backend_tensor_set", None, [pointer, pointer, c_size_t, c_size_t]),
        (base, "ggml_backend_graph_compute", c_int, [pointer, pointer]),
        (base, "ggml_backend_get_default_buffer_type", pointer, [pointer]),
        (base, "ggml_backend_buft_name", c_char_p, [pointer]),
        (base, "ggml_backend_get_device", pointer, [pointer]),
        (base, "ggml_backend_dev_supports_op", c_bool, [pointer, pointer]),
        (base, "ggml_backend_reg_get_proc_address", pointer, [pointer, c_char_p]),
        (base, "ggml_threadpool_params_init", None, [POINTER(PoolParams), c_int]),
        (cpu, "ggml_backend_cpu_reg", pointer, []),
        (cpu, "ggml_backend_cpu_init", pointer, []),
        (cpu, "ggml_backend_cpu_set_n_threads", None, [pointer, c_int]),
        (cpu, "ggml_backend_cpu_set_threadpool", None, [pointer, pointer]),
        (cpu, "ggml_threadpool_new", pointer, [POINTER(PoolParams)]),
    ]:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return base, cpu


def repacked_buffer_type(base: ctypes.CDLL, cpu: ctypes.CDLL, device: int) -> int:
    """The buffer type whose weights are laid out anew for this processor."""
    address = base.ggml_backend_reg_get_proc_address(cpu.ggml_backend_cpu_reg(), b"ggml_backend_dev_get_extra_bufts")
    listed = ctypes.CFUNCTYPE(POINTER(c_void_p), c_void_p)(address)(device)
    index = 0
    while listed and listed[index]:
        if b"REPACK" in base.ggml_backend_buft_name(listed[index]):
            return listed[index]
        index += 1
    raise LookupError("this build of ggml repacks nothing")


def main() -> None:
    count = worker.threads()
    base, cpu = load()
    backend = cpu.ggml_backend_cpu_init()
    device = base.ggml_backend_get_device(backend)
    pool = PoolParams()
    base.ggml_threadpool_params_init(byref(pool), count)
    cpu.ggml_backend_cpu_set_n_threads(backend, count)
    cpu.ggml_backend_cpu_set_threadpool(backend, cpu.ggml_threadpool_new(byref(pool)))

    def context() -> int:
        return base.ggml_init(InitParams(NODES_BYTES, None, True))

    def fill(tensor: int, data: numpy.ndarray) -> None:
        base.ggml_backend_tensor_set(tensor, data.ctypes.data, 0, data.nbytes)

    weights: dict[tuple[str, int, int], int] = {}

    def weight(kind: str, k: int, n: int) -> int:
        if (kind, k, n) in weights:
            return weights[kind, k, n]
        plain = kind.removesuffix("_repacked")
        nodes = context()
        tensor = base.ggml_new_tensor_2d(nodes, TYPES[plain], k, n)
        buffers = base.ggml_backend_get_default_buffer_type(backend)
        if plain != kind:
            buffers = repacked_buffer_type(base, cpu, device)
        size = base.ggml_nbytes(tensor)
        buffer = base.ggml_backend_alloc_ctx_tensors_from_buft(nodes, buffers)
        base.ggml_backend_buffer_set_usage(buffer, USAGE_WEIGHTS)
        trial = base.ggml_mul_mat(nodes, tensor, base.ggml_new_tensor_2d(nodes, TYPES["f32"], k, 8))
        if not base.ggml_backend_dev_supports_op(device, trial):
            raise LookupError(f"no kernel for {kind} on this processor")
        data = worker.numbers(n, k, seed=1)
        if plain != "f32":
            stored = numpy.empty(size, numpy.uint8)
            base.ggml_quantize_chunk(TYPES[plain], data.ctypes.data, stored.ctypes.data, 0, n, k, None)
            data = stored
        fill(tensor, data)
        weights[kind, k, n] = tensor
        return tensor

    def prepare(kind: str, sizes: list[int]) -> worker.Call:
        m, k, n = sizes
        w, nodes = weight(kind, k, n), context()
        x = base.ggml_new_tensor_2d(nodes, TYPES["f32"], k, m)
        y = base.ggml_mul_mat(nodes, w, x)
        graph = base.ggml_new_graph(nodes)
        base.ggml_build_forward_expand(graph, y)
        base.ggml_backend_alloc_ctx_tensors(nodes, backend)
        fill(x, worker.numbers(m, k))
        return lambda: base.ggml_backend_graph_compute(backend, graph)

    package = importlib.metadata.version("llama-cpp-python")
    version = f"llama-cpp-python {package}, ggml {base.ggml_version().decode()}"
    worker.serve({"engine": "llama.cpp", "version": version}, prepare)


if __name__ == "__main__":
    os.environ.setdefault("GGML_LOG_LEVEL", "4")
    main()
