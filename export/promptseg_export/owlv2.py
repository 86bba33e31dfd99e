"""OWLv2 (Minderer et al. 2023): boxes of the objects that phrases name. The model class of transformers, and a small
configuration of it for tests.

Three modules become graphs. `ImageTower` computes everything that does not depend on a phrase, the boxes among it; `TextTower`
computes the query of one phrase; `ClassHead` compares the queries of any number of phrases with all boxes.
"""

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

from . import attention, checkpoints, small_tokenizer

LICENCE = "Apache-2.0"
THRESHOLD, NMS_IOU = 0.1, 0.3
"""Defaults of the processor: `post_process_object_detection`, and for doubles `post_process_image_guided_detection`."""
PHRASES = ("a photo of a cup", "a spoon on the table", "coffee")
"""Phrases of the parity check; its photo shows a cup on a table."""

TEXT = {"max_position_embeddings": 16, "hidden_act": "quick_gelu"}
CONFIGURATIONS = {
    "base": {
        "projection_dim": 512,
        "text_config": {**TEXT, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8},
        "vision_config": {
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "patch_size": 16, "image_size": 960, "hidden_act": "quick_gelu",
        },
    },
    "large": {
        "projection_dim": 768,
        "text_config": {**TEXT, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
        "vision_config": {
            "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
            "patch_size": 14, "image_size": 1008, "hidden_act": "quick_gelu",
        },
    },
    "small": {
        "projection_dim": 32,
        "text_config": {**TEXT, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
        "vision_config": {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "patch_size": 16, "image_size": 128, "hidden_act": "quick_gelu",
        },
    },
}  # fmt: skip
"""Configurations for random weights: those of google/owlv2-base-patch16 and -large-patch14, and one for tests."""


class ImageTower(nn.Module):
    """image [1, 3, S, S] -> boxes [1, P, 4], corners relative to the padded square; objectness [1, P], logits;
    class_embeddings [1, P, D], of length 1; logit_shift and logit_scale [1, P, 1]. P is the number of patches."""

    outputs = ("boxes", "objectness", "class_embeddings", "logit_shift", "logit_scale")

    def __init__(self, network: Owlv2ForObjectDetection):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple:
        network, vision, head = self.network, self.network.owlv2.vision_model, self.network.class_head
        x = vision.pre_layernorm(vision.embeddings(image))
        for layer in vision.encoder.layers:
            x = attention.clip_layer(layer, x)
        x = vision.post_layernorm(x)
        features = network.layer_norm(x[:, 1:] * x[:, :1])
        centre, size = torch.sigmoid(network.box_head(features) + network.box_bias).split(2, dim=-1)
        boxes = torch.cat([centre - 0.5 * size, centre + 0.5 * size], dim=-1)
        objectness = network.objectness_head(features)[..., 0]
        scale = nn.functional.elu(head.logit_scale(features)) + 1
        return boxes, objectness, normalised(head.dense0(features)), head.logit_shift(features), scale


class TextTower(nn.Module):
    """token_ids [1, T] (int32, padded), end_token [1, T] (1 at the end of the text, else 0) -> query [1, D], of length 1."""

    outputs = ("query",)

    def __init__(self, network: Owlv2ForObjectDetection):
        super().__init__()
        self.text, self.projection = network.owlv2.text_model, network.owlv2.text_projection
        tokens = network.config.text_config.max_position_embeddings
        # Attention is causal, so that the padding, which comes after the end of the text, has no effect on it.
        self.register_buffer("mask", torch.full((tokens, tokens), torch.finfo(torch.float32).min).triu(1))

    def forward(self, token_ids: Tensor, end_token: Tensor) -> Tensor:
        embeddings = self.text.embeddings
        x = embeddings.token_embedding(token_ids) + embeddings.position_embedding.weight
        for layer in self.text.encoder.layers:
            x = attention.clip_layer(layer, x, self.mask)
        x = self.text.final_layer_norm(x)
        query = self.projection((end_token[:, None] @ x)[:, 0])
        return query / torch.linalg.norm(query, dim=-1, keepdim=True)


class ClassHead(nn.Module):
    """class_embeddings [1, P, D], logit_shift [1, P, 1], logit_scale [1, P, 1], queries [Q, D] -> logits [1, P, Q]."""

    outputs = ("logits",)

    def forward(self, class_embeddings: Tensor, logit_shift: Tensor, logit_scale: Tensor, queries: Tensor) -> Tensor:
        return (class_embeddings @ normalised(queries).transpose(0, 1) + logit_shift) * logit_scale


def normalised(x: Tensor) -> Tensor:
    return x / (torch.linalg.norm(x, dim=-1, keepdim=True) + 1e-6)


class Owlv2:
    """The model of transformers with its processor, and the modules that become graphs."""

    family, licence = "owlv2", LICENCE

    def __init__(self, network: Owlv2ForObjectDetection, processor: Owlv2Processor):
        self.network, self.processor = network.eval(), processor
        self.image_tower, self.text_tower, self.class_head = ImageTower(network), TextTower(network), ClassHead()
        vision, text = network.config.vision_config, network.config.text_config
        self.side, self.patches = vision.image_size, (vision.image_size // vision.patch_size) ** 2
        self.channels, self.tokens = network.class_head.dense0.out_features, text.max_position_embeddings

    def tokenize(self, phrases: list[str]) -> np.ndarray:
        """The token ids of phrases, [Q, T], by the processor."""
        ids = self.processor(text=[list(phrases)], return_tensors="np").input_ids
        return ids.astype(np.int32)

    def pixels(self, photo: np.ndarray) -> np.ndarray:
        """The input of the network for a photo [H, W, 3] (RGB, u8), by the processor."""
        return self.processor(images=photo, return_tensors="pt").pixel_values.float().numpy()

    @torch.no_grad()
    def outputs(self, photo: np.ndarray, phrases: list[str]):
        """The outputs of `Owlv2ForObjectDetection` for a photo and phrases."""
        return self.network(**self.processor(text=[list(phrases)], images=photo, return_tensors="pt"))

    def detections(self, outputs, size: tuple, threshold: float) -> dict:
        """The detections of the processor; `size` is height and width of the photo."""
        return self.processor.post_process_grounded_object_detection(outputs, threshold, torch.tensor([size]))[0]

    def padding(self) -> float:
        """The level from 0 to 255 with which the processor pads photos, which differs between versions of transformers."""
        white = np.full((self.side // 2, self.side, 3), 255, np.uint8)
        corner = self.pixels(white)[0, :, -1, -1]
        mean, std = (np.array(v) for v in self.normalisation())
        return max(0.0, round(float((corner * std + mean).mean()), 3))

    def normalisation(self) -> tuple[list, list]:
        """Means and standard deviations of red, green and blue, in levels from 0 to 255."""
        images = self.processor.image_processor
        return [255 * v for v in images.image_mean], [255 * v for v in images.image_std]

    def description(self) -> dict:
        """The fields of bundle.json that depend on the model."""
        mean, std = self.normalisation()
        return {
            "kind": "text",
            "family": self.family,
            "licence": self.licence,
            "image_size": self.side,
            "mean": mean,
            "std": std,
            "padding": self.padding(),
            "patches": self.patches,
            "channels": self.channels,
            "tokens": self.tokens,
            "pad_token": int(self.processor.tokenizer.pad_token_id or 0),
            "min_score": THRESHOLD,
            "nms_iou": NMS_IOU,
        }


def read(source: str) -> Owlv2:
    """Reads a folder of transformers, or a name on its hub."""
    network = checkpoints.from_transformers(Owlv2ForObjectDetection, source, ("owlv2",))
    return Owlv2(network, Owlv2Processor.from_pretrained(source))


def build(model: str, seed: int, image_size: int | None = None, photo: np.ndarray | None = None) -> Owlv2:
    """Builds a configuration with random weights. `photo`: the weights are set so that its scores have a useful range."""
    torch.manual_seed(seed)
    tokenizer = small_tokenizer.build()
    options = {key: dict(value) if isinstance(value, dict) else value for key, value in CONFIGURATIONS[model].items()}
    vocabulary = len(tokenizer) if model == "small" else 49408
    options["text_config"] |= {"vocab_size": vocabulary, "pad_token_id": tokenizer.pad_token_id}
    options["text_config"] |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    side = options["vision_config"]["image_size"] = image_size or options["vision_config"]["image_size"]
    network = Owlv2ForObjectDetection(Owlv2Config(**options))
    processor = Owlv2Processor(Owlv2ImageProcessor(size={"height": side, "width": side}), tokenizer)
    owlv2 = Owlv2(network, processor)
    randomise(owlv2, photo)
    return owlv2


@torch.no_grad()
def randomise(owlv2: Owlv2, photo: np.ndarray | None) -> None:
    """Sets random weights that make errors visible: no parameter stays at zero or one, and with a photo about a tenth of the
    boxes has a score above one half."""
    network = owlv2.network
    for name, p in network.named_parameters():
        if "position_embedding" in name or "token_embedding" in name or "class_embedding" in name:
            p.normal_(std=0.5)
        elif p.ndim >= 2:
            p.normal_(std=p[0].numel() ** -0.5)
        elif p.ndim == 1:
            p.add_(0.1 * torch.randn_like(p))
    # Boxes of several patches, which overlap.
    network.box_head.dense2.bias[2:] += 1.5
    if photo is None:
        return
    head = network.class_head
    head.logit_scale.bias.fill_(8.0)
    embedded = owlv2.image_tower(torch.from_numpy(owlv2.pixels(photo)))[2]
    queries = torch.cat([owlv2.text_tower(*text_inputs(ids)) for ids in owlv2.tokenize(PHRASES)])
    cosines = embedded @ normalised(queries).T
    head.logit_shift.weight.mul_(0.2 * cosines.std())
    head.logit_shift.bias.fill_(float(-cosines.mean() - 1.3 * cosines.std()))
    head.logit_scale.bias.fill_(float(3.0 / cosines.std()))


def text_inputs(ids: np.ndarray) -> tuple[Tensor, Tensor]:
    """The inputs of the text tower for the token ids of a phrase, [T]. The end of a text has the highest id."""
    end = np.zeros((1, len(ids)), np.float32)
    end[0, ids.argmax()] = 1
    return torch.from_numpy(ids[None]), torch.from_numpy(end)
