"""SAM's modules as ONNX graphs that every execution provider takes.

The mask decoder gets prompt embeddings instead of prompts. Objects and sparse tokens are its only dynamic axes, and no
shape is computed from an input: where PyTorch writes `x.reshape(b, n, ...)`, the graph has a Reshape by a constant in
which 0 keeps a dimension.
"""

import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

OPSET = 17


class _Reshape(torch.autograd.Function):
    """Reshape by a constant in which 0 keeps the dimension, as ONNX has it."""

    @staticmethod
    def forward(ctx, x: Tensor, shape: tuple) -> Tensor:
        return x.reshape([x.shape[i] if d == 0 else d for i, d in enumerate(shape)])

    @staticmethod
    def symbolic(g, x, shape):
        # The rank is known even where dimensions are not; the operators after this one ask for it.
        kind = x.type().with_sizes([None if d <= 0 else d for d in shape])
        return g.op("Reshape", x, g.op("Constant", value_t=torch.tensor(shape, dtype=torch.int64))).setType(kind)


def _reshape(x: Tensor, *shape: int) -> Tensor:
    return _Reshape.apply(x, shape)


def _attention(attention: nn.Module, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """`Attention.forward` of segment_anything/modeling/transformer.py. Batches of 1 and of B broadcast: the image side
    of the first layer is computed once for all objects that have no mask prompt."""
    heads = attention.num_heads
    depth = attention.internal_dim // heads

    def separate(x: Tensor) -> Tensor:
        return _reshape(x, 0, -1, heads, depth).transpose(1, 2)

    q, k, v = separate(attention.q_proj(q)), separate(attention.k_proj(k)), separate(attention.v_proj(v))
    weights = torch.softmax((q @ k.transpose(-1, -2)) / depth**0.5, dim=-1)
    return attention.out_proj(_reshape((weights @ v).transpose(1, 2), 0, -1, attention.internal_dim))


def _layer(layer: nn.Module, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor):
    """`TwoWayAttentionBlock.forward`."""
    if layer.skip_first_layer_pe:
        queries = _attention(layer.self_attn, queries, queries, queries)
    else:
        q = queries + query_pe
        queries = queries + _attention(layer.self_attn, q, q, queries)
    queries = layer.norm1(queries)
    attended = _attention(layer.cross_attn_token_to_image, queries + query_pe, keys + key_pe, keys)
    queries = layer.norm2(queries + attended)
    queries = layer.norm3(queries + layer.mlp(queries))
    attended = _attention(layer.cross_attn_image_to_token, keys + key_pe, queries + query_pe, queries)
    return queries, layer.norm4(keys + attended)


class Decoder(nn.Module):
    """`MaskDecoder.predict_masks` on prompt embeddings, with the dense positional encoding as a constant.

    image_embeddings [1, C, h, w], sparse_prompt_embeddings [B, N, C], dense_prompt_embeddings [1 or B, C, h, w]
    -> low_res_masks [B, 4, 4h, 4w], iou_predictions [B, 4]
    """

    def __init__(self, decoder: nn.Module, image_pe: Tensor):
        super().__init__()
        self.decoder = decoder
        self.channels, self.h, self.w = image_pe.shape[1:]
        self.register_buffer("key_pe", image_pe.flatten(2).permute(0, 2, 1).contiguous())
        self.register_buffer("output_tokens", torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])[None])

    def forward(self, image_embeddings: Tensor, sparse: Tensor, dense: Tensor):
        d, c, h, w = self.decoder, self.channels, self.h, self.w
        # One copy of the output tokens for each object, without asking for the batch's size.
        per_object = self.output_tokens + 0.0 * sparse.sum(dim=1, keepdim=True)
        tokens = torch.cat([per_object, sparse], dim=1)
        keys = _reshape(image_embeddings + dense, -1, c, h * w).permute(0, 2, 1)
        queries = tokens
        for layer in d.transformer.layers:
            queries, keys = _layer(layer, queries, keys, tokens, self.key_pe)
        final = d.transformer.final_attn_token_to_image
        attended = _attention(final, queries + tokens, keys + self.key_pe, keys)
        queries = d.transformer.norm_final_attn(queries + attended)

        upscaled = d.output_upscaling(_reshape(keys.transpose(1, 2), -1, c, h, w))
        weights = [mlp(queries[:, 1 + i]) for i, mlp in enumerate(d.output_hypernetworks_mlps)]
        masks = torch.stack(weights, dim=1) @ _reshape(upscaled, -1, c // 8, 16 * h * w)
        masks = _reshape(masks, -1, d.num_mask_tokens, 4 * h, 4 * w)
        return masks, d.iou_prediction_head(queries[:, 0])


def export(model: nn.Module, inputs: dict, outputs: list, dynamic: dict, path: Path) -> None:
    """Writes one graph with the TorchScript exporter: the newer one keeps its weights beside the graph."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=dynamic,
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )


def declare(path: Path, output: str, shape: list) -> None:
    """Writes down the shape of an output, which the exporter does not always follow through a reshape."""
    model = onnx.load(path)
    for value in model.graph.output:
        if value.name == output:
            value.CopyFrom(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, shape))
    onnx.save(model, path)


def export_encoder(encoder: nn.Module, side: int, path: Path) -> None:
    export(encoder, {"image": torch.zeros(1, 3, side, side)}, ["image_embeddings"], {}, path)


def export_decoder(sam: nn.Module, path: Path) -> None:
    """The decoder of a promptseg bundle with an external prompt encoder."""
    pe = sam.prompt_encoder.get_dense_pe()
    _, c, h, w = pe.shape
    inputs = {
        "image_embeddings": torch.zeros(1, c, h, w),
        "sparse_prompt_embeddings": torch.zeros(2, 3, c),
        "dense_prompt_embeddings": torch.zeros(2, c, h, w),
    }
    dynamic = {
        "sparse_prompt_embeddings": {0: "objects", 1: "tokens"},
        "dense_prompt_embeddings": {0: "dense_objects"},
        "low_res_masks": {0: "objects"},
        "iou_predictions": {0: "objects"},
    }
    export(Decoder(sam.mask_decoder, pe), inputs, ["low_res_masks", "iou_predictions"], dynamic, path)
    masks = sam.mask_decoder.num_mask_tokens
    declare(path, "low_res_masks", ["objects", masks, 4 * h, 4 * w])


def export_official_decoder(sam: nn.Module, path: Path) -> None:
    """The official export, with the prompt encoder fused in (scripts/export_onnx_model.py of segment-anything)."""
    from segment_anything.utils.onnx import SamOnnxModel

    c = sam.prompt_encoder.embed_dim
    h, w = sam.prompt_encoder.image_embedding_size
    inputs = {
        "image_embeddings": torch.randn(1, c, h, w),
        "point_coords": torch.randint(0, sam.image_encoder.img_size, (1, 5, 2)).float(),
        "point_labels": torch.randint(0, 4, (1, 5)).float(),
        "mask_input": torch.randn(1, 1, 4 * h, 4 * w),
        "has_mask_input": torch.tensor([1.0]),
        "orig_im_size": torch.tensor([1500.0, 2250.0]),
    }
    dynamic = {"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}}
    model = SamOnnxModel(sam, return_single_mask=False)
    export(model, inputs, ["masks", "iou_predictions", "low_res_masks"], dynamic, path)
