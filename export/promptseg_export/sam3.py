"""SAM 3 (Meta 2025), its image model: masks of all objects that a phrase names. The model class of transformers, and a small
configuration of it for tests.

Three modules become graphs (`sam3_towers`, `sam3_detector`): an image tower and a text tower, each independent of the other, and
a detector that finds the objects of one phrase.
"""

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Sam3Config, Sam3ImageProcessor, Sam3Model, Sam3Processor
from transformers.models.sam3.modeling_sam3 import Sam3ImageSegmentationOutput

from . import checkpoints, small_tokenizer
from .sam3_detector import Detector
from .sam3_towers import ImageTower, TextTower

LICENCE, RANDOM_LICENCE = "SAM License", "Apache-2.0"
"""The licences of the published weights, and of random ones, which come from this repository."""
THRESHOLD, MASK_THRESHOLD = 0.3, 0.5
"""Defaults of the processor's `post_process_instance_segmentation`."""
PHRASES = ("a cup", "a spoon on the table", "coffee")
"""Phrases of the parity check; its photo shows a cup on a table."""

SMALL_LAYERS = {"hidden_size": 32, "num_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
CONFIGURATIONS = {
    "true": {},
    "small": {
        "vision_config": {
            "backbone_config": {
                "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
                "num_attention_heads": 2, "patch_size": 14, "image_size": 168, "window_size": 6, "pretrain_image_size": 112,
                "global_attn_indexes": [1, 3],
            },
            "fpn_hidden_size": 32,
        },
        "text_config": {
            "hidden_size": 32, "intermediate_size": 64, "projection_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "max_position_embeddings": 32, "hidden_act": "gelu",
        },
        "geometry_encoder_config": {**SMALL_LAYERS, "num_layers": 1},
        "detr_encoder_config": SMALL_LAYERS,
        "detr_decoder_config": {**SMALL_LAYERS, "num_queries": 12},
        "mask_decoder_config": {"hidden_size": 32, "num_attention_heads": 4},
    },
}  # fmt: skip
"""Configurations for random weights: that of facebook/sam3, and one for tests."""
SCALES = [4.0, 2.0, 1.0, 0.5]
"""Sides of the levels in patches of the image's side: the mask decoder doubles the side from level to level."""
UNUSED = ("geometry_encoder.", "text_encoder.text_projection.", "mask_decoder.semantic_projection.")
"""Parts of the model that serve other prompts and other results."""


class Sam3:
    """The model of transformers with its processor, and the modules that become graphs."""

    family = "sam3"

    def __init__(self, network: Sam3Model, processor: Sam3Processor, licence: str):
        self.network, self.processor, self.licence = network.eval(), processor, licence
        self.side = network.config.vision_config.image_size
        ids, _ = self.tokenize(["a"])
        self.tokens = ids.shape[1]
        grid = self.side // network.config.vision_config.backbone_config.patch_size
        self.levels = [round(grid * scale) for scale in network.config.vision_config.scale_factors[:3]]
        self.image_tower = ImageTower(network)
        self.text_tower = TextTower(network, self.tokens)
        self.detector = Detector(network, self.levels[-1])
        self.channels = network.config.detr_encoder_config.hidden_size
        self.queries = network.config.detr_decoder_config.num_queries

    def tokenize(self, phrases: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The token ids of phrases and their mask (1: token, 0: padding), [P, T] each, by the processor."""
        inputs = self.processor(text=list(phrases), return_tensors="np")
        return inputs.input_ids.astype(np.int32), inputs.attention_mask.astype(np.float32)

    def pixels(self, photo: np.ndarray) -> np.ndarray:
        """The input of the network for a photo [H, W, 3] (RGB, u8), by the processor."""
        return self.processor(images=photo, return_tensors="pt").pixel_values.float().numpy()

    @torch.no_grad()
    def outputs(self, photo: np.ndarray, phrases: list[str]) -> list[Sam3ImageSegmentationOutput]:
        """The outputs of `Sam3Model` for a photo and each phrase."""
        seen = self.network.get_vision_features(pixel_values=torch.from_numpy(self.pixels(photo)))
        return [
            self.network(vision_embeds=seen, **self.processor(text=phrase, return_tensors="pt")) for phrase in phrases
        ]

    @torch.no_grad()
    def features(self, phrase: str) -> np.ndarray:
        """The features of the tokens of a phrase by `Sam3Model`, [n, C], without those of padding."""
        inputs = self.processor(text=phrase, return_tensors="pt")
        features = self.network.get_text_features(**inputs).pooler_output[0]
        return features[inputs.attention_mask[0].bool()].numpy()

    def detections(self, outputs: Sam3ImageSegmentationOutput, size: tuple, threshold: float) -> dict:
        """The instances of the processor; `size` is height and width of the photo."""
        process = self.processor.image_processor.post_process_instance_segmentation
        return process(outputs, threshold=threshold, mask_threshold=MASK_THRESHOLD, target_sizes=[size])[0]

    def description(self) -> dict:
        """The fields of bundle.json that depend on the model."""
        images = self.processor.image_processor
        return {
            "kind": "text",
            "family": self.family,
            "licence": self.licence,
            "image_size": self.side,
            "mean": [255 * v for v in images.image_mean],
            "std": [255 * v for v in images.image_std],
            "levels": self.levels,
            "channels": self.channels,
            "queries": self.queries,
            "mask_size": self.levels[0],
            "tokens": self.tokens,
            "pad_token": int(self.processor.tokenizer.pad_token_id or 0),
            "min_score": THRESHOLD,
            "mask_threshold": MASK_THRESHOLD,
        }


def read(source: str) -> Sam3:
    """Reads a folder of transformers, or a name on its hub."""
    network = checkpoints.from_transformers(Sam3Model, source, ("sam3", "sam3_video"), UNUSED)
    processor = Sam3Processor.from_pretrained(source)
    if (scales := network.config.vision_config.scale_factors) != SCALES:
        raise checkpoints.CheckpointError(f"{source} has levels of the scales {scales}, expected {SCALES}")
    if (side := processor.tokenizer.padding_side) != "right":
        raise checkpoints.CheckpointError(f"{source} has a tokenizer that pads on the {side}, expected the right")
    return Sam3(network, processor, LICENCE)


def build(
    model: str, seed: int, image_size: int | None = None, photo: np.ndarray | None = None, phrases: tuple = PHRASES
) -> Sam3:
    """Builds a configuration with random weights. `photo`: the weights are set so that its scores for `phrases` have a useful
    range."""
    torch.manual_seed(seed)
    tokenizer = small_tokenizer.build(32)
    config = Sam3Config(**CONFIGURATIONS[model])
    text = config.text_config
    text.vocab_size = len(tokenizer) if model == "small" else text.vocab_size
    text.bos_token_id, text.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    text.pad_token_id = tokenizer.pad_token_id
    if image_size:
        config.image_size = image_size
    side = config.image_size
    network = Sam3Model(config)
    processor = Sam3Processor(Sam3ImageProcessor(size={"height": side, "width": side}), tokenizer)
    randomise(network)
    sam3 = Sam3(network, processor, RANDOM_LICENCE)
    if photo is not None:
        calibrate(sam3, photo, phrases)
    return sam3


@torch.no_grad()
def randomise(network: Sam3Model) -> None:
    """Sets random weights that make errors visible: no parameter stays at zero or one."""
    for name, p in network.named_parameters():
        if "embeddings." in name and "projection" not in name or "query_embed" in name or "presence_token" in name:
            p.normal_(std=0.5)
        elif "reference_points" in name:
            p.normal_()
        elif p.ndim >= 2:
            p.normal_(std=p[0].numel() ** -0.5)
        elif p.ndim == 1:
            p.add_(0.1 * torch.randn_like(p))
    # Boxes that move a little in each layer, and attention that prefers a few places to the mean of all.
    network.detr_decoder.box_head.layer3.weight.mul_(0.3)
    for name, module in network.named_modules():
        if name.endswith("q_proj"):
            module.weight.mul_(2)


@torch.no_grad()
def calibrate(sam3: Sam3, photo: np.ndarray, phrases: tuple) -> None:
    """Scales the weights so that the levels of a photo have a deviation of 1, and about a fifth of the logits of each phrase
    is positive."""
    network = sam3.network
    pixels = torch.from_numpy(sam3.pixels(photo))
    levels = network.get_vision_features(pixel_values=pixels).fpn_hidden_states
    for layer, level in zip(network.vision_encoder.neck.fpn_layers, levels):
        scale(layer.proj2, 1 / level.std())
    head, presence = network.dot_product_scoring, network.detr_decoder.presence_head.layer3
    rows = {}
    handles = [
        head.query_proj.register_forward_hook(lambda _, __, y: rows.setdefault("queries", []).append(y[-1, 0])),
        head.text_proj.register_forward_hook(lambda _, __, y: rows.setdefault("texts", []).append(y[0])),
    ]
    found = sam3.outputs(photo, phrases)
    for handle in handles:
        handle.remove()
    texts = torch.stack(rows["texts"]) * head.scale
    raw = torch.stack([queries @ text for queries, text in zip(rows["queries"], texts)])
    gain = 2.0 / raw.std(dim=1).mean()
    # The bias that gives the logits of each phrase the mean -1.7.
    shift = torch.linalg.lstsq(texts, (-1.7 - gain * raw.mean(dim=1))[:, None]).solution[:, 0]
    scale(head.query_proj, gain)
    head.query_proj.bias.add_(shift)
    logits = torch.cat([output.presence_logits[0] for output in found])
    scale(presence, 1 / logits.std().clamp(min=1e-3))
    presence.bias.add_(2.5 - logits.mean() / logits.std().clamp(min=1e-3))


def scale(layer: nn.Module, factor: Tensor | float) -> None:
    layer.weight.mul_(factor)
    layer.bias.mul_(factor)
