"""SAM's mask decoder on prompt embeddings, and SAM-HQ's, without a shape that is computed from an input."""

import torch
from torch import Tensor, nn

from .graphs import reshape


def attend(attention: nn.Module, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """`Attention.forward` of segment_anything/modeling/transformer.py. Batches of 1 and of B broadcast: the image side
    of the first layer is computed once for all objects that have no mask prompt. Queries are scaled before the product,
    which is smaller so, in half precision."""
    heads = attention.num_heads
    depth = attention.internal_dim // heads

    def separate(x: Tensor) -> Tensor:
        return reshape(x, 0, -1, heads, depth).transpose(1, 2)

    q, k, v = separate(attention.q_proj(q) * depth**-0.5), separate(attention.k_proj(k)), separate(attention.v_proj(v))
    weights = torch.softmax(q @ k.transpose(-1, -2), dim=-1)
    return attention.out_proj(reshape((weights @ v).transpose(1, 2), 0, -1, attention.internal_dim))


def layer(block: nn.Module, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor):
    """`TwoWayAttentionBlock.forward`."""
    if block.skip_first_layer_pe:
        queries = attend(block.self_attn, queries, queries, queries)
    else:
        q = queries + query_pe
        queries = queries + attend(block.self_attn, q, q, queries)
    queries = block.norm1(queries)
    attended = attend(block.cross_attn_token_to_image, queries + query_pe, keys + key_pe, keys)
    queries = block.norm2(queries + attended)
    queries = block.norm3(queries + block.mlp(queries))
    attended = attend(block.cross_attn_image_to_token, keys + key_pe, queries + query_pe, queries)
    return queries, block.norm4(keys + attended)


def transform(transformer: nn.Module, keys: Tensor, tokens: Tensor, key_pe: Tensor):
    """`TwoWayTransformer.forward`; keys [1 or B, h * w, C], tokens [B, N, C]."""
    queries = tokens
    for block in transformer.layers:
        queries, keys = layer(block, queries, keys, tokens, key_pe)
    final = transformer.final_attn_token_to_image
    attended = attend(final, queries + tokens, keys + key_pe, keys)
    return transformer.norm_final_attn(queries + attended), keys


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
        self.register_buffer("output_tokens", torch.cat(self.tokens())[None])

    def tokens(self) -> list:
        return [self.decoder.iou_token.weight, self.decoder.mask_tokens.weight]

    def attended(self, image_embeddings: Tensor, sparse: Tensor, dense: Tensor):
        """Output tokens [B, N, C] and the image [1 or B, C, h, w] after the transformer."""
        c, h, w = self.channels, self.h, self.w
        # One copy of the output tokens for each object, without asking for the batch's size.
        per_object = self.output_tokens + 0.0 * sparse.sum(dim=1, keepdim=True)
        tokens = torch.cat([per_object, sparse], dim=1)
        keys = reshape(image_embeddings + dense, -1, c, h * w).permute(0, 2, 1)
        queries, keys = transform(self.decoder.transformer, keys, tokens, self.key_pe)
        return queries, reshape(keys.transpose(1, 2), -1, c, h, w)

    def masks(self, mlps: list, queries: Tensor, first: int, upscaled: Tensor) -> Tensor:
        """One mask for each MLP, of the tokens from `first` on."""
        h, w = 4 * self.h, 4 * self.w
        weights = torch.stack([mlp(queries[:, first + i]) for i, mlp in enumerate(mlps)], dim=1)
        return reshape(weights @ reshape(upscaled, -1, self.channels // 8, h * w), -1, len(mlps), h, w)

    def forward(self, image_embeddings: Tensor, sparse: Tensor, dense: Tensor):
        queries, image = self.attended(image_embeddings, sparse, dense)
        upscaled = self.decoder.output_upscaling(image)
        masks = self.masks(list(self.decoder.output_hypernetworks_mlps), queries, 1, upscaled)
        return masks, self.decoder.iou_prediction_head(queries[:, 0])


class DecoderHQ(Decoder):
    """`MaskDecoderHQ`: its own mask, from features of an early layer of the encoder, is added to each of SAM's."""

    def tokens(self) -> list:
        return [*super().tokens(), self.decoder.hf_token.weight]

    def forward(self, image_embeddings: Tensor, hq_features: Tensor, sparse: Tensor, dense: Tensor):
        queries, image = self.attended(image_embeddings, sparse, dense)
        upscaled = self.decoder.output_upscaling(image)
        mlps = list(self.decoder.output_hypernetworks_mlps)
        masks = self.masks(mlps, queries, 1, upscaled)
        fine = self.decoder.embedding_maskfeature(upscaled) + hq_features
        masks = masks + self.masks([self.decoder.hf_mlp], queries, 1 + len(mlps), fine)
        return masks, self.decoder.iou_prediction_head(queries[:, 0])


class EncoderHQ(nn.Module):
    """image [1, 3, S, S] -> image_embeddings [1, C, h, w], hq_features [1, C / 8, 4h, 4w]"""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder, self.embedding_encoder = encoder, decoder.embedding_encoder
        self.compress_vit_feat = decoder.compress_vit_feat

    def forward(self, image: Tensor):
        embedding, early = self.encoder(image)
        return embedding, self.embedding_encoder(embedding) + self.compress_vit_feat(early[0].permute(0, 3, 1, 2))
