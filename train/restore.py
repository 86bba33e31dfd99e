"""Restores the network from a bundle, to train on without a checkpoint:  python -m train.train --from models/tiny

Git contains the bundle but no checkpoint, and the graphs of the bundle contain every weight. To map tensors to weights, a
network with random weights is exported and its weights are searched in the graphs: the same code writes the same graphs.
The export folds batch normalisation into the convolutions, so its statistics are measured again on drawn scenes.
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

SEED, IMAGES, BATCHES = 78, 8, 24        # scenes for the statistics of batch normalisation


def initializers(folder):
    """Maps (graph file, tensor name) to the array, for both graphs."""
    return {
        (name, weight.name): numpy_helper.to_array(weight)
        for name in (ENCODER, DECODER) for weight in onnx.load(folder / name).graph.initializer}


def norms(model):
    """Lists the pairs (convolution, batch normalisation after the convolution)."""
    pairs = []
    for block in model.modules():
        if isinstance(block, torch.nn.Sequential):
            for before, after in zip(block, list(block)[1:]):
                if isinstance(after, torch.nn.BatchNorm2d):
                    pairs.append((before, after))
    return pairs


def distinct_network():
    """A network in which all weights are random and different, and batch normalisation only adds its bias."""
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


def locate(values, pool):
    """Finds the tensor with these values: (key, function that converts the tensor to the shape of `values`) or None."""
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
    """Copies every weight of the bundle into a distinct_network(), whose own export shows where each weight is stored."""
    with tempfile.TemporaryDirectory() as temporary:
        export(model, Path(temporary))
        exported = initializers(Path(temporary))
    shipped = initializers(folder)
    scales = {norm.weight for _, norm in norms(model)}
    state = [(name, p) for name, p in model.named_parameters() if p not in scales]
    state.append(("prompts.gaussian", model.prompts.gaussian))
    for name, weight in state:
        key, to_weight = locate(weight.detach().numpy(), exported) or (None, None)
        if key not in shipped or shipped[key].shape != exported[key].shape:
            raise SystemExit(f"{folder}: no tensor for the weight {name}; was it exported by this version of train/?")
        with torch.no_grad():
            weight.copy_(torch.from_numpy(to_weight(shipped[key]).copy()))


@torch.no_grad()
def renew_statistics(model):
    """Measures the statistics of batch normalisation and adapts scales and biases; the network's output stays the same.

    The norm of a kernel does not change the output of the batch normalisation after it, but it changes the effective
    learning rate. Folding left some kernels a hundred times smaller than others, so all norms are set to 1.
    """
    for convolution, norm in norms(model):
        norm.weight.copy_(convolution.weight.flatten(1).norm(dim=1))
        convolution.weight.div_(norm.weight[:, None, None, None])
    images = torch.cat([batch.images for batch, _ in zip(Batches(SEED, 0, IMAGES, 1, IMAGES), range(BATCHES))])

    def set_statistics(norm, inputs):
        x = inputs[0]
        variance, mean = torch.var_mean(x, (0, 2, 3), unbiased=False)
        deviation = (variance + norm.eps).sqrt()
        norm.bias.add_(norm.weight * mean)
        norm.weight.mul_(deviation)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    hooks = [norm.register_forward_pre_hook(set_statistics) for _, norm in norms(model)]
    model.encode(normalise(images))
    for hook in hooks:
        hook.remove()


def counters(folder):
    """Reads the training counters from bundle.json, so that the next leg starts at half the rate with new scenes."""
    source = json.loads((folder / "bundle.json").read_text())["source"]
    match = re.search(r"(\d+) steps, (\d+) images", source)
    if not match:
        raise SystemExit(f"{folder}/bundle.json: `source` is {source!r}; expected \"... N steps, M images ...\" as written "
                         "by python -m train.export")
    step, scenes = map(int, match.groups())
    return {"step": step, "batches": step, "scenes": scenes, "legs": 1}


def restore(folder):
    """Returns the network and the counters of its checkpoint."""
    state = counters(folder)                     # first, because it may fail and the rest takes half a minute
    model = distinct_network()
    copy_weights(model, folder)
    renew_statistics(model)
    return model, state
