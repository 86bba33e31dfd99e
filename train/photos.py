"""Runs the bundle on real photos:  python -m train.photos

The photos come with scikit-image and scikit-learn. Writes one page of overlays for clicks and one for boxes, and measures
the IoU with the coins that Otsu's threshold separates, an approximate ground truth that needs no annotation.
"""
import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import skimage
import sklearn
from PIL import Image

from .data import MEAN, STD
from .evaluate import OnnxModel, predict, upsample
from .model import BOTTOM_RIGHT, FOREGROUND, IMAGE_SIZE, TOP_LEFT

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"

CLICKS = [                      # photo, x, y in pixels of the photo
    ("coins.png", 344, 184), ("coins.png", 44, 52), ("flower.jpg", 307, 221), ("coffee.png", 283, 149),
    ("coffee.png", 126, 248), ("astronaut.png", 220, 103), ("astronaut.png", 131, 356), ("chelsea.png", 170, 114),
    ("chelsea.png", 250, 74), ("rocket.jpg", 320, 258), ("camera.png", 105, 238), ("china.jpg", 206, 165),
    ("motorcycle_left.png", 407, 202), ("retina.jpg", 243, 667), ("horse.png", 200, 133),
]
BOXES = [                       # photo, x0, y0, x1, y1
    ("coins.png", 308, 150, 378, 216), ("flower.jpg", 170, 84, 445, 362), ("coffee.png", 172, 17, 407, 240),
    ("astronaut.png", 150, 15, 305, 185), ("astronaut.png", 296, 343, 506, 506), ("chelsea.png", 136, 87, 205, 146),
    ("rocket.jpg", 306, 123, 338, 408), ("camera.png", 0, 60, 330, 510), ("china.jpg", 83, 25, 381, 394),
    ("motorcycle_left.png", 92, 70, 682, 456), ("retina.jpg", 190, 580, 330, 750), ("horse.png", 15, 5, 392, 315),
]
CELL = 300                      # width of an overlay on the page
COLUMNS = 4


def read(name):
    path = SKIMAGE / name if (SKIMAGE / name).exists() else SKLEARN / name
    return np.array(Image.open(path).convert("RGB"))


class Photo:
    """A photo, letterboxed into the square of the model and encoded."""

    def __init__(self, model, image):
        self.model, self.image = model, image
        height, width = image.shape[:2]
        self.scale = IMAGE_SIZE / max(height, width)
        self.used = round(height * self.scale), round(width * self.scale)
        small = Image.fromarray(image).resize(self.used[::-1], Image.Resampling.BILINEAR)
        square = np.zeros((1, 3, IMAGE_SIZE, IMAGE_SIZE), np.float32)
        square[0, :, :self.used[0], :self.used[1]] = ((np.asarray(small, np.float32) - MEAN) / STD).transpose(2, 0, 1)
        self.features = model.encode_tensor(square)

    def segment(self, points, labels):
        """Points in pixels of the photo -> mask at the size of the photo, predicted IoU."""
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        logits, iou = predict(self.model, self.features, scaled, labels)
        best = 0 if TOP_LEFT in labels else 1 + int(iou[1:].argmax())
        cropped = upsample(logits[best])[:self.used[0], :self.used[1]]
        full = cv2.resize(cropped, self.image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return full > 0, float(iou[best])


def overlay(image, mask, points, box, caption):
    picture = image.copy()
    picture[mask] = (0.45 * picture[mask] + 0.55 * np.array([30, 144, 255])).astype(np.uint8)
    factor = CELL / picture.shape[1]
    picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    small = cv2.resize(mask.astype(np.uint8), picture.shape[1::-1], interpolation=cv2.INTER_AREA)
    outline, _ = cv2.findContours(small, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outline, -1, (255, 255, 255), 1, cv2.LINE_AA)
    corners = [tuple(round(v * factor) for v in point) for point in points]
    if box:
        cv2.rectangle(picture, *corners, (255, 220, 0), 2, cv2.LINE_AA)
    else:
        cv2.circle(picture, corners[0], 5, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(picture, corners[0], 4, (220, 0, 0), -1, cv2.LINE_AA)
    cv2.rectangle(picture, (0, 0), (CELL, 17), (0, 0, 0), -1)
    cv2.putText(picture, caption, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def page(cells):
    rows = []
    for start in range(0, len(cells), COLUMNS):
        row = cells[start:start + COLUMNS]
        height = max(cell.shape[0] for cell in row)
        row = [np.pad(cell, ((0, height - cell.shape[0] + 4), (0, 4), (0, 0)), constant_values=255) for cell in row]
        row += [np.full_like(row[0], 255)] * (COLUMNS - len(row))
        rows.append(np.concatenate(row, 1))
    return np.concatenate(rows)


def overlays(model, prompts):
    photos, cells = {}, []
    for number, (name, *numbers) in enumerate(prompts, 1):
        photo = photos.setdefault(name, None) or Photo(model, read(name))
        photos[name] = photo
        box = len(numbers) == 4
        points = [tuple(numbers[:2]), tuple(numbers[2:])] if box else [tuple(numbers)]
        mask, iou = photo.segment(points, [TOP_LEFT, BOTTOM_RIGHT] if box else [FOREGROUND])
        cells.append(overlay(photo.image, mask, points, box, f"{number} {Path(name).stem}  score {iou:.2f}"))
    return page(cells)


def coins(model, min_area=300):
    """Mean IoU with the coins that Otsu's threshold separates, prompted by their boxes and by clicks at their centres."""
    image = read("coins.png")
    smooth = cv2.GaussianBlur(image[..., 0], (0, 0), 2).astype(np.float32)
    flat = smooth - cv2.GaussianBlur(smooth, (0, 0), 60)           # removes the uneven light
    flat = cv2.normalize(flat, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    _, binary = cv2.threshold(flat, 0, 255, cv2.THRESH_OTSU)
    _, parts, table, centres = cv2.connectedComponentsWithStats(binary)
    photo, boxed, clicked = Photo(model, image), [], []
    for number in range(1, len(table)):
        x, y, width, height, area = table[number]
        if area < min_area or width > 100 or height > 100:
            continue
        outline, _ = cv2.findContours((parts == number).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        truth = cv2.drawContours(np.zeros(parts.shape, np.uint8), outline, -1, 1, -1).astype(bool)
        for results, points, labels in (
                (boxed, [(x, y), (x + width, y + height)], [TOP_LEFT, BOTTOM_RIGHT]),
                (clicked, [tuple(centres[number])], [FOREGROUND])):
            mask, _ = photo.segment(points, labels)
            results.append((mask & truth).sum() / (mask | truth).sum())
    return {"coins": len(boxed), "coins_box": round(float(np.mean(boxed)), 3), "coins_click": round(float(np.mean(clicked)), 3)}


def pages(model, folder):
    """Writes the overlays of the clicks and of the boxes, and yields their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, prompts in (("clicks", CLICKS), ("boxes", BOXES)):
        path = folder / f"{name}.jpg"
        cv2.imwrite(str(path), overlays(model, prompts)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
        yield path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("models/tiny"))
    parser.add_argument("--out", type=Path, default=Path("train/figures"))
    args = parser.parse_args()
    model = OnnxModel(args.bundle)
    for path in pages(model, args.out):
        print(path)
    print(json.dumps(coins(model)))


if __name__ == "__main__":
    main()
