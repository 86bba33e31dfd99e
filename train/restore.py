"""The network back from a bundle, so that training goes on where no checkpoint is:  python -m train.train --from models/tiny

A checkpoint is not in git, but the bundle is, and its graphs hold every weight. Which tensor of a graph is which weight is
found by exporting a network with random weights and looking for them in its graphs: the same code writes the same graphs.
Batch normalisation was folded into the convolution before it, so its statistics are taken anew, from drawn scenes.
"""
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from .data import Batches, normalise
from .export import DECODER, ENCODER, export
from .model import TinySam

SEED, IMAGES, BATCHES = 78, 8, 24        # what the statistics of batch normalisation are taken from


def initializers(folder):
    """Name -> array, of both graphs."""
    return {
        (name, weight.name): numpy_helper.to_array(weight)
        for name in (ENCODER, DECODER) for weight in onnx.load(folder / name).graph.initializer}


def norms(model):
    """[(convolution, batch normalisation after it)]"""
    pairs = []
    for block in model.modules():
        if isinstance(block, torch.nn.Sequential):
            for before, after in zip(block, list(block)[1:]):
                if isinstance(after, torch.nn.BatchNorm2d):
                    pairs.append((before, after))
    return pairs


def distinct_network():
    """Random weights, all of them different, and batch normalisation that adds its bias and does nothing else."""
    torch.manual_seed(SEED)
    model = TinySam().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.1)
        for _, norm in norms(model):
            norm.weight.fill_(1)
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
    return model


def find(values, pool):
    """The tensor of the graphs with these values, and how it lies there: (key, function from it to the weight) or None."""
    shape = values.shape
    for key, tensor in pool.items():
        if tensor.size != values.size or tensor.dtype != np.float32:
            continue
        if np.allclose(tensor.ravel(), values.ravel(), atol=1e-6):
            return key, lambda t: t.reshape(shape)
        if values.ndim == 2 and tensor.ndim >= 2 and np.allclose(tensor.reshape(shape[::-1]).T, values, atol=1e-6):
            return key, lambda t: t.reshape(shape[::-1]).T
    return None


def copy_weights(model, folder):
    """Every weight of the bundle into a distinct_network(), whose graphs tell where it lies."""
    with tempfile.TemporaryDirectory() as other:
        export(model, Path(other))
        written = initializers(Path(other))
    shipped = initializers(folder)
    scales = {norm.weight for _, norm in norms(model)}
    state = [(name, p) for name, p in model.named_parameters() if p not in scales]
    state.append(("prompts.gaussian", model.prompts.gaussian))
    for name, weight in state:
        found = find(weight.detach().numpy(), written)
        if found is None or found[0] not in shipped or shipped[found[0]].shape != written[found[0]].shape:
            raise SystemExit(f"{folder}: no tensor for the weight {name}; was it exported by this version of train/?")
        key, back = found
        with torch.no_grad():
            weight.copy_(torch.from_numpy(back(shipped[key]).copy()))


@torch.no_grad()
def renew_statistics(model):
    """Statistics of the convolutions' outputs, with scales and biases so that the network computes what it did.

    The length of a kernel is of no consequence before batch normalisation, but the rate at which it learns is measured by
    it, and folding left some a hundred times shorter than others: all of them are 1.
    """
    for convolution, norm in norms(model):
        norm.weight.copy_(convolution.weight.flatten(1).norm(dim=1))
        convolution.weight.div_(norm.weight[:, None, None, None])
    images = torch.cat([batch.images for batch, _ in zip(Batches(SEED, 0, IMAGES, 1, IMAGES), range(BATCHES))])

    def look(norm, inputs):
        x = inputs[0]
        variance, mean = torch.var_mean(x, (0, 2, 3), unbiased=False)
        deviation = (variance + norm.eps).sqrt()
        norm.bias.add_(norm.weight * mean)
        norm.weight.mul_(deviation)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    hooks = [norm.register_forward_pre_hook(look) for _, norm in norms(model)]
    model.encode(normalise(images))
    for hook in hooks:
        hook.remove()


def counters(folder):
    """How far it was trained, from what export.describe() wrote: further legs begin at half the rate, with other scenes."""
    source = json.loads((folder / "bundle.json").read_text())["source"]
    found = re.search(r"(\d+) steps, (\d+) images", source)
    if not found:
        raise SystemExit(f"{folder}: bundle.json does not say how many steps it was trained for, but {source!r}")
    step, scenes = map(int, found.groups())
    return {"step": step, "batches": step, "scenes": scenes, "legs": 1}


def restore(folder):
    """-> the network, and the counters of its checkpoint."""
    state = counters(folder)                     # first: it is what may be missing, and the rest takes half a minute
    model = distinct_network()
    copy_weights(model, folder)
    renew_statistics(model)
    return model, state
