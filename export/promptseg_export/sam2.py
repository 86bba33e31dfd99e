"""SAM 2 and SAM 2.1 (Ravi et al. 2024): Hiera tiny, small, base+, large, and a small configuration of the
same classes for tests.

The image path corresponds to `SAM2ImagePredictor`; `memory` has the parts that `SAM2VideoPredictor` adds.
"""

import copy
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sam2.build_sam import build_sam2
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor
from torch import Tensor, nn

from . import checkpoints, memory, sam_decoder
from .family import Family, Prompts

LETTERS = {"hiera_tiny": "t", "hiera_small": "s", "hiera_base_plus": "b+", "hiera_large": "l"}
LOGIT_LIMIT = 32.0
"""Limit to which `SAM2ImagePredictor._predict` clamps the returned logits."""


class Encoder(nn.Module):
    """`SAM2Base.forward_image`, plus the no-memory embedding that `SAM2ImagePredictor.set_image` adds.

    image [1, 3, S, S] -> [1, C, S/16, S/16], [1, C/8, S/4, S/4], [1, C/4, S/8, S/8]; the first alone in a model without
    high-resolution features
    """

    def __init__(self, model: SAM2Base):
        super().__init__()
        self.image_encoder = copy.deepcopy(model.image_encoder)
        decoder = model.sam_mask_decoder
        self.convs = nn.ModuleList([decoder.conv_s0, decoder.conv_s1] if decoder.use_high_res_features else [])
        self.register_buffer("no_memory", model.no_mem_embed.detach().reshape(1, -1, 1, 1))
        trunk = self.image_encoder.trunk
        if hasattr(trunk, "_get_pos_embed"):
            # Positions are interpolated during the export, not in each run of the graph.
            side = model.image_size // trunk.patch_embed.proj.stride[0]
            positions = trunk._get_pos_embed((side, side)).detach()
            trunk._get_pos_embed = lambda hw: positions

    def forward(self, image: Tensor) -> tuple:
        *fine, coarse = self.image_encoder(image)["backbone_fpn"]
        return coarse + self.no_memory, *(conv(features) for conv, features in zip(self.convs, fine))


class Decoder(sam_decoder.Decoder):
    """`MaskDecoder.predict_masks` of SAM 2.

    image_embeddings [1, C, h, w], high_res_feats_0 [1, C/8, 4h, 4w], high_res_feats_1 [1, C/4, 2h, 2w],
    sparse_prompt_embeddings [B, N, C], dense_prompt_embeddings [1 or B, C, h, w], wanted_masks [B, M, 5]
    -> low_res_masks [B, M, 4h, 4w], iou_predictions [B, 4], object_score_logits [B, 1]; with memory also object_pointers
    [B, M, C], one for each mask of `wanted_masks`
    """

    def __init__(self, decoder: MaskDecoder, image_pe: Tensor, pointers: memory.Pointers | None = None):
        super().__init__(decoder, image_pe)
        self.pointers = pointers

    def tokens(self) -> list:
        return [self.decoder.obj_score_token.weight, *super().tokens()]

    def forward(
        self, image_embeddings: Tensor, feats_0: Tensor, feats_1: Tensor, sparse: Tensor, dense: Tensor, wanted: Tensor
    ):
        d = self.decoder
        queries, cells = self.attended(image_embeddings, sparse, dense)
        first, norm, gelu, second, _ = d.output_upscaling
        upscaled = gelu(norm(first(self.picture(cells)) + feats_1))
        return self.answers(queries, gelu(second(upscaled) + feats_0), wanted)

    def answers(self, queries: Tensor, upscaled: Tensor, wanted: Tensor) -> tuple:
        """The outputs from the output tokens and the upsampled picture [B, C/8, 4h, 4w]."""
        d = self.decoder
        iou = d.iou_prediction_head(queries[:, 1])
        masks, score = self.masks(self.wanted_weights(wanted, iou, queries, 2), upscaled), d.pred_obj_score_head(queries[:, 0])
        if self.pointers is None:
            return masks, iou, score
        tokens = self.rows(wanted, iou) @ queries[:, 2 : 2 + len(self.places)]
        return masks, iou, score, self.pointers(tokens, score)


class Sam2(Family):
    licence = "Apache-2.0"
    encoder_outputs = ("image_embeddings", "high_res_feats_0", "high_res_feats_1")
    decoder_features = encoder_outputs
    decoder_outputs = ("low_res_masks", "iou_predictions", "object_score_logits")
    decoder_class = Decoder
    resize = "stretch"

    def __init__(self, model: SAM2Base, family: str, with_memory: bool = False):
        self.family = family
        self.network = model.requires_grad_(False)
        self.encoder = Encoder(model)
        pointers = None
        if with_memory:
            self.memory, pointers = memory.from_sam2(model), memory.Pointers(model)
            self.decoder_outputs = (*Sam2.decoder_outputs, "object_pointers")
        self.decoder = self.decoder_class(model.sam_mask_decoder, model.sam_prompt_encoder.get_dense_pe(), pointers)
        self.side = model.image_size
        c, grid = model.hidden_dim, model.sam_image_embedding_size
        self.embedding_shape, self.low_res = (1, c, grid, grid), 4 * grid
        d = model.sam_mask_decoder
        rule = {"delta": d.dynamic_multimask_stability_delta, "threshold": d.dynamic_multimask_stability_thresh}
        self.fields = {
            "dynamic_multimask": rule,
            "box_as_points": True,
            "low_res_limit": LOGIT_LIMIT,
        }
        with warnings.catch_warnings():
            # The transforms of the predictor use torch.jit.script, which is deprecated.
            warnings.simplefilter("ignore", FutureWarning)
            self.predictor = SAM2ImagePredictor(model)
        # The predictor assumes 1024 pixels.
        self.predictor._bb_feat_sizes = [(self.side // stride,) * 2 for stride in (4, 8, 16)]
        self.fall_back(False)

    def fall_back(self, on: bool) -> None:
        """Sets whether `predict` replaces an unstable single mask by the best candidate.

        The graphs do not contain this rule, and the parity check compares all four masks without it: for a mask close to
        the threshold, the choice can differ between precisions.
        """
        self.network.sam_mask_decoder.dynamic_multimask_via_stability = on

    def rebuilt(self) -> "Sam2":
        """The family with the present weights of the network."""
        return Sam2(self.network, self.family, self.memory is not None)

    def prompt_weights(self) -> dict:
        return {f"prompt_encoder.{k}": v for k, v in self.network.sam_prompt_encoder.state_dict().items()}

    def set_image(self, photo: np.ndarray) -> np.ndarray:
        self.predictor.set_image(photo)
        return self.predictor._transforms(photo)[None].numpy()

    def predict(self, prompts: Prompts, multimask: bool) -> tuple:
        _, iou, low_res = self.predictor.predict(
            prompts.points, prompts.labels, prompts.boxes, prompts.masks, multimask_output=multimask
        )
        # The predictor drops the batch of one object.
        count = 3 if multimask else 1
        return low_res.reshape(-1, count, self.low_res, self.low_res), iou.reshape(-1, count)

    def embed(self, prompts: Prompts) -> tuple:
        """The embeddings of the prompt encoder during a call of the predictor."""
        kept = []
        hook = self.network.sam_prompt_encoder.register_forward_hook(lambda _, __, output: kept.append(output))
        try:
            Sam2.predict(self, prompts, True)
        finally:
            hook.remove()
        sparse, dense = (tensor.numpy() for tensor in kept[0])
        return sparse, dense if prompts.masks is not None else dense[:1]

    def embed_points(self, points: np.ndarray | None, labels: np.ndarray | None, mask: np.ndarray | None) -> tuple:
        """Sparse and dense embeddings of one object in a video: points [N, 2] in the square, mask [1, 1, L, L].

        Without points, a padding point is used.
        """
        if points is None:
            points, labels = np.zeros((1, 2), np.float32), np.array([-1])
        prompts = torch.from_numpy(points)[None], torch.from_numpy(labels)[None]
        embeddings = self.network.sam_prompt_encoder(prompts, None, None if mask is None else torch.from_numpy(mask))
        return tuple(tensor.numpy() for tensor in embeddings)

    def mask_prompt(self, mask: np.ndarray) -> tuple:
        """Converts a mask [H, W] of a frame to the square [1, 1, S, S] of 0 and 1, and to logits [1, 1, L, L]."""
        square = torch.from_numpy(mask)[None, None].float()
        square = (nn.functional.interpolate(square, (self.side,) * 2, mode="bilinear", antialias=True) >= 0.5).float()
        low_res = nn.functional.interpolate(square * 20 - 10, (self.low_res,) * 2, mode="bilinear", antialias=True)
        return square.numpy(), low_res.numpy()

    def answer(self, outputs: dict, multimask: bool) -> tuple:
        low_res, iou = super().answer(outputs, multimask)
        return low_res.clip(-LOGIT_LIMIT, LOGIT_LIMIT), iou


def config(version: str, model: str) -> str:
    """The configuration file of a model in the package."""
    return f"configs/{version}/{version}_hiera_{LETTERS[model]}.yaml"


VIDEO = ["++model._target_=sam2.sam2_video_predictor.SAM2VideoPredictor", "++model.binarize_mask_from_pts_for_mem_enc=true"]
"""Options of `build_sam2_video_predictor`, except the filling of holes in displayed masks."""


LOW_RES = ["++model.use_high_res_features_in_sam=false"]
"""Options of a model without high-resolution features."""


def small_memory(channels: int, width: int = 16) -> list:
    attention, encoder = "++model.memory_attention", "++model.memory_encoder"
    return [
        f"{attention}.d_model={channels}",
        f"{attention}.num_layers=2",
        f"{attention}.layer.d_model={channels}",
        f"{attention}.layer.dim_feedforward=64",
        f"{attention}.layer.self_attention.embedding_dim={channels}",
        f"{attention}.layer.cross_attention.embedding_dim={channels}",
        f"{attention}.layer.cross_attention.kv_in_dim={width}",
        f"{encoder}.out_dim={width}",
        f"{encoder}.in_dim={channels}",
        f"{encoder}.position_encoding.num_pos_feats={width}",
        f"{encoder}.mask_downsampler.embed_dim={channels}",
        # Two steps, with 16 and 256 channels.
        f"{encoder}.mask_downsampler.stride=4",
        f"{encoder}.fuser.layer.dim={channels}",
    ]


def small(
    version: str, image_size: int, channels: int = 32, with_memory: bool = False, high_res: bool = True
) -> SAM2Base:
    """A small model of SAM 2's own classes: an encoder of 0.6 MB and a decoder of 0.3 MB at 256 pixels."""
    trunk = "++model.image_encoder.trunk"
    model = build_sam2(
        config(version, "hiera_tiny"),
        device="cpu",
        hydra_overrides_extra=[
            *VIDEO,
            *(small_memory(channels) if with_memory else ()),
            *(() if high_res else LOW_RES),
            f"++model.image_size={image_size}",
            f"{trunk}.embed_dim=8",
            # All kinds of blocks: pooling, windows that do not divide the grid, global attention.
            f"{trunk}.stages=[1,1,3,1]",
            f"{trunk}.global_att_blocks=[4]",
            "++model.image_encoder.neck.backbone_channel_list=[64,32,16,8]",
            f"++model.image_encoder.neck.d_model={channels}",
            f"++model.image_encoder.neck.position_encoding.num_pos_feats={channels}",
        ],
    )
    model.sam_mask_decoder = MaskDecoder(
        transformer_dim=channels,
        transformer=TwoWayTransformer(depth=2, embedding_dim=channels, num_heads=4, mlp_dim=64),
        iou_head_hidden_dim=channels,
        use_high_res_features=high_res,
        iou_prediction_use_sigmoid=True,
        dynamic_multimask_via_stability=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        use_multimask_token_for_obj_ptr=True,
    )
    return model


def build(
    model: str,
    checkpoint: Path | None,
    seed: int | None,
    image_size: int | None = None,
    version: str = "sam2",
    with_memory: bool = True,
) -> Sam2:
    """Builds SAM 2. `version`: sam2 or sam2.1, with the same image path and different checkpoints. `with_memory`: with the
    memory of the video path."""
    if seed is not None:
        torch.manual_seed(seed)
    if model == "small":
        network = small(version, image_size or 256, with_memory=with_memory)
    else:
        network = build_sam2(config(version, model), device="cpu", hydra_overrides_extra=VIDEO)
    if checkpoint is not None:
        checkpoints.load(network, checkpoint, unwrap="model")
    if seed is not None:
        randomise(network)
        if with_memory:
            memory.randomise(network)
    return Sam2(network.eval(), version, with_memory)


build_2_1 = partial(build, version="sam2.1")


@torch.no_grad()
def randomise(model: SAM2Base) -> None:
    """Sets random weights that make errors visible.

    Parameters that start as zero or one vary too, so that omitting one changes the result, and logits, IoU and object score
    get the deviations of a trained model.
    """
    for name, p in model.named_parameters():
        if "pos_embed" in name or name == "no_mem_embed":
            p.normal_(std=0.3)
        elif p.ndim == 1:
            p.add_(0.1 * torch.randn_like(p))
            # The branches of RepViT start with weights close to zero.
            if name.endswith("bn.weight") and p.abs().mean() < 0.3:
                p.uniform_(0.1, 0.3)
    size, decoder = model.image_size, model.sam_mask_decoder
    # Coarse and fine structure, like a photo.
    image = sum(
        nn.functional.interpolate(torch.randn(1, 3, cells, cells), size=(size, size), mode="bilinear")
        for cells in (4, 16, 64)
    )
    # Sets the statistics of EdgeTAM's batch normalisation.
    norms = [m for m in model.image_encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    model.image_encoder(image)
    for norm in norms:
        norm.eval().momentum = 0.1
    coarse, *fine = Encoder(model.eval())(image)
    points = torch.rand(8, 2, 2) * size, torch.tensor([[1, 0]]).repeat(8, 1)
    sparse, dense = model.sam_prompt_encoder(points=points, boxes=None, masks=None)

    def run() -> tuple:
        pe = model.sam_prompt_encoder.get_dense_pe()
        return decoder.predict_masks(coarse, pe, sparse, dense, repeat_image=True, high_res_features=fine)

    # Standard deviations of the logits: with 6, some single masks are stable and some are not; with 16, the last candidate
    # reaches the limit. Before the sigmoid, the IoU of each mask gets mean 1 and deviation 0.5, so that each mask is
    # sometimes the best. The object score gets mean 1 and deviation 2.
    masks, _, _, _ = run()
    for i, (mlp, deviation) in enumerate(zip(decoder.output_hypernetworks_mlps, (6.0, 2.0, 4.0, 16.0))):
        spread(mlp.layers[-1], masks[:, i], deviation)
    decoder.iou_prediction_head.sigmoid_output = False
    _, iou, _, score = run()
    spread(decoder.iou_prediction_head.layers[-1], iou - iou.mean(dim=0), 0.5)
    spread(decoder.pred_obj_score_head.layers[-1], score, 2.0)
    _, iou, _, score = run()
    decoder.iou_prediction_head.layers[-1].bias.add_(1.0 - iou.mean(dim=0))
    decoder.pred_obj_score_head.layers[-1].bias.add_(1.0 - score.mean())
    decoder.iou_prediction_head.sigmoid_output = True


def spread(layer: nn.Linear, values: Tensor, deviation: float) -> None:
    scale = deviation / values.std()
    layer.weight.mul_(scale)
    layer.bias.mul_(scale)
