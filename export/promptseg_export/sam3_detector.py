"""The detector of SAM 3: the objects of one phrase, from the levels of the image tower and the features of the phrase."""

import math

import torch
from torch import Tensor, nn
from transformers import Sam3Model
from transformers.models.sam3.modeling_sam3 import box_cxcywh_to_xyxy, inverse_sigmoid

from .sam3_towers import attend, level_positions, padding_bias, self_attention


class Detector(nn.Module):
    """level_0, level_1, level_2 [1, C, side, side], features [1, T, C], token_mask [1, T] (1: token, 0: padding) ->
    logits [1, Q]; boxes [1, Q, 4], corners relative to the image; masks [1, Q, M, M], logits; presence [1, 1], a logit.

    The levels are those of `ImageTower`. M is the side of level_0. The features of padding have no effect.
    """

    outputs = ("logits", "boxes", "masks", "presence")

    def __init__(self, network: Sam3Model, grid: int):
        super().__init__()
        self.encoder, self.decoder = network.detr_encoder.layers, network.detr_decoder
        self.scoring, self.masks, self.grid = network.dot_product_scoring, network.mask_decoder, grid
        self.doubled = nn.ModuleList(Doubled(layer.weight) for layer in self.masks.pixel_decoder.conv_layers[:2])
        self.register_buffer("positions", level_positions(network, grid), persistent=False)
        self.register_buffer("cells", torch.arange(grid, dtype=torch.float32)[None, None, :, None] / grid, persistent=False)
        with torch.no_grad():
            boxes = self.decoder.reference_points.weight.sigmoid()[None].clone()
        self.register_buffer("first_boxes", boxes, persistent=False)

    def forward(self, level_0: Tensor, level_1: Tensor, level_2: Tensor, features: Tensor, token_mask: Tensor) -> tuple:
        bias = padding_bias(token_mask)
        image = self.encode(level_2.flatten(2).transpose(1, 2), features, bias)
        queries, boxes, presence = self.decode(image, features, bias)
        pooled = self.scoring.text_mlp_out_norm(self.scoring.text_mlp(features) + features)
        pooled = token_mask[:, None] @ pooled / token_mask.sum(dim=1)[:, None, None].clamp(min=1)
        logits = self.scoring.query_proj(queries) @ self.scoring.text_proj(pooled).transpose(1, 2) * self.scoring.scale
        most = self.scoring.clamp_max_val
        masks = self.segment(queries, image, (level_0, level_1), features, bias)
        return logits[..., 0].clamp(-most, most), box_cxcywh_to_xyxy(boxes), masks, presence

    def encode(self, x: Tensor, features: Tensor, bias: Tensor) -> Tensor:
        """`Sam3DetrEncoder` on x [1, L, C], which the image tower took through the first self-attention."""
        for number, layer in enumerate(self.encoder):
            if number > 0:
                x = self_attention(layer, x, self.positions)
            x = x + attend(layer.cross_attn, layer.layer_norm2(x), features, features, bias)
            x = x + layer.mlp(layer.layer_norm3(x))
        return x

    def decode(self, image: Tensor, features: Tensor, bias: Tensor) -> tuple:
        """`Sam3DetrDecoder`: queries [1, Q, C], boxes [1, Q, 4] as centre and size, and presence [1, 1]."""
        decoder, boxes = self.decoder, self.first_boxes
        x = torch.cat([decoder.presence_token.weight, decoder.query_embed.weight])[None]
        keys = image + self.positions
        for layer in decoder.layers:
            # The presence token, the first row, has no position.
            position = nn.functional.pad(decoder.ref_point_head(decoder.position_encoding.encode_boxes(boxes)), (0, 0, 1, 0))
            near = nn.functional.pad(self.nearness(boxes), (0, 0, 1, 0))
            query = x + position
            x = layer.self_attn_layer_norm(x + attend(layer.self_attn, query, query, x))
            x = layer.text_cross_attn_layer_norm(x + attend(layer.text_cross_attn, x + position, features, features, bias))
            x = layer.vision_cross_attn_layer_norm(x + attend(layer.vision_cross_attn, x + position, keys, image, near))
            x = layer.mlp_layer_norm(x + layer.mlp(x))
            queries = decoder.output_layer_norm(x[:, 1:])
            boxes = torch.sigmoid(decoder.box_head(queries) + inverse_sigmoid(boxes))
        most = decoder.clamp_presence_logit_max_val
        presence = decoder.presence_head(decoder.presence_layer_norm(x[:, :1]))[..., 0]
        return queries, boxes, presence.clamp(-most, most)

    def nearness(self, boxes: Tensor) -> Tensor:
        """`_get_rpb_matrix`: the bias of the attention of boxes [1, Q, 4] to the cells of the image, [1, heads, Q, L]."""
        corners = box_cxcywh_to_xyxy(boxes)
        sides = []
        for first, embed in ((0, self.decoder.box_rpb_embed_x), (1, self.decoder.box_rpb_embed_y)):
            distances = 8 * (self.cells - corners[:, :, None, first::2])
            distances = torch.sign(distances) * torch.log2(distances.abs() + 1) / math.log2(8)
            sides.append(embed(distances).permute(0, 3, 1, 2))
        return (sides[1][..., None] + sides[0][..., None, :]).flatten(3)

    def segment(self, queries: Tensor, image: Tensor, finer: tuple, features: Tensor, bias: Tensor) -> Tensor:
        """`Sam3MaskDecoder`: the masks of the queries, [1, Q, M, M]."""
        masks, pixels = self.masks, self.masks.pixel_decoder
        image = image + attend(masks.prompt_cross_attn, masks.prompt_cross_attn_norm(image), features, features, bias)
        x = image.transpose(1, 2).reshape(1, -1, self.grid, self.grid)
        for level, convolution, norm in zip(reversed(finer), self.doubled, pixels.norms):
            x = torch.relu(norm(convolution(x) + level))
        # The projection is applied to the queries, which are fewer than the pixels.
        embedded, projection, side = masks.mask_embedder(queries), masks.instance_projection, finer[0].shape[-1]
        logits = embedded @ projection.weight[..., 0, 0] @ x.flatten(2) + embedded @ projection.bias[:, None]
        return logits.reshape(1, -1, side, side)


class Doubled(nn.Module):
    """x [1, I, H, W] -> [1, O, 2 H, 2 W]: repeats each pixel in a square of four, and convolves by `weight` [O, I, 3, 3].

    The pixels of each corner of the squares see two by two pixels of x: four products instead of nine.
    """

    def __init__(self, weight: Tensor):
        super().__init__()
        with torch.no_grad():
            first, second, third = weight.unbind(2)
            rows = ((first, second + third), (first + second, third))
            corners = []
            for upper, lower in rows:
                row = torch.stack((upper, lower), dim=2)
                left, middle, right = row.unbind(3)
                corners += [torch.stack((left, middle + right), dim=3), torch.stack((left + middle, right), dim=3)]
            self.weight = nn.Parameter(torch.cat(corners), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        # Row i of the result sees the rows i - 1 and i of x: the lower corners are one row further, the right ones one column.
        corners = nn.functional.conv2d(x, self.weight, padding=1).reshape(4, -1, height + 1, width + 1)
        rows = []
        for lower in (0, 1):
            left = corners[2 * lower, :, lower : lower + height, :width]
            right = corners[2 * lower + 1, :, lower : lower + height, 1:]
            rows.append(torch.stack((left, right), dim=3).reshape(-1, height, 1, 2 * width))
        return torch.cat(rows, dim=2).reshape(1, -1, 2 * height, 2 * width)
