"""The network: image encoder, prompt maps and tokens, two-way mask decoder; 2.3 million parameters.

The three parts follow SAM (Kirillov et al. 2023, sections 3 and A), at a small size for a 256-pixel square:

    ImageEncoder   [B,3,256,256]                      -> Features, once per image
    PromptEncoder  points, labels, mask, has_mask     -> Prompts, per object
    MaskDecoder    Features, Prompts                  -> logits [P,4,128,128], IoU [P,4]

Three differences from SAM make the network learn several times faster: prompts are also drawn as maps at 1/16 and 1/4;
the encoder has a top-down path to 1/4; the encoder returns affinity maps, from which the decoder reads whether a pixel
belongs to the same object as the prompted pixels.
"""
import contextlib
import math
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F

IMAGE_SIZE = 256
LOW_RES = 128          # side of the logits
GRID = 16              # side of the token grid, 1/16
QUARTER = 64           # side of the fine feature maps, 1/4
DIM = 128              # channels of a token
FINE = 40              # channels of the encoder's map at 1/4
HALF = 16              # channels of the encoder's map at 1/2
MIX = 24               # channels of the decoder at 1/4
HEADS = 8              # affinity heads, each 8 channels
MASKS = 4              # one single mask, three candidates
PAD, BACKGROUND, FOREGROUND, TOP_LEFT, BOTTOM_RIGHT = -1, 0, 1, 2, 3


class Features(NamedTuple):
    """Outputs of the image encoder, under the names of the tensors in the bundle."""
    image_embeddings: torch.Tensor    # [B,128,16,16]
    high_res_feats_0: torch.Tensor    # [B,16,128,128]
    high_res_feats_1: torch.Tensor    # [B,40,64,64]
    affinity: torch.Tensor            # [B,128,64,64], first half queries, second half keys


class Prompts(NamedTuple):
    """Outputs of the prompt encoder."""
    tokens: torch.Tensor      # [P,N,128]
    pad_bias: torch.Tensor    # [P,N], 0 for a prompt, very negative for padding
    dense: torch.Tensor       # [P,128,16,16]
    maps: torch.Tensor        # [P,6,64,64]: negative clicks, positive clicks, quadrants of the two corners, box, mask input
    seeds: torch.Tensor       # [P,2,4096], weights of the pixels that show the object, and of those that show its surroundings


def conv(inputs, outputs, kernel=3, stride=1, activate=True):
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.05),
    ]
    if activate:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Gelu(nn.GELU):
    def forward(self, x):
        if not torch.compiler.is_exporting():
            return super().forward(x)
        return x * (torch.erf(x / math.sqrt(2)) + 1) * 0.5          # ONNX Runtime fuses this order of operators


def mlp(inputs, hidden, outputs):
    return nn.Sequential(nn.Linear(inputs, hidden), Gelu(), nn.Linear(hidden, outputs))


def upsample(x, times, mode="bilinear"):
    return F.interpolate(x, scale_factor=float(times), mode=mode, align_corners=False if mode == "bilinear" else None)


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = conv(channels, channels)
        self.second = conv(channels, channels, activate=False)
        nn.init.zeros_(self.second[1].weight)      # starts as the identity

    def forward(self, x):
        return F.relu(x + self.second(self.first(x)))


class ImageNorm(nn.GroupNorm):
    """Normalises all channels and pixels of an image together."""

    def __init__(self, channels):
        super().__init__(1, channels)

    def forward(self, x):
        if not torch.compiler.is_exporting():
            return super().forward(x)
        x = x - x.mean((1, 2, 3), keepdim=True)
        x = x * torch.rsqrt((x * x).mean((1, 2, 3), keepdim=True) + self.eps)
        return x * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class Attention(nn.Module):
    def __init__(self, dim, inner, heads=4):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(dim, inner) for _ in range(3))
        self.out = nn.Linear(inner, dim)
        self.key.weight.data.copy_(self.query.weight.data)     # starts as a similarity kernel

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, query, key, value, bias=None):
        q, k, v = self.split(self.query(query)), self.split(self.key(key)), self.split(self.value(value))
        if torch.compiler.is_exporting():           # the exported fused operator would compute shapes
            scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
            y = (scores if bias is None else scores + bias).softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out(y.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention, self.mlp = Attention(dim, dim), mlp(dim, 3 * dim, dim)

    def forward(self, x):
        n = self.norm1(x)
        x = x + self.attention(n, n, n)
        return x + self.mlp(self.norm2(x))


class ImageEncoder(nn.Module):
    """A small ResNet down to 1/16, four transformer blocks at 1/16, and a top-down path back to 1/4."""

    def __init__(self):
        super().__init__()
        self.stage2 = nn.Sequential(conv(3, 24, 3, 2), conv(24, 24))
        self.stage4 = nn.Sequential(conv(24, 32, 3, 2), Residual(32), Residual(32))
        self.stage8 = nn.Sequential(conv(32, 64, 3, 2), Residual(64), Residual(64))
        self.stage16 = nn.Sequential(conv(64, DIM, 3, 2), Residual(DIM), Residual(DIM))
        self.position = nn.Parameter(torch.randn(1, GRID * GRID, DIM) * 0.02)
        self.blocks = nn.Sequential(*[TransformerBlock(DIM) for _ in range(4)])
        self.norm = nn.LayerNorm(DIM)
        self.keep2 = nn.Conv2d(24, HALF, 1)
        self.keep4, self.keep8 = nn.Conv2d(32, FINE, 1), nn.Conv2d(64, 64, 1)
        self.down16, self.mix8 = nn.Conv2d(DIM, 64, 1), conv(64, 64)
        self.down8, self.mix4 = nn.Conv2d(64, FINE, 1), conv(FINE, FINE)
        self.affinity = nn.Conv2d(FINE, 2 * HEADS * 8, 1)

    def forward(self, image):
        """image: [B,3,256,256], normalised, letterbox padding 0."""
        c2 = self.stage2(image)
        c4 = self.stage4(c2)
        c8 = self.stage8(c4)
        c16 = self.stage16(c8)
        tokens = self.blocks(c16.flatten(2).transpose(1, 2) + self.position)
        embedding = self.norm(tokens).transpose(1, 2).unflatten(2, (GRID, GRID))
        p8 = self.mix8(self.keep8(c8) + upsample(self.down16(embedding), 2, "nearest"))
        p4 = self.mix4(self.keep4(c4) + upsample(self.down8(p8), 2, "nearest"))
        return Features(embedding, self.keep2(c2), p4, self.affinity(p4))


def prompt_maps(points, is_label, side, sigmas):
    """Draws prompts as maps [P,2*len(sigmas)+3,side,side].

    The maps: for each sigma the negative and the positive clicks as blobs; the quadrant below and right of the top-left
    corner; the quadrant above and left of the bottom-right corner; the product of the quadrants, the inside of the box.
    points: [P,N,2] pixels of the 256 square; is_label: four [P,N] tensors, 1.0 where a point has that label.
    """
    centre = (points + 0.5) / IMAGE_SIZE
    line = (torch.arange(side, device=points.device) + 0.5) / side
    dx, dy = line - centre[..., :1], line - centre[..., 1:]
    maps = []
    for sigma in sigmas:
        gx, gy = torch.exp(-dx ** 2 / (2 * sigma ** 2)), torch.exp(-dy ** 2 / (2 * sigma ** 2))
        for label in (BACKGROUND, FOREGROUND):
            maps.append(torch.bmm((gy * is_label[label][..., None]).transpose(1, 2), gx))
    for label, sign in ((TOP_LEFT, 1), (BOTTOM_RIGHT, -1)):
        sx, sy = torch.sigmoid(sign * dx * 2 * side), torch.sigmoid(sign * dy * 2 * side)
        maps.append(torch.bmm((sy * is_label[label][..., None]).transpose(1, 2), sx))
    maps.append(maps[-1] * maps[-2])
    return torch.stack(maps, 1)


class PromptEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("gaussian", torch.randn(2, DIM // 2))
        self.labels = nn.Parameter(torch.randn(4, DIM))
        self.no_mask = nn.Parameter(torch.zeros(1, DIM, 1, 1))
        self.coarse_maps = nn.Sequential(nn.Conv2d(7, 32, 1), Gelu(), nn.Conv2d(32, DIM, 1))
        self.mask = nn.Sequential(
            nn.Conv2d(1, 8, 2, 2), Gelu(), nn.Conv2d(8, 32, 2, 2), Gelu(), nn.Conv2d(32, DIM, 1))
        line = (torch.arange(GRID) + 0.5) / GRID
        y, x = torch.meshgrid(line, line, indexing="ij")
        self.register_buffer("grid", torch.stack([x, y], -1).view(1, GRID * GRID, 2), persistent=False)

    def positions(self, unit):
        """Random Fourier positions of coordinates in 0..1."""
        z = (2 * unit - 1) @ self.gaussian * (2 * math.pi)
        return torch.cat([z.sin(), z.cos()], -1)

    def grid_positions(self):
        return self.positions(self.grid)

    def forward(self, points, labels, mask, has_mask):
        """points [P,N,2] pixels, labels [P,N] float, mask [P,1,128,128] logits, has_mask [P]."""
        is_label = [(labels == i).to(points.dtype) for i in range(4)]
        real = (labels > -0.5).to(points.dtype)
        one_hot = torch.stack(is_label, -1)
        tokens = self.positions((points + 0.5) / IMAGE_SIZE) * real[..., None] + one_hot @ self.labels
        has = has_mask.view(-1, 1, 1, 1)
        previous = F.avg_pool2d(mask, 2).clamp(-16, 16) * has
        dense = self.mask(previous) * has + self.no_mask * (1 - has)
        dense = dense + self.coarse_maps(prompt_maps(points, is_label, GRID, (0.04, 0.12)))

        maps = prompt_maps(points, is_label, QUARTER, (0.012,))
        negative, positive, box = maps[:, 0:1], maps[:, 1:2], maps[:, 4:5]
        # Pixels to compare with: clicks; with a box, weakly, its inside (object) and a ring around it (surroundings).
        grow = (is_label[BOTTOM_RIGHT] - is_label[TOP_LEFT])[..., None] * 12
        ring = (prompt_maps(points + grow, is_label, QUARTER, ())[:, 2:3] - box).clamp(min=0)
        clicked = is_label[FOREGROUND].amax(1).view(-1, 1, 1, 1)
        like = positive + box * (1 - 0.9 * clicked) * 0.05
        unlike = negative + ring * 0.05
        seeds = torch.cat([like, unlike], 1).flatten(2)
        seeds = seeds / (seeds.sum(-1, keepdim=True) + 0.02)
        return Prompts(tokens, (real - 1) * 1e4, dense, torch.cat([maps, previous * 0.2], 1), seeds)


class TwoWayBlock(nn.Module):
    """Two-way attention of SAM: among tokens, from tokens to image, MLP, from image to tokens."""

    def __init__(self):
        super().__init__()
        self.among, self.to_image, self.to_tokens = Attention(DIM, DIM), Attention(DIM, DIM // 2), Attention(DIM, DIM // 2)
        self.mlp = mlp(DIM, 2 * DIM, DIM)
        self.norms = nn.ModuleList(nn.LayerNorm(DIM) for _ in range(4))

    def forward(self, tokens, image, token_position, image_position, bias):
        x = tokens + token_position
        tokens = self.norms[0](tokens + self.among(x, x, tokens, bias))
        key = image + image_position
        tokens = self.norms[1](tokens + self.to_image(tokens + token_position, key, image))
        tokens = self.norms[2](tokens + self.mlp(tokens))
        image = self.norms[3](image + self.to_tokens(key, tokens + token_position, tokens, bias))
        return tokens, image


def share(part, whole):
    """The share of `whole` [P,M,N] (or [P,1,N]) that lies in `part` [P,M,N]: [P,M,1]."""
    return (part * whole).sum(-1, keepdim=True) / (whole.sum(-1, keepdim=True) + 0.01)


class IouHead(nn.Module):
    """Predicts the IoU of each mask from the features under the mask.

    From the token alone, the head never learned to rank the candidates. Its inputs for each (detached) mask, at 1/8: the
    fine features and prompt maps averaged inside, outside and on both sides of the border; the area and the confidence
    of the mask; its agreement with the clicks, the box and the mask input; its IoU with the other masks.
    """
    POOLED = MIX + 2 * HEADS + 6
    STATISTICS = 5 + 6 + MASKS

    def __init__(self):
        super().__init__()
        self.pooled = nn.Linear(4 * self.POOLED + self.STATISTICS, DIM)
        self.token = nn.Linear(2 * DIM, DIM)
        self.among = nn.Sequential(Gelu(), nn.Linear(DIM, DIM))
        self.out = nn.Sequential(Gelu(), nn.Linear(DIM, DIM), Gelu(), nn.Linear(DIM, 1))

    def describe(self, logits, features, prompt_maps):
        """logits [P,4,128,128], features [P,POOLED,64,64], prompt_maps [P,6,64,64] -> [P,4,4*POOLED+STATISTICS]."""
        coarse = F.avg_pool2d(logits.detach(), 4)
        inside = coarse.sigmoid()
        grown, shrunk = F.max_pool2d(inside, 3, 1, 1), -F.max_pool2d(-inside, 3, 1, 1)
        regions = [part.flatten(2) for part in (inside, 1 - inside, inside - shrunk, grown - inside)]
        features = F.avg_pool2d(features.detach(), 2).flatten(2).transpose(1, 2)
        means = [part @ features / (part.sum(-1, keepdim=True) + 2.0) for part in regions]

        inside, coarse = regions[0], coarse.flatten(2)
        area = inside.mean(-1, keepdim=True)
        sure, likely, maybe = ((coarse - t).sigmoid().mean(-1, keepdim=True) for t in (2.0, 0.0, -2.0))
        undecided = (inside * (1 - inside)).mean(-1, keepdim=True)
        confidence = [
            area.sqrt(), torch.log(area + 0.001) * 0.3, (sure + 0.001) / (maybe + 0.001),
            (sure + 0.001) / (likely + 0.001), undecided / (area + 0.001)]
        negative, positive, _, _, box, previous = F.avg_pool2d(prompt_maps, 2).flatten(2).split(1, 1)
        previous = (previous * 5).clamp(min=0) / 16
        kept = [share(inside, negative), share(inside, positive), share(inside, box), share(box, inside),
                share(inside, previous), share(previous, inside)]
        common = inside @ inside.transpose(1, 2)
        own = inside.sum(-1, keepdim=True)
        agreement = common / (own + own.transpose(1, 2) - common + 1.0)
        return torch.cat([*means, *confidence, *kept, agreement], -1)

    def score(self, description, iou_token, mask_tokens):
        """description [P,4,...], iou_token [P,128], mask_tokens [P,4,128] -> [P,4]."""
        token = torch.cat([mask_tokens, iou_token[:, None].expand_as(mask_tokens)], -1)
        x = self.pooled(description) + self.token(token)
        return self.out(x + self.among(x).mean(1, keepdim=True)).squeeze(-1).sigmoid()

    def forward(self, logits, features, prompt_maps, iou_token, mask_tokens):
        return self.score(self.describe(logits, features, prompt_maps), iou_token, mask_tokens)


def add_image(prompted, image):
    """prompted [P,...] + image [B,...], prompts grouped by image (P = B * K). With one image, P is any number."""
    if image.shape[0] == 1:
        return prompted + image
    grouped = prompted.unflatten(0, (image.shape[0], -1)) + image[:, None]
    return grouped.flatten(0, 1)


def per_image(weights, image):
    """weights [P,2,4096] @ image [B,4096,C] -> [P,2,C], prompts grouped by image."""
    if image.shape[0] == 1:
        return weights @ image
    rows = weights.unflatten(0, (image.shape[0], -1)).flatten(1, 2)          # one matrix product per image is far faster
    return (rows @ image).unflatten(1, (-1, weights.shape[1])).flatten(0, 1)


def in_float32():
    """Turns mixed precision off: in bfloat16 the gradient of a dilated convolution was not finite."""
    mixed = not torch.compiler.is_exporting() and torch.is_autocast_enabled("cuda")
    return torch.autocast("cuda", enabled=False) if mixed else contextlib.nullcontext()


class MaskDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(1, 1 + MASKS, DIM) * 0.5)      # IoU, single mask, three candidates
        self.blocks = nn.ModuleList(TwoWayBlock() for _ in range(2))
        self.final, self.norm = Attention(DIM, DIM // 2), nn.LayerNorm(DIM)
        self.seed_token = nn.Linear(FINE, DIM)
        self.from16, self.from4 = nn.Conv2d(DIM, MIX, 1), nn.Conv2d(FINE, MIX, 1)
        self.from_maps = nn.Conv2d(6 + 2 * HEADS, MIX, 1)
        self.mix_norm = ImageNorm(MIX)
        self.mixers = nn.ModuleList(nn.Conv2d(MIX, MIX, 3, padding=d, dilation=d) for d in (1, 2, 1))
        self.to_half = nn.ConvTranspose2d(MIX, HALF, 2, 2)
        self.border = nn.Conv2d(HALF, HALF, 3, padding=1)       # refines mask borders with the features at 1/2
        nn.init.zeros_(self.border.weight)                      # starts as the identity
        nn.init.zeros_(self.border.bias)
        self.hyper = nn.ModuleList(mlp(DIM, DIM, HALF + 1) for _ in range(MASKS))
        self.iou = IouHead()

    def similarity(self, affinity, seeds):
        """Affinity of every pixel to the seed pixels: [P,2*HEADS,64,64]."""
        queries, keys = affinity.flatten(2).split(HEADS * 8, 1)
        at_seeds = per_image(seeds, queries.transpose(1, 2)).unflatten(2, (HEADS, 8))       # [P,2,H,8]
        keys = keys.unflatten(1, (HEADS, 8))                                                # [B,H,8,4096]
        if affinity.shape[0] == 1:
            maps = at_seeds.transpose(1, 2) @ keys                                          # [P,H,2,4096]
        else:
            grouped = at_seeds.unflatten(0, (affinity.shape[0], -1)).permute(0, 3, 1, 2, 4)  # [B,H,K,2,8]
            maps = (grouped.flatten(2, 3) @ keys).unflatten(2, (-1, 2)).transpose(1, 2).flatten(0, 1)
        return maps.flatten(1, 2).unflatten(2, (QUARTER, QUARTER))

    def masks(self, features, prompts, grid_positions):
        """Returns logits [P,4,128,128] and the other inputs of the IoU head."""
        like = self.similarity(features.affinity, prompts.seeds) * 0.2
        seeds = self.seed_token(per_image(prompts.seeds, features.high_res_feats_1.flatten(2).transpose(1, 2)))
        own = self.tokens + seeds[:, :1] * 0                      # one copy per prompt, without a shape operator
        token_position = torch.cat([own, seeds, prompts.tokens], 1)
        never_masked = torch.cat([own, seeds], 1)[..., 0] * 0
        bias = torch.cat([never_masked, prompts.pad_bias.to(own.dtype)], 1)[:, None, None]

        image = add_image(prompts.dense, features.image_embeddings).flatten(2).transpose(1, 2)
        tokens = token_position
        for block in self.blocks:
            tokens, image = block(tokens, image, token_position, grid_positions, bias)
        tokens = self.norm(tokens + self.final(tokens + token_position, image + grid_positions, image))

        x = self.from16(image.transpose(1, 2).unflatten(2, (GRID, GRID)))
        evidence = torch.cat([prompts.maps.to(like.dtype), like], 1)
        x = upsample(x, QUARTER // GRID) + self.from_maps(evidence)
        x = F.relu(self.mix_norm(add_image(x, self.from4(features.high_res_feats_1))))
        with in_float32():
            x = x.float()
            for mixer in self.mixers:
                x = x + F.relu(mixer(x))
        half = F.relu(add_image(self.to_half(x), features.high_res_feats_0))
        half = half + self.border(half)
        weights = torch.stack([self.hyper[i](tokens[:, 1 + i]) for i in range(MASKS)], 1)      # [P,4,17]
        logits = (weights[..., :HALF] @ half.flatten(2) + weights[..., HALF:]).unflatten(2, (LOW_RES, LOW_RES))
        return logits, (torch.cat([x, evidence], 1), prompts.maps, tokens[:, 0], tokens[:, 1:1 + MASKS])

    def forward(self, features, prompts, grid_positions):
        logits, head_inputs = self.masks(features, prompts, grid_positions)
        return logits, self.iou(logits, *head_inputs)


def best_first(logits, predicted_iou):
    """Replaces the single mask by the mask with the highest score of all four.

    For a box and for several clicks this mask is slightly better than the single mask. Masks with equal highest scores
    are averaged.
    """
    score = predicted_iou.amax(1, keepdim=True)
    best = (predicted_iou >= score).to(logits.dtype)
    best = (best / best.sum(1, keepdim=True))[:, None] @ logits.flatten(2)                     # [P,1,128*128]
    return torch.cat([best.unflatten(2, (LOW_RES, LOW_RES)), logits[:, 1:]], 1), torch.cat([score, predicted_iou[:, 1:]], 1)


class TinySam(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.prompts, self.decoder = ImageEncoder(), PromptEncoder(), MaskDecoder()

    def encode(self, image):
        return self.encoder(image)

    def decode(self, features, points, labels, mask=None, has_mask=None):
        """Returns the outputs of the bundle. Prompts of several images are grouped by image, the same number for each."""
        if mask is None:
            mask = points.new_zeros(points.shape[0], 1, LOW_RES, LOW_RES)
            has_mask = points.new_zeros(points.shape[0])
        prompts = self.prompts(points, labels, mask, has_mask)
        return best_first(*self.decoder(features, prompts, self.prompts.grid_positions()))
