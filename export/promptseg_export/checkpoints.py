"""Loads published checkpoints without executing code from them. Errors name the tensors that do not match."""

import pickle
import re
from pathlib import Path

import torch
from torch import Tensor, nn


class CheckpointError(Exception):
    """The file is not a checkpoint of the requested model."""


def load(network: nn.Module, path: Path, unwrap: str | None = None) -> None:
    """Loads the weights of `path` into `network`. `unwrap`: key of the weights in the file, for families that have one."""
    state = read(path)
    if unwrap is not None and isinstance(state.get(unwrap), dict):
        state = state[unwrap]
    fit(network, state, path)


def read(path: Path) -> dict:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        # Replaces the message of PyTorch, which recommends to run the code.
        match = re.search(r"GLOBAL (\S+)", str(e))
        content = f"the Python object {match[1]}" if match else "no tensors, or Python objects"
        raise CheckpointError(
            f"{path} is not a PyTorch checkpoint that can be read without running its code: it contains {content}, expected "
            "a dictionary of tensors; use the published file, or save only the state_dict of the model"
        ) from e
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as e:
        reason = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise CheckpointError(f"{path} is not a PyTorch checkpoint that can be read without running its code: {reason}") from e
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{path} contains {type(state).__name__}, expected a dictionary of tensors")
    return state


def fit(network: nn.Module, state: dict, path: Path) -> None:
    """Calls `load_state_dict`; the error names tensors that are missing, unknown or of another shape."""
    expected = network.state_dict()
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    problems = []
    for fault, keys in (
        ("missing", [k for k in expected if k not in tensors]),
        ("not known", [k for k in state if k not in expected]),
        (
            "of another shape",
            [
                f"{k} {list(tensors[k].shape)} for {list(v.shape)}"
                for k, v in expected.items()
                if k in tensors and tensors[k].shape != v.shape
            ],
        ),
    ):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            problems.append(f"{len(keys)} of its tensors are {fault}: {', '.join(keys[:3])}{more}")
    if problems:
        guess = guess_model(tensors)
        hint = f"; it looks like {guess}" if guess else "; it looks like no supported model"
        raise CheckpointError(f"{path} does not fit: {'; '.join(problems)}{hint}")
    network.load_state_dict(tensors)


def from_transformers(kind: type, source: str, model_types: tuple, unused: tuple = ()) -> nn.Module:
    """Reads a model of transformers, `kind`, from a folder or by its name on the hub.

    `model_types`: values of `model_type` in config.json that `kind` can read. transformers fills missing tensors with random
    values. Here they are an error, except those whose names start with one of `unused`.
    """
    found = kind.config_class.get_config_dict(source)[0].get("model_type")
    if found not in model_types:
        raise CheckpointError(f"{source} is a model of the type {found}, expected {' or '.join(model_types)}")
    try:
        network, report = kind.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    except RuntimeError as e:
        raise CheckpointError(f"{source} is not a checkpoint of {kind.__name__}: {str(e).strip().splitlines()[0]}") from e
    if missing := sorted(name for name in report["missing_keys"] if not name.startswith(unused)):
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise CheckpointError(
            f"{source} is not a checkpoint of {kind.__name__}: {len(missing)} tensors are missing: {', '.join(missing[:3])}{more}"
        )
    return network


def guess_model(state: dict) -> str | None:
    """The family and model options that match the tensors of a checkpoint."""
    for wrapper in ("model", "state_dict"):
        if isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    keys = set(state)

    def width(key: str) -> int | None:
        return state[key].shape[0] if key in keys else None

    if "image_encoder.neck.convs.0.conv_1x1.weight" in keys:
        # All models of a trunk have the same tensors.
        size = {192: "ti", 384: "s"}.get(width("image_encoder.trunk.patch_embed.proj.weight"))
        return f"efficienttam --model {size}, {size}_1, {size}_2 or {size}_512x512" if size else "EfficientTAM of an unknown size"
    blocks = {int(k.split(".")[3]) for k in keys if k.startswith("image_encoder.trunk.blocks.")}
    if blocks:
        embed = width("image_encoder.trunk.patch_embed.proj.weight")
        sizes = {(96, 12): "hiera_tiny", (96, 16): "hiera_small", (112, 24): "hiera_base_plus", (144, 48): "hiera_large"}
        version = "sam2.1" if any(k.startswith("obj_ptr_tpos_proj") for k in keys) else "sam2"
        size = sizes.get((embed, len(blocks)))
        return f"{version} --model {size}" if size else "SAM 2 of an unknown size"
    if any(k.startswith("image_encoder.trunk.body.") for k in keys):
        return "edgetam"
    neck = {int(k.split(".")[4]) for k in keys if k.startswith("image_encoder.neck.middle.op_list.")}
    if neck:
        stages = 6 if any(k.startswith("image_encoder.backbone.stages.5.") for k in keys) else 5
        sizes = {(5, 4): "l0", (5, 8): "l1", (5, 12): "l2", (6, 6): "xl0", (6, 12): "xl1"}
        size = sizes.get((stages, len(neck)))
        return f"efficientvit-sam --model {size}" if size else "EfficientViT-SAM of an unknown size"
    if any(k.startswith("image_encoder.features.0.0.") for k in keys):
        return "repvit-sam"
    tiny = any(k.startswith("image_encoder.patch_embed.seq.") for k in keys)
    vit = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}.get(width("image_encoder.patch_embed.proj.weight"))
    hq = any(k.startswith("mask_decoder.hf_token") for k in keys)
    if tiny:
        return "sam-hq --model vit_tiny" if hq else "mobile-sam"
    if vit:
        return f"{'sam-hq' if hq else 'sam'} --model {vit}"
    return None
