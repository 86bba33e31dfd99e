"""Converts fp32 graphs to half precision and to 8 bits."""

import logging
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from . import graphs
from .checks import FP32_ONLY
from .parity import session

HALF_LIMIT = 65504 / 8
"""Operators with activations above this limit on the photo stay in fp32, with a margin for other images."""


def half(source: Path, target: Path, feeds: list[dict]) -> list[str]:
    """Converts weights and activations to half precision; inputs and outputs stay f32.

    Operators that would overflow or divide by 0 stay in fp32: LayerNorm, softmax, all operators with values above
    `HALF_LIMIT` in runs with `feeds`, and additions of constants and limits that would become 0, with the operators that use them. Returns the names of the operators with large values.
    """
    large = {name for name, value in largest_values(source, feeds).items() if not value <= HALF_LIMIT}
    model = onnx.load(source)
    large |= outputs_with_vanishing_constants(model.graph)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{number}"
    resize_factors_to_weights(model.graph)
    kept = [n.name for n in model.graph.node if large.intersection((*n.input, *n.output))]
    # The converter's shape inference is limited to graphs of 2 GiB, except when it reads the graph from a file.
    if sum(len(t.raw_data) for t in model.graph.initializer) > graphs.INLINE:
        named = source.with_name(f"named.{source.name}")
        onnx.save(model, named, save_as_external_data=True, location=f"{named.name}.data", size_threshold=1024)
        model = str(named)
    logging.getLogger("onnxruntime.transformers.float16").setLevel(logging.ERROR)
    converted = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *sorted(FP32_ONLY)],
        node_block_list=kept,
    )
    if isinstance(model, str):
        for part in (named, named.with_name(f"{named.name}.data")):
            part.unlink()
    # The converter leaves old types in value_info, and appends its casts at the end.
    del converted.graph.value_info[:]
    remove_duplicate_casts(converted.graph)
    OnnxModel.graph_topological_sort(converted.graph)
    join_casts(converted.graph)
    onnx.save(converted, target)
    return kept


def outputs_with_vanishing_constants(graph: onnx.GraphProto) -> set[str]:
    """The outputs of additions and limits with a constant that becomes 0 in half precision: the smallest divisor of
    EfficientViT's linear attention, 1e-15."""
    values = graphs.constants(graph)
    nodes = [node for node in graph.node if node.op_type in ("Add", "Clip", "Max")]

    def vanishes(name: str) -> bool:
        value = values[name]() if name in values else np.zeros(1)
        return value.size == 1 and value.item() != 0 and np.float16(value.item()) == 0

    return {node.output[0] for node in nodes if any(vanishes(name) for name in node.input)}


def resize_factors_to_weights(graph: onnx.GraphProto) -> None:
    """Turns factors of Resize from Constant nodes into weights, which the converter leaves in fp32."""
    factors = {name for node in graph.node if node.op_type == "Resize" for name in node.input[1:]}
    makers = [node for node in graph.node if node.op_type == "Constant" and node.output[0] in factors]
    for node in makers:
        tensor = node.attribute[0].t
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)


def remove_duplicate_casts(graph: onnx.GraphProto) -> None:
    """Removes repeated casts: the converter writes a cast with the same output for each operator that needs it."""
    written = set()
    for number, node in enumerate(list(graph.node)):
        node.name = f"{node.op_type}_{number}"
        if node.op_type == "Cast" and node.output[0] in written:
            graph.node.remove(node)
        written.update(node.output)


def join_casts(graph: onnx.GraphProto) -> None:
    """Removes pairs of casts between two operators in fp32, where the converter inserts half precision."""
    makers = {name: node for node in graph.node for name in node.output}
    weights = {t.name: t.data_type for t in graph.initializer}
    outputs = {value.name for value in graph.output}

    def casts_to(node: onnx.NodeProto | None, kind: int) -> bool:
        return node is not None and node.op_type == "Cast" and node.attribute[0].i == kind

    replacements = {}
    for node in graph.node:
        if not casts_to(node, TensorProto.FLOAT) or node.output[0] in outputs:
            continue
        if casts_to(makers.get(node.input[0]), TensorProto.FLOAT16):
            replacements[node.output[0]] = makers[node.input[0]].input[0]
        elif weights.get(node.input[0]) == TensorProto.FLOAT:
            replacements[node.output[0]] = node.input[0]
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = replacements.get(name, name)
    graphs.drop_unused(graph)


def largest_values(source: Path, feeds: list[dict]) -> dict[str, float]:
    """The largest magnitude of each activation of a graph, over runs with `feeds`."""
    model = onnx.shape_inference.infer_shapes(onnx.load(source, load_external_data=False))
    graph = model.graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output, *graph.input)}
    activations = [name for node in graph.node for name in node.output if types.get(name) == TensorProto.FLOAT]
    renamed = {}
    graph.initializer.append(numpy_helper.from_array(np.float32(0), "zero"))
    nodes = []
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        nodes.append(node)
        for name in node.output:
            if types.get(name) != TensorProto.FLOAT:
                continue
            number = len(renamed)
            nodes.append(helper.make_node("Abs", [name], [f"abs_{number}"]))
            nodes.append(helper.make_node("ReduceMax", [f"abs_{number}"], [f"largest_{number}"], keepdims=0))
            graph.output.append(helper.make_tensor_value_info(f"largest_{number}", TensorProto.FLOAT, []))
            # Later operators depend on the maximum. Otherwise the runtime would keep all activations until the end.
            nodes.append(helper.make_node("Mul", [f"largest_{number}", "zero"], [f"nothing_{number}"]))
            nodes.append(helper.make_node("Add", [name, f"nothing_{number}"], [f"later_{number}"]))
            renamed[name] = f"later_{number}"
    del graph.node[:]
    graph.node.extend(nodes)
    # Beside the source, because the graphs may share external weights.
    instrumented = source.with_name(f"watching.{source.name}")
    onnx.save(model, instrumented)
    try:
        runner = session(instrumented)
        names = [f"largest_{number}" for number in range(len(activations))]
        runs = [runner.run(names, feed) for feed in feeds]
    finally:
        instrumented.unlink()
    values = np.array(runs, dtype=np.float64).max(0)
    return dict(zip(activations, values.tolist()))


def has_weight_products(source: Path) -> bool:
    """Whether a graph has operators that `int8` converts. Convolutions stay unchanged."""
    graph = onnx.load(source, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return any(node.op_type in ("MatMul", "Gemm") and node.input[1] in weights for node in graph.node)


def int8(source: Path, target: Path) -> None:
    """Converts MatMul and Gemm to 8-bit weights with a scale per channel, and dynamically quantised activations."""
    logging.getLogger().setLevel(logging.ERROR)
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        # 8-bit weights overflow 16-bit sums on processors without VNNI.
        reduce_range=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )
