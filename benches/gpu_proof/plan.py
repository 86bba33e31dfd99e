"""The rows of a proof: which model is measured on which provider, and in which precision."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "models/tiny"
# Name in the tables, family and model of promptseg-export.
EXPORTED = {
    "mobilesam": ("mobile-sam", "vit_tiny"),
    "edgetam": ("edgetam", "repvit_m1"),
    "sam2.1_tiny": ("sam2.1", "hiera_tiny"),
}
PROVIDERS = ("tensorrt", "cuda")
BOXES = (1, 4, 16, 64)


@dataclass(frozen=True)
class Subject:
    """A measured model."""

    name: str
    folder: Path

    def description(self) -> dict:
        return json.loads((self.folder / "bundle.json").read_text())

    def has_memory(self) -> bool:
        return "memory" in self.description()

    def has_half(self) -> bool:
        """Whether the bundle has an fp16 variant for GPUs."""
        variants = self.description().get("variants", [])
        return any(v["precision"] == "fp16" and {"tensorrt", "cuda"} <= set(v["providers"]) for v in variants)


def subjects(kit: Path | None) -> list[Subject]:
    folder = kit / "models" if kit else ROOT / "out/gpu-proof/models"
    return [Subject("tiny", TINY), *(Subject(name, folder / name) for name in EXPORTED)]


def small_subjects() -> list[Subject]:
    """The built-in model, a bundle with an fp16 variant and a bundle with a memory, each of some hundred kB."""
    golden = ROOT / "tests/golden"
    return [Subject("tiny", TINY), Subject("variants", golden / "variants"), Subject("video", golden / "video")]


def rows(subjects: list[Subject]) -> list[tuple[str, Subject, str, str]]:
    """What is measured, the most important first: kind, model, provider, precision."""
    planned = []
    for subject in subjects:
        planned += [("bench", subject, provider, "auto") for provider in PROVIDERS]
        planned.append(("choice", subject, "auto", "auto"))
        if subject.folder == TINY:
            planned += [("accuracy", subject, provider, "auto") for provider in ("cpu", *PROVIDERS)]
            planned.append(("inspect", subject, "all", "auto"))
    for subject in subjects:
        if subject.has_half():
            planned += [("bench", subject, provider, "fp32") for provider in PROVIDERS]
    return planned
