"""Exports PyTorch modules to ONNX graphs for all execution providers; shared by all families.

Encoders have fixed shapes, and torch.export turns everything computed from shapes into constants. Decoders are traced.
Their wrappers reshape by constants in which 0 keeps a dimension, so that no shape is computed from an input.
"""

import logging
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxscript import optimizer
from torch import Tensor, nn

from .bundle import INLINE

OPSET = 17
FOLDED = 1 << 20


class _Reshape(torch.autograd.Function):
    """Reshape by a constant in which 0 keeps the dimension, as in ONNX."""

    @staticmethod
    def forward(ctx, x: Tensor, shape: tuple) -> Tensor:
        return x.reshape([x.shape[i] if d == 0 else d for i, d in enumerate(shape)])

    @staticmethod
    def symbolic(g, x, shape):
        # Later operators need the rank, which is known even for dynamic dimensions.
        kind = x.type().with_sizes([None if d <= 0 else d for d in shape])
        return g.op("Reshape", x, g.op("Constant", value_t=torch.tensor(shape, dtype=torch.int64))).setType(kind)


def reshape(x: Tensor, *shape: int) -> Tensor:
    """Reshapes in decoders; 0 keeps a dimension."""
    # Sizes read from a tensor's shape are tensors during tracing; int() makes them constants.
    return _Reshape.apply(x, tuple(map(int, shape)))


def _channel_norm(norm: nn.Module, x: Tensor) -> Tensor:
    x = x.permute(0, 2, 3, 1)
    return nn.functional.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps).permute(0, 3, 1, 2)


@contextmanager
def channel_norms(*modules: nn.Module):
    """Context in which LayerNorm over channels becomes one operator.

    The separate operators overflow in half precision, and execution providers do not recognise them as a norm.
    """
    changed = {m for module in modules for m in module.modules() if type(m).__name__ == "LayerNorm2d"}
    for norm in changed:
        norm.forward = partial(_channel_norm, norm)
    try:
        yield
    finally:
        for norm in changed:
            del norm.forward


def export_encoder(module: nn.Module, side: int, outputs: tuple, path: Path) -> None:
    """Exports an encoder: image [1, 3, S, S] -> `outputs`, all of fixed shape."""
    export_fixed(module, {"image": torch.zeros(1, 3, side, side)}, outputs, path)


def export_fixed(module: nn.Module, inputs: dict, outputs: tuple, path: Path) -> None:
    """Exports a module whose inputs and outputs have fixed shapes. `inputs`: example of each input by name."""
    for name in ("torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad(), channel_norms(module):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=18,  # the lowest opset of this exporter
            dynamo=True,
            verbose=False,
        )
    # Folds constants of up to this many values: the relative positions of ViT-H exceed the default limit.
    optimizer.optimize(program.model, input_size_limit=FOLDED, output_size_limit=FOLDED)
    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    program.save(str(path), external_data=weights > INLINE)
    del program
    rewrite(path)


def export_decoder(module: nn.Module, inputs: dict, outputs: tuple, dynamic: dict, path: Path) -> None:
    with channel_norms(module):
        trace(module, inputs, outputs, dynamic, path)
    rewrite(path)


def trace(module: nn.Module, inputs: dict, outputs: tuple, dynamic: dict, path: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=dynamic,
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )


def declare(path: Path, output: str, shape: list) -> None:
    """Sets the shape of an output, because the exporter sometimes loses the shape after a reshape."""
    model = onnx.load(path)
    for value in model.graph.output:
        if value.name == output:
            value.CopyFrom(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, shape))
    onnx.save(model, path)


def output_shapes(path: Path) -> dict[str, list[int]]:
    """Shapes of the outputs of a graph, which must be fixed."""
    graph = onnx.load(path, load_external_data=False).graph
    return {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in graph.output}


def rewrite(path: Path) -> None:
    """Lowers an exported graph to opset 17, narrows indices to int32, and removes metadata such as local paths."""
    # External weights are not loaded and stay unchanged.
    model = onnx.load(path, load_external_data=False)
    for item in [*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info,
                 *model.graph.initializer, model.graph, model]:
        del item.metadata_props[:]
        item.doc_string = ""
    lower_opset(model)
    narrow_indices(model)
    reorder_gelu(model.graph)
    onnx.save(model, path)


def constants(graph: onnx.GraphProto) -> dict:
    """Maps the name of each constant of a graph to a function that returns its value."""
    values = {t.name: partial(numpy_helper.to_array, t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            values[node.output[0]] = partial(numpy_helper.to_array, node.attribute[0].t)
    return values


def lower_opset(model: onnx.ModelProto) -> None:
    """Lowers opset 18, the lowest of torch.export, to 17, which TensorRT 8 can read."""
    (default,) = [o for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if default.version <= OPSET:
        return
    values = constants(model.graph)
    for node in model.graph.node:
        lower, current = (onnx.defs.get_schema(node.op_type, v).since_version for v in (OPSET, default.version))
        if lower == current:
            continue
        if node.op_type.startswith("Reduce"):
            # In opset 17 the axes are an attribute.
            axes = values[node.input.pop(1)]().tolist() if len(node.input) > 1 else None
            kept = [a for a in node.attribute if a.name != "noop_with_empty_axes"]
            del node.attribute[:]
            node.attribute.extend(kept)
            if axes is not None:
                node.attribute.append(onnx.helper.make_attribute("axes", axes))
        elif node.op_type == "Split":
            kept = [a for a in node.attribute if a.name != "num_outputs"]
            if len(kept) < len(node.attribute) and len(node.input) < 2:
                del node.attribute[:]
                node.attribute.extend(kept)
        elif node.op_type == "Resize":
            # Options of opset 18, set to the behaviour of opset 17.
            kept = [a for a in node.attribute if a.name not in ("antialias", "axes", "keep_aspect_ratio_policy")]
            del node.attribute[:]
            node.attribute.extend(kept)
        elif node.op_type != "Pad":  # which only gained options
            raise NotImplementedError(f"cannot lower {node.op_type} from opset {default.version} to {OPSET}")
    default.version = OPSET


def narrow_indices(model: onnx.ModelProto) -> None:
    """Converts constant indices of Gather to int32."""
    graph, values = model.graph, constants(model.graph)
    for number, node in enumerate(graph.node):
        if node.op_type in ("Gather", "GatherElements") and node.input[1] in values:
            indices = values[node.input[1]]()
            if indices.dtype == np.int64:
                name = f"{node.output[0]}_indices_{number}"
                graph.initializer.append(numpy_helper.from_array(indices.astype(np.int32), name))
                node.input[1] = name
    drop_unused(graph)


def reorder_gelu(graph: onnx.GraphProto) -> None:
    """Rewrites x * ((1 + erf(x / sqrt 2)) * 0.5), as torch.export writes GELU, to (x * (1 + erf(x / sqrt 2))) * 0.5.

    ONNX Runtime fuses only the second form into one operator, which saves a fifth of the time of MobileSAM's encoder on a
    CPU. The result is the same, because a product by 0.5 is exact.
    """
    values, users = constants(graph), {}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)

    def only_user(node: onnx.NodeProto, kind: str) -> onnx.NodeProto | None:
        node_users = users.get(node.output[0], [])
        return node_users[0] if len(node_users) == 1 and node_users[0].op_type == kind else None

    for erf in graph.node:
        if erf.op_type != "Erf" or erf.input[0] not in makers:
            continue
        x = makers[erf.input[0]].input[0]
        add = only_user(erf, "Add")
        halved = add and only_user(add, "Mul")
        last = halved and only_user(halved, "Mul")
        if not last or x not in last.input:
            continue
        half = [name for name in halved.input if name in values and values[name]().size == 1 and values[name]() == 0.5]
        if half:
            halved.input[:] = [x, add.output[0]]
            last.input[:] = [halved.output[0], half[0]]


def drop_unused(graph: onnx.GraphProto) -> None:
    """Removes nodes and constants that no output depends on."""
    needed, kept = {value.name for value in graph.output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    kept.reverse()
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)
    for tensor in [t for t in graph.initializer if t.name not in needed]:
        graph.initializer.remove(tensor)
