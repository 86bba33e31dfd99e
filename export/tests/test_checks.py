"""Tests of the graph checker. Needs only onnx and numpy."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from promptseg_export import checks


def graph(nodes, inputs=None, constants=None, outputs=None, opset=17):
    inputs = inputs or {"x": [1, 4]}
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    proto = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in (outputs or {"y": None}).items()],
        tensors,
    )
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)])


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs, outputs, **attributes)


def shaped(value):
    return {"shape": np.array(value, np.int64)}


def test_a_plain_graph_has_no_violations():
    nodes = [node("Reshape", ["x", "shape"], ["z"]), node("Softmax", ["z"], ["y"], axis=-1)]
    assert checks.violations(graph(nodes, constants=shaped([2, 2]))) == []


@pytest.mark.parametrize(
    ("nodes", "constants", "expected"),
    [
        (
            [node("Shape", ["x"], ["s"]), node("Reshape", ["x", "s"], ["y"])],
            {},
            ["Shape s: a shape is computed", "Reshape y: its input 1 (s) is computed"],
        ),
        (
            [node("Gather", ["x", "i"], ["y"], axis=1)],
            {"i": np.array([0, 2], np.int64)},
            ["Gather y: input i is INT64"],
        ),
        (
            [node("Cast", ["x"], ["n"], to=TensorProto.INT64), node("Cast", ["n"], ["y"], to=TensorProto.FLOAT)],
            {},
            ["Cast n: has an output of type INT64"],
        ),
        (
            [node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16), node("Softmax", ["h"], ["p"]),
             node("Cast", ["p"], ["y"], to=TensorProto.FLOAT)],
            {},
            ["Softmax p: computed in half precision"],
        ),
        (
            [node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
             node("LayerNormalization", ["h", "w"], ["p"], axis=-1), node("Cast", ["p"], ["y"], to=TensorProto.FLOAT)],
            {"w": np.ones(4, np.float16)},
            ["LayerNormalization p: computed in half precision"],
        ),
        (
            [node("Mul", ["x", "x"], ["xx"]), node("ReduceMean", ["xx"], ["m"], axes=[1]),
             node("Add", ["m", "eps"], ["v"]), node("Sqrt", ["v"], ["s"]), node("Div", ["x", "s"], ["y"])],
            {"eps": np.float32(1e-6)},
            ["Sqrt s: a LayerNorm written out"],
        ),
        ([node("NonZero", ["x"], ["n"]), node("Cast", ["n"], ["y"], to=1)], {}, ["NonZero n: the output's shape"]),
        ([node("FusedGelu", ["x"], ["y"], domain="com.example")], {}, ["operators of the domain com.example"]),
    ],
)  # fmt: skip
def test_violations_are_named(nodes, constants, expected):
    violations = checks.violations(graph(nodes, constants=constants))
    for text in expected:
        assert any(line.startswith(text) for line in violations), violations


def quantised(zero, scale="s"):
    """A product of 8-bit weights and inputs. `zero`: zero point of the input."""
    nodes = [
        node("QuantizeLinear", ["x", scale, "z"], ["q"]),
        node("DequantizeLinear", ["q", scale, "z"], ["d"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], axis=1),
        node("MatMul", ["d", "dw"], ["y"]),
    ]
    weights = {"w": np.ones((4, 3), np.int8), "ws": np.ones(3, np.float32), "wz": np.zeros(3, np.int8)}
    return graph(nodes, constants={**weights, "s": np.float32(0.1), "z": zero})


def test_quantisation_has_fixed_scales_and_zero_points_of_0():
    assert checks.violations(quantised(np.int8(0))) == []
    assert "QuantizeLinear q: its zero point z is not 0" in checks.violations(quantised(np.int8(3)))
    assert "QuantizeLinear q: uint8, expected int8" in checks.violations(quantised(np.uint8(0)))
    computed = quantised(np.int8(0), "c")
    computed.graph.node.insert(0, node("ReduceMax", ["x"], ["c"], keepdims=0))
    assert "QuantizeLinear q: its scale c is computed" in checks.violations(computed)


def test_an_input_in_8_bits_is_cast_at_once():
    levels = graph([node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)])
    levels.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    assert checks.violations(levels) == []
    levels.graph.node.insert(0, node("Transpose", ["x"], ["t"], perm=[1, 0]))
    levels.graph.node[1].input[0] = "t"
    (line,) = checks.violations(levels)
    assert line == "input x: type UINT8, expected float, uint8 that is cast at once, or int32 that Gather takes"


def test_only_objects_and_tokens_may_be_dynamic():
    inputs = {"sparse_prompt_embeddings": ["objects", "tokens", 4], "image_embeddings": ["n", 4]}
    nodes = [node("Add", ["sparse_prompt_embeddings", "image_embeddings"], ["y"])]
    (line,) = checks.violations(graph(nodes, inputs))
    assert line.startswith("input image_embeddings: axis 0 is dynamic")


def test_old_opsets_are_named():
    assert "opset 13, at least 17 is needed" in checks.violations(graph([node("Relu", ["x"], ["y"])], opset=13))


def test_the_command_names_the_file(tmp_path, capsys):
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    good.write_bytes(graph([node("Relu", ["x"], ["y"])]).SerializeToString())
    shape = [node("Shape", ["x"], ["s"]), node("Cast", ["s"], ["y"], to=1)]
    bad.write_bytes(graph(shape).SerializeToString())
    assert checks.main([str(good)]) == 0
    assert checks.main([str(good), str(bad)]) == 1
    assert "bad.onnx: 3 violations" in capsys.readouterr().out
