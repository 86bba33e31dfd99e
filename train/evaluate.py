"""Measures a bundle or a checkpoint:  python -m train.evaluate

The protocol is that of `./dev eval`, described in train/README.md, so the figures must agree with those of the node.
Without --checkpoint, the bundle runs in ONNX Runtime. Without --drawn, the scenes are the benchmark in tests/scenes.
--drawn N draws N held-out scenes instead, to observe a training without using the benchmark.
"""
import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from .data import normalise, target_mask, targets
from .export import DECODER, ENCODER, PROMPT_INPUTS, load
from .model import BOTTOM_RIGHT, FOREGROUND, IMAGE_SIZE, LOW_RES, PAD, TOP_LEFT, Features
from .prompts import central_correction, innermost, tight_box
from .scenes import SceneGenerator

HELD_OUT_SEED = 900001


class OnnxModel:
    """The bundle in ONNX Runtime with the node's defaults: idle threads of a session do not spin."""

    def __init__(self, folder):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
            for name in (ENCODER, DECODER))

    def encode(self, image):
        """image: uint8 [256,256,3], RGB."""
        return self.encode_tensor(normalise(torch.from_numpy(image[None])).numpy())

    def encode_tensor(self, tensor):
        return dict(zip(Features._fields, self.encoder.run(None, {"image": tensor})))

    def decode(self, features, *prompts):
        return self.decoder.run(None, {**features, **dict(zip(PROMPT_INPUTS, prompts))})


class TorchModel:
    """A checkpoint in PyTorch."""

    def __init__(self, checkpoint):
        self.model, self.counters = load(checkpoint)

    @torch.no_grad()
    def encode(self, image):
        return self.model.encode(normalise(torch.from_numpy(image[None])))

    @torch.no_grad()
    def decode(self, features, *prompts):
        logits, iou = self.model.decode(features, *map(torch.from_numpy, prompts))
        return logits.numpy(), iou.numpy()


def predict(model, features, points, labels, mask=None):
    """Decodes one object: logits [4,128,128] and predicted IoU [4]. Without a box a padding point is added, as in SAM."""
    if TOP_LEFT not in labels:
        points, labels = [*points, (0, 0)], [*labels, PAD]
    previous = np.zeros((1, 1, LOW_RES, LOW_RES), np.float32) if mask is None else mask[None, None].astype(np.float32)
    has = np.array([mask is not None], np.float32)
    logits, iou = model.decode(
        features, np.array([points], np.float32), np.array([labels], np.float32), previous, has)
    return logits[0], iou[0]


def upsample(logits):
    """[128,128] -> [256,256], bilinear with half-pixel centres."""
    return cv2.resize(logits, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_LINEAR)


def intersection_over_union(a, b):
    return float((a & b).sum() / max(1, (a | b).sum()))


def stability(logits, offset=1.0):
    """The stability score of the node: the area above +offset divided by the area above -offset."""
    return float((logits > offset).sum() / max(1, (logits > -offset).sum()))


def measure(model, features, truth, click, box):
    """Measures all figures of one object."""
    def overlaps(full):
        return [intersection_over_union(mask > 0, truth) for mask in full]

    def scores(full, predicted, true, indices):
        return [(float(predicted[i]), true[i], stability(full[i])) for i in indices]

    row = {}
    points, labels = [click], [FOREGROUND]
    logits, predicted = predict(model, features, points, labels)
    full = list(map(upsample, logits))
    true = overlaps(full)
    best = 1 + int(predicted[1:].argmax())
    row["click1"], row["click1_oracle"], row["click1_single"] = true[best], max(true[1:]), true[0]
    row["scores"] = scores(full, predicted, true, range(4))
    row["click1_iou_error"] = abs(float(predicted[best]) - true[best])

    boxed, boxed_iou = predict(model, features, [box[:2], box[2:]], [TOP_LEFT, BOTTOM_RIGHT])
    full = list(map(upsample, boxed))
    box_true = overlaps(full)
    row["box"], row["box_oracle"] = box_true[0], max(box_true)
    row["scores"] += scores(full, boxed_iou, box_true, [0])
    row["box_iou_error"] = abs(float(boxed_iou[0]) - box_true[0])

    clicks, marks, current = list(points), list(labels), logits[best]
    for _ in range(2):
        click, label = central_correction(upsample(current) > 0, truth)
        clicks, marks = [*clicks, click], [*marks, label]
        current = predict(model, features, clicks, marks, current)[0][0]
    row["click3"] = intersection_over_union(upsample(current) > 0, truth)
    return row


def stored_scenes(folder):
    """Yields (image, truth, click, box) for every object of the benchmark."""
    images = {}
    for prompt in json.loads((folder / "prompts.json").read_text()):
        scene = prompt["scene"]
        if scene not in images:
            image = cv2.imread(str(folder / f"{scene}.png"))[..., ::-1]
            images[scene] = np.ascontiguousarray(image), cv2.imread(str(folder / f"{scene}_truth.png"), cv2.IMREAD_UNCHANGED)
        image, truth = images[scene]
        yield image, truth == prompt["object"], tuple(prompt["click"]), prompt["box"]


def drawn_scenes(count, per_scene=3):
    """Yields (image, truth, click, box) for objects of scenes that training never draws."""
    generator, rng = SceneGenerator(HELD_OUT_SEED), np.random.default_rng(HELD_OUT_SEED)
    for _ in range(count):
        image, labels = generator.scene()
        key, scene_targets = targets(labels, min_area=200)
        scene_targets = [target for target in scene_targets if target[0] in ("whole", "plain")]
        for index in rng.permutation(len(scene_targets))[:per_scene]:
            mask = target_mask(key, scene_targets[index])
            yield image, mask, innermost(mask), tight_box(mask).ravel().tolist()


def evaluate(model, objects):
    rows, encoded, features = [], None, None
    for image, truth, click, box in objects:
        if image is not encoded:
            encoded, features = image, model.encode(image)
        rows.append(measure(model, features, truth, click, box))
    result = {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if name != "scores"}
    scores = np.array([score for row in rows for score in row["scores"]])
    result["iou_error"] = float(np.abs(scores[:, 0] - scores[:, 1]).mean())
    result["iou_bias"] = float((scores[:, 0] - scores[:, 1]).mean())
    correlations = np.corrcoef(scores.T)
    result["iou_correlation"], result["stability_correlation"] = float(correlations[0, 1]), float(correlations[2, 1])
    return {name: round(value, 4) for name, value in result.items()} | {"objects": len(rows)}


def milliseconds(model, image, prompts=1, repeats=30):
    """Median milliseconds of one encoder run and of one decoder run on this machine."""
    tensor = normalise(torch.from_numpy(image[None])).numpy()
    features = model.encode_tensor(tensor)
    points = np.full((prompts, 2, 2), 100, np.float32)
    labels = np.tile(np.array([[FOREGROUND, PAD]], np.float32), (prompts, 1))
    mask, has = np.zeros((prompts, 1, LOW_RES, LOW_RES), np.float32), np.zeros(prompts, np.float32)
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.encode_tensor(tensor)
        middle = time.perf_counter()
        model.decode(features, points, labels, mask, has)
        spent.append((middle - start, time.perf_counter() - middle))
    encode, decode = np.median(spent, axis=0) * 1000
    return {"encode_ms": round(float(encode), 1), "decode_ms": round(float(decode), 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("models/tiny"))
    parser.add_argument("--checkpoint", type=Path, help="measure this checkpoint with PyTorch instead of the bundle")
    parser.add_argument("--scenes", type=Path, default=Path("tests/scenes"))
    parser.add_argument("--drawn", type=int, help="number of held-out scenes to draw instead of --scenes")
    parser.add_argument("--curve", type=Path, help="append the result to this file, with the step of the checkpoint")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    model = TorchModel(args.checkpoint) if args.checkpoint else OnnxModel(args.bundle)
    objects = drawn_scenes(args.drawn) if args.drawn else stored_scenes(args.scenes)
    result = evaluate(model, objects)
    if args.checkpoint:
        result = model.counters | result
    else:
        result |= milliseconds(model, next(iter(stored_scenes(args.scenes)))[0])
    if args.curve:
        with args.curve.open("a") as curve:
            curve.write(json.dumps(result) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
