"""The memory of SAM 2 as graphs. The caller stores memories and chooses those that condition a frame.

`SAM2Base` joins memories of frames and object pointers in one sequence. Here they are two inputs, so that only memories
get rotary positions and no shape is computed from an input. The graphs contain all positions and encodings.
"""

import copy
import math
from dataclasses import dataclass

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from .graphs import reshape
from .pooled import Pooling

CHUNKS = 8
"""Number of parts in which queries attend to the memories, one after another. The attention weights of all queries would
be 470 MB for seven frames of 64 x 64 cells."""


class Pointers(nn.Module):
    """Mask tokens [B, M, C] and object score [B, 1] -> object pointers [B, M, C]."""

    def __init__(self, model: SAM2Base):
        super().__init__()
        self.proj = copy.deepcopy(model.obj_ptr_proj)
        self.register_buffer("absent", model.no_obj_ptr.detach())

    def forward(self, tokens: Tensor, score: Tensor) -> Tensor:
        return torch.where(score.unsqueeze(2) > 0, self.proj(tokens), self.absent)


class Table(nn.Module):
    """Rotary positions, from `cis` [N, C / 2] complex.

    Real and imaginary parts are the two halves of a vector instead of alternating; `Attention` sorts its weights likewise.
    """

    def __init__(self, cis: Tensor):
        super().__init__()
        self.half = cis.shape[1]
        self.register_buffer("cos", cis.real.contiguous())
        self.register_buffer("sin", cis.imag.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Rotates x [B, N, C]."""
        real, imaginary = x[..., : self.half], x[..., self.half :]
        return torch.cat([real * self.cos - imaginary * self.sin, real * self.sin + imaginary * self.cos], dim=-1)


class Attention(nn.Module):
    """`RoPEAttention` with one head.

    Values are weighted first and projected afterwards, which is less work for narrow values. The weights sum to 1, so the
    projection of the values and the output projection can be merged. `pooling`: of a cross attention to pooled memories.
    """

    def __init__(self, module: nn.Module, queries: Table, keys: Table, pooling: Pooling | None = None):
        super().__init__()
        self.pooling = pooling
        if module.num_heads != 1:
            raise ValueError(f"the memory attention has {module.num_heads} heads, expected 1 as in SAM 2")
        self.queries, self.keys, self.cells = queries, keys, len(queries.cos)
        halves = torch.cat([torch.arange(0, module.internal_dim, 2), torch.arange(1, module.internal_dim, 2)])
        self.q = linear(module.q_proj.weight[halves], module.q_proj.bias[halves], 1 / math.sqrt(module.internal_dim))
        self.k = linear(module.k_proj.weight[halves], module.k_proj.bias[halves])
        out = module.out_proj
        self.out = linear(out.weight @ module.v_proj.weight, out.weight @ module.v_proj.bias + out.bias)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, logits: Tensor | None = None) -> Tensor:
        """Queries [1, N, C], keys [1, K, C] from `project_keys`, values [1, K, C'], addition to the logits [1, 1, K] -> [1, N, C]"""
        q, keys = self.queries(self.q(q)), k.transpose(1, 2)
        count, attended = self.cells // CHUNKS, []
        for i in range(CHUNKS):
            products = q[:, i * count : (i + 1) * count] @ keys
            products = products if logits is None else products + logits
            attended.append(torch.softmax(products, dim=-1) @ v)
        return self.out(torch.cat(attended, dim=1))

    def project_keys(self, cells: Tensor, pointers: Tensor | None = None) -> Tensor:
        """Keys [1, B * N + P, C] of `cells` [B, N, C'], with rotary positions, and of `pointers` [1, P, C'], without."""
        keys = self.keys(self.k(cells))
        if self.pooling is not None:
            return self.pooling.join(keys, self.k(pointers), keys=True)
        keys = reshape(keys, 1, -1, self.k.out_features)
        return keys if pointers is None else torch.cat([keys, self.k(pointers)], dim=1)


class MemoryAttention(nn.Module):
    """`_prepare_memory_conditioned_features` of `SAM2Base` and its memory attention.

    image_embeddings [1, C, h, w], the output of the encoder's graph, which includes the no-memory embedding; memories
    [F, N, C']; memory_times [F, T], one-hot rows that select temporal encodings; object_pointers [P, C]; pointer_times
    [P, 1], distances in frames divided by the largest distance (SAM 2.1 only) -> conditioned_embeddings [1, C, h, w]
    """

    def __init__(self, model: SAM2Base):
        super().__init__()
        attention, latents = model.memory_attention, getattr(model, "spatial_perceiver", None)
        self.channels, self.narrow, self.side = model.hidden_dim, model.mem_dim, model.sam_image_embedding_size
        c, picture = self.channels, torch.zeros(1, 1, self.side, self.side)
        cells = cells_of(model.image_encoder.neck.position_encoding(picture))
        self.register_buffer("offset", 0.1 * cells - model.no_mem_embed.reshape(1, 1, c))
        places = cells_of(model.memory_encoder.position_encoding(picture)) if latents is None else latents.positions()
        self.register_buffer("places", places)
        self.register_buffer("times", model.maskmem_tpos_enc.detach().reshape(-1, self.narrow))
        rates = torch.arange(c // 2, dtype=torch.float32)
        self.register_buffer("periods", 10000 ** (2 * (rates // 2) / (c // 2)))
        # In the first version of SAM 2 object pointers have no time.
        self.pointer_time = copy.deepcopy(model.obj_ptr_tpos_proj) if model.add_tpos_enc_to_obj_ptrs else None
        self.blocks = copy.deepcopy(attention.layers)
        self.norm = copy.deepcopy(attention.norm)
        rotate = self.blocks[0].self_attn.compute_cis
        table = keys = Table(rotate(end_x=self.side, end_y=self.side))
        if latents is not None:
            keys = Table(latents.cis(rotate))
        self.self_attentions = nn.ModuleList(Attention(b.self_attn, table, table) for b in self.blocks)
        kind = getattr(self.blocks[0].cross_attn_image, "kind", None)
        self.pooling = None if kind is None else Pooling(self.side, kind)
        self.cross_attentions = nn.ModuleList(
            Attention(b.cross_attn_image, table, keys, self.pooling) for b in self.blocks
        )

    def forward(
        self,
        image_embeddings: Tensor,
        memories: Tensor,
        memory_times: Tensor,
        object_pointers: Tensor,
        pointer_times: Tensor | None = None,
    ) -> Tensor:
        cells = memories + self.places + (memory_times @ self.times).unsqueeze(1)
        # A pointer, C wide, is split into C / C' tokens of the width of a memory.
        tokens = timed = reshape(object_pointers, -1, self.channels // self.narrow, self.narrow)
        if pointer_times is not None:
            angles = pointer_times / self.periods
            encoding = self.pointer_time(torch.cat([angles.sin(), angles.cos()], dim=-1))
            timed = tokens + encoding.unsqueeze(1)
        timed = reshape(timed, 1, -1, self.narrow)
        tokens, logits = reshape(tokens, 1, -1, self.narrow), None
        if self.pooling is None:
            values = torch.cat([reshape(memories, 1, -1, self.narrow), tokens], dim=1)
        else:
            values, logits = self.pooling.join(memories, tokens), self.pooling.logits(memory_times, tokens)
        x = cells_of(image_embeddings) + self.offset
        for block, self_attention, cross_attention in zip(self.blocks, self.self_attentions, self.cross_attentions):
            normed = block.norm1(x)
            x = x + self_attention(normed, self_attention.project_keys(normed), normed)
            x = x + cross_attention(block.norm2(x), cross_attention.project_keys(cells, timed), values, logits)
            x = x + block.linear2(block.activation(block.linear1(block.norm3(x))))
        return reshape(self.norm(x).transpose(1, 2), 1, self.channels, self.side, self.side)


class MemoryEncoder(nn.Module):
    """`_encode_new_memory` of `SAM2Base`.

    image_embeddings [1, C, h, w], the output of the encoder's graph; low_res_masks [1, 1, L, L], logits; binarize [1, 1], 1
    for the mask of a prompted frame; object_score_logits [1, 1] (SAM 2.1 only) -> memory_features [1, h * w, C'], or the
    latents of EdgeTAM
    """

    def __init__(self, model: SAM2Base):
        super().__init__()
        # The masks of the decoder have four times the side of the embedding.
        self.factor = float(model.backbone_stride // 4)
        self.scale, self.bias = model.sigmoid_scale_for_mem_enc, model.sigmoid_bias_for_mem_enc
        self.encoder = copy.deepcopy(model.memory_encoder)
        self.perceiver = copy.deepcopy(getattr(model, "spatial_perceiver", None))
        if self.perceiver is not None:
            picture = torch.zeros(1, 1, model.sam_image_embedding_size, model.sam_image_embedding_size)
            self.register_buffer("places", cells_of(self.encoder.position_encoding(picture)))
        self.register_buffer("no_memory", model.no_mem_embed.detach().reshape(1, -1, 1, 1))
        absent = model.no_obj_embed_spatial
        self.register_buffer("absent", None if absent is None else absent.detach().reshape(1, 1, -1))

    def forward(
        self, image_embeddings: Tensor, low_res_masks: Tensor, binarize: Tensor, object_score_logits: Tensor | None = None
    ) -> Tensor:
        logits = nn.functional.interpolate(low_res_masks, scale_factor=self.factor, mode="bilinear")
        masks = torch.where(reshape(binarize, 1, 1, 1, 1) > 0.5, (logits > 0).float(), torch.sigmoid(logits))
        e = self.encoder
        masks = e.mask_downsampler(masks * self.scale + self.bias)
        features = cells_of(e.out_proj(e.fuser(e.pix_feat_proj(image_embeddings - self.no_memory) + masks)))
        if object_score_logits is not None:
            score = reshape(object_score_logits, 1, 1, 1)
            features = torch.where(score > 0, features, features + self.absent)
        return features if self.perceiver is None else self.perceiver(features, self.places)


@dataclass
class Memory:
    """The memory modules of a bundle and their sizes."""

    attention: MemoryAttention
    encoder: MemoryEncoder
    frames: int
    """Number of temporal encodings: `num_maskmem` of SAM 2."""
    pointers: int
    """Largest number of object pointers: `max_obj_ptrs_in_encoder` of SAM 2."""
    shape: tuple
    """Number of tokens of a frame's memory, and their width."""
    weights: dict
    """The content of memory.safetensors."""

    def attention_inputs(self, embedding_shape: tuple) -> dict:
        inputs = {
            "image_embeddings": torch.zeros(embedding_shape),
            "memories": torch.zeros(2, *self.shape),
            "memory_times": torch.zeros(2, self.frames),
            "object_pointers": torch.zeros(3, embedding_shape[1]),
        }
        if self.attention.pointer_time is not None:
            inputs["pointer_times"] = torch.zeros(3, 1)
        return inputs

    def encoder_inputs(self, embedding_shape: tuple, low_res: int) -> dict:
        inputs = {
            "image_embeddings": torch.zeros(embedding_shape),
            "low_res_masks": torch.zeros(1, 1, low_res, low_res),
            "binarize": torch.zeros(1, 1),
        }
        if self.encoder.absent is not None:
            inputs["object_score_logits"] = torch.zeros(1, 1)
        return inputs

    def description(self) -> dict:
        """The field `memory` of bundle.json."""
        return {"frames": self.frames, "pointers": self.pointers, "shape": list(self.shape)}


def from_sam2(model: SAM2Base) -> Memory:
    attention = MemoryAttention(model)
    return Memory(
        attention=attention,
        encoder=MemoryEncoder(model),
        frames=model.num_maskmem,
        pointers=model.max_obj_ptrs_in_encoder,
        shape=tuple(attention.places.shape[1:]),
        weights={
            "no_memory_embedding": model.no_mem_embed.reshape(-1),
            "no_object_pointer": model.no_obj_ptr.reshape(-1),
            "mask_downsample.weight": model.mask_downsample.weight,
            "mask_downsample.bias": model.mask_downsample.bias,
        },
    )


def cells_of(picture: Tensor) -> Tensor:
    """Flattens a picture: [1, C, h, w] -> [1, h * w, C]"""
    return reshape(picture, 1, picture.shape[1], -1).transpose(1, 2)


def linear(weight: Tensor, bias: Tensor, scale: float = 1.0) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight.detach() * scale, bias.detach() * scale
    return layer.requires_grad_(False)


@torch.no_grad()
def randomise(model: SAM2Base) -> None:
    """Sets random weights with which memories have an effect: with the initial weights they have almost none."""
    for encoding in (model.maskmem_tpos_enc, model.no_obj_ptr, model.no_obj_embed_spatial):
        if encoding is not None:
            encoding.normal_(std=0.5)
    model.obj_ptr_proj.layers[-1].weight.mul_(3.0)
    if model.add_tpos_enc_to_obj_ptrs:
        model.obj_ptr_tpos_proj.weight.mul_(4.0)
    for block in model.memory_attention.layers:
        for attention in (block.self_attn, block.cross_attn_image):
            for layer in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
                layer.weight.mul_(2.0)
        block.cross_attn_image.out_proj.weight.mul_(3.0)
    for block in model.memory_encoder.fuser.layers:
        block.gamma.uniform_(0.3, 0.7)
    # Gives the output the mean and deviation of the image features, to which the decoder's weights are adapted.
    size = model.image_size
    image = sum(
        nn.functional.interpolate(torch.randn(1, 3, cells, cells), size=(size, size), mode="bilinear")
        for cells in (4, 16, 64)
    )
    *fine, coarse = model.image_encoder(image)["backbone_fpn"]
    features = coarse + model.no_mem_embed.reshape(1, -1, 1, 1)
    attention = MemoryAttention(model.eval())
    memories = torch.randn(3, *attention.places.shape[1:])
    times = torch.eye(len(attention.times))[:3]
    pointers = torch.randn(2, model.hidden_dim), torch.rand(2, 1)
    pointers = pointers[: 1 + (attention.pointer_time is not None)]
    out = attention(features, memories, times, *pointers)
    scale = features.std(dim=(0, 2, 3)) / out.std(dim=(0, 2, 3))
    norm = model.memory_attention.norm
    norm.weight.mul_(scale)
    norm.bias.copy_(norm.bias * scale + features.mean(dim=(0, 2, 3)) - out.mean(dim=(0, 2, 3)) * scale)
    # Sets the object score so that an object is present on most frames.
    image_pe, head = model.sam_prompt_encoder.get_dense_pe(), model.sam_mask_decoder.pred_obj_score_head.layers[-1]
    points = torch.zeros(1, 1, 2), torch.full((1, 1), -1)
    sparse, dense = model.sam_prompt_encoder(points=points, boxes=None, masks=None)
    if fine:
        fine = [model.sam_mask_decoder.conv_s0(fine[0]), model.sam_mask_decoder.conv_s1(fine[1])]
    conditioned = MemoryAttention(model)(features, memories, times, *pointers)
    scores = [
        model.sam_mask_decoder.predict_masks(cells, image_pe, sparse, dense, False, fine)[3]
        for cells in (features, conditioned)
    ]
    head.bias.add_((6.0 - torch.cat(scores).min()).clamp(min=0))
