"""What the network is trained on: masks, predicted IoU, and affinity."""
import torch
import torch.nn.functional as F


def mask_losses(logits, truth):
    """logits [P,C,128,128], truth [P,128,128] in 0..1 -> loss [P,C], true IoU [P,C]."""
    truth = truth[:, None]
    probability = logits.sigmoid()
    # BCE with logits, written so that the one sigmoid serves both losses
    bce = (F.softplus(logits) - logits * truth).mean((2, 3))
    overlap = (probability * truth).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum((2, 3)) + truth.sum((2, 3)) + 1)
    with torch.no_grad():
        hard, hard_truth = (logits > 0).float(), (truth > 0.5).float()
        common = (hard * hard_truth).sum((2, 3))
        iou = common / (hard.sum((2, 3)) + hard_truth.sum((2, 3)) - common).clamp(min=1)
    return 2 * bce + dice, iou


def prompt_loss(logits, predicted_iou, truth, candidates=1.0):
    """Single mask, best of the three candidates (the others a little, so that none dies), predicted IoU of all four."""
    loss, iou = mask_losses(logits, truth)
    three = loss[:, 1:]
    best = three.min(1).values + 0.05 * three.mean(1)
    ranking = F.mse_loss(predicted_iou, iou, reduction="none").sum(1)
    return (loss[:, 0] + candidates * best + ranking).mean(), iou


def affinity_loss(affinity, regions, anchors=32):
    """Without any prompt: does a pixel belong to the anchor's object (first heads), to its part (last heads)?

    affinity [B,128,64,64], regions [B,64,64] with object * 8 + part, -1 for padding.
    """
    regions = regions.flatten(1)
    count, pixels = regions.shape
    anchor = torch.randint(0, pixels, (count, anchors), device=regions.device)
    queries, keys = affinity.flatten(2).split(affinity.shape[1] // 2, 1)
    channels = queries.shape[1]
    queries = queries.gather(2, anchor[:, None].expand(-1, channels, -1))
    known = ((regions.gather(1, anchor) >= 0)[..., None] & (regions >= 0)[:, None]).float()
    total = 0
    for heads, region in ((slice(0, channels // 2), regions // 8), (slice(channels // 2, channels), regions)):
        logits = torch.bmm(queries[:, heads].transpose(1, 2), keys[:, heads]) * 0.25
        same = (region.gather(1, anchor)[..., None] == region[:, None]).float()
        error = (F.softplus(logits) - logits * same) * known
        total = total + (error * same).sum(2) / ((same * known).sum(2) + 1)
        total = total + (error * (1 - same)).sum(2) / (((1 - same) * known).sum(2) + 1)
    return total.mean() / 4
