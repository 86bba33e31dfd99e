// The stage: the picture, the masks over it, prompts and the keyboard's cursor, on one canvas.

import { FULL_VIEW, keepInSight, placement, toStage } from "./geometry.js";
import { contains, decode, outline, paint } from "./runs.js";

/** An object ready to be drawn: its pixels, its border, and a small canvas in its colour. */
function prepared(object) {
  if (!object.mask) return { ...object, bits: null, path: null, canvas: null };
  const bits = decode(object.mask);
  const canvas = paint(object.mask, object.colour, 105);
  const path = new Path2D();
  const segments = outline(object.mask, bits);
  for (let i = 0; i < segments.length; i += 4) {
    path.moveTo(segments[i], segments[i + 1]);
    path.lineTo(segments[i + 2], segments[i + 3]);
  }
  return { ...object, bits, path, canvas };
}

export class Stage {
  view = { ...FULL_VIEW };
  image = { width: 1, height: 1 };
  picture = null;
  objects = [];
  /** Masks that a search found, which are no objects. */
  found = [];
  hidden = new Set();
  selected = 0;
  /** Rectangle that is being dragged, in CSS pixels; brush; cursor of the keyboard, in image pixels. */
  rubber = null;
  brush = null;
  cursor = null;
  corner = null;
  /** Size of the stage in CSS pixels, kept because reading it from the page computes the page's layout. */
  size = { width: 1, height: 1 };
  #dirty = false;

  /** `changed` is called when the size or the view has changed. */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => {
      this.#fitCanvas();
      changed();
    }).observe(canvas);
    this.#fitCanvas();
  }

  get place() {
    return placement(this.image, this.size, this.view);
  }

  /** Shows a picture: an ImageBitmap, and the size of the camera's image. */
  show(bitmap, image) {
    const isOther = image.width !== this.image.width || image.height !== this.image.height;
    this.picture?.close?.();
    [this.picture, this.image] = [bitmap, image];
    if (isOther) this.view = { ...FULL_VIEW };
    this.repaint();
  }

  setObjects(objects) {
    const present = new Map(this.objects.map((object) => [object.mask, object]));
    this.objects = objects.map((object) => {
      const { bits, path, canvas, colour } = present.get(object.mask) ?? {};
      // The same mask again, with another score or state.
      return canvas && colour === object.colour ? { ...object, bits, path, canvas } : prepared(object);
    });
    this.repaint();
  }

  setFound(masks) {
    this.found = masks.map(prepared);
    this.repaint();
  }

  setView(view) {
    this.view = keepInSight(view, this.image, this.size);
    this.changed();
    this.repaint();
  }

  /** Returns the smallest mask of a search on an image pixel. */
  foundAt({ x, y }) {
    const hits = this.found.filter((mask) => mask.bits && contains(mask.mask, mask.bits, x, y));
    return hits.sort((a, b) => a.area - b.area)[0] ?? null;
  }

  repaint() {
    if (this.#dirty) return;
    this.#dirty = true;
    requestAnimationFrame(() => {
      this.#dirty = false;
      this.#paint();
    });
  }

  #fitCanvas() {
    const ratio = window.devicePixelRatio || 1;
    this.size = { width: this.canvas.clientWidth || 1, height: this.canvas.clientHeight || 1 };
    const { width, height } = this.size;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.view = keepInSight(this.view, this.image, this.size);
    this.repaint();
  }

  #paint() {
    const { context: c, canvas, place } = this;
    const ratio = canvas.width / this.size.width;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.picture) return;
    c.setTransform(ratio * place.scale, 0, 0, ratio * place.scale, ratio * place.left, ratio * place.top);
    c.imageSmoothingEnabled = place.scale * ratio < 3;
    // The console sends a picture in the size of the stage. High quality is slow, and only shows where pixels are merged.
    c.imageSmoothingQuality = this.picture.width > 1.1 * this.image.width * place.scale * ratio ? "high" : "low";
    c.drawImage(this.picture, 0, 0, this.image.width, this.image.height);
    // Masks are in image pixels: their borders stay sharp at any zoom.
    c.imageSmoothingEnabled = false;
    for (const mask of this.found) c.drawImage(mask.canvas, mask.mask.rect[0], mask.mask.rect[1]);
    const visible = this.objects.filter((object) => object.canvas && !this.hidden.has(object.id));
    for (const object of visible) c.drawImage(object.canvas, object.mask.rect[0], object.mask.rect[1]);
    const pixel = 1 / place.scale;
    for (const object of visible) {
      c.lineCap = "square";
      c.strokeStyle = "rgba(8, 10, 14, 0.7)";
      c.lineWidth = (object.id === this.selected ? 5 : 3) * pixel;
      c.stroke(object.path);
      c.strokeStyle = object.colour;
      c.lineWidth = (object.id === this.selected ? 2.5 : 1.5) * pixel;
      c.stroke(object.path);
    }
    if (this.brush?.canvas) c.drawImage(this.brush.canvas, 0, 0);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    const prompted = this.objects.find((object) => object.id === this.selected && !this.hidden.has(object.id));
    if (prompted) this.#paintPrompts(prompted, place);
    if (this.rubber) this.#rectangle(this.rubber, "#ffffff", [5, 4]);
    if (this.cursor) this.#crosshair(place);
  }

  #paintPrompts({ points, box, colour }, place) {
    if (box) {
      const [a, b] = [toStage(place, box[0], box[1]), toStage(place, box[2], box[3])];
      this.#rectangle({ x: a.x, y: a.y, width: b.x - a.x, height: b.y - a.y }, colour, []);
    }
    for (const [x, y, on] of points) {
      const at = toStage(place, x + 0.5, y + 0.5);
      this.#dot(at, on);
    }
  }

  /** A click: a plus on green, or a minus on red, so that colour is not the only difference. */
  #dot(at, on) {
    const { context: c } = this;
    c.beginPath();
    c.arc(at.x, at.y, 7, 0, 2 * Math.PI);
    c.fillStyle = on ? "#0f8a4b" : "#c22f2f";
    c.fill();
    c.lineWidth = 1.5;
    c.strokeStyle = "#fff";
    c.stroke();
    c.beginPath();
    c.moveTo(at.x - 3.5, at.y);
    c.lineTo(at.x + 3.5, at.y);
    if (on) {
      c.moveTo(at.x, at.y - 3.5);
      c.lineTo(at.x, at.y + 3.5);
    }
    c.stroke();
  }

  #rectangle({ x, y, width, height }, colour, dashes) {
    const { context: c } = this;
    c.setLineDash([]);
    c.lineWidth = 3;
    c.strokeStyle = "rgba(8, 10, 14, 0.7)";
    c.strokeRect(x, y, width, height);
    c.setLineDash(dashes);
    c.lineWidth = 1.5;
    c.strokeStyle = colour;
    c.strokeRect(x, y, width, height);
    c.setLineDash([]);
  }

  #crosshair(place) {
    const { context: c } = this;
    const at = toStage(place, this.cursor.x + 0.5, this.cursor.y + 0.5);
    for (const [width, colour] of [[4, "rgba(8, 10, 14, 0.8)"], [1.5, "#fff"]]) {
      c.lineWidth = width;
      c.strokeStyle = colour;
      c.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        c.moveTo(at.x + dx * 4, at.y + dy * 4);
        c.lineTo(at.x + dx * 15, at.y + dy * 15);
      }
      c.stroke();
    }
    if (this.corner) {
      const corner = toStage(place, this.corner.x, this.corner.y);
      this.#rectangle({ x: corner.x, y: corner.y, width: at.x - corner.x, height: at.y - corner.y }, "#fff", [5, 4]);
    }
  }
}
