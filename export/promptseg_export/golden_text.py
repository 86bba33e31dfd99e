"""Photos and awkward phrases for the golden files of text models."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOS = ("astronaut", "chelsea", "flower", "part")
AWKWARD = (
    "", " ", "\t\n", "a", "red cup", "RED Cup", "  red   cup  ", "red\ncup", "red cup.", "red-cup", "it's we'll they've don't l'eau",
    "naïve café", "nai\u0308ve cafe\u0301", "straße STRASSE ẞ", "日本語 日本", "한국어", "मूँछ", "العربية", "עִבְרִית",
    "\U0001f680 \U0001f469\u200d\U0001f680 \U0001f1ef\U0001f1f5", "İstanbul ıI", "ǅungla", "ﬁsh", "ΣΊΣΥΦΟΣ", "x\u0000y", "\u200bzero\u200bwidth",
    "non\u00a0breaking\u3000space", "\ufeffmark", "\u202eright", "123 4567 3.14 ½ ² Ⅷ ٣", "!!! ... ?!", "<|startoftext|> cup",
    "cup <|endoftext|> cup", "<|endoftext|>", "</w>", "Ġ", "!", "a" * 300, " ".join(["cup"] * 13), " ".join(["cup"] * 14),
    " ".join(["cup"] * 15), " ".join(["cup"] * 75), " ".join(["cup"] * 76), " ".join(["cup"] * 200),
)  # fmt: skip


def picture(name: str, photos: Path) -> np.ndarray:
    if name == "part":
        return np.ascontiguousarray(picture("chelsea", photos)[40:101, 90:187])
    return np.array(Image.open(photos / f"{name}.png").convert("RGB"))


def write_tokens(tokenizer, folder: Path, more: tuple = ()) -> None:
    """Writes tokens.json: the token ids of `AWKWARD` and of more phrases. The exporter switched padding and truncation of the
    tokenizer off."""
    tokens = [{"text": text, "ids": tokenizer(text, padding=False).input_ids} for text in (*AWKWARD, *more)]
    (folder / "tokens.json").write_text("[\n" + ",\n".join("  " + json.dumps(case) for case in tokens) + "\n]\n")
