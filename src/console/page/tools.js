// What the person does on the stage without a question to the node: tools, brush, zoom, and the cursor of the keyboard.

import { FULL_VIEW, reveal, toStage, zoomAt } from "./geometry.js";
import { announce, toast } from "./panels.js";

const LARGEST_BRUSH = 80;
/** Distance of the keyboard's cursor from the border of the stage, in CSS pixels. */
const CURSOR_MARGIN = 40;
const find = (id) => document.getElementById(id);

/** Returns the actions. `ask` has point(position, on the object), box(a, b) and prompt(fields). */
export function makeTools(stage, brush, ask) {
  let current = "point";

  function setTool(tool) {
    current = tool;
    stage.canvas.parentElement.dataset.tool = tool;
    for (const button of document.querySelectorAll(".tools [data-tool]")) {
      button.setAttribute("aria-checked", String(button.dataset.tool === tool));
    }
    find("brush-bar").hidden = tool !== "brush";
  }

  function clearBrush() {
    brush.clear();
    stage.repaint();
  }

  function applyBrush() {
    const mask = brush.runs();
    if (!mask) return toast("warning", "Nothing is painted yet.");
    clearBrush();
    ask.prompt({ mask });
  }

  function setBrush(radius) {
    brush.radius = Math.min(Math.max(radius, 1), LARGEST_BRUSH);
    find("brush-size").value = brush.radius;
  }

  function stroke(from, to, erase) {
    brush.stroke(stage.image, from, to, brush.radius / stage.place.scale, erase);
    stage.repaint();
  }

  function zoom(factor) {
    const { width, height } = stage.size;
    const at = stage.cursor ? toStage(stage.place, stage.cursor.x, stage.cursor.y) : { x: width / 2, y: height / 2 };
    stage.setView(zoomAt(stage.view, stage.image, stage.size, factor, at.x, at.y));
  }

  function moveCursor(dx, dy, isFine) {
    const { width, height } = stage.image;
    const step = isFine ? 1 : Math.max(1, Math.round(width / 64));
    const from = stage.cursor ?? { x: Math.floor(width / 2), y: Math.floor(height / 2) };
    const clamp = (value, most) => Math.min(Math.max(value, 0), most - 1);
    stage.cursor = { x: clamp(from.x + dx * step, width), y: clamp(from.y + dy * step, height) };
    const { x, y } = stage.cursor;
    stage.setView(reveal(stage.view, stage.image, stage.size, x + 0.5, y + 0.5, CURSOR_MARGIN));
    announce(`${stage.cursor.x}, ${stage.cursor.y}`);
  }

  function clickCursor(on) {
    const { cursor, corner } = stage;
    if (!cursor) return moveCursor(0, 0, true);
    stage.corner = null;
    if (corner) return ask.box(corner, { x: cursor.x + 1, y: cursor.y + 1 });
    return ask.point(cursor, on);
  }

  function setCorner() {
    stage.corner = stage.cursor;
    stage.repaint();
  }

  function escape() {
    [stage.cursor, stage.corner] = [null, null];
    stage.repaint();
  }

  find("brush-size").addEventListener("input", (event) => setBrush(Number(event.target.value)));
  setTool("point");
  return {
    tool: () => current,
    setTool, clearBrush, applyBrush, stroke, zoom, moveCursor, clickCursor, escape,
    corner: setCorner,
    brushBy: (factor) => setBrush(brush.radius * factor),
    whole: () => stage.setView({ ...FULL_VIEW }),
  };
}
