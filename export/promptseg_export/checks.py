"""Checks that TensorRT can build a graph, in fp32 and in fp16. Needs only `onnx` and `numpy`.

    python -m promptseg_export.checks GRAPH.onnx...

Prints the violations. The exporter checks every graph that it writes, and a test checks every graph in the repository.
"""

import sys
from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper

BANNED = {
    "OneHot": "TensorRT has no such layer",
    "Shape": "a shape is computed from a tensor",
    "Size": "a shape is computed from a tensor",
    "ConstantOfShape": "a tensor is made of a computed shape",
    "Range": "a tensor of computed length",
    "NonZero": "the output's shape depends on data",
    "Unique": "the output's shape depends on data",
    "Compress": "the output's shape depends on data",
    "Loop": "control flow",
    "If": "control flow",
    "Scan": "control flow",
    "RandomNormal": "two runs differ",
    "RandomNormalLike": "two runs differ",
    "RandomUniform": "two runs differ",
    "RandomUniformLike": "two runs differ",
}
"""Forbidden operators, with the reason."""

SHAPES = {
    "Reshape": (1,),
    "Expand": (1,),
    "Tile": (1,),
    "Slice": (1, 2, 3, 4),
    "Pad": (1, 3),
    "Resize": (1, 2, 3),
    "Split": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
    "ReduceSum": (1,),
    "ReduceMean": (1,),
    "ReduceMax": (1,),
    "ReduceMin": (1,),
    "TopK": (1,),
    "CumSum": (1,),
}
"""Inputs of operators that give a shape or an axis. They must be constants, and only they may be int64."""

DYNAMIC = {
    "sparse_prompt_embeddings": {0, 1},
    "dense_prompt_embeddings": {0},
    "wanted_masks": {0, 1},
    "point_coords": {0, 1},
    "point_labels": {0, 1},
    "mask_input": {0},
    "has_mask_input": {0},
    "memories": {0},
    "memory_times": {0},
    "object_pointers": {0},
    "pointer_times": {0},
    "queries": {0},
}
"""Axes of inputs that may be dynamic: the numbers of objects, of tokens or points, of returned masks, of memories, of
object pointers and of phrases."""

FP32_ONLY = {"Softmax", "LogSoftmax", "LayerNormalization", "ReduceMean", "InstanceNormalization", "Exp", "Pow"}
"""Operators whose intermediate values leave the range of half precision."""


def violations(model: onnx.ModelProto) -> list[str]:
    """Lists the violations of a graph, one line each. External weights are not needed."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError as e:
        return [*opset_problems(model), f"its shapes contradict each other: {e}"]
    graph = inferred.graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    constants = {t.name: t.data_type for t in graph.initializer}
    types.update(constants)
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = types.get(node.output[0], TensorProto.UNDEFINED)
    problems = [*opset_problems(inferred), *input_problems(graph), *decomposed_norms(graph), *quantisation_problems(graph)]
    for node in graph.node:
        problems += [f"{node.op_type} {node.output[0]}: {problem}" for problem in node_problems(node, types, constants)]
    return problems


def opset_problems(model: onnx.ModelProto) -> list[str]:
    versions = {o.domain: o.version for o in model.opset_import if o.domain in ("", "ai.onnx")}
    version = max(versions.values(), default=0)
    used = {n.domain for n in model.graph.node} - {"", "ai.onnx"}
    problems = [f"operators of the domain {domain}, which only one runtime supports" for domain in sorted(used)]
    return problems if version >= 17 else [f"opset {version}, at least 17 is needed", *problems]


def input_problems(graph: onnx.GraphProto) -> list[str]:
    problems, weights = [], {t.name for t in graph.initializer}
    for value in graph.input:
        if value.name in weights:
            continue
        kind = value.type.tensor_type
        for axis, dim in enumerate(kind.shape.dim):
            if not dim.HasField("dim_value") and axis not in DYNAMIC.get(value.name, set()):
                problems.append(
                    f"input {value.name}: axis {axis} is dynamic; only objects, tokens, wanted masks, memories and phrases may be dynamic"
                )
        users = {node.op_type for node in graph.node if value.name in node.input}
        levels = kind.elem_type == TensorProto.UINT8 and users == {"Cast"}
        tokens = kind.elem_type == TensorProto.INT32 and users == {"Gather"}
        if kind.elem_type != TensorProto.FLOAT and not levels and not tokens:
            name = TensorProto.DataType.Name(kind.elem_type)
            problems.append(
                f"input {value.name}: type {name}, expected float, uint8 that is cast at once, or int32 that Gather takes"
            )
    for value in graph.output:
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            problems.append(f"output {value.name}: not float")
    return problems


def quantisation_problems(graph: onnx.GraphProto) -> list[str]:
    """Finds quantisation that TensorRT cannot build: computed scales, zero points other than 0, integers of more than 8 bits."""
    values = {t.name: t for t in graph.initializer}
    problems = []
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        name = f"{node.op_type} {node.output[0]}"
        if node.input[1] not in values:
            problems.append(f"{name}: its scale {node.input[1]} is computed")
        zero = values.get(node.input[2]) if len(node.input) > 2 else None
        if len(node.input) > 2 and (zero is None or numpy_helper.to_array(zero).any()):
            problems.append(f"{name}: its zero point {node.input[2]} is not 0")
        elif zero is None or zero.data_type != TensorProto.INT8:
            kind = "uint8" if zero is None else TensorProto.DataType.Name(zero.data_type).lower()
            problems.append(f"{name}: {kind}, expected int8")
    return problems


def decomposed_norms(graph: onnx.GraphProto) -> list[str]:
    """Finds norms written as a mean of squares under a root instead of one operator; they overflow in half precision."""
    makers = {name: node for node in graph.node for name in node.output}

    def made_by(name: str, kinds: tuple) -> onnx.NodeProto | None:
        node = makers.get(name)
        return node if node is not None and node.op_type in kinds else None

    problems = []
    for root in graph.node:
        if root.op_type != "Sqrt":
            continue
        mean = made_by(root.input[0], ("ReduceMean",))
        total = made_by(root.input[0], ("Add",))
        if total is not None:
            mean = next((m for m in (made_by(i, ("ReduceMean",)) for i in total.input) if m is not None), None)
        if mean is None:
            continue
        square = made_by(mean.input[0], ("Pow", "Mul"))
        if square is not None and (square.op_type == "Pow" or square.input[0] == square.input[1]):
            problems.append(f"Sqrt {root.output[0]}: a LayerNorm written out; half precision needs LayerNormalization")
    return problems


def node_problems(node: onnx.NodeProto, types: dict, constants: dict) -> list[str]:
    problems = []
    if node.op_type in BANNED:
        problems.append(BANNED[node.op_type])
    shapes = SHAPES.get(node.op_type, ())
    for i, name in enumerate(node.input):
        if not name:
            continue
        if i in shapes and name not in constants:
            problems.append(f"its input {i} ({name}) is computed")
        wide = types.get(name) in (TensorProto.INT64, TensorProto.DOUBLE, TensorProto.UINT64)
        if wide and not (i in shapes and name in constants):
            problems.append(f"input {name} is {TensorProto.DataType.Name(types[name])}")
    if node.op_type in FP32_ONLY and any(types.get(n) == TensorProto.FLOAT16 for n in node.input):
        problems.append("computed in half precision, where it overflows")
    if node.op_type != "Constant":
        for name in node.output:
            if types.get(name) in (TensorProto.INT64, TensorProto.DOUBLE):
                problems.append(f"has an output of type {TensorProto.DataType.Name(types[name])}")
            if name and name not in types:
                problems.append(f"the type of {name} is not known")
    return problems


def file_violations(path: Path) -> list[str]:
    return violations(onnx.load(path, load_external_data=False))


def main(paths: list[str]) -> int:
    bad = 0
    for path in paths:
        problems = file_violations(Path(path))
        bad += len(problems)
        print(f"{path}: {'good' if not problems else f'{len(problems)} violations'}")
        for line in problems:
            print(f"  {line}")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
