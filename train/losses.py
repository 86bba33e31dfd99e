"""Training losses of masks, predicted IoU and affinity."""
import torch
import torch.nn.functional as F


def mask_losses(logits, truths):
    """logits [P,C,128,128], truths [P,T,128,128] in 0..1 -> loss [P,C,T], true IoU [P,C,T]."""
    logits, truths = logits.flatten(2), truths.flatten(2).transpose(1, 2)
    probability = logits.sigmoid()
    pixels = logits.shape[2]
    # BCE with logits and dice as matrix products: logits are read once for any number of truths
    bce = (F.softplus(logits).sum(2, keepdim=True) - logits @ truths) / pixels
    area = truths.sum(1, keepdim=True)
    dice = 1 - (2 * probability @ truths + 1) / (probability.sum(2, keepdim=True) + area + 1)
    with torch.no_grad():
        hard, hard_truths = (logits > 0).to(logits.dtype), (truths > 0.5).to(logits.dtype)
        common = hard @ hard_truths
        iou = common / (hard.sum(2, keepdim=True) + hard_truths.sum(1, keepdim=True) - common).clamp(min=1)
    return 2 * bce + dice, iou


def several_answers(loss):
    """loss [P,3,2] of three candidates for two right answers -> [P], the lowest loss with a different candidate for each."""
    pairs = [loss[:, i, 0] + 0.5 * loss[:, j, 1] for i in range(3) for j in range(3) if i != j]
    return torch.stack(pairs, 1).min(1).values / 1.5


def prompt_loss(logits, predicted_iou, truths, candidates=1.0):
    """Loss of the single mask, of the best of three candidates, and of the predicted IoU of all four.

    The other candidates count a little, so that each of them keeps learning. truths [P,2,128,128]: the target mask and a
    second right answer, or the target mask twice.
    """
    loss, iou = mask_losses(logits, truths)
    loss, iou = loss.float(), iou[..., 0].float()
    three = loss[:, 1:]
    two = (truths[:, 0] != truths[:, 1]).flatten(1).any(1)
    best = torch.where(two, several_answers(three), three[..., 0].min(1).values) + 0.05 * three[..., 0].mean(1)
    return (loss[:, 0, 0] + candidates * best + 0.5 * score_loss(predicted_iou, iou)).mean(), iou


def score_loss(predicted, iou):
    """Loss [P] of the predicted IoU (nearly L1, so that outliers weigh little) and of the order of the three candidates."""
    value = F.smooth_l1_loss(predicted, iou, reduction="none", beta=0.05).sum(1)
    target = (iou[:, 1:] * 10).softmax(1)
    order = -(target * (predicted[:, 1:] * 10).log_softmax(1)).sum(1)
    return value + 0.1 * order


def affinity_loss(affinity, regions, anchors=32):
    """Loss of the affinity between random anchor pixels and all pixels; no prompt is involved.

    The first half of the heads learns whether two pixels belong to one object, the second half whether they belong to
    one part. affinity [B,128,64,64], regions [B,64,64] with object * 8 + part, -1 for padding.
    """
    regions = regions.flatten(1)
    count, pixels = regions.shape
    anchor = torch.randint(0, pixels, (count, anchors), device=regions.device)
    queries, keys = affinity.flatten(2).split(affinity.shape[1] // 2, 1)
    channels = queries.shape[1]
    queries = queries.gather(2, anchor[:, None].expand(-1, channels, -1))
    valid = ((regions.gather(1, anchor) >= 0)[..., None] & (regions >= 0)[:, None]).float()
    total = 0
    for heads, region in ((slice(0, channels // 2), regions // 8), (slice(channels // 2, channels), regions)):
        logits = torch.bmm(queries[:, heads].transpose(1, 2), keys[:, heads]) * 0.25
        same = (region.gather(1, anchor)[..., None] == region[:, None]).float()
        error = (F.softplus(logits) - logits * same) * valid
        total = total + (error * same).sum(2) / ((same * valid).sum(2) + 1)
        total = total + (error * (1 - same)).sum(2) / (((1 - same) * valid).sum(2) + 1)
    return total.mean() / 4
