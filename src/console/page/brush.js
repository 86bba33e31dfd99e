// The mask that the brush paints, in image pixels.

import { encode } from "./runs.js";

export class Brush {
  radius = 12;
  #bits = null;
  #canvas = null;

  get canvas() {
    return this.#canvas;
  }

  get isEmpty() {
    return this.#bits === null;
  }

  clear() {
    [this.#bits, this.#canvas] = [null, null];
  }

  /** Paints or erases a line between two positions in the image; the radius is in image pixels. */
  stroke(image, from, to, radius, erase) {
    if (!this.#bits || this.#canvas.width !== image.width || this.#canvas.height !== image.height) {
      this.#bits = new Uint8Array(image.width * image.height);
      this.#canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    }
    const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / Math.max(radius / 3, 0.5)));
    for (let i = 0; i <= steps; i++) {
      const t = i / steps;
      dab(this.#bits, image, from.x + (to.x - from.x) * t, from.y + (to.y - from.y) * t, radius, erase ? 0 : 1);
    }
    this.#show(image, from, to, radius);
  }

  /** Returns the run lengths of the mask; null if nothing is painted. */
  runs() {
    return this.#bits && encode(this.#bits, this.#canvas.width, this.#canvas.height);
  }

  /** Copies the changed rectangle to the canvas. */
  #show(image, from, to, radius) {
    const left = Math.max(Math.floor(Math.min(from.x, to.x) - radius - 1), 0);
    const top = Math.max(Math.floor(Math.min(from.y, to.y) - radius - 1), 0);
    const width = Math.min(Math.ceil(Math.max(from.x, to.x) + radius + 1), image.width) - left;
    const height = Math.min(Math.ceil(Math.max(from.y, to.y) + radius + 1), image.height) - top;
    if (width <= 0 || height <= 0) return;
    const pixels = new ImageData(width, height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (this.#bits[(top + y) * image.width + left + x]) pixels.data.set([255, 196, 0, 150], (y * width + x) * 4);
      }
    }
    this.#canvas.getContext("2d").putImageData(pixels, left, top);
  }
}

/** Sets the pixels whose centres lie in a disc. The pixel under its centre always belongs to it. */
export function dab(bits, { width, height }, cx, cy, radius, value) {
  for (let y = Math.max(Math.floor(cy - radius), 0); y <= Math.min(Math.floor(cy + radius), height - 1); y++) {
    for (let x = Math.max(Math.floor(cx - radius), 0); x <= Math.min(Math.floor(cx + radius), width - 1); x++) {
      const isCentre = x === Math.floor(cx) && y === Math.floor(cy);
      if (isCentre || Math.hypot(x + 0.5 - cx, y + 0.5 - cy) <= radius) bits[y * width + x] = value;
    }
  }
}
