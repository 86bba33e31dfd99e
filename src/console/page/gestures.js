// Mouse, touch, pen and wheel on the stage, as a few actions: point, box, stroke, zoom and pan.

import { panBy, toImage, zoomAt } from "./geometry.js";

const DRAG_DISTANCE = 6;
const LONG_PRESS = 500;

/**
 * Listens to the stage. `act` has point(image position, on the object), box(a, b), stroke(from, to, erase).
 * `tool()` returns "point", "brush" or "pan".
 */
export function listen(stage, tool, act) {
  const canvas = stage.canvas;
  const pointers = new Map();
  let drag = null;

  const position = (event) => {
    const rect = canvas.getBoundingClientRect();
    return { x: event.clientX - rect.left, y: event.clientY - rect.top };
  };
  const inImage = (at) => toImage(stage.place, at.x, at.y);
  const setView = (view) => stage.setView(view);

  function cancel() {
    if (!drag) return;
    clearTimeout(drag.timer);
    drag = null;
    // A click changes nothing on the stage before its answer comes.
    if (!stage.rubber) return;
    stage.rubber = null;
    stage.repaint();
  }

  function start(event, at) {
    const pans = tool() === "pan" || event.button === 1 || drag?.kind === "pan";
    // Button 5 is the other end of a pen.
    const off = event.button === 2 || event.button === 5 || event.shiftKey;
    drag = { id: event.pointerId, start: at, last: at, off, kind: pans ? "pan" : "press", timer: 0 };
    if (pans) return;
    if (tool() === "brush") {
      drag.kind = "stroke";
      act.stroke(inImage(at), inImage(at), off);
    } else if (event.pointerType !== "mouse" && !off) {
      drag.timer = setTimeout(() => {
        navigator.vibrate?.(20);
        act.point(inImage(drag.start), false);
        drag.kind = "done";
      }, LONG_PRESS);
    }
  }

  function move(at) {
    if (drag.kind === "pan") {
      setView(panBy(stage.view, stage.image, stage.size, at.x - drag.last.x, at.y - drag.last.y));
    } else if (drag.kind === "stroke") {
      act.stroke(inImage(drag.last), inImage(at), drag.off);
    } else if (drag.kind === "press" && Math.hypot(at.x - drag.start.x, at.y - drag.start.y) > DRAG_DISTANCE) {
      clearTimeout(drag.timer);
      drag.kind = "box";
    }
    if (drag.kind === "box") {
      const { start } = drag;
      stage.rubber = {
        x: Math.min(start.x, at.x), y: Math.min(start.y, at.y),
        width: Math.abs(at.x - start.x), height: Math.abs(at.y - start.y),
      };
      stage.repaint();
    }
    drag.last = at;
  }

  function pinch() {
    const [a, b] = [...pointers.values()];
    const [before, after] = [Math.hypot(a.last.x - b.last.x, a.last.y - b.last.y), Math.hypot(a.x - b.x, a.y - b.y)];
    const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    const moved = { x: middle.x - (a.last.x + b.last.x) / 2, y: middle.y - (a.last.y + b.last.y) / 2 };
    const panned = panBy(stage.view, stage.image, stage.size, moved.x, moved.y);
    setView(zoomAt(panned, stage.image, stage.size, after / Math.max(before, 1), middle.x, middle.y));
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    canvas.toggleAttribute("data-pointer", true);
    canvas.setPointerCapture(event.pointerId);
    const at = position(event);
    pointers.set(event.pointerId, { ...at, last: at });
    // A second finger zooms: what the first one began is not meant.
    if (pointers.size > 1) return cancel();
    stage.cursor = null;
    start(event, at);
  });
  canvas.addEventListener("pointermove", (event) => {
    const pointer = pointers.get(event.pointerId);
    if (!pointer) return;
    const at = position(event);
    pointers.set(event.pointerId, { ...at, last: { x: pointer.x, y: pointer.y } });
    if (pointers.size === 2) pinch();
    else if (drag?.id === event.pointerId) move(at);
  });
  canvas.addEventListener("pointerup", (event) => {
    pointers.delete(event.pointerId);
    if (drag?.id !== event.pointerId) return;
    const { kind, start, off } = drag;
    const at = position(event);
    cancel();
    if (kind === "press") act.point(inImage(start), !off);
    if (kind === "box") act.box(inImage(start), inImage(at));
  });
  canvas.addEventListener("pointercancel", (event) => {
    pointers.delete(event.pointerId);
    cancel();
  });
  canvas.addEventListener("keydown", () => canvas.toggleAttribute("data-pointer", false));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const at = position(event);
    const lines = event.deltaMode === 1 ? 16 : 1;
    const factor = Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0018));
    setView(zoomAt(stage.view, stage.image, stage.size, factor, at.x, at.y));
  }, { passive: false });
}
