"""Image encoders that take a picture as levels in 8 bits: a quarter of the bytes on the way to a GPU. Needs no PyTorch.

The graph converts `image` [1, S, S, 3] to what the encoder takes: planes of `(level - mean) / std`, and 0 outside of the content.
`content_rows` [1, 1, S, 1] and `content_columns` [1, 1, 1, S] are 1 inside the content and 0 outside of it.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .calibration import Sample
from .sessions import session

LIMIT = 1e-6
"""Largest accepted difference from the features of the encoder that takes normalised values, relative to their range."""


def write(source: Path, target: Path, description: dict) -> None:
    """Writes an encoder with levels as its input. It shares external weights with `source`, in the same folder."""
    model = onnx.load(source, load_external_data=False)
    graph, side = model.graph, description["image_size"]
    name, values = graph.input[0].name, "normalised_image"
    for node in graph.node:
        for i, given in enumerate(node.input):
            if given == name:
                node.input[i] = values
    for constant in ("mean", "std"):
        value = np.array(description[constant], np.float32).reshape(1, 3, 1, 1)
        graph.initializer.append(numpy_helper.from_array(value, f"picture_{constant}"))
    steps = [
        # TensorRT takes 8 bits as the input of a cast alone.
        helper.make_node("Cast", [name], ["picture_levels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["picture_levels"], ["picture_planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["picture_planes", "picture_mean"], ["picture_centred"]),
        helper.make_node("Div", ["picture_centred", "picture_std"], ["picture_scaled"]),
        helper.make_node("Mul", ["picture_scaled", "content_rows"], ["picture_rows"]),
        helper.make_node("Mul", ["picture_rows", "content_columns"], [values]),
    ]
    for number, node in enumerate(steps):
        node.name = f"picture_{number}"
        graph.node.insert(number, node)
    del graph.input[:]
    graph.input.extend([
        helper.make_tensor_value_info(name, TensorProto.UINT8, [1, side, side, 3]),
        helper.make_tensor_value_info("content_rows", TensorProto.FLOAT, [1, 1, side, 1]),
        helper.make_tensor_value_info("content_columns", TensorProto.FLOAT, [1, 1, 1, side]),
    ])  # fmt: skip
    onnx.save(model, target)


def feed(name: str, sample: Sample) -> dict[str, np.ndarray]:
    side = sample.levels.shape[1]
    width, height = sample.content
    inside = np.arange(side)
    return {
        name: sample.levels,
        "content_rows": (inside < height).astype(np.float32).reshape(1, 1, side, 1),
        "content_columns": (inside < width).astype(np.float32).reshape(1, 1, 1, side),
    }


def is_whole_levels(sample: Sample, image: np.ndarray) -> bool:
    """Whether a picture as the reference resizes and normalises it, `image` [1, 3, S, S], is that of whole levels. One level is
    0.017. Families normalise by other steps, which changes the last digits."""
    return float(np.abs(sample.image - image).max()) <= 1e-4


def difference(plain: Path, levels: Path, sample: Sample) -> float:
    """The largest difference of the features of two encoders on the same picture, relative to their range."""
    runner = session(plain)
    expected = runner.run(None, {runner.get_inputs()[0].name: sample.image})
    found = session(levels).run(None, feed(runner.get_inputs()[0].name, sample))
    return max(float(np.abs(a - b).max() / np.ptp(a)) for a, b in zip(expected, found))
