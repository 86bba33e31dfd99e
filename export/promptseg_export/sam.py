"""SAM (Kirillov et al. 2023): ViT-B, ViT-L, ViT-H, and a small configuration of the same classes for tests."""

from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from . import bundle, graphs, parity

MODELS = ("vit_b", "vit_l", "vit_h", "small")
MEAN = [123.675, 116.28, 103.53]
STD = [58.395, 57.12, 57.375]


def small(image_size: int = 512, embed_dim: int = 64, prompt_embed_dim: int = 32) -> Sam:
    """SAM's own classes with little in them: 0.6 MB of encoder and 0.4 MB of decoder at 512 pixels."""
    grid = image_size // 16
    encoder = ImageEncoderViT(
        depth=2,
        embed_dim=embed_dim,
        img_size=image_size,
        mlp_ratio=2,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=4,
        patch_size=16,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=[1],
        window_size=14,
        out_chans=prompt_embed_dim,
    )
    prompts = PromptEncoder(
        embed_dim=prompt_embed_dim,
        image_embedding_size=(grid, grid),
        input_image_size=(image_size, image_size),
        mask_in_chans=16,
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=prompt_embed_dim, mlp_dim=128, num_heads=4)
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=transformer,
        transformer_dim=prompt_embed_dim,
        iou_head_depth=3,
        iou_head_hidden_dim=prompt_embed_dim,
    )
    return Sam(encoder, prompts, decoder, pixel_mean=MEAN, pixel_std=STD)


def build(model: str, checkpoint: Path | None, seed: int | None, image_size: int = 512) -> Sam:
    """The PyTorch model, from a checkpoint or with random weights of `seed`."""
    if seed is not None:
        torch.manual_seed(seed)
    if model == "small":
        sam = small(image_size)
        if checkpoint is not None:
            sam.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    else:
        sam = sam_model_registry[model](checkpoint=None if checkpoint is None else str(checkpoint))
    if seed is not None:
        randomise(sam)
    return sam.eval()


@torch.no_grad()
def randomise(sam: Sam) -> None:
    """Random weights that say something: what starts as zero or one is varied too, so that leaving it out is seen, and
    logits and IoU are spread as a trained model's are."""
    for name, p in sam.named_parameters():
        if name.endswith("pos_embed"):
            p.normal_(std=0.3)
        elif "rel_pos" in name:
            p.normal_(std=0.1)
        elif p.ndim == 1:
            p.add_(0.1 * torch.randn_like(p))
    size = sam.image_encoder.img_size
    embedding = sam.image_encoder(torch.randn(1, 3, size, size))
    points = torch.rand(8, 2, 2) * size, torch.tensor([[1, -1]]).repeat(8, 1)
    sparse, dense = sam.prompt_encoder(points=points, boxes=None, masks=None)
    decoder, pe = sam.mask_decoder, sam.prompt_encoder.get_dense_pe()

    def run():
        return decoder.predict_masks(embedding, pe, sparse, dense)

    # Spread the logits to a standard deviation of 2, and IoU to 0.7 with one of 0.1.
    masks, _ = run()
    for i, mlp in enumerate(decoder.output_hypernetworks_mlps):
        scale = 2.0 / masks[:, i].std()
        mlp.layers[-1].weight.mul_(scale)
        mlp.layers[-1].bias.mul_(scale)
    _, iou = run()
    head = decoder.iou_prediction_head.layers[-1]
    scale = 0.1 / iou.std()
    head.weight.mul_(scale)
    head.bias.mul_(scale)
    head.bias.add_(0.7 - run()[1].mean())


def export(sam: Sam, name: str, source: str, out: Path, say=print) -> dict:
    """Writes the bundle to `out` and proves it.

    Returns the measured differences. Raises `parity.Mismatch`, and leaves no bundle.json, when they are too large.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / bundle.DESCRIPTION).unlink(missing_ok=True)
    side = sam.image_encoder.img_size
    say(f"image encoder, {side} x {side} ...")
    graphs.export_encoder(sam.image_encoder, side, out / bundle.ENCODER)
    say("mask decoder ...")
    graphs.export_decoder(sam, out / bundle.DECODER)
    say("prompt encoder ...")
    weights = {f"prompt_encoder.{k}": v.contiguous() for k, v in sam.prompt_encoder.state_dict().items()}
    save_file(weights, out / bundle.PROMPT_ENCODER)
    (out / bundle.PROMPT_ENCODER).chmod(0o644)
    say("PyTorch against ONNX Runtime ...")
    differences = parity.check(sam, out, say)
    c = sam.prompt_encoder.embed_dim
    h, w = sam.prompt_encoder.image_embedding_size
    bundle.write_description(
        out,
        {
            "name": name,
            "family": "sam",
            "source": source,
            "licence": "Apache-2.0",
            "image_size": side,
            "resize": "letterbox",
            "mean": MEAN,
            "std": STD,
            "embedding_shape": [1, c, h, w],
            "low_res_size": 4 * h,
            "mask_threshold": float(sam.mask_threshold),
            "candidates": 3,
            "single_mask": True,
            "multimask_for_several_prompts": False,
            "prompts": ["point", "box", "mask"],
            "prompt_encoder": "external",
            "parity": differences,
        },
    )
    return differences
