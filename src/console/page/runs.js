// Masks as run lengths along the rows of a rectangle: {rect: [left, top, width, height], counts}. The first run is outside.

/** Returns the pixels of the rectangle, row by row: 1 inside the mask. */
export function decode(mask) {
  return fill(Uint8Array, mask, 1);
}

/** Returns an array of the pixels of the rectangle, with `value` inside the mask. */
function fill(ArrayType, { rect, counts }, value) {
  const pixels = new ArrayType(rect[2] * rect[3]);
  let at = 0;
  counts.forEach((count, i) => {
    if (i % 2 === 1) pixels.fill(value, at, at + count);
    at += count;
  });
  return pixels;
}

/** Returns the pixels of the rectangle as RGBA bytes, in one colour "#rrggbb" with an opacity of 0 to 255 inside the mask. */
export function colourPixels(mask, colour, opacity) {
  const [red, green, blue] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  // Four bytes at once: all machines that run browsers store the lowest byte first.
  const word = ((opacity << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  return new Uint8ClampedArray(fill(Uint32Array, mask, word).buffer);
}

/** Draws the mask in one colour on a new canvas of the size of its rectangle. */
export function paint(mask, colour, opacity) {
  const [, , width, height] = mask.rect;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").putImageData(new ImageData(colourPixels(mask, colour, opacity), width, height), 0, 0);
  return canvas;
}

/** Returns the runs of an image of `width` columns within its tight box; null if no pixel is inside. */
export function encode(bits, width, height) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!bits[y * width + x]) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y + 1);
    }
  }
  if (right <= left) return null;
  const counts = [];
  let [run, inside] = [0, 0];
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const bit = bits[y * width + x] ? 1 : 0;
      if (bit !== inside) {
        counts.push(run);
        [run, inside] = [0, bit];
      }
      run++;
    }
  }
  counts.push(run);
  return { rect: [left, top, right - left, bottom - top], counts };
}

/** Returns whether an image pixel is inside the mask. */
export function contains(runs, bits, x, y) {
  const [left, top, width, height] = runs.rect;
  const [column, row] = [x - left, y - top];
  return column >= 0 && row >= 0 && column < width && row < height && bits[row * width + column] === 1;
}

/** Returns the border of the mask as segments [x0, y0, x1, y1, ...] on the lines between pixels, in image pixels. */
export function outline({ rect }, bits) {
  const [left, top, width, height] = rect;
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : bits[y * width + x]);
  const segments = [];
  for (let y = 0; y <= height; y++) {
    for (let x = 0, start = -1; x <= width; x++) {
      const edge = x < width && at(x, y) !== at(x, y - 1);
      if (edge && start < 0) start = x;
      if (!edge && start >= 0) {
        segments.push(left + start, top + y, left + x, top + y);
        start = -1;
      }
    }
  }
  for (let x = 0; x <= width; x++) {
    for (let y = 0, start = -1; y <= height; y++) {
      const edge = y < height && at(x, y) !== at(x - 1, y);
      if (edge && start < 0) start = y;
      if (!edge && start >= 0) {
        segments.push(left + x, top + start, left + x, top + y);
        start = -1;
      }
    }
  }
  return segments;
}
