"""EfficientViT-SAM (Zhang et al. 2024): SAM with EfficientViT as image encoder, L0 to XL1, and a small configuration of the
same classes for tests. The package `efficientsam` contains the authors' classes.

The encoders of L0 to L2 take pictures of 512 pixels. Prompts lie in a square of 1024 pixels in all models.
"""

import copy
from functools import partial
from pathlib import Path

import numpy as np
import torch
from efficientsam.models.efficientvit import sam as efficientvit
from efficientsam.models.efficientvit.backbone import EfficientViTLargeBackbone
from efficientsam.models.nn import LiteMLA
from efficientsam.models.nn.norm import build_norm, set_norm_eps
from torch import Tensor, nn

from . import sam

NETWORKS = {
    "l0": efficientvit.efficientvit_sam_l0,
    "l1": efficientvit.efficientvit_sam_l1,
    "l2": efficientvit.efficientvit_sam_l2,
    "xl0": efficientvit.efficientvit_sam_xl0,
    "xl1": efficientvit.efficientvit_sam_xl1,
}
NORM_EPS = 1e-6
"""`create_efficientvit_sam_model` sets this for all norms."""
SMALL_SIDE = 160
"""Side of the small model's picture. This square and the square of the prompts, which is twice as large, round the height of
the test photo differently, as those of L0 do."""


class Bicubic(nn.Module):
    """Bicubic resizing [1, C, n, n] -> [1, C, size, size] as two convolutions over rows and columns with constant weights.

    ONNX Runtime computes the cubic mode of Resize value by value.
    """

    def __init__(self, count: int, size: int):
        super().__init__()
        unit = torch.eye(count)[None, None]
        rows = nn.functional.interpolate(unit, size=(size, count), mode="bicubic", align_corners=False)
        self.register_buffer("weights", rows[0, 0, :, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        rows = nn.functional.conv2d(x.permute(0, 2, 1, 3), self.weights)
        return nn.functional.conv2d(rows.permute(0, 3, 2, 1), self.weights).permute(0, 2, 3, 1)


def linear_attention(module: LiteMLA, qkv: Tensor) -> Tensor:
    """`LiteMLA.relu_linear_att` with 1e-15 as the smallest divisor; the class adds it.

    The optimiser of the exporter drops additions of so small a number. The quotient of a query without positive numbers, 0 / 0,
    would then be undefined.
    """
    b, _, h, w = qkv.shape
    q, k, v = qkv.reshape(b, -1, 3 * module.dim, h * w).split(module.dim, dim=2)
    v = nn.functional.pad(v, (0, 0, 0, 1), value=1.0)
    attended = (v @ module.kernel_func(k).transpose(2, 3)) @ module.kernel_func(q)
    return (attended[:, :, :-1] / attended[:, :, -1:].clamp(min=module.eps)).reshape(b, -1, h, w)


class Encoder(nn.Module):
    """`EfficientViTSamImageEncoder` with `linear_attention` and `Bicubic`; features that already have the size of the embedding
    are not resized."""

    def __init__(self, encoder: nn.Module, side: int):
        super().__init__()
        # A copy with the same tensors, so that the reference keeps the functions of its classes.
        encoder = copy.deepcopy(encoder, {id(t): t for t in (*encoder.parameters(), *encoder.buffers())})
        for module in encoder.modules():
            if isinstance(module, LiteMLA):
                module.relu_linear_att = partial(linear_attention, module)
        self.backbone, self.neck, self.norm = encoder.backbone, encoder.neck, encoder.norm
        self.resize = nn.ModuleList()
        for key, operation in zip(self.neck.input_keys, self.neck.input_ops):
            # Stage k has a stride of 2^(k + 1).
            cells, size = side >> (int(key.removeprefix("stage")) + 1), operation.op_list[1].size[0]
            self.resize.append(nn.Identity() if cells == size else Bicubic(cells, size))

    def forward(self, image: Tensor) -> Tensor:
        features, neck = self.backbone(image), self.neck
        coarse, middle, fine = (
            resize(operation.op_list[0](features[key]))
            for key, operation, resize in zip(neck.input_keys, neck.input_ops, self.resize)
        )
        return self.norm(neck.output_ops[0](neck.middle(coarse + middle + fine)))


class EfficientVitSam(sam.SamFamily):
    family, licence = "efficientvit-sam", "Apache-2.0"
    predictor_class = efficientvit.EfficientViTSamPredictor

    def __init__(self, network: nn.Module):
        super().__init__(network)
        self.encoder = Encoder(network.image_encoder, self.side)
        prompt_side = network.image_size[0]
        if prompt_side != self.side:
            self.fields = {**self.fields, "prompt_size": prompt_side}

    def set_image(self, photo: np.ndarray) -> np.ndarray:
        self.predictor.set_image(photo)
        return self.network.transform(photo)[None].numpy()


def small(image_size: int) -> nn.Module:
    """A small model: an encoder of 0.2 MB. Its picture has half the side of the square of the prompts, as that of L0."""
    backbone = EfficientViTLargeBackbone([8, 8, 16, 24, 32], [1, 1, 1, 1, 1], expand_list=[1, 1, 1, 1, 2], qkv_dim=8)
    neck = efficientvit.SamNeck(["stage4", "stage3", "stage2"], [32, 24, 16], 16, 1, 1, "fmb", out_dim=32)
    for operation in neck.input_ops:
        # The class fixes 64 cells.
        operation.op_list[1].size = [image_size // 8] * 2
    encoder = efficientvit.EfficientViTSamImageEncoder(backbone, neck)
    encoder.norm = build_norm("ln2d", 32)
    prompts, transformer = sam.small_parts(2 * image_size)
    return efficientvit.EfficientViTSam(encoder, prompts, sam.small_decoder(transformer), (2 * image_size, image_size))


def build(model: str, checkpoint: Path | None, seed: int | None, image_size: int | None = None) -> EfficientVitSam:
    if seed is not None:
        torch.manual_seed(seed)
    network = small(image_size or SMALL_SIDE) if model == "small" else NETWORKS[model]()
    set_norm_eps(network, NORM_EPS)
    # The name of the side in the encoders of SAM.
    network.image_encoder.img_size = network.image_size[1]
    sam.weights(network, checkpoint, seed, unwrap="state_dict")
    return EfficientVitSam(network)
