"""Exports a checkpoint as a bundle:  python -m train.export

Writes image_encoder.onnx, mask_decoder.onnx and bundle.json. Fails if the low-resolution logits of ONNX Runtime differ
from those of PyTorch by more than 1e-3 of their range.
"""
import argparse
import hashlib
import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn as nn
from onnx import numpy_helper

from .data import MEAN, STD, normalise
from .model import (
    BOTTOM_RIGHT, DIM, FOREGROUND, GRID, IMAGE_SIZE, LOW_RES, PAD, TOP_LEFT, Features, TinySam)
from .scenes import SceneGenerator

OPSET = 18
TOLERANCE = 1e-3           # of the range of the logits
ENCODER, DECODER = "image_encoder.onnx", "mask_decoder.onnx"
PROMPT_INPUTS = ["point_coords", "point_labels", "mask_input", "has_mask_input"]


class Encoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        return tuple(self.model.encode(image))


class Decoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, embedding, high_res_0, high_res_1, affinity, points, labels, mask, has_mask):
        return self.model.decode(Features(embedding, high_res_0, high_res_1, affinity), points, labels, mask, has_mask)


def load(checkpoint):
    """Loads the averaged weights of a checkpoint, ready to run, and its counters."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = TinySam()
    model.load_state_dict(state["ema"])
    return model.eval(), {name: state[name] for name in ("step", "scenes", "legs")}


def symbolic_shapes(graph):
    """Maps the name of each value to its dimensions: an integer, or the name of a dynamic axis."""
    shapes = {}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        shapes[value.name] = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in dims]
    for weight in graph.initializer:
        shapes[weight.name] = list(weight.dims)
    return shapes


def constant_shape(node, shapes):
    """The shape operand of a Reshape or Expand as constants, or None if it must be computed at run time."""
    source, result = shapes.get(node.input[0], []), shapes.get(node.output[0])
    if result is None:
        return None
    if node.op_type == "Expand":
        padded = [1] * (len(result) - len(source)) + source
        if any(isinstance(dim, str) and dim != before for dim, before in zip(result, padded)):
            return None
        return [1 if isinstance(dim, str) else dim for dim in result]
    target = []
    for axis, dim in enumerate(result):
        kept = axis < len(source) and source[axis] == dim
        target.append(dim if isinstance(dim, int) else 0 if kept else -1)
    return target if target.count(-1) <= 1 else None


def freeze_shapes(model):
    """Replaces computed shape operands by constants and removes the nodes that computed them, for TensorRT."""
    graph = model.graph
    constants = {weight.name for weight in graph.initializer}
    shapes = symbolic_shapes(graph)
    for number, node in enumerate(graph.node):
        if node.op_type not in ("Reshape", "Expand") or node.input[1] in constants:
            continue
        target = constant_shape(node, shapes)
        if target is not None:
            name = f"constant_shape_{number}"
            graph.initializer.append(numpy_helper.from_array(np.array(target, np.int64), name))
            node.input[1] = name
            del node.attribute[:]                 # allowzero, with which a 0 means size 0 and not "keep"
    drop_unused(graph)
    del graph.value_info[:]
    left = [node.name for node in graph.node if node.op_type in ("Shape", "OneHot", "Tile", "NonZero")]
    if left:
        raise SystemExit(f"the graph still computes shapes, in these nodes: {left}")
    join_image_norm(graph)
    narrow_indices(graph)
    onnx.checker.check_model(model)


def join_image_norm(graph):
    """Replaces the operators of ImageNorm by InstanceNormalization: their squares overflow in half precision."""
    makers = {name: node for node in graph.node for name in node.output}
    weights = {weight.name: weight for weight in graph.initializer}
    for number, last in enumerate(graph.node):
        # (x - mean) * 1 / sqrt(mean of squares + eps), as in model.ImageNorm
        steps = [makers.get(last.input[-1])]
        for kind in ("Reciprocal", "Sqrt", "Add", "ReduceMean", "Mul", "Sub"):
            if steps[-1] is None or steps[-1].op_type != kind:
                break
            steps.append(makers.get(steps[-1].input[0]))
        else:
            centred, epsilon = steps[5], weights[steps[2].input[1]]
            x, result = centred.input[0], last.output[0]
            shapes = symbolic_shapes(onnx.shape_inference.infer_shapes(onnx.helper.make_model(graph)).graph)
            flat, back = f"{result}_flat_shape", f"{result}_shape"
            for name, value in (
                (flat, np.array([0, 1, -1], np.int64)), (back, np.array([0, *shapes[x][1:]], np.int64)),
                (f"{result}_one", np.ones(1, np.float32)), (f"{result}_zero", np.zeros(1, np.float32)),
            ):
                graph.initializer.append(numpy_helper.from_array(value, name))
            nodes = [
                onnx.helper.make_node("Reshape", [x, flat], [f"{result}_flat"]),
                onnx.helper.make_node(
                    "InstanceNormalization", [f"{result}_flat", f"{result}_one", f"{result}_zero"],
                    [f"{result}_normal"], epsilon=float(numpy_helper.to_array(epsilon))),
                onnx.helper.make_node("Reshape", [f"{result}_normal", back], [result]),
            ]
            graph.node.remove(last)
            for offset, node in enumerate(nodes):
                graph.node.insert(number + offset, node)
            drop_unused(graph)
            return


def narrow_indices(graph):
    """Converts indices to int32, because TensorRT has no int64."""
    weights = {weight.name: weight for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "Gather" and weights[node.input[1]].data_type == onnx.TensorProto.INT64:
            name = f"{node.output[0]}_index"
            graph.initializer.append(
                numpy_helper.from_array(numpy_helper.to_array(weights[node.input[1]]).astype(np.int32), name))
            node.input[1] = name
    drop_unused(graph)


def drop_unused(graph):
    """Removes nodes and initializers that no output depends on."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    for weight in [w for w in graph.initializer if w.name not in needed]:
        graph.initializer.remove(weight)


def write_graph(module, arguments, inputs, outputs, dynamic, path):
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, arguments, input_names=inputs, output_names=outputs, dynamic_shapes=dynamic,
            opset_version=OPSET, dynamo=True, verbose=False)
    model = program.model_proto
    freeze_shapes(model)
    del model.metadata_props[:]
    for item in [*model.graph.node, *model.graph.input, *model.graph.output, model.graph]:
        del item.metadata_props[:]                # the exporter's stack traces contain local paths
        item.doc_string = ""
    path.write_bytes(model.SerializeToString())


def example_prompts():
    """Three prompts, padded as the node pads them: a click, a click with a correction, a box."""
    points = np.array([[[90, 100], [0, 0], [0, 0]], [[140, 60], [150, 80], [0, 0]], [[30, 40], [120, 150], [0, 0]]])
    labels = np.array([[FOREGROUND, PAD, PAD], [FOREGROUND, 0, PAD], [TOP_LEFT, BOTTOM_RIGHT, PAD]])
    mask = np.random.default_rng(5).normal(0, 6, (3, 1, LOW_RES, LOW_RES))
    return [part.astype(np.float32) for part in (points, labels, mask, np.array([0, 1, 0]))]


def export(model, folder):
    image = normalise(torch.from_numpy(SceneGenerator(99).scene()[0][None]))
    prompts = [torch.from_numpy(part) for part in example_prompts()]
    with torch.no_grad():
        features = model.encode(image)
    write_graph(Encoder(model), (image,), ["image"], list(Features._fields), None, folder / ENCODER)
    objects, count = torch.export.Dim("objects", min=1), torch.export.Dim("points", min=1)
    dynamic = (None, None, None, None, {0: objects, 1: count}, {0: objects, 1: count}, {0: objects}, {0: objects})
    write_graph(
        Decoder(model), (*features, *prompts), [*Features._fields, *PROMPT_INPUTS],
        ["low_res_masks", "iou_predictions"], dynamic, folder / DECODER)


def relative_difference(actual, expected):
    return float(np.abs(actual - expected).max() / (expected.max() - expected.min()))


def check(model, folder):
    """Checks parity with PyTorch on one image: objects alone and in a batch, with more and fewer padding points."""
    session = onnxruntime.InferenceSession(folder / ENCODER, providers=["CPUExecutionProvider"])
    decoder = onnxruntime.InferenceSession(folder / DECODER, providers=["CPUExecutionProvider"])
    image = normalise(torch.from_numpy(SceneGenerator(98).scene()[0][None]))
    features = dict(zip(Features._fields, session.run(None, {"image": image.numpy()})))
    prompts = example_prompts()

    def decode(parts):
        return decoder.run(None, {**features, **dict(zip(PROMPT_INPUTS, parts))})

    with torch.no_grad():
        expected, expected_iou = (
            part.numpy() for part in model.decode(model.encode(image), *map(torch.from_numpy, prompts)))
    logits, iou = decode(prompts)
    alone = [decode([part[i:i + 1] for part in prompts])[0] for i in range(3)]
    more = [np.concatenate([prompts[0], prompts[0]], 1), np.pad(prompts[1], ((0, 0), (0, 3)), constant_values=PAD)]
    fewer = [prompts[0][2:, :2], prompts[1][2:, :2], prompts[2][2:], prompts[3][2:]]
    differences = {
        "logits": relative_difference(logits, expected),
        "IoU": float(np.abs(iou - expected_iou).max()),
        "decoded alone": relative_difference(np.concatenate(alone), expected),
        "more padding": relative_difference(decode([*more, *prompts[2:]])[0], expected),
        "a box without padding": relative_difference(decode(fewer)[0], expected[2:]),
    }
    for name, value in differences.items():
        print(f"  {name}: {value:.1e}")
    if max(differences.values()) > TOLERANCE:
        sys.exit(f"export failed: ONNX Runtime differs from PyTorch by {max(differences.values()):.1e} of the range of the "
                 f"logits; at most {TOLERANCE:.0e} is allowed")


def describe(folder, counters):
    """Writes bundle.json and returns the size of the graphs in bytes."""
    files = {}
    for name in (ENCODER, DECODER):
        content = (folder / name).read_bytes()
        files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    bundle = {
        "format": 1,
        "name": "tiny",
        "family": "tiny",
        "source": f"train/ of promptseg: {counters['step']} steps, {counters['scenes']} images of drawn scenes",
        "licence": "Apache-2.0 (trained from scratch on drawn scenes)",
        "image_size": IMAGE_SIZE,
        "resize": "letterbox",
        "mean": [round(float(v), 3) for v in MEAN],
        "std": [round(float(v), 3) for v in STD],
        "embedding_shape": [1, DIM, GRID, GRID],
        "low_res_size": LOW_RES,
        "mask_threshold": 0.0,
        "candidates": 3,
        "single_mask": True,
        "multimask_for_several_prompts": False,
        "prompts": ["point", "box", "mask"],
        "prompt_encoder": "fused",
        # Found on photos (docs/everything.md): its masks are less certain and have softer borders than SAM's.
        "everything": {"points_per_side": 16, "pred_iou_thresh": 0.7, "stability_score_thresh": 0.85},
        "files": files,
    }
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=2) + "\n")
    return sum(entry["bytes"] for entry in files.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("train/out/checkpoint.pt"))
    parser.add_argument("--bundle", type=Path, default=Path("models/tiny"))
    args = parser.parse_args()
    args.bundle.mkdir(parents=True, exist_ok=True)
    model, counters = load(args.checkpoint)
    print(f"exporting step {counters['step']}")
    export(model, args.bundle)
    check(model, args.bundle)
    size = describe(args.bundle, counters)
    print(f"{args.bundle}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
