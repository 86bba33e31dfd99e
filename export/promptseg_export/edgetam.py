"""EdgeTAM (Zhou et al. 2025): SAM 2 with RepViT-M1 instead of Hiera, and a small configuration of the same classes for
tests.

The image path is that of SAM 2. It is built from the package `sam2` and timm, so that the names in the authors' checkpoint
(`edgetam.pt`) match. transformers has a model class of its own, `EdgeTamModel`. A folder of transformers is converted to
the names of `sam2`, and the bundle is then compared with the model of transformers.

The video path is that of SAM 2 with another memory (`perceiver`), which is read only from the authors' checkpoint. The
reference is `SAM2VideoPredictor` with modules of transformers for the parts that the package `sam2` does not have.
"""

import re
from pathlib import Path

import numpy as np
import timm
import torch
from sam2.build_sam import build_sam2
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam2_base import SAM2Base
from timm.utils import reparameterize_model
from torch import nn
from sam2.sam2_video_predictor import SAM2VideoPredictor
from transformers import EdgeTamConfig, EdgeTamModel, EdgeTamVideoConfig, EdgeTamVisionConfig, TimmWrapperConfig
from transformers.models.edgetam_video import modeling_edgetam_video as video

from . import checkpoints, memory, perceiver, sam2
from .family import Prompts

BACKBONE = {"repvit_m1": {}, "small": {"embed_dim": (16, 24, 32, 48), "depth": (1, 1, 1, 1)}}
"""Options of timm's `repvit_m1`."""
IMAGE_PATH = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.", "no_mem_embed")
"""Prefixes of the image path in the authors' checkpoint. All other tensors belong to the memory of the video path."""
LATENTS = {"repvit_m1": 256, "small": 16}
"""Number of global latents of a frame's memory, and also of window latents."""

NAMES = (
    # Names of transformers -> names of sam2, replaced in this order.
    (r"^vision_encoder\.backbone\.timm_model\.", "image_encoder.trunk.body."),
    (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
    (r"^no_memory_embedding", "no_mem_embed"),
    (r"^prompt_encoder\.shared_embedding\.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"mask_embed\.conv1", "mask_downscaling.0"),
    (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed\.conv2", "mask_downscaling.3"),
    (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed\.conv3", "mask_downscaling.6"),
    (r"upscale_conv1", "output_upscaling.0"),
    (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    # The MLP of a transformer block has two layers, every other MLP has three.
    (r"\.mlp\.proj_out", ".mlp.layers.1"),
    (r"\.layers\.0\.(weight|bias)$", r".layers.1.\1"),
    (r"\.proj_in", ".layers.0"),
    (r"\.proj_out", ".layers.2"),
    (r"\.layer_norm", ".norm"),
    (r"\.o_proj", ".out_proj"),
    (r"^(prompt_encoder|mask_decoder)\.", r"sam_\1."),
)


class Trunk(nn.Module):
    """The backbone, in the place of `Hiera` in SAM 2: image [1, 3, S, S] -> features at S/4, S/8, S/16, S/32."""

    def __init__(self, **options):
        super().__init__()
        self.body = timm.create_model("repvit_m1", features_only=True, out_indices=(0, 1, 2, 3), **options)
        self.channel_list = self.body.feature_info.channels()[::-1]

    def forward(self, image: torch.Tensor) -> list:
        return self.body(image)


def to_sam2_names(state: dict) -> dict:
    """Renames the parameters of transformers' `EdgeTamModel` to the names of the package `sam2`."""
    renamed = {}
    for name, value in state.items():
        # A copy of the positional embedding of the prompts.
        if name.startswith("shared_image_embedding."):
            continue
        if name == "prompt_encoder.point_embed.weight":
            for kind, row in enumerate(value):
                renamed[f"sam_prompt_encoder.point_embeddings.{kind}.weight"] = row[None]
            continue
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


class Predictor(SAM2VideoPredictor):
    """`SAM2VideoPredictor` with the memory of EdgeTAM, computed by modules of transformers."""

    def by_transformers(self) -> None:
        """Creates the modules of transformers with the present weights."""
        perceiver, attention, c = self.spatial_perceiver, self.memory_attention, self.hidden_dim
        config = EdgeTamVideoConfig(
            memory_attention_hidden_size=c,
            memory_attention_num_layers=attention.num_layers,
            memory_attention_mlp_hidden_size=attention.layers[0].linear1.out_features,
            memory_attention_rope_feat_sizes=[self.sam_image_embedding_size] * 2,
            memory_attention_rope_k_sizes=[perceiver.across] * 2,
            memory_encoder_output_channels=self.mem_dim,
            perceiver_resampler_num_latents=len(perceiver.latents),
            perceiver_resampler_num_latents_2d=len(perceiver.latents_2d),
            perceiver_resampler_hidden_size=self.mem_dim,
            perceiver_resampler_attention_head_dim=self.mem_dim,
            perceiver_resampler_mlp_intermediate_size=4 * self.mem_dim,
            perceiver_resampler_num_layers=len(perceiver.layers),
            attn_implementation="eager",
        )
        resampler, attend = video.EdgeTamVideoPerceiverResampler(config), video.EdgeTamVideoMemoryAttention(config)
        for layer in attend.layers:
            # The module of transformers is written for memories of 64 channels.
            layer.cross_attn_image = video.EdgeTamVideoRoPECrossAttention(config, kv_in_dim=self.mem_dim)
        resampler.load_state_dict(to_transformers_names(perceiver.state_dict(), PERCEIVER_NAMES))
        attend.load_state_dict(to_transformers_names(attention.state_dict(), ATTENTION_NAMES))
        # In lists, so that they do not become submodules: the network already has these parameters.
        self.resample, self.attend = [resampler.eval()], [attend.eval()]
        attention.forward = self._attend

    def _attend(self, curr: list, curr_pos: list, memory: torch.Tensor, memory_pos: torch.Tensor, num_obj_ptr_tokens: int):
        frames = (len(memory) - num_obj_ptr_tokens) // sum(map(len, self._latents()))
        conditioned = self.attend[0](curr[0], memory, curr_pos[0], memory_pos, num_obj_ptr_tokens, frames)
        return conditioned.reshape(curr[0].shape)

    def _latents(self) -> tuple:
        return self.spatial_perceiver.latents, self.spatial_perceiver.latents_2d

    def _encode_new_memory(self, **arguments) -> tuple:
        features, positions = super()._encode_new_memory(**arguments)
        # The predictor expects a picture; the latents become one with a single column.
        columns = (latents.transpose(1, 2)[..., None] for latents in self.resample[0](features, positions[0]))
        return next(columns), [next(columns)]


PERCEIVER_NAMES = (
    (r"^latents$", "latents_1d"),
    (r"self_ff\.0", "self_mlp.layer_norm"),
    (r"self_ff\.1", "self_mlp.up_proj"),
    (r"self_ff\.3", "self_mlp.down_proj"),
    (r"\.ff\.0", ".mlp.layer_norm"),
    (r"\.ff\.1", ".mlp.up_proj"),
    (r"\.ff\.3", ".mlp.down_proj"),
    (r"self_attn\.norm", "layer_norm_self"),
    (r"attn\.norm_x", "layer_norm_input"),
    (r"attn\.norm_latents", "layer_norm_latents"),
    (r"self_attn", "self_attention"),
    (r"\.attn", ".cross_attention"),
    (r"^norm", "layer_norm"),
    (r"to_(\w+)", r"\1_proj"),
    (r"out_proj", "o_proj"),
)
ATTENTION_NAMES = ((r"norm", "layer_norm"), (r"out_proj", "o_proj"), (r"\.linear1", ".mlp.up_proj"), (r"\.linear2", ".mlp.down_proj"))
"""Names of the package `sam2` and of EdgeTAM's authors -> names of transformers, replaced in this order."""


def to_transformers_names(state: dict, names: tuple) -> dict:
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        if "kv_proj" in name:
            for part, half in zip("kv", value.chunk(2)):
                renamed[name.replace("kv_proj", f"{part}_proj")] = half
        else:
            renamed[name] = value
    return renamed


def network(model: str, image_size: int, with_memory: bool = False) -> SAM2Base:
    """SAM 2 with the trunk of EdgeTAM, and with the memory of EdgeTAM or without memory."""
    if model == "small":
        base = sam2.small("sam2", image_size, with_memory=with_memory)
    else:
        options = [*sam2.VIDEO, "++model.memory_attention.num_layers=2"]
        base = build_sam2(sam2.config("sam2", "hiera_tiny"), device="cpu", hydra_overrides_extra=options)
    trunk = Trunk(**BACKBONE[model])
    c = base.hidden_dim
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(c),
        d_model=c,
        backbone_channel_list=trunk.channel_list,
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    base.image_encoder = ImageEncoder(trunk=trunk, neck=neck, scalp=1)
    if with_memory:
        base.__class__ = Predictor
        base.spatial_perceiver = perceiver.Perceiver(
            base.mem_dim, base.sam_image_embedding_size, LATENTS[model], LATENTS[model]
        )
        return base.eval()
    for name in {n.split(".")[0] for n in base.state_dict() if not n.startswith(IMAGE_PATH)}:
        delattr(base, name)
    return base.eval()


def transformers_model(model: str, base: SAM2Base) -> EdgeTamModel:
    """The model of transformers with the sizes of `base` and random weights."""
    backbone = TimmWrapperConfig(
        architecture="repvit_m1",
        model_args={"in_chans": 3, "features_only": True, "out_indices": (0, 1, 2, 3), **BACKBONE[model]},
    )
    side, c, decoder = base.image_size, base.hidden_dim, base.sam_mask_decoder
    vision = EdgeTamVisionConfig(
        backbone_config=backbone,
        backbone_channel_list=base.image_encoder.trunk.channel_list,
        backbone_feature_sizes=[[side // stride] * 2 for stride in (4, 8, 16)],
        fpn_hidden_size=c,
    )
    transformer = decoder.transformer
    config = EdgeTamConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": c, "image_size": side},
        mask_decoder_config={
            "hidden_size": c,
            "mlp_dim": transformer.mlp_dim,
            "num_attention_heads": transformer.num_heads,
            "iou_head_hidden_dim": decoder.iou_prediction_head.layers[0].out_features,
        },
    )
    network = EdgeTamModel(config).eval()
    network.shared_image_embedding.positional_embedding.copy_(network.prompt_encoder.shared_embedding.positional_embedding)
    return network


def read_folder(folder: Path) -> EdgeTamModel:
    """Loads a folder of transformers. transformers fills missing tensors with random weights; here they are an error."""
    try:
        loaded, info = EdgeTamModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as e:
        reason = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise checkpoints.CheckpointError(f"{folder} is not a folder of transformers' EdgeTAM: {reason}") from e
    missing = sorted(str(key) for part in ("missing_keys", "mismatched_keys") for key in info[part])
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        text = f"{len(missing)} tensors of EdgeTAM are missing or of another shape: {', '.join(missing[:3])}{more}"
        raise checkpoints.CheckpointError(f"{folder} does not fit: {text}")
    return loaded.eval()


class EdgeTam(sam2.Sam2):
    """EdgeTAM. Its reference for images is the model of transformers in `reference` or, with None, `SAM2ImagePredictor`."""

    def __init__(self, model: SAM2Base, reference: EdgeTamModel | None):
        self.reference = reference
        with_memory = isinstance(model, Predictor)
        super().__init__(model, "edgetam", with_memory)
        if with_memory:
            model.by_transformers()
        # Joins the parallel branches of RepViT into one convolution each, as its authors do for inference.
        self.encoder.image_encoder.trunk.body = reparameterize_model(self.encoder.image_encoder.trunk.body)

    def rebuilt(self) -> "EdgeTam":
        return EdgeTam(self.network, self.reference)

    def fall_back(self, on: bool) -> None:
        super().fall_back(on)
        if self.reference is not None:
            self.reference.mask_decoder.dynamic_multimask_via_stability = on

    @torch.no_grad()
    def set_image(self, photo: np.ndarray) -> np.ndarray:
        image = super().set_image(photo)
        self.photo_size = photo.shape[1], photo.shape[0]
        if self.reference is not None:
            self.features = self.reference.get_image_embeddings(torch.from_numpy(image))
        return image

    @torch.no_grad()
    def predict(self, prompts: Prompts, multimask: bool) -> tuple:
        if self.reference is None:
            return super().predict(prompts, multimask)
        each = [
            None if part is None else torch.as_tensor(part, dtype=torch.float)
            for part in (prompts.points, prompts.labels, prompts.boxes, prompts.masks)
        ]
        count = next(len(part) for part in each if part is not None)
        # transformers does not accept masks of several objects in one call.
        objects = [[None if part is None else part[i : i + 1] for part in each] for i in range(count)]
        answers = [self._predict_object(*parts, multimask) for parts in objects]
        low_res, iou = (torch.cat(part) for part in zip(*answers))
        # EdgeTAM's own predictor clamps logits, transformers does not.
        return low_res.clamp(-sam2.LOGIT_LIMIT, sam2.LOGIT_LIMIT).numpy(), iou.numpy()

    def _predict_object(self, points, labels, boxes, masks, multimask: bool) -> tuple:
        """Predicts one object with the model of transformers."""
        scale = self.side / torch.tensor(self.photo_size)
        options = {"image_embeddings": self.features, "multimask_output": multimask}
        if points is not None:
            options["input_points"], options["input_labels"] = (points * scale)[None], labels[None].int()
        if boxes is not None:
            options["input_boxes"] = (boxes.reshape(-1, 2, 2) * scale).reshape(1, -1, 4)
        if points is None and boxes is None:
            low_res, iou, _, _ = self._mask_alone(masks, multimask)
        else:
            output = self.reference(**options, input_masks=masks)
            low_res, iou = output.pred_masks, output.iou_scores
        return low_res[0], iou[0]

    def _mask_alone(self, masks, multimask: bool) -> tuple:
        """Decodes a mask prompt without points, as EdgeTAM's predictor: transformers would add two padding tokens."""
        model = self.reference
        return model.mask_decoder(
            image_embeddings=self.features[-1],
            image_positional_embeddings=model.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=torch.zeros(1, 1, 0, self.embedding_shape[1]),
            dense_prompt_embeddings=model.prompt_encoder.mask_embed(masks),
            multimask_output=multimask,
            high_resolution_features=self.features[:-1],
        )


def build(
    model: str, checkpoint: Path | None, seed: int | None, image_size: int | None = None, with_memory: bool = True
) -> EdgeTam:
    """Builds EdgeTAM. `checkpoint`: the authors' `edgetam.pt`, or a folder of transformers (for images only)."""
    if seed is not None:
        torch.manual_seed(seed)
    with_memory = with_memory and (checkpoint is None or checkpoint.is_file())
    base = network(model, image_size or 256, with_memory)
    if checkpoint is not None and checkpoint.is_file():
        state = checkpoints.read(checkpoint)
        state = state.get("model", state)
        used = state if with_memory else {k: v for k, v in state.items() if k.startswith(IMAGE_PATH)}
        checkpoints.fit(base, used, checkpoint)
        return EdgeTam(base.eval(), None)
    if checkpoint is not None:
        reference = read_folder(checkpoint)
        checkpoints.fit(base, to_sam2_names(reference.state_dict()), checkpoint)
        return EdgeTam(base.eval(), reference)
    reference = transformers_model(model, base)
    # Both models share their tensors.
    base.load_state_dict({**base.state_dict(), **to_sam2_names(reference.state_dict())}, assign=True)
    # The initial weights of transformers are so small that prompts have no effect.
    for module in base.modules():
        if isinstance(module, (nn.Linear, nn.Embedding, nn.Conv2d, nn.ConvTranspose2d)):
            module.reset_parameters()
    sam2.randomise(base)
    if with_memory:
        memory.randomise(base)
    return EdgeTam(base.eval(), reference)
