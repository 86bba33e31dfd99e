"""Tests that a network restored from its bundle computes the same masks."""
import json

import pytest
import torch

from train import restore as restoring
from train.export import describe, export
from train.model import TinySam
from train.restore import counters, norms, restore


@pytest.fixture(scope="module")
def trained():
    """A network in which every layer has random weights and statistics."""
    torch.manual_seed(5)
    model = TinySam().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        for _, norm in norms(model):
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.05, 1.5)
    return model


@pytest.fixture(scope="module")
def bundle(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    export(trained, folder)
    describe(folder, {"step": 12, "scenes": 345})
    return folder


def test_a_restored_network_computes_the_same_masks(trained, bundle):
    model, state = restore(bundle)
    assert state == {"step": 12, "batches": 12, "scenes": 345, "legs": 1}
    image = torch.randn(1, 3, 256, 256)
    points, labels = torch.tensor([[[80.0, 90.0], [0.0, 0.0]]]), torch.tensor([[1.0, -1.0]])
    with torch.no_grad():
        expected, restored = (
            network.decode(network.encode(image), points, labels) for network in (trained, model.eval()))
    for before, after in zip(expected, restored):
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)


def test_restored_kernels_have_norm_1_and_the_statistics_come_from_scenes(bundle, monkeypatch):
    monkeypatch.setattr(restoring, "BATCHES", 1)
    model, _ = restore(bundle)
    lengths = torch.cat([convolution.weight.flatten(1).norm(dim=1) for convolution, _ in norms(model)])
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    means = torch.cat([norm.running_mean for _, norm in norms(model)])
    assert means.isfinite().all() and means.abs().min() > 0


def test_a_bundle_without_its_number_of_steps_is_refused(bundle, tmp_path):
    state = json.loads((bundle / "bundle.json").read_text())
    (tmp_path / "bundle.json").write_text(json.dumps({**state, "source": "somewhere"}))
    with pytest.raises(SystemExit, match="steps"):
        counters(tmp_path)


def test_a_bundle_of_another_network_is_refused(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(restoring, "initializers", lambda folder, read=restoring.initializers: {
        key: value for key, value in read(folder).items() if folder != bundle or value.size < 10_000})
    with pytest.raises(SystemExit, match="no tensor for the weight"):
        restore(bundle)
