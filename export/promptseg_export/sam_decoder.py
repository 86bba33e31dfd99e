"""SAM's mask decoder on prompt embeddings, and SAM-HQ's, without a shape that is computed from an input.

Nearly all of a decoder's work is products of the image's 4096 cells with weights. Two things make it less, and change
nothing but the order of sums:

- In the first layer the image is the same for all objects without a mask prompt, so that its projections are computed
  once for all of them: batches of 1 and of B broadcast.
- In later layers each object has an image of its own, and fewer tokens than the 16 numbers that a head is deep. The projection of the
  image is folded into the tokens there, q (W k) = (q W) k, which halves the work for a click or a box; with more than 16
  tokens it is more work than the projection.
"""

import torch
from torch import Tensor, nn

from .graphs import reshape


class Attention:
    """`Attention` of segment_anything/modeling/transformer.py, between tokens and the cells of an image. Queries are
    scaled before the product, which is smaller so, in half precision."""

    def __init__(self, module: nn.Module):
        self.module, self.heads = module, module.num_heads
        self.depth = module.internal_dim // module.num_heads
        self.scale = self.depth**-0.5

    def separate(self, x: Tensor) -> Tensor:
        """[B, N, heads * depth] -> [B, heads, N, depth]"""
        return reshape(x, 0, -1, self.heads, self.depth).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        return self.module.out_proj(reshape(x.transpose(1, 2), 0, -1, self.heads * self.depth))

    def by_head(self, weight: Tensor) -> Tensor:
        """Weights of a projection [heads * depth, C] -> [heads, depth, C]"""
        return weight.reshape(self.heads, self.depth, -1)

    def folded(self, x: Tensor, weight: Tensor) -> Tensor:
        """[B, heads, N, depth] -> [B, heads * N, C]"""
        return reshape(x @ self.by_head(weight), 0, -1, weight.shape[1])

    def plain(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        m = self.module
        q, k, v = self.separate(m.q_proj(q) * self.scale), self.separate(m.k_proj(k)), self.separate(m.v_proj(v))
        return self.join(torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v)

    def of_image(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """`plain` where k and v are large: tokens that look at the image. What the bias of k adds is the same for all
        cells, and softmax takes it out."""
        m = self.module
        q = self.folded(self.separate(m.q_proj(q) * self.scale), m.k_proj.weight)
        seen = torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v
        seen = reshape(seen, 0, self.heads, -1, v.shape[-1]) @ self.by_head(m.v_proj.weight).transpose(-1, -2)
        return self.join(seen + m.v_proj.bias.reshape(self.heads, 1, self.depth))

    def of_tokens(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """`plain` where q is large: cells that look at the tokens."""
        m, cells = self.module, q.shape[1]
        k, v = self.separate(m.k_proj(k) * self.scale), self.separate(m.v_proj(v))
        # What the bias of q adds to the product with each token.
        bias = reshape(k @ m.q_proj.bias.reshape(self.heads, self.depth, 1), 0, 1, -1)
        weights = q @ self.folded(k, m.q_proj.weight).transpose(-1, -2) + bias
        weights = reshape(torch.softmax(reshape(weights, 0, cells, self.heads, -1), dim=-1), 0, cells, -1)
        # The weights of each head are 1 together, so that a part of the bias for each head is the whole of it.
        out = self.folded(v, m.out_proj.weight.t()) + m.out_proj.bias / self.heads
        return weights @ out


def layer(block: nn.Module, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor, shared: bool):
    """`TwoWayAttentionBlock.forward`; `shared`: the image may be that of all objects."""
    tokens = Attention(block.self_attn)
    if block.skip_first_layer_pe:
        queries = tokens.plain(queries, queries, queries)
    else:
        q = queries + query_pe
        queries = queries + tokens.plain(q, q, queries)
    queries = block.norm1(queries)
    image, cells = Attention(block.cross_attn_token_to_image), keys + key_pe
    attend = image.plain if shared else image.of_image
    queries = block.norm2(queries + attend(queries + query_pe, cells, keys))
    queries = block.norm3(queries + block.mlp(queries))
    attended = Attention(block.cross_attn_image_to_token).of_tokens(cells, queries + query_pe, queries)
    return queries, block.norm4(keys + attended)


def transform(transformer: nn.Module, keys: Tensor, tokens: Tensor, key_pe: Tensor):
    """`TwoWayTransformer.forward`; keys [1 or B, h * w, C], tokens [B, N, C]."""
    queries = tokens
    for number, block in enumerate(transformer.layers):
        queries, keys = layer(block, queries, keys, tokens, key_pe, shared=number == 0)
    final = Attention(transformer.final_attn_token_to_image)
    attended = final.of_image(queries + tokens, keys + key_pe, keys)
    return transformer.norm_final_attn(queries + attended), keys


def divide(up: nn.ConvTranspose2d, cells: Tensor) -> Tensor:
    """A transposed convolution of 2 x 2 with stride 2, [B, N, C] -> [B, 4N, C']: each cell becomes four that share
    nothing, so it is a product, and the four stay together."""
    count, c = cells.shape[1:]
    weight = up.weight.permute(0, 2, 3, 1).flatten(1)
    made = torch.addmm(torch.cat([up.bias] * 4), reshape(cells, -1, c), weight)
    return reshape(made, -1, 4 * count, weight.shape[1] // 4)


class Decoder(nn.Module):
    """`MaskDecoder.predict_masks` on prompt embeddings, with the dense positional encoding as a constant.

    image_embeddings [1, C, h, w], sparse_prompt_embeddings [B, N, C], dense_prompt_embeddings [1 or B, C, h, w],
    wanted_masks [B, M, 5] -> low_res_masks [B, M, 4h, 4w], iou_predictions [B, 4]

    Each row of `wanted_masks` has a 1 for the mask that it stands for and else 0: one of the decoder's four, or (the last)
    that of the candidates 1 to 3 with the highest predicted IoU, of equals the first.
    """

    def __init__(self, decoder: nn.Module, image_pe: Tensor):
        super().__init__()
        self.decoder = decoder
        self.channels, self.h, self.w = image_pe.shape[1:]
        self.register_buffer("key_pe", image_pe.flatten(2).permute(0, 2, 1).contiguous())
        self.register_buffer("output_tokens", torch.cat(self.tokens())[None])
        self.register_buffer("places", torch.eye(len(decoder.output_hypernetworks_mlps)))

    def tokens(self) -> list:
        return [self.decoder.iou_token.weight, self.decoder.mask_tokens.weight]

    def attended(self, image_embeddings: Tensor, sparse: Tensor, dense: Tensor):
        """Output tokens [B, N, C] and the cells of the image [B, h * w, C] after the transformer."""
        c, h, w = self.channels, self.h, self.w
        # One copy of the output tokens for each object, without asking for the batch's size.
        per_object = self.output_tokens + 0.0 * sparse.sum(dim=1, keepdim=True)
        tokens = torch.cat([per_object, sparse], dim=1)
        keys = reshape(image_embeddings + dense, -1, c, h * w).permute(0, 2, 1)
        return transform(self.decoder.transformer, keys, tokens, self.key_pe)

    def picture(self, keys: Tensor) -> Tensor:
        """[B, h * w, C] -> [B, C, h, w]"""
        return reshape(keys.transpose(1, 2), -1, self.channels, self.h, self.w)

    def weights(self, mlps: list, queries: Tensor, first: int) -> Tensor:
        """What each MLP makes of its token, from the token `first` on: [B, masks, C / 8]."""
        return torch.stack([mlp(queries[:, first + i]) for i, mlp in enumerate(mlps)], dim=1)

    def rows(self, wanted: Tensor, iou: Tensor) -> Tensor:
        """`wanted_masks` with the best candidate as one of the four: [B, M, 4]."""
        count = len(self.places)
        best, highest = self.places[1], iou[:, 1:2]
        for i in range(2, count):
            better = iou[:, i : i + 1] > highest
            best = torch.where(better, self.places[i], best)
            highest = torch.where(better, iou[:, i : i + 1], highest)
        return wanted[:, :, :count] + wanted[:, :, count:] * best.unsqueeze(1)

    def wanted_weights(self, wanted: Tensor, iou: Tensor, queries: Tensor, first: int) -> Tensor:
        """[B, M, C / 8]"""
        return self.rows(wanted, iou) @ self.weights(list(self.decoder.output_hypernetworks_mlps), queries, first)

    def masks(self, weights: Tensor, upscaled: Tensor) -> Tensor:
        """Weights [B, M, C / 8] on an up-sampled picture [B, C / 8, 4h, 4w]: [B, M, 4h, 4w]."""
        h, w = 4 * self.h, 4 * self.w
        return reshape(weights @ reshape(upscaled, -1, self.channels // 8, h * w), 0, -1, h, w)

    def forward(self, image_embeddings: Tensor, sparse: Tensor, dense: Tensor, wanted: Tensor):
        queries, cells = self.attended(image_embeddings, sparse, dense)
        first, norm, gelu, second, _ = self.decoder.output_upscaling
        cells = nn.functional.layer_norm(divide(first, cells), norm.weight.shape, norm.weight, norm.bias, norm.eps)
        cells = gelu(divide(second, gelu(cells)))
        iou = self.decoder.iou_prediction_head(queries[:, 0])
        masks = self.wanted_weights(wanted, iou, queries, 1) @ cells.transpose(1, 2)
        # Cells of cells of cells, to rows and columns.
        masks = reshape(masks, 0, -1, self.h, self.w, 2, 2, 2, 2).permute(0, 1, 2, 4, 6, 3, 5, 7)
        return reshape(masks, 0, -1, 4 * self.h, 4 * self.w), iou


class DecoderHQ(Decoder):
    """`MaskDecoderHQ`: its own mask, from features of an early layer of the encoder, is added to each of SAM's."""

    def tokens(self) -> list:
        return [*super().tokens(), self.decoder.hf_token.weight]

    def forward(self, image_embeddings: Tensor, hq_features: Tensor, sparse: Tensor, dense: Tensor, wanted: Tensor):
        queries, cells = self.attended(image_embeddings, sparse, dense)
        upscaled = self.decoder.output_upscaling(self.picture(cells))
        iou = self.decoder.iou_prediction_head(queries[:, 0])
        masks = self.masks(self.wanted_weights(wanted, iou, queries, 1), upscaled)
        fine = self.decoder.embedding_maskfeature(upscaled) + hq_features
        own = self.weights([self.decoder.hf_mlp], queries, 1 + len(self.places))
        return masks + self.masks(own, fine), iou


class EncoderHQ(nn.Module):
    """image [1, 3, S, S] -> image_embeddings [1, C, h, w], hq_features [1, C / 8, 4h, 4w]"""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder, self.embedding_encoder = encoder, decoder.embedding_encoder
        self.compress_vit_feat = decoder.compress_vit_feat

    def forward(self, image: Tensor):
        embedding, early = self.encoder(image)
        return embedding, self.embedding_encoder(embedding) + self.compress_vit_feat(early[0].permute(0, 3, 1, 2))
