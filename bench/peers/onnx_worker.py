"""onnxruntime: MatMul in f32, its dynamic int8 and its 4- and 8-bit blocks (MatMulNBits)."""

import numpy
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import worker

# MatMulNBits: inputs are rounded to int8.
ACCURACY_INT8 = 4
BLOCK = 32


def model(nodes: list, initializers: list, k: int, n: int) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["m", k])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m", n])
    graph = helper.make_graph(nodes, "linear", [x], [y], initializers)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=10).SerializeToString()


def f32(k: int, n: int) -> bytes:
    weight = numpy_helper.from_array(worker.numbers(k, n, seed=1), "w")
    return model([helper.make_node("MatMul", ["x", "w"], ["y"])], [weight], k, n)


def int8(k: int, n: int) -> bytes:
    """One scale per output; inputs are rounded to 8 bits, with one scale for all rows, in every call."""
    generator = numpy.random.default_rng(1)
    weight = numpy_helper.from_array(generator.integers(-127, 128, (k, n), dtype=numpy.int8), "w")
    scale = numpy_helper.from_array(numpy.full(n, 0.01, numpy.float32), "scale")
    zero = numpy_helper.from_array(numpy.zeros(n, numpy.int8), "zero")
    node = helper.make_node("DynamicQuantizeMatMul", ["x", "w", "scale", "zero"], ["y"], domain="com.microsoft")
    return model([node], [weight, scale, zero], k, n)


def blocks(bits: int, k: int, n: int) -> bytes:
    generator = numpy.random.default_rng(1)
    codes = generator.integers(0, 256, (n, k // BLOCK, BLOCK * bits // 8), dtype=numpy.uint8)
    scales = numpy.full(n * k // BLOCK, 0.01, numpy.float32)
    tensors = [numpy_helper.from_array(codes, "w"), numpy_helper.from_array(scales, "scale")]
    settings = {"K": k, "N": n, "bits": bits, "block_size": BLOCK, "accuracy_level": ACCURACY_INT8}
    node = helper.make_node("MatMulNBits", ["x", "w", "scale"], ["y"], domain="com.microsoft", **settings)
    return model([node], tensors, k, n)


MODELS = {
    "f32": f32,
    "int8": int8,
    "q8_blocks": lambda k, n: blocks(8, k, n),
    "q4_blocks": lambda k, n: blocks(4, k, n),
}


def main() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = worker.threads()
    options.inter_op_num_threads = 1
    # Its threads must not take the processor while another program is measured.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    sessions: dict[tuple[str, int, int], onnxruntime.InferenceSession] = {}

    def prepare(kind: str, sizes: list[int]) -> worker.Call:
        m, k, n = sizes
        if (kind, k, n) not in sessions:
            made = MODELS[kind](k, n)
            sessions[kind, k, n] = onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])
        session = sessions[kind, k, n]
        binding = session.io_binding()
        binding.bind_cpu_input("x", worker.numbers(m, k))
        out = onnxruntime.OrtValue.ortvalue_from_shape_and_type([m, n], numpy.float32)
        binding.bind_ortvalue_output("y", out)
        return lambda: session.run_with_iobinding(binding)

    worker.serve({"engine": "onnxruntime", "version": onnxruntime.__version__}, prepare)


if __name__ == "__main__":
    main()
