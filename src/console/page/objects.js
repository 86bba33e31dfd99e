// The list of objects: colour, class, IoU, state; for the selected one persistence and the candidate masks.

import { paint } from "./runs.js";

const EYE = "M2 10s3-5 8-5 8 5 8 5-3 5-8 5-8-5-8-5zm8-2a2 2 0 1 0 0 4 2 2 0 0 0 0-4z";
const EYE_OFF = "M3 3l14 14M5 7c-2 1-3 3-3 3s3 5 8 5l3-.6M8 5.200l2-.2c5 0 8 5 8 5l-2 2.300";
const BIN = "M5 6h10M8 6V4h4v2m-6 0l1 10h6l1-10";
const PERSISTENCES = [
  ["once", "Once", "Only on the picture that was clicked"],
  ["hold", "Hold", "The same prompts on every picture"],
  ["track", "Track", "Follow the object"],
];

/** Creates an element: make("button", {class, text, ...attributes}, ...children). Attributes with a null value are left out. */
export function make(tag, { text, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null) element.setAttribute(name, value);
  }
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** Returns the name of an object for people. */
export function nameOf(object) {
  return object.class ? `${object.class} ${object.id}` : `Object ${object.id}`;
}

/** Returns the state of an object in words, for screen readers. */
export function inWords(object) {
  return object.lost ? `${nameOf(object)}, lost: ${object.lost}` : `${nameOf(object)}, IoU ${object.iou.toFixed(2)}`;
}

export class ObjectList {
  /** Elements of the objects: {item, pick, score, lost, looks, candidates}. */
  #items = new Map();

  /** `act` has select(id), hide(id), remove(id), rename(id, class), persist(id, persistence), choose(id, index). */
  constructor(list, act) {
    this.list = list;
    this.act = act;
  }

  /**
   * Shows the objects. `more`: {candidates, thumbnail(canvas, candidate)} of the selected object. While only scores change, the
   * elements stay: a press that began before a picture came ends on the same button.
   */
  show(objects, selected, hidden, canChange, more) {
    const items = objects.map((o) => this.#item(o, o.id === selected, hidden.has(o.id), canChange, more));
    this.#items = new Map(objects.map((object, i) => [object.id, items[i]]));
    const elements = items.map(({ item }) => item);
    if (elements.length === this.list.children.length && elements.every((e, i) => e === this.list.children[i])) return;
    // A person who types a class or tabs through the list is not disturbed.
    const focused = document.activeElement;
    const key = this.list.contains(focused) ? focused.dataset.key : null;
    const typed = key?.startsWith("class-") ? { value: focused.value, at: focused.selectionStart } : null;
    this.list.replaceChildren(...elements);
    const again = key && this.list.querySelector(`[data-key="${key}"]`);
    if (!again) return;
    if (typed) again.value = typed.value;
    again.focus({ preventScroll: true });
    if (typed) again.setSelectionRange(typed.at, typed.at);
  }

  /** Returns the element of an object: the present one with a new score, or a new one if anything else differs. */
  #item(object, isSelected, isHidden, canChange, more) {
    const { id } = object;
    const looks = JSON.stringify([isSelected, isHidden, canChange, object.class, object.colour, object.lost === null, object.persistence]);
    const candidates = isSelected ? more.candidates : null;
    let entry = this.#items.get(id);
    if (entry?.looks !== looks || entry.candidates !== candidates) {
      entry = { ...this.#make(object, isSelected, isHidden, canChange, more), looks, candidates };
    }
    entry.score.textContent = object.lost ? "lost" : object.iou.toFixed(2);
    entry.lost.textContent = object.lost ?? "";
    entry.pick.setAttribute("aria-label", inWords(object));
    return entry;
  }

  #make(object, isSelected, isHidden, canChange, more) {
    const { id } = object;
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = object.colour;
    const score = make("span", { class: "iou" });
    const pick = make("button", {
      "class": "pick", "data-key": `pick-${id}`, "aria-pressed": String(isSelected), "click": () => this.act.select(id),
    }, swatch, make("span", { class: "name", text: nameOf(object) }), score);
    const hide = make("button", {
      "class": "icon", "data-key": `hide-${id}`, "aria-pressed": String(isHidden), "title": isHidden ? "Show" : "Hide",
      "aria-label": `${isHidden ? "Show" : "Hide"} ${nameOf(object)}`, "click": () => this.act.hide(id),
    }, icon(isHidden ? EYE_OFF : EYE));
    const remove = make("button", {
      "class": "icon", "data-key": `remove-${id}`, "title": "Delete", "aria-label": `Delete ${nameOf(object)}`,
      "disabled": canChange && object.persistence ? null : "", "click": () => this.act.remove(id),
    }, icon(BIN));
    const item = make("li", {
      "class": "object", "data-id": id, "data-selected": isSelected ? "" : null, "data-hidden": isHidden ? "" : null,
    }, make("div", { class: "row" }, pick, hide, remove));
    const lost = make("p", { class: "lost" });
    if (object.lost) item.append(lost);
    if (isSelected && canChange && object.persistence) item.append(this.#more(object, more));
    return { item, pick, score, lost };
  }

  #more(object, more) {
    const { id } = object;
    const name = make("input", {
      "value": object.class, "placeholder": "Class", "aria-label": `Class of object ${id}`, "maxlength": "64",
      "data-key": `class-${id}`, "change": (event) => this.act.rename(id, event.target.value.trim()),
    });
    const segments = PERSISTENCES.map(([value, text, title]) => make("button", {
      "role": "radio", "aria-checked": String(object.persistence === value), "data-key": `${value}-${id}`, title, text,
      "click": () => this.act.persist(id, value),
    }));
    const persistence = make("div", { class: "segments", role: "radiogroup", "aria-label": "Persistence" }, ...segments);
    const box = make("div", { class: "more" }, name, persistence);
    if (more.candidates.length > 1) {
      box.append(make("p", { class: "caption", text: "Candidates: keys 1 to 3" }), this.#candidates(id, more));
    }
    return box;
  }

  #candidates(id, more) {
    const buttons = more.candidates.slice(0, 3).map((candidate, i) => {
      const canvas = make("canvas", { width: 144, height: 144 });
      more.thumbnail(canvas, candidate);
      return make("button", {
        "aria-pressed": String(candidate.current), "data-key": `candidate-${i}`,
        "aria-label": `Candidate ${i + 1}, IoU ${candidate.iou.toFixed(2)}`,
        "click": () => this.act.choose(id, candidate.index),
      }, canvas, make("span", { text: `${i + 1}: ${candidate.iou.toFixed(2)}` }));
    });
    return make("div", { class: "candidates" }, ...buttons);
  }
}

/** Draws a candidate: the part of the picture around all candidates, with its mask. */
export function thumbnail(canvas, stage, candidate, candidates, colour) {
  const rects = candidates.flatMap((c) => (c.mask ? [c.mask.rect] : []));
  if (rects.length === 0 || !stage.picture) return;
  const [left, top] = [Math.min(...rects.map((r) => r[0])), Math.min(...rects.map((r) => r[1]))];
  const right = Math.max(...rects.map((r) => r[0] + r[2]));
  const bottom = Math.max(...rects.map((r) => r[1] + r[3]));
  const side = Math.max(right - left, bottom - top) * 1.15;
  const [x, y] = [(left + right - side) / 2, (top + bottom - side) / 2];
  const c = canvas.getContext("2d");
  const scale = canvas.width / side;
  c.setTransform(scale, 0, 0, scale, -x * scale, -y * scale);
  c.drawImage(stage.picture, 0, 0, stage.image.width, stage.image.height);
  if (!candidate.mask) return;
  const [maskLeft, maskTop] = candidate.mask.rect;
  c.drawImage(paint(candidate.mask, colour, 170), maskLeft, maskTop);
}
