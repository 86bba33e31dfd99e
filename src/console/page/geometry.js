// Positions: CSS pixels of the stage, and pixels of the camera's image. An image pixel (x, y) covers the square from (x, y)
// to (x + 1, y + 1). Sizes are {width, height}; a view is {zoom, x, y} with the offset of the picture in CSS pixels.

export const FULL_VIEW = { zoom: 1, x: 0, y: 0 };
const MAX_ZOOM = 40;

/** Returns where the picture is on the stage: {scale, left, top}, in CSS pixels for each image pixel and CSS pixels. */
export function placement(image, stage, view = FULL_VIEW) {
  const fitted = Math.min(stage.width / image.width, stage.height / image.height);
  const scale = fitted * view.zoom;
  return {
    scale,
    left: (stage.width - image.width * scale) / 2 + view.x,
    top: (stage.height - image.height * scale) / 2 + view.y,
  };
}

/** Returns the position in the image under a position on the stage. */
export function toImage(place, x, y) {
  return { x: (x - place.left) / place.scale, y: (y - place.top) / place.scale };
}

/** Returns the position on the stage over a position in the image. */
export function toStage(place, x, y) {
  return { x: x * place.scale + place.left, y: y * place.scale + place.top };
}

/** Returns the pixel that covers a position in the image, or null beside the image. */
export function pixelAt(image, x, y) {
  const pixel = { x: Math.floor(x), y: Math.floor(y) };
  const inside = pixel.x >= 0 && pixel.y >= 0 && pixel.x < image.width && pixel.y < image.height;
  return inside ? pixel : null;
}

/** Returns the view after zooming by a factor around a position on the stage, which stays over the same pixel. */
export function zoomAt(view, image, stage, factor, x, y) {
  const zoom = Math.min(Math.max(view.zoom * factor, 1), MAX_ZOOM);
  const before = placement(image, stage, view);
  const under = toImage(before, x, y);
  const after = placement(image, stage, { zoom, x: 0, y: 0 });
  const moved = toStage(after, under.x, under.y);
  return keepInSight({ zoom, x: x - moved.x, y: y - moved.y }, image, stage);
}

/** Returns the view moved by a distance in CSS pixels. */
export function panBy(view, image, stage, dx, dy) {
  return keepInSight({ ...view, x: view.x + dx, y: view.y + dy }, image, stage);
}

/** Returns the view moved so that a position in the image is `margin` CSS pixels within the stage, as far as the picture goes. */
export function reveal(view, image, stage, x, y, margin) {
  const at = toStage(placement(image, stage, view), x, y);
  const step = (position, size) => Math.min(Math.max(position, margin), size - margin) - position;
  return panBy(view, image, stage, step(at.x, stage.width), step(at.y, stage.height));
}

/** Limits the offset: a picture larger than the stage covers it, a smaller one is centred. */
export function keepInSight(view, image, stage) {
  const place = placement(image, stage, { ...view, x: 0, y: 0 });
  const limit = (size, available) => Math.max((size * place.scale - available) / 2, 0);
  const clamp = (value, most) => Math.min(Math.max(value, -most), most) + 0;
  return {
    zoom: view.zoom,
    x: clamp(view.x, limit(image.width, stage.width)),
    y: clamp(view.y, limit(image.height, stage.height)),
  };
}

/** Returns the box between two positions in the image, within the image; null if it has no area. */
export function boxBetween(image, a, b) {
  const clamp = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
  const box = [
    clamp(Math.min(a.x, b.x), image.width), clamp(Math.min(a.y, b.y), image.height),
    clamp(Math.max(a.x, b.x), image.width), clamp(Math.max(a.y, b.y), image.height),
  ];
  return box[2] > box[0] && box[3] > box[1] ? box : null;
}

/** Returns the size of the picture to ask for, in device pixels. */
export function wantedSize(stage, view, ratio) {
  const side = (length) => Math.min(Math.round(length * ratio * view.zoom), 16384);
  return { width: side(stage.width), height: side(stage.height) };
}
