"""The mask decoders of SAM and SAM-HQ on prompt embeddings. No shape is computed from an input.

Most of the work of a decoder is products of the 4096 cells of the image with weights. Two changes reduce this work; they
change only the order of sums:

- In the first layer all objects without a mask prompt share the same image, so its projections are computed once:
  batches of 1 and of B broadcast.
- In later layers each object has its own image, and fewer tokens than the 16 channels of a head. The projection of the
  image is folded into the tokens, q (W k) = (q W) k, which halves the work for a click or a box. With more than 16
  tokens, folding takes more work than the projection.
"""

import torch
from torch import Tensor, nn

from .graphs import reshape


class Attention:
    """`Attention` of segment_anything/modeling/transformer.py, between tokens and the cells of an image.

    Queries are scaled before the product, which keeps its values small in half precision.
    """

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
        """Splits the weights of a projection by head: [heads * depth, C] -> [heads, depth, C]"""
        return weight.reshape(self.heads, self.depth, -1)

    def fold(self, x: Tensor, weight: Tensor) -> Tensor:
        """Multiplies each head by its part of a projection: [B, heads, N, depth] -> [B, heads * N, C]"""
        return reshape(x @ self.by_head(weight), 0, -1, weight.shape[1])

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        m = self.module
        q, k, v = self.separate(m.q_proj(q) * self.scale), self.separate(m.k_proj(k)), self.separate(m.v_proj(v))
        return self.join(torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v)

    def attend_to_image(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """`attend` for tokens as queries and many image cells as keys and values.

        The bias of k adds the same value to all cells, which softmax ignores.
        """
        m = self.module
        q = self.fold(self.separate(m.q_proj(q) * self.scale), m.k_proj.weight)
        attended = torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v
        attended = reshape(attended, 0, self.heads, -1, v.shape[-1]) @ self.by_head(m.v_proj.weight).transpose(-1, -2)
        return self.join(attended + m.v_proj.bias.reshape(self.heads, 1, self.depth))

    def attend_to_tokens(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """`attend` for many image cells as queries and tokens as keys and values."""
        m, cells = self.module, q.shape[1]
        k, v = self.separate(m.k_proj(k) * self.scale), self.separate(m.v_proj(v))
        # The product of the bias of q with each token.
        bias = reshape(k @ m.q_proj.bias.reshape(self.heads, self.depth, 1), 0, 1, -1)
        weights = q @ self.fold(k, m.q_proj.weight).transpose(-1, -2) + bias
        weights = reshape(torch.softmax(reshape(weights, 0, cells, self.heads, -1), dim=-1), 0, cells, -1)
        # The weights of each head sum to 1, so the heads together add the whole bias.
        out = self.fold(v, m.out_proj.weight.t()) + m.out_proj.bias / self.heads
        return weights @ out


def layer(block: nn.Module, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor, shared: bool):
    """`TwoWayAttentionBlock.forward`. `shared`: all objects may share the image."""
    tokens = Attention(block.self_attn)
    if block.skip_first_layer_pe:
        queries = tokens.attend(queries, queries, queries)
    else:
        q = queries + query_pe
        queries = queries + tokens.attend(q, q, queries)
    queries = block.norm1(queries)
    image, cells = Attention(block.cross_attn_token_to_image), keys + key_pe
    attend = image.attend if shared else image.attend_to_image
    queries = block.norm2(queries + attend(queries + query_pe, cells, keys))
    queries = block.norm3(queries + block.mlp(queries))
    attended = Attention(block.cross_attn_image_to_token).attend_to_tokens(cells, queries + query_pe, queries)
    return queries, block.norm4(keys + attended)


def transform(transformer: nn.Module, keys: Tensor, tokens: Tensor, key_pe: Tensor):
    """`TwoWayTransformer.forward`; keys [1 or B, h * w, C], tokens [B, N, C]."""
    queries = tokens
    for number, block in enumerate(transformer.layers):
        queries, keys = layer(block, queries, keys, tokens, key_pe, shared=number == 0)
    final = Attention(transformer.final_attn_token_to_image)
    attended = final.attend_to_image(queries + tokens, keys + key_pe, keys)
    return transformer.norm_final_attn(queries + attended), keys


def divide(up: nn.ConvTranspose2d, cells: Tensor) -> Tensor:
    """A transposed convolution of 2 x 2 with stride 2 as a matrix product: [B, N, C] -> [B, 4N, C'].

    Each cell becomes four cells that do not overlap with others. The four cells stay adjacent in the result.
    """
    count, c = cells.shape[1:]
    weight = up.weight.permute(0, 2, 3, 1).flatten(1)
    divided = torch.addmm(torch.cat([up.bias] * 4), reshape(cells, -1, c), weight)
    return reshape(divided, -1, 4 * count, weight.shape[1] // 4)


class Decoder(nn.Module):
    """`MaskDecoder.predict_masks` on prompt embeddings, with the dense positional encoding as a constant.

    image_embeddings [1, C, h, w], sparse_prompt_embeddings [B, N, C], dense_prompt_embeddings [1 or B, C, h, w],
    wanted_masks [B, M, 5] -> low_res_masks [B, M, 4h, 4w], iou_predictions [B, 4]

    Each row of `wanted_masks` selects one mask with a 1, all other entries are 0: entries 0 to 3 select a mask of the
    decoder, entry 4 selects the candidate (1 to 3) with the highest predicted IoU, the first of equal candidates.
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
        # Copies the output tokens for each object without reading the batch size.
        per_object = self.output_tokens + 0.0 * sparse.sum(dim=1, keepdim=True)
        tokens = torch.cat([per_object, sparse], dim=1)
        keys = reshape(image_embeddings + dense, -1, c, h * w).permute(0, 2, 1)
        return transform(self.decoder.transformer, keys, tokens, self.key_pe)

    def picture(self, keys: Tensor) -> Tensor:
        """Arranges cells as a picture: [B, h * w, C] -> [B, C, h, w]"""
        return reshape(keys.transpose(1, 2), -1, self.channels, self.h, self.w)

    def weights(self, mlps: list, queries: Tensor, first: int) -> Tensor:
        """The output of each MLP for its token, starting with token `first`: [B, masks, C / 8]."""
        return torch.stack([mlp(queries[:, first + i]) for i, mlp in enumerate(mlps)], dim=1)

    def rows(self, wanted: Tensor, iou: Tensor) -> Tensor:
        """`wanted_masks` with entry 4 added to the entry of the best candidate: [B, M, 4]."""
        count = len(self.places)
        best, highest = self.places[1], iou[:, 1:2]
        for i in range(2, count):
            better = iou[:, i : i + 1] > highest
            best = torch.where(better, self.places[i], best)
            highest = torch.where(better, iou[:, i : i + 1], highest)
        return wanted[:, :, :count] + wanted[:, :, count:] * best.unsqueeze(1)

    def wanted_weights(self, wanted: Tensor, iou: Tensor, queries: Tensor, first: int) -> Tensor:
        """The hypernetwork weights of the wanted masks: [B, M, C / 8]."""
        return self.rows(wanted, iou) @ self.weights(list(self.decoder.output_hypernetworks_mlps), queries, first)

    def masks(self, weights: Tensor, upscaled: Tensor) -> Tensor:
        """Masks [B, M, 4h, 4w] from weights [B, M, C / 8] and an upsampled picture [B, C / 8, 4h, 4w]."""
        h, w = 4 * self.h, 4 * self.w
        return reshape(weights @ reshape(upscaled, -1, self.channels // 8, h * w), 0, -1, h, w)

    def forward(self, image_embeddings: Tensor, sparse: Tensor, dense: Tensor, wanted: Tensor):
        queries, cells = self.attended(image_embeddings, sparse, dense)
        first, norm, gelu, second, _ = self.decoder.output_upscaling
        cells = nn.functional.layer_norm(divide(first, cells), norm.weight.shape, norm.weight, norm.bias, norm.eps)
        cells = gelu(divide(second, gelu(cells)))
        iou = self.decoder.iou_prediction_head(queries[:, 0])
        masks = self.wanted_weights(wanted, iou, queries, 1) @ cells.transpose(1, 2)
        # Arranges cells, divided twice, in rows and columns.
        masks = reshape(masks, 0, -1, self.h, self.w, 2, 2, 2, 2).permute(0, 1, 2, 4, 6, 3, 5, 7)
        return reshape(masks, 0, -1, 4 * self.h, 4 * self.w), iou


class DecoderHQ(Decoder):
    """`MaskDecoderHQ`: the HQ mask, from features of an early encoder layer, is added to each mask of SAM."""

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
