"""A tokenizer of CLIP's class with a small vocabulary, for models with random weights: that of CLIP comes with a checkpoint."""

from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

WORDS = (
    "a", "an", "the", "of", "on", "photo", "red", "green", "blue", "cup", "mug", "spoon", "table", "coffee", "cat", "dog",
    "person", "chair", "bottle", "box", "flower", "robot", "pallet", "straße", "café", "日本",
)  # fmt: skip
"""Words that become one token each."""
END = "</w>"


def build(length: int = 16) -> CLIPTokenizer:
    """Builds the tokenizer. The ids are those of bytes, of bytes at the end of a word, of merges, start and end of the text."""
    letters = bytes_to_unicode()
    symbols = list(letters.values())
    tokens = symbols + [symbol + END for symbol in symbols]
    merges = []
    for word in WORDS:
        parts = [letters[byte] for byte in word.encode()]
        parts[-1] += END
        while len(parts) > 1:
            pair, joined = (parts[0], parts[1]), parts[0] + parts[1]
            if pair not in merges:
                merges.append(pair)
                tokens.append(joined)
            parts[:2] = [joined]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    # The text encoder's padding is `!`, as in the published checkpoints.
    return CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token="!", model_max_length=length)
