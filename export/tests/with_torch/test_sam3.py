"""Tests that a bundle of SAM 3 is written only if it agrees with transformers."""

import json

import numpy as np
import pytest
import torch
from promptseg_export import attention, checks, cli, owlv2, parity, sam3, sam3_detector, sam3_export, sight


@pytest.fixture(scope="module")
def small():
    return sam3.build("small", 7, photo=parity.photo())


@pytest.fixture(scope="module")
def exported(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("sam3") / "out"
    return out, sam3_export.export(small, "name", "source", out, lambda _: None)


def test_the_bundle_agrees_with_transformers(exported):
    out, measured = exported
    assert set(measured) == {"logits", "boxes", "masks", "presence", "features"}
    assert all(0 < difference < 1e-5 for difference in measured.values())
    description = json.loads((out / "bundle.json").read_text())
    assert (description["kind"], description["family"], description["licence"]) == ("text", "sam3", "Apache-2.0")
    assert (description["levels"], description["mask_size"], description["tokens"]) == ([48, 24, 12], 48, 32)
    assert set(description["files"]) == {"image_tower.onnx", "text_tower.onnx", "detector.onnx", "tokenizer.json"}
    for graph in out.glob("*.onnx"):
        assert checks.file_violations(graph) == []


@pytest.mark.parametrize("part", ["image_tower", "text_tower", "detector"])
def test_a_module_that_differs_is_refused(small, tmp_path, monkeypatch, part):
    module = getattr(small, part)
    forward = type(module).forward

    def faulty(self, *inputs):
        outputs = forward(self, *inputs)
        if isinstance(outputs, tuple):
            return tuple(output + 0.02 * torch.relu(output) for output in outputs)
        return outputs + 0.02 * torch.relu(outputs)

    monkeypatch.setattr(type(module), "forward", faulty)
    with pytest.raises(parity.Mismatch, match="limit"):
        sam3_export.export(small, "name", "source", tmp_path / "out", lambda _: None)
    assert not (tmp_path / "out").exists()


def test_a_detector_that_attends_to_padding_is_refused(small, tmp_path, monkeypatch):
    monkeypatch.setattr(sam3_detector, "padding_bias", lambda mask: 0 * mask[:, None, None])
    with pytest.raises(parity.Mismatch, match="limit"):
        sam3_export.export(small, "name", "source", tmp_path / "out", lambda _: None)


def test_features_of_padding_without_effect_at_zero_alone_are_refused(small, tmp_path, monkeypatch):
    forward = sam3_detector.Detector.forward

    def faulty(self, level_0, level_1, level_2, features, mask):
        logits, *others = forward(self, level_0, level_1, level_2, features, mask)
        return logits + 0.1 * (features * (1 - mask)[..., None]).abs().mean(), *others

    monkeypatch.setattr(sam3_detector.Detector, "forward", faulty)
    with pytest.raises(parity.Mismatch, match="features of padding are not zero"):
        sam3_export.export(small, "name", "source", tmp_path / "out", lambda _: None)


def test_attention_in_parts_is_that_of_transformers(small, monkeypatch):
    pixels = torch.from_numpy(small.pixels(parity.photo()))
    with torch.no_grad():
        expected = small.network.get_vision_features(pixel_values=pixels).fpn_hidden_states
        for most in (attention.SCORES, 4 * 4 * 2 * 36 * 7):
            monkeypatch.setattr(attention, "SCORES", most)
            levels = small.image_tower(pixels)
            for level, other, convolution in zip(levels[:2], expected, small.image_tower.convolutions[::-1]):
                assert (level - convolution(other)).abs().max() < 1e-4


def test_a_convolution_of_repeated_pixels_needs_four_products():
    convolution = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False)
    x = torch.randn(1, 3, 4, 6)
    expected = convolution(torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest"))
    assert (sam3_detector.Doubled(convolution.weight)(x) - expected).abs().max() < 1e-5


def test_windows_that_need_padding_and_other_sizes_agree(tmp_path):
    """10 x 10 patches in windows of 6, and position embeddings of 8 x 8 patches."""
    model = sam3.build("small", 3, image_size=140, photo=parity.photo())
    assert model.levels == [40, 20, 10]
    measured = sam3_export.export(model, "name", "source", tmp_path / "out", lambda _: None)
    assert all(difference < 1e-5 for difference in measured.values())


def test_random_weights_see_pictures_and_phrases(small, monkeypatch):
    sam3_export.check_sight(small)
    monkeypatch.setattr(sam3, "PHRASES", ("a cup", "a cup"))
    with pytest.raises(sight.Blind, match="another phrase"):
        sam3_export.check_sight(small)


def test_random_weights_have_scores_on_both_sides(small, monkeypatch):
    monkeypatch.setattr(sam3, "THRESHOLD", 0.999)
    with pytest.raises(sight.Blind, match="0 of 36 scores"):
        sam3_export.check_sight(small)


def test_a_folder_of_transformers_is_read(small, tmp_path, capsys):
    small.network.save_pretrained(tmp_path / "folder")
    small.processor.save_pretrained(tmp_path / "folder")
    assert cli.main(["sam3", "--checkpoint", str(tmp_path / "folder"), str(tmp_path / "out")]) == 0, capsys.readouterr().err
    description = json.loads((tmp_path / "out/bundle.json").read_text())
    assert (description["name"], description["source"], description["licence"]) == ("folder", "folder", "SAM License")
    again = sam3.read(str(tmp_path / "folder"))
    assert all(np.array_equal(a, b) for a, b in zip(again.tokenize(["red cup"]), small.tokenize(["red cup"])))


def test_a_checkpoint_of_another_model_is_refused(tmp_path, capsys):
    other = owlv2.build("small", 5)
    other.network.save_pretrained(tmp_path / "folder")
    other.processor.save_pretrained(tmp_path / "folder")
    assert cli.main(["sam3", "--checkpoint", str(tmp_path / "folder"), str(tmp_path / "out")]) == 1
    assert "is a model of the type owlv2, expected sam3 or sam3_video" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "field", "value", "part"),
    [
        ("config.json", "scale_factors", [4.0, 2.0, 1.0, 1.0], "levels of the scales [4.0, 2.0, 1.0, 1.0]"),
        ("tokenizer_config.json", "padding_side", "left", "pads on the left"),
    ],
)
def test_a_checkpoint_of_another_layout_is_refused(small, tmp_path, capsys, file, field, value, part):
    folder = tmp_path / "folder"
    small.network.save_pretrained(folder)
    small.processor.save_pretrained(folder)
    description = json.loads((folder / file).read_text())
    owner = description["vision_config"] if file == "config.json" else description
    owner[field] = value
    (folder / file).write_text(json.dumps(description))
    assert cli.main(["sam3", "--checkpoint", str(folder), str(tmp_path / "out")]) == 1
    assert part in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--random-weights", "1"], "needs --model: true, small"),
        (["--random-weights", "1", "--model", "small", "--image-size", "100"], "multiple of 14"),
        (["--checkpoint", "x", "--model", "small"], "belongs to --random-weights"),
        (["--checkpoint", "."], "config.json"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, monkeypatch, capsys, arguments, part):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sam3", *arguments, str(tmp_path / "out")]) == 2
    assert part in capsys.readouterr().err
