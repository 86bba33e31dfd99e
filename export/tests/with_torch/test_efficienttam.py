"""Tests of EfficientTAM: published names, pooled attention against NumPy, graphs for one memory and for several."""

import hashlib

import numpy as np
import pytest
import torch
from promptseg_export import checkpoints, efficienttam, export, memory, pooled
from promptseg_export.checkpoints import CheckpointError

TENSORS = "8c7c0bf63ce6b5abdd8529c05b7642da962ee1e274c58a1dc509a5d172db967a"
"""Digest of the names and shapes in the state_dict of the authors' `efficienttam_ti`."""
SIDE, WIDTH, NARROW = 8, 32, 16


def attention(kind: int) -> pooled.PooledAttention:
    torch.manual_seed(kind)
    options = {"embedding_dim": WIDTH, "num_heads": 1, "downsample_rate": 1, "kv_in_dim": NARROW}
    return pooled.PooledAttention(kind, feat_sizes=(SIDE, SIDE), **options).eval()


def in_numpy(module: pooled.PooledAttention, q: np.ndarray, k: np.ndarray, v: np.ndarray, pointers: int) -> np.ndarray:
    """The pooled attention, key by key."""
    weights = {name: value.numpy().astype(np.float64) for name, value in module.state_dict().items()}

    def project(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def rotate(x: np.ndarray) -> np.ndarray:
        cell = np.arange(len(x)) % (SIDE * SIDE)
        rates = 1 / 10000 ** (np.arange(0, WIDTH, 4) / WIDTH)
        angles = np.concatenate([np.outer(cell % SIDE, rates), np.outer(cell // SIDE, rates)], axis=1)
        turned = (x[:, 0::2] + 1j * x[:, 1::2]) * np.exp(1j * angles)
        return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)

    count = len(k) - pointers
    q, k, v = rotate(project("q_proj", q)), project("k_proj", k), project("v_proj", v)
    keys, values = rotate(k[:count]), v[:count]
    shift = np.zeros(count)
    if count > SIDE * SIDE:

        def pool(x: np.ndarray) -> np.ndarray:
            return x.reshape(-1, SIDE // 2, 2, SIDE // 2, 2, x.shape[-1]).mean(axis=(2, 4)).reshape(-1, x.shape[-1])

        keys, values, shift = pool(keys), pool(values), np.full(count // 4, np.log(4))
        if module.kind == 2:
            keys, shift = keys + np.log(4), np.zeros(count // 4)
    keys, values = np.concatenate([keys, k[count:]]), np.concatenate([values, v[count:]])
    logits = q @ keys.T / np.sqrt(WIDTH) + np.concatenate([shift, np.zeros(pointers)])
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return project("out_proj", shares / shares.sum(axis=1, keepdims=True) @ values)


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_the_pooled_attention_equals_numpy(kind, frames):
    module, cells = attention(kind), SIDE * SIDE
    q, k = torch.randn(1, cells, WIDTH), torch.randn(1, frames * cells + 6, NARROW)
    v = torch.randn(1, frames * cells + 6, NARROW)
    with torch.no_grad():
        ours = module(q, k, v, 6)[0].numpy()
    assert np.allclose(ours, in_numpy(module, q[0].numpy(), k[0].numpy(), v[0].numpy(), 6), atol=1e-5)


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_the_graphs_attention_has_the_keys_for_one_memory_and_for_several(kind, frames):
    module, cells = attention(kind), SIDE * SIDE
    table, pooling = memory.Table(module.compute_cis(end_x=SIDE, end_y=SIDE)), pooled.Pooling(SIDE, kind)
    ours = memory.Attention(module, table, table, pooling)
    q, k, v = torch.randn(1, cells, WIDTH), torch.randn(frames, cells, NARROW), torch.randn(frames, cells, NARROW)
    pointers, times = torch.randn(1, 6, NARROW), torch.eye(7)[:frames]
    with torch.no_grad():
        keys, values = ours.project_keys(k, pointers), pooling.join(v, pointers)
        found = ours(q, keys, values, pooling.logits(times, pointers))
        joined = [torch.cat([x.reshape(1, -1, NARROW), pointers], 1) for x in (k, v)]
        expected = module(q, *joined, 6)
    assert torch.allclose(found, expected, atol=1e-5)


def digest(state: dict) -> str:
    lines = sorted(f"{name} {list(value.shape)}" for name, value in state.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("model", ["ti", "ti_1", "ti_2", "ti_512x512"])
def test_all_models_of_a_trunk_have_the_tensors_of_the_published_checkpoint(model):
    state = efficienttam.network(model, with_memory=True).state_dict()
    assert digest(state) == TENSORS
    assert checkpoints.guess_model({"model": state}) == "efficienttam --model ti, ti_1, ti_2 or ti_512x512"


@pytest.mark.parametrize("with_memory", [True, False], ids=["with memory", "without"])
def test_a_checkpoint_in_the_published_format_restores_its_model(with_memory, tmp_path):
    before = efficienttam.build("small_1", None, 4)
    state = before.network.state_dict()
    torch.save({"model": state}, tmp_path / "efficienttam.pt")
    after = efficienttam.build("small_1", tmp_path / "efficienttam.pt", None, with_memory=with_memory)
    assert (after.memory is not None) == with_memory
    image = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        assert torch.equal(before.encoder(image)[0], after.encoder(image)[0])
    del state["sam_mask_decoder.iou_token.weight"]
    torch.save({"model": state}, tmp_path / "efficienttam.pt")
    with pytest.raises(CheckpointError, match="missing: sam_mask_decoder.iou_token.weight"):
        efficienttam.build("small_1", tmp_path / "efficienttam.pt", None)


@pytest.mark.parametrize("model", ["small", "small_2"])
def test_all_precisions_pass_with_memory(model, tmp_path, log):
    family = efficienttam.build(model, None, 4)
    measured = export.export(family, "name", "source", tmp_path / "out", ("fp32", "fp16", "int8"), log)
    assert list(measured) == ["fp32", "fp16", "int8"], log
    assert (tmp_path / "out/memory_attention.fp16.onnx").exists(), log
