"""SAM (Kirillov et al. 2023): ViT-B, ViT-L, ViT-H, and a small configuration of the same classes for tests."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn

from . import checkpoints
from .family import MEAN, STD, Family, Prompts
from .sam_decoder import Decoder


class SamFamily(Family):
    """SAM, and families that differ from SAM only in the image encoder."""

    family, licence = "sam", "Apache-2.0"
    predictor_class = SamPredictor

    def __init__(self, network: nn.Module):
        self.network = network.eval()
        self.predictor = self.predictor_class(network)
        self.encoder = network.image_encoder
        self.decoder = self.make_decoder()
        self.side = network.image_encoder.img_size
        h, w = network.prompt_encoder.image_embedding_size
        self.embedding_shape = (1, network.prompt_encoder.embed_dim, h, w)
        self.low_res = 4 * h
        self.fields = {"mask_threshold": float(network.mask_threshold)}

    def make_decoder(self) -> nn.Module:
        return Decoder(self.network.mask_decoder, self.network.prompt_encoder.get_dense_pe())

    def prompt_weights(self) -> dict[str, Tensor]:
        return {f"prompt_encoder.{k}": v for k, v in self.network.prompt_encoder.state_dict().items()}

    def set_image(self, photo: np.ndarray) -> np.ndarray:
        self.predictor.set_image(photo)
        resized = self.predictor.transform.apply_image(photo)
        return self.network.preprocess(torch.as_tensor(resized).permute(2, 0, 1)[None].float()).numpy()

    def transformed(self, prompts: Prompts) -> tuple:
        """Points, labels, boxes and masks as arguments of `predict_torch`."""
        transform, size = self.predictor.transform, self.predictor.original_size

        def tensor(values, kind=torch.float):
            return None if values is None else torch.as_tensor(values, dtype=kind)

        points = None if prompts.points is None else transform.apply_coords(prompts.points, size)
        boxes = None if prompts.boxes is None else transform.apply_boxes(prompts.boxes, size)
        return tensor(points), tensor(prompts.labels, torch.int), tensor(boxes), tensor(prompts.masks)

    @torch.no_grad()
    def predict(self, prompts: Prompts, multimask: bool) -> tuple[np.ndarray, np.ndarray]:
        _, iou, low_res = self.predictor.predict_torch(*self.transformed(prompts), multimask_output=multimask)
        return low_res.numpy(), iou.numpy()

    @torch.no_grad()
    def embed(self, prompts: Prompts) -> tuple[np.ndarray, np.ndarray]:
        points, labels, boxes, masks = self.transformed(prompts)
        points = None if points is None else (points, labels)
        sparse, dense = self.network.prompt_encoder(points=points, boxes=boxes, masks=masks)
        # Without masks all objects have the same dense embedding, so one is enough.
        return sparse.numpy(), (dense if masks is not None else dense[:1]).numpy()


def small_parts(image_size: int, prompt_embed_dim: int = 32) -> tuple:
    """Prompt encoder and transformer of the small configurations."""
    grid = image_size // 16
    prompts = PromptEncoder(
        embed_dim=prompt_embed_dim,
        image_embedding_size=(grid, grid),
        input_image_size=(image_size, image_size),
        mask_in_chans=16,
    )
    return prompts, TwoWayTransformer(depth=2, embedding_dim=prompt_embed_dim, mlp_dim=128, num_heads=4)


def small_vit(image_size: int, encoder=ImageEncoderViT, width: int = 64) -> nn.Module:
    return encoder(
        depth=2,
        embed_dim=width,
        img_size=image_size,
        mlp_ratio=2,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=4,
        patch_size=16,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=[1],
        window_size=14,
        out_chans=32,
    )


def small_decoder(transformer: nn.Module, decoder=MaskDecoder, **more) -> nn.Module:
    return decoder(
        num_multimask_outputs=3,
        transformer=transformer,
        transformer_dim=32,
        iou_head_depth=3,
        iou_head_hidden_dim=32,
        **more,
    )


def small(image_size: int, width: int = 64) -> Sam:
    """A small model of SAM's own classes: an encoder of 0.6 MB and a decoder of 0.4 MB at 512 pixels."""
    encoder = small_vit(image_size, width=width)
    prompts, transformer = small_parts(image_size)
    return Sam(encoder, prompts, small_decoder(transformer), pixel_mean=MEAN, pixel_std=STD)


def weights(network: nn.Module, checkpoint: Path | None, seed: int | None, unwrap: str | None = None) -> None:
    """Loads the checkpoint, or sets random weights with `randomise`. `unwrap`: as in `checkpoints.load`."""
    if checkpoint is not None:
        checkpoints.load(network, checkpoint, unwrap)
    # Switching to evaluation mode computes some buffers from the weights.
    network.train().eval()
    if seed is not None:
        randomise(network)
        network.train().eval()


def build(
    model: str, checkpoint: Path | None, seed: int | None, image_size: int | None = None, width: int = 64
) -> SamFamily:
    """Builds SAM from a checkpoint, or with random weights from `seed`. `width`: width of the small configuration."""
    if seed is not None:
        torch.manual_seed(seed)
    network = small(image_size or 512, width) if model == "small" else sam_model_registry[model](checkpoint=None)
    weights(network, checkpoint, seed)
    return SamFamily(network)


@torch.no_grad()
def normalise_by_a_picture(encoder: nn.Module, size: int) -> None:
    """Sets the statistics of an encoder's batch normalisation (TinyViT) to those of a random image.

    Otherwise the many layers with random weights suppress the image.
    """
    norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    # Coarse and fine structure, like a photo.
    image = sum(
        nn.functional.interpolate(torch.randn(1, 3, cells, cells), size=(size, size), mode="bilinear")
        for cells in (4, 16, 64)
    )
    for norm in norms:
        norm.train().momentum = 1.0
    encoder(image)
    for norm in norms:
        norm.eval().momentum = 0.1


@torch.no_grad()
def randomise(sam: nn.Module) -> None:
    """Sets random weights that make errors visible.

    Parameters that start as zero or one vary too, so that omitting one changes the result, and logits and IoU get the
    deviations of a trained model.
    """
    for name, p in sam.named_parameters():
        if name.endswith("pos_embed"):
            p.normal_(std=0.3)
        elif "rel_pos" in name or name.endswith("attention_biases"):
            p.normal_(std=0.1)
        elif p.ndim == 1:
            p.add_(0.1 * torch.randn_like(p))
    for name, b in sam.named_buffers():
        if name.endswith("running_mean"):
            b.normal_(std=0.1)
        elif name.endswith("running_var"):
            b.uniform_(0.7, 1.4)
    size = sam.image_encoder.img_size
    normalise_by_a_picture(sam.image_encoder, size)
    embedding = sam.image_encoder(torch.randn(1, 3, size, size))
    if isinstance(embedding, tuple):  # the encoders of SAM-HQ's package
        embedding, early = embedding
    decoder, pe = sam.mask_decoder, sam.prompt_encoder.get_dense_pe()
    points = torch.rand(8, 2, 2) * size, torch.tensor([[1, -1]]).repeat(8, 1)
    arguments = [pe, *sam.prompt_encoder(points=points, boxes=None, masks=None)]
    mlps = list(decoder.output_hypernetworks_mlps)
    if hasattr(decoder, "hf_mlp"):
        mlps.append(decoder.hf_mlp)
        early = decoder.compress_vit_feat(early[0].permute(0, 3, 1, 2))
        arguments.append(decoder.embedding_encoder(embedding) + early)

    def run():
        return decoder.predict_masks(embedding, *arguments)

    # Logits get a standard deviation of 2, IoU a mean of 0.7 and a standard deviation of 0.1.
    masks, _ = run()
    for i, mlp in enumerate(mlps):
        scale = 2.0 / masks[:, i].std()
        mlp.layers[-1].weight.mul_(scale)
        mlp.layers[-1].bias.mul_(scale)
    _, iou = run()
    head = decoder.iou_prediction_head.layers[-1]
    scale = 0.1 / iou.std()
    head.weight.mul_(scale)
    head.bias.mul_(scale)
    head.bias.add_(0.7 - run()[1].mean())
