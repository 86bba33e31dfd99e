"""Writes tests/golden/pixels: results of the reference implementations of image processing.

    python export/golden_pixels.py tests/golden/pixels

Needs torch, torchvision, Pillow, OpenCV, scikit-image, scikit-learn, safetensors and segment-anything-py. Tensors are
sampled at the positions `i * 7919 % size`, so that the files are small and need no list of positions.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import PIL
import skimage.data
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.numpy import save_file
from segment_anything.modeling import Sam
from segment_anything.utils.amg import calculate_stability_score
from segment_anything.utils.transforms import ResizeLongestSide
from sklearn.datasets import load_sample_image
from torchvision.transforms import Normalize, Resize, ToTensor

SAMPLES = 1500
STRIDE = 7919
SAM_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
SAM_STD = np.array([58.395, 57.12, 57.375], np.float32)
SAM2_MEAN, SAM2_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def sample(values):
    flat = np.asarray(values, np.float32).reshape(-1)
    return np.ascontiguousarray(flat[np.arange(SAMPLES) * STRIDE % flat.size])


def photos():
    """Yields real photos, cropped and reduced to small files; some have odd or very narrow sizes."""
    sources = {
        "astronaut": skimage.data.astronaut(),
        "chelsea": skimage.data.chelsea(),
        "coffee": skimage.data.coffee(),
        "rocket": skimage.data.rocket(),
        "china": load_sample_image("china.jpg"),
    }
    sizes = [
        ("astronaut", 160, 160), ("chelsea", 320, 213), ("coffee", 149, 220), ("rocket", 131, 57), ("china", 400, 225),
        ("flag", 40, 30), ("column", 1, 37), ("line", 61, 2), ("dot", 1, 1),
    ]  # fmt: skip
    small = {"flag": "astronaut", "column": "coffee", "line": "chelsea", "dot": "china"}
    for name, width, height in sizes:
        image = Image.fromarray(sources[small.get(name, name)])
        scale = max(width / image.width, height / image.height)
        if name in small:
            scale = 1.0
        shrunk = image.resize((max(width, round(image.width * scale)), max(height, round(image.height * scale))), Image.LANCZOS)
        left, top = (shrunk.width - width) // 2, (shrunk.height - height) // 2
        yield f"{name}_{width}x{height}", shrunk.crop((left, top, left + width, top + height))


def sam_input(image, side):
    """Input of SAM: SamPredictor.set_image, then Sam.preprocess."""
    pixels = ResizeLongestSide(side).apply_image(np.array(image))
    x = torch.as_tensor(pixels).permute(2, 0, 1)[None].float()
    x = (x - torch.tensor(SAM_MEAN).view(-1, 1, 1)) / torch.tensor(SAM_STD).view(-1, 1, 1)
    return F.pad(x, (0, side - x.shape[-1], 0, side - x.shape[-2])).numpy()


def sam2_input(image, side):
    """Input of SAM 2: SAM2Transforms.__call__."""
    x = ToTensor()(np.array(image))
    return Normalize(SAM2_MEAN, SAM2_STD)(Resize((side, side))(x)).numpy()


def preprocess(out, tensors):
    cases = []
    for name, image in photos():
        image.save(out / f"{name}.png", optimize=True)
        for side in (64, 256, 1024):
            for resize, reference in (("letterbox", sam_input), ("stretch", sam2_input)):
                if resize == "letterbox" and round(min(image.size) * side / max(image.size)) == 0:
                    continue
                key = f"input/{name}/{resize}/{side}"
                tensors[key] = sample(reference(image, side))
                cases.append({"image": f"{name}.png", "resize": resize, "side": side, "key": key})
    return cases


class Square:
    """The attributes of `Sam` that `postprocess_masks` reads."""

    def __init__(self, side):
        self.image_encoder = type("Encoder", (), {"img_size": side})


def smooth_logits(side, seed):
    """Smooth random logits of both signs, in multiples of 1/1024, so that 16 bits store them exactly."""
    noise = torch.randn(1, 1, 12, 12, generator=torch.Generator().manual_seed(seed))
    fine = torch.randn(1, 1, side // 4, side // 4, generator=torch.Generator().manual_seed(seed + 1))
    x = 4 * F.interpolate(noise, (side, side), mode="bicubic") + 0.7 * F.interpolate(fine, (side, side), mode="bicubic")
    return torch.round(x * 1024).clamp(-32768, 32767)


def masks(out, tensors):
    cases = []
    for low_side, side, sizes in (
        (256, 1024, [(1280, 720), (480, 640), (333, 500), (200, 150)]),
        (64, 256, [(320, 213), (97, 31), (640, 480)]),
    ):
        low16 = smooth_logits(low_side, low_side)
        tensors[f"low/{low_side}"] = low16.numpy().astype(np.int16)
        low = low16 / 1024
        for width, height in sizes:
            content = ResizeLongestSide.get_preprocess_shape(height, width, side)
            for resize in ("letterbox", "stretch"):
                if resize == "letterbox":
                    full = Sam.postprocess_masks(Square(side), low, content, (height, width))
                else:  # SAM2Transforms.postprocess_masks
                    full = F.interpolate(low, (height, width), mode="bilinear", align_corners=False)
                key = f"mask/{low_side}/{resize}/{width}x{height}"
                name = key.replace("/", "_") + ".png"
                tensors[key] = sample(full.numpy())
                inside = (full > 0)[0, 0].numpy()
                Image.fromarray(inside).save(out / name, optimize=True)
                ys, xs = np.nonzero(inside)
                cases.append({
                    "key": key, "low": f"low/{low_side}", "low_side": low_side, "side": side, "resize": resize,
                    "width": width, "height": height, "picture": name, "area": int(inside.sum()),
                    "box": [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1],
                    "stability": float(calculate_stability_score(full[0], 0.0, 1.0)[0]),
                })  # fmt: skip
    return cases


def coordinates():
    """Coordinates converted by ResizeLongestSide.apply_coords."""
    cases = []
    for width, height in ((1280, 720), (451, 300), (333, 500), (37, 1000)):
        for x, y in ((0.0, 0.0), (17.25, 30.5), (width - 1.0, height - 1.0)):
            for side in (256, 1024):
                mx, my = ResizeLongestSide(side).apply_coords(np.array([[x, y]]), (height, width))[0]
                cases.append({"image": [width, height], "side": side, "point": [x, y], "model": [mx, my]})
    return cases


def encodings(tensors):
    """Conversions of OpenCV, which cv_bridge uses, on random bytes, which are harder than photos."""
    rng = np.random.default_rng(5)
    width, height = 24, 16
    cases = []

    def add(encoding, data, rgb, border):
        tensors[f"encoding/{encoding}/data"] = np.ascontiguousarray(data)
        tensors[f"encoding/{encoding}/rgb"] = np.ascontiguousarray(rgb)
        cases.append({"encoding": encoding, "width": width, "height": height, "border": border})

    packed = rng.integers(0, 256, (height, width, 2), np.uint8)
    add("yuv422", packed, cv2.cvtColor(packed, cv2.COLOR_YUV2RGB_UYVY), 0)
    add("yuv422_yuy2", packed, cv2.cvtColor(packed, cv2.COLOR_YUV2RGB_YUY2), 0)
    planes = rng.integers(0, 256, (height * 3 // 2, width), np.uint8)
    add("nv12", planes, cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV12), 0)
    add("nv21", planes, cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV21), 0)
    mosaic = rng.integers(0, 256, (height, width), np.uint8)
    for name in ("RGGB", "BGGR", "GBRG", "GRBG"):
        rgb = cv2.cvtColor(mosaic, getattr(cv2, f"COLOR_Bayer{name}2RGB"))
        add(f"bayer_{name.lower()}8", mosaic, rgb, 1)
    return cases


def main():
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/pixels")
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    tensors = {}
    cases = {
        "versions": {m.__name__: m.__version__ for m in (torch, torchvision, PIL, cv2)},
        "samples": SAMPLES,
        "stride": STRIDE,
        "inputs": preprocess(out, tensors),
        "masks": masks(out, tensors),
        "coordinates": coordinates(),
        "encodings": encodings(tensors),
    }
    save_file(tensors, out / "values.safetensors")
    (out / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
    size = sum(f.stat().st_size for f in out.iterdir())
    print(f"{len(cases['inputs'])} inputs, {len(cases['masks'])} masks, {size / 1e6:.2f} MB in {out}")


if __name__ == "__main__":
    main()
