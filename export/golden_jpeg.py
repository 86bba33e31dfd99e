"""Writes tests/golden/jpeg: JPEG files of all layouts that cameras and programs write, with the pixels of libjpeg-turbo.

    python export/golden_jpeg.py tests/golden/jpeg

Needs Pillow (with libjpeg-turbo) and numpy. The layouts combine samplings, scans (one, or one per component; baseline or
progressive), restart markers, and sizes with and without partial blocks. Other files are grey, grey with a sampling in
the header, CMYK, and MJPEG frames, which omit the standard Huffman tables. `pixels.json` has the size of each image and the
SHA-256 of its RGB bytes in row-major order.
"""

import hashlib
import io
import json
import struct
import sys
from pathlib import Path

import numpy as np
from PIL import Image, features

SIZES = ((64, 48), (61, 45), (24, 24), (21, 13))
QUALITY = 85


def scene(width: int, height: int, random: np.random.Generator) -> Image.Image:
    coarse = random.integers(0, 256, (height // 12 + 2, width // 12 + 2, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, **options)
    return file.getvalue()


def segments(file: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Splits a file into the segments before the first scan, as (marker, bytes), and the bytes after the scan header."""
    offset, parts = 2, []
    while True:
        marker, (length,) = file[offset + 1], struct.unpack(">H", file[offset + 2 : offset + 4])
        if marker == 0xDA:
            return parts, file[offset + 2 + length :]
        parts.append((marker, file[offset : offset + 2 + length]))
        offset += 2 + length


def separate_scans(image: Image.Image, across: int, down: int, order: tuple[int, ...] = (0, 1, 2)) -> bytes:
    """Encodes an image with a scan per component; luma has `across` x `down` times the resolution of chroma."""
    width, height = image.size
    luma, *chroma = image.convert("YCbCr").split()
    small = (-(-width // across), -(-height // down))
    planes = [encode(plane) for plane in (luma, *(plane.resize(small, Image.Resampling.BOX) for plane in chroma))]
    kept, _ = segments(planes[0])
    frame = struct.pack(">BHHB", 8, height, width, 3)
    frame += b"".join(bytes([c + 1, (across << 4 | down) if c == 0 else 0x11, 0]) for c in range(3))
    copy = lambda marker: b"".join(content for kind, content in kept if kind == marker)  # noqa: E731
    out = b"\xff\xd8" + copy(0xE0) + copy(0xDB) + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + copy(0xC4)
    for component in order:
        header = bytes([1, component + 1, 0, 0, 63, 0])
        coded = segments(planes[component])[1][:-2]
        out += b"\xff\xda" + struct.pack(">H", len(header) + 2) + header + coded
    return out + b"\xff\xd9"


def without_tables(file: bytes) -> bytes:
    """Removes the standard Huffman tables, as UVC cameras do."""
    kept, _ = segments(file)
    head = b"\xff\xd8" + b"".join(content for marker, content in kept if marker != 0xC4)
    return head + file[2 + sum(len(content) for _, content in kept) :]


def layouts() -> dict[str, bytes]:
    random = np.random.default_rng(5)
    files = {}
    for width, height in SIZES:
        image, size = scene(width, height, random), f"{width}x{height}"
        for name, (across, down) in {"444": (1, 1), "422": (2, 1), "440": (1, 2), "420": (2, 2), "411": (4, 1)}.items():
            files[f"scans_{name}_{size}"] = separate_scans(image, across, down)
        files[f"scans_444_reversed_{size}"] = separate_scans(image, 1, 1, (2, 1, 0))
        for name, subsampling in {"444": 0, "422": 1, "420": 2}.items():
            files[f"baseline_{name}_{size}"] = encode(image, subsampling=subsampling)
            files[f"mjpeg_{name}_{size}"] = without_tables(encode(image, subsampling=subsampling))
            files[f"progressive_{name}_{size}"] = encode(image, subsampling=subsampling, progressive=True)
            files[f"restart_{name}_{size}"] = encode(image, subsampling=subsampling, restart_marker_blocks=1)
            files[f"progressive_restart_{name}_{size}"] = encode(
                image, subsampling=subsampling, progressive=True, restart_marker_blocks=4
            )
        files[f"grey_progressive_{size}"] = encode(image.convert("L"), progressive=True)
        sampled = bytearray(encode(image.convert("L")))
        sampled[sampled.find(b"\xff\xc0") + 11] = 0x22  # some cameras write this sampling, which has no effect
        files[f"grey_2x2_{size}"] = bytes(sampled)
        files[f"cmyk_{size}"] = encode(image.convert("CMYK"), progressive=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees; expected are the stored pixels
    files["exif_turned"] = encode(scene(24, 16, random), exif=exif)
    return files


def main() -> None:
    assert features.check_feature("libjpeg_turbo"), "Pillow uses another libjpeg; libjpeg-turbo is needed"
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, file in layouts().items():
        (out / f"{name}.jpg").write_bytes(file)
        pixels = Image.open(io.BytesIO(file)).convert("RGB")
        expected[name] = {"size": pixels.size, "sha256": hashlib.sha256(pixels.tobytes()).hexdigest()}
    text = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in expected.items())
    (out / "pixels.json").write_text(f"{{\n{text}\n}}\n")


if __name__ == "__main__":
    main()
