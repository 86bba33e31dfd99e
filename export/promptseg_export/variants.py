"""Half precision and 8-bit graphs from those in fp32."""

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
"""Activations above it on the photo are kept in fp32: other pictures make larger ones."""


def half(source: Path, target: Path, feeds: list[dict]) -> list[str]:
    """Weights and activations in half precision, inputs and outputs f32, and in fp32 what would overflow: LayerNorm,
    softmax, and every operator that saw values above `HALF_LIMIT` with `feeds`. Returns the names of the latter."""
    large = {name for name, value in largest(source, feeds).items() if not value <= HALF_LIMIT}
    model = onnx.load(source)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{number}"
    resizing_by_weights(model.graph)
    kept = [n.name for n in model.graph.node if large.intersection((*n.input, *n.output))]
    # Its shape inference would need the whole graph in 2 GiB; it works on a file in any case.
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
    # It leaves the types of before, and its casts at the end.
    del converted.graph.value_info[:]
    made_once(converted.graph)
    OnnxModel.graph_topological_sort(converted.graph)
    join_casts(converted.graph)
    onnx.save(converted, target)
    return kept


def resizing_by_weights(graph: onnx.GraphProto) -> None:
    """The factors of Resize, where a node makes them, as weights, which the converter knows to leave in fp32."""
    factors = {name for node in graph.node if node.op_type == "Resize" for name in node.input[1:]}
    makers = [node for node in graph.node if node.op_type == "Constant" and node.output[0] in factors]
    for node in makers:
        tensor = node.attribute[0].t
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)


def made_once(graph: onnx.GraphProto) -> None:
    """It makes a cast for each operator that wants one, of the same name."""
    made = set()
    for number, node in enumerate(list(graph.node)):
        node.name = f"{node.op_type}_{number}"
        if node.op_type == "Cast" and node.output[0] in made:
            graph.node.remove(node)
        made.update(node.output)


def join_casts(graph: onnx.GraphProto) -> None:
    """Between two operators in fp32 the value stays in fp32: the converter takes it through half precision."""
    makers = {name: node for node in graph.node for name in node.output}
    weights = {t.name: t.data_type for t in graph.initializer}
    outputs = {value.name for value in graph.output}

    def casts_to(node: onnx.NodeProto | None, kind: int) -> bool:
        return node is not None and node.op_type == "Cast" and node.attribute[0].i == kind

    instead = {}
    for node in graph.node:
        if not casts_to(node, TensorProto.FLOAT) or node.output[0] in outputs:
            continue
        if casts_to(makers.get(node.input[0]), TensorProto.FLOAT16):
            instead[node.output[0]] = makers[node.input[0]].input[0]
        elif weights.get(node.input[0]) == TensorProto.FLOAT:
            instead[node.output[0]] = node.input[0]
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = instead.get(name, name)
    graphs.drop_unused(graph)


def largest(source: Path, feeds: list[dict]) -> dict[str, float]:
    """The largest magnitude of every activation of a graph, over runs with `feeds`."""
    model = onnx.shape_inference.infer_shapes(onnx.load(source, load_external_data=False))
    graph = model.graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output, *graph.input)}
    watched = [name for node in graph.node for name in node.output if types.get(name) == TensorProto.FLOAT]
    later = {}
    graph.initializer.append(numpy_helper.from_array(np.float32(0), "zero"))
    nodes = []
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = later.get(name, name)
        nodes.append(node)
        for name in node.output:
            if types.get(name) != TensorProto.FLOAT:
                continue
            number = len(later)
            nodes.append(helper.make_node("Abs", [name], [f"abs_{number}"]))
            nodes.append(helper.make_node("ReduceMax", [f"abs_{number}"], [f"largest_{number}"], keepdims=0))
            graph.output.append(helper.make_tensor_value_info(f"largest_{number}", TensorProto.FLOAT, []))
            # What comes after waits for the maximum: all activations would be kept to the end else.
            nodes.append(helper.make_node("Mul", [f"largest_{number}", "zero"], [f"nothing_{number}"]))
            nodes.append(helper.make_node("Add", [name, f"nothing_{number}"], [f"later_{number}"]))
            later[name] = f"later_{number}"
    del graph.node[:]
    graph.node.extend(nodes)
    # Beside the source, whose weights it may share.
    watching = source.with_name(f"watching.{source.name}")
    onnx.save(model, watching)
    try:
        runner = session(watching)
        names = [f"largest_{number}" for number in range(len(watched))]
        runs = [runner.run(names, feed) for feed in feeds]
    finally:
        watching.unlink()
    values = np.array(runs, dtype=np.float64).max(0)
    return dict(zip(watched, values.tolist()))


def multiplies(source: Path) -> bool:
    """Whether there is anything for `int8` to do: convolutions alone stay as they are."""
    graph = onnx.load(source, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return any(node.op_type in ("MatMul", "Gemm") and node.input[1] in weights for node in graph.node)


def int8(source: Path, target: Path) -> None:
    """MatMul and Gemm with weights of 8 bits, one scale for each channel, and activations quantised as they come."""
    logging.getLogger().setLevel(logging.ERROR)
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        # Sums of 16 bits overflow with 8-bit weights on processors without VNNI.
        reduce_range=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )
