"""Converts an fp32 image encoder to 8 bits with fixed scales: static, explicit quantisation (QDQ), calibrated on pictures.

Every product with weights gets 8-bit weights with a scale per channel, and 8-bit inputs with a scale for the whole tensor. All
zero points are 0, as TensorRT requires. Norms, softmax, the products of attention, convolutions, and the last products before
each output stay in fp32. Needs no PyTorch.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

from . import bundle
from .sessions import session

PRODUCTS = ("MatMul", "Gemm", "Conv", "ConvTranspose")
QUANTISED = ("MatMul",)
"""Products that are converted. Convolutions in 8 bits are slower than in fp32 on CPUs, and are the last layers of ViT."""


def products(graph: onnx.GraphProto) -> list[str]:
    """The names of the products that are converted: products with weights, except the last before each output."""
    weights = {tensor.name for tensor in graph.initializer}
    last = last_products(graph)
    return [
        node.name
        for node in graph.node
        if node.op_type in QUANTISED and node.input[1] in weights and node.name not in last
    ]


def last_products(graph: onnx.GraphProto) -> set[str]:
    """The products that an output depends on without another product between them. All nodes must have names."""
    makers = {name: node for node in graph.node for name in node.output}
    found, waiting, seen = set(), [value.name for value in graph.output], set()
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type in PRODUCTS:
            found.add(node.name)
        else:
            waiting.extend(node.input)
    return found


def prepare(source: Path, target: Path) -> onnx.GraphProto:
    """Writes a copy of a graph in which each node has a name of its own, without its external weights."""
    model = onnx.load(source, load_external_data=False)
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
    keep_biases_apart(model)
    onnx.save(model, target)
    return model.graph


def keep_biases_apart(model: onnx.ModelProto) -> None:
    """Gives the biases after products three dimensions, [1, 1, N], where the product has at least as many.

    ONNX Runtime joins a product and a bias of one dimension to a Gemm before it looks for products in 8 bits, and has none for a
    Gemm with a bias in fp32: it would compute all of them in fp32, from 8-bit weights.
    """
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model).graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*inferred.value_info, *inferred.output)}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    multiplied = {node.output[0] for node in graph.node if node.op_type == "MatMul"}
    users = {}
    for node in graph.node:
        for i, name in enumerate(node.input):
            users.setdefault(name, []).append((node, i))

    def follows_product(node: onnx.NodeProto, i: int) -> bool:
        product = node.input[1 - i] if node.op_type == "Add" else None
        return product in multiplied and ranks.get(product, 0) >= 3

    for name, tensor in weights.items():
        if len(tensor.dims) == 1 and name in users and all(follows_product(*user) for user in users[name]):
            # Only the shape changes, so external weights stay where they are.
            tensor.dims[:] = [1, 1, tensor.dims[0]]
    # Shapes from before the change.
    del graph.value_info[:]


def int8(source: Path, target: Path, images: list[np.ndarray]) -> int:
    """Converts an encoder, with scales from runs on `images` [1, 3, S, S]. Returns the number of converted products."""
    # Beside the source, because the graphs may share external weights.
    named = source.with_name(f"named.{source.name}")
    size = sum(part.stat().st_size for part in source.parent.glob(f"{source.name}*"))
    try:
        graph = prepare(source, named)
        chosen = products(graph)
        if not chosen:
            return 0
        quantiser = QDQQuantizer(
            load_model_with_shape_infer(named),
            per_channel=True,
            # 8-bit weights overflow 16-bit sums on processors without VNNI.
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8,
            tensors_range=ranges(named, [node.input[0] for node in graph.node if node.name in chosen], images),
            nodes_to_quantize=chosen,
            nodes_to_exclude=[],
            op_types_to_quantize=list(QUANTISED),
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                # The next operator reads the product in fp32.
                "OpTypesToExcludeOutputQuantization": list(QUANTISED),
            },
        )
        quantiser.quantize_model()
        quantiser.model.save_model_to_file(target, size > bundle.INLINE)
    finally:
        named.unlink(missing_ok=True)
    strip(target)
    return len(chosen)


def ranges(source: Path, tensors: list[str], images: Iterable[np.ndarray]) -> TensorsData:
    """Runs a graph on `images` [1, 3, S, S] and returns the lowest and highest value of each tensor.

    `quantize_static` does the same in an arena, with all operators apart, and needs 24 GB for SAM's ViT-B.
    """
    model = onnx.load(source, load_external_data=False)
    graph, names = model.graph, list(dict.fromkeys(tensors))
    del graph.output[:]
    for name in names:
        for operator in ("ReduceMin", "ReduceMax"):
            value = f"{name}.{operator}"
            graph.node.append(onnx.helper.make_node(operator, [name], [value], keepdims=0))
            graph.output.append(onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, []))
    # Beside the source, because the graphs may share external weights.
    measured = source.with_name(f"measured.{source.name}")
    try:
        onnx.save(model, measured)
        runner = session(measured)
        found = np.array([runner.run(None, {graph.input[0].name: image}) for image in images])
    finally:
        measured.unlink(missing_ok=True)
    lowest, highest = found[:, ::2].min(0), found[:, 1::2].max(0)
    return TensorsData(CalibrationMethod.MinMax, {name: (lowest[i], highest[i]) for i, name in enumerate(names)})


def strip(path: Path) -> None:
    """Removes what the quantiser adds beside the graph: metadata, and operator sets that no operator uses."""
    model = onnx.load(path, load_external_data=False)
    del model.metadata_props[:]
    del model.graph.value_info[:]
    used = {node.domain or "" for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.save(model, path)
