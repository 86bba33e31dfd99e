"""Tests that operators which would overflow in half precision stay in fp32."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from promptseg_export import variants
from promptseg_export.parity import session


def test_operators_with_large_values_stay_in_fp32(tmp_path):
    grow, shrink = np.full((4, 4), 1e4, np.float32), np.full((4, 4), 1e-4, np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "small"], ["a"]),
        helper.make_node("MatMul", ["a", "grow"], ["b"]),
        helper.make_node("MatMul", ["b", "shrink"], ["c"]),
        helper.make_node("MatMul", ["c", "small"], ["y"]),
    ]
    weights = {"grow": grow, "shrink": shrink, "small": np.eye(4, dtype=np.float32)}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    source, target = tmp_path / "graph.onnx", tmp_path / "graph.fp16.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), source)
    feed = {"x": np.full((1, 4), 2.0, np.float32)}
    assert variants.largest_values(source, [feed]) == {"a": 2.0, "b": 8e4, "c": 32.0, "y": 32.0}
    kept = variants.half(source, target, [feed])
    assert len(kept) == 2  # the operator with the large output and the operator with the large input
    assert {p.name for p in tmp_path.iterdir()} == {"graph.onnx", "graph.fp16.onnx"}
    types = {t.name: t.data_type for t in onnx.load(target).graph.initializer}
    assert types["grow"] == types["shrink"] == TensorProto.FLOAT and types["small"] == TensorProto.FLOAT16
    assert np.allclose(session(target).run(None, feed)[0], 32.0)
