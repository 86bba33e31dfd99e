"""A SAM 2.1 bundle in the node: the topics have the results of PyTorch's predictor on a photo, including the object score."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from messages import image, prompt, tensors, whole_mask
from robot import Robot

GOLDEN = Path(__file__).parents[1] / "golden"
BUNDLE = GOLDEN / "sam2"
PARAMETERS = {"model": str(BUNDLE)}


@pytest.mark.parametrize("photo", ["chelsea", "astronaut"])
def test_answers_are_those_of_the_predictor(robot: Robot, photo: str) -> None:
    rgb = np.array(Image.open(GOLDEN / f"{photo}.png").convert("RGB"))
    expected = tensors(BUNDLE / "expected.safetensors")
    # A mask prompt is an image on the topic and logits in the golden file.
    cases = [c for c in json.loads((BUNDLE / "cases.json").read_text()) if c["photo"] == photo and "mask" not in c]
    assert {c["case"] for c in cases} >= {"point", "negative", "box", "point_box"}
    objects = [
        prompt(object_id=i, points=[(x, y, int(label)) for x, y, label in c.get("points", [])], box=c.get("box"))
        for i, c in enumerate(cases, 1)
    ]
    answer = robot.segment(image=image(rgb, robot.stamp()), objects=objects)
    assert answer.success, answer.message
    assert len(answer.result.masks) == len(cases)
    for case, object_mask in zip(cases, answer.result.masks, strict=True):
        key = f"{photo}.{case['case']}"
        # A lone click is answered by the best candidate, other prompts by the single mask or its replacement.
        several = case["case"] == "point"
        iou = expected[f"{key}.multi.iou"].max() if several else expected[f"{key}.single.iou"][0]
        assert object_mask.iou == pytest.approx(iou, abs=1e-5), key
        assert object_mask.object_score == pytest.approx(expected[f"{key}.score"][0], abs=1e-3), key
        assert len(object_mask.candidate_ious) == (3 if several or case["single"] else 1), key
        truth = np.array(Image.open(BUNDLE / "masks" / f"{key}.png")) & (2 if several else 1) != 0
        assert np.mean(whole_mask(answer.result, object_mask) == truth) >= 0.9999, key
