"""What must be true of each row. A check is True, or the reason in words why it failed."""

from __future__ import annotations

import plan
from plan import Subject

# Largest difference of the logits as a part of their range, and smallest overlap of the masks with those of fp32 on the CPU. The limits
# of half precision are those of the node's own check.
EXACT, HALF = (0.01, 0.99), (0.05, 0.9)
# Largest difference of a mean IoU on the drawn scenes from that of the CPU.
ACCURACY = 0.01
TIMES = ("load_ms", "preprocess_ms", "encode_ms", "decode_ms", "postprocess_ms", "second_click_ms", "peak_rss_mb", "gpu_mb")
SCORES = ("click1", "click1_oracle", "box", "click3")


def of_bench(values: dict, subject: Subject, provider: str, precision: str) -> dict:
    verdicts = {
        "provider": on_provider(values, provider),
        "precision": in_precision(values, subject, precision),
        "parity": like_cpu(values),
        "numbers": complete(values, subject),
    }
    if provider == "tensorrt":
        verdicts["engines"] = engines_kept(values)
    return verdicts


def on_provider(values: dict, provider: str) -> bool | str:
    elsewhere = [f"{part} on {found['provider']}" for part, found in values["parts"].items() if found["provider"] != provider]
    return not elsewhere or f"{', '.join(elsewhere)}, expected {provider}: {'; '.join(values['refused']) or 'no reason given'}"


def in_precision(values: dict, subject: Subject, asked: str) -> bool | str:
    expected = "fp16" if asked == "auto" and subject.has_half() else "fp32"
    found = {part: values["parts"][part]["precision"] for part in ("encoder", "decoder")}
    wrong = [f"{part} in {precision}" for part, precision in found.items() if precision != expected]
    return not wrong or f"{', '.join(wrong)}, expected {expected}: {'; '.join(values['refused']) or 'no reason given'}"


def like_cpu(values: dict) -> bool | str:
    parity = values.get("parity") or {}
    if not {"logits", "mask_iou"} <= parity.keys():
        return "not compared with the CPU"
    half = any(part["precision"] == "fp16" for part in values["parts"].values())
    apart, overlap = HALF if half else EXACT
    if parity["logits"] <= apart and parity["mask_iou"] >= overlap:
        return True
    return f"logits differ by {parity['logits']} of their range (at most {apart}), masks overlap by {parity['mask_iou']} (at least {overlap})"


def complete(values: dict, subject: Subject) -> bool | str:
    numbers = {key: values.get(key) for key in TIMES}
    numbers |= {f"{n} boxes": (values.get("boxes_ms") or {}).get(str(n)) for n in plan.BOXES}
    if subject.has_memory():
        numbers["track"] = (values.get("track") or {}).get("frame_ms")
    missing = [name for name, value in numbers.items() if not (isinstance(value, (int, float)) and value > 0)]
    return not missing or f"no value for {', '.join(missing)}"


def engines_kept(values: dict) -> bool | str:
    built, kept = values["engines"]["built"], values["engines"]["kept"]
    unkept = [part for part, found in values["parts"].items() if not found["engines_kept"]]
    if built and kept == built and not unkept and not values["notes"]:
        return True
    return f"the second start kept {kept} of {built} engines; not on disk: {unkept}; {'; '.join(values['notes'])}"


def of_choice(values: dict) -> dict:
    untimed = [part for part, timings in values["timings"].items() if not {*plan.PROVIDERS} <= timings.keys()]
    return {"timed": not untimed or f"{', '.join(untimed)} not timed on {' and '.join(plan.PROVIDERS)}: {'; '.join(values['refused'])}"}


def of_accuracy(values: dict, cpu: dict) -> dict:
    if not cpu:
        return {"accuracy": "the CPU's was not measured"}
    apart = {key: abs(values[key] - cpu[key]) for key in SCORES if key in values and key in cpu}
    far = [f"{key} {values[key]}, on the CPU {cpu[key]}" for key, difference in apart.items() if difference > ACCURACY]
    return {"accuracy": bool(apart) and not far or "; ".join(far) or "no score"}


def of_inspect(values: dict) -> dict:
    found = {entry["provider"]: entry for entry in values["providers"]}
    refused = [f"{name}: {found.get(name, {}).get('reason')}" for name in plan.PROVIDERS if not found.get(name, {}).get("runs")]
    return {"opens": not refused or "; ".join(refused)}
