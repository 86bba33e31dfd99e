// What the person is told: toasts, the banner over the picture, the live line, the node's status, the timeline.

import { make } from "./objects.js";

const MOST_TOASTS = 4;
const TOAST_TIME = { info: 5000, warning: 9000, error: 12_000 };

const find = (id) => document.getElementById(id);

/** Shows a message for some seconds. A click removes it. */
export function toast(level, text) {
  const box = find("toasts");
  const same = [...box.children].find((child) => child.dataset.text === text);
  same?.remove();
  const role = level === "error" ? "alert" : "status";
  const element = make("div", { "class": "toast", "data-level": level, "data-text": text, role, text });
  element.addEventListener("click", () => element.remove());
  box.append(element);
  while (box.children.length > MOST_TOASTS) box.firstChild.remove();
  setTimeout(() => element.remove(), TOAST_TIME[level] ?? TOAST_TIME.info);
}

/** Tells screen readers. */
export function announce(text) {
  find("announcer").textContent = text;
}

/** Returns a duration in milliseconds as a short text. */
export function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min`;
}

/**
 * Returns what the live line and the banner say. `age` in milliseconds, undefined before the first picture.
 * `refusal`: why clicks are refused now, or null.
 */
export function liveness({ isOpen, age, rate, isHeld, staleAfter, isFile, reason }) {
  const lost = "The connection to the node is lost: trying again";
  if (!isOpen) return { state: "lost", line: "No connection", refusal: reason ? `${lost} (${reason})` : lost };
  if (age === undefined) return { state: "waiting", line: "Waiting for a picture", refusal: "No picture has come yet" };
  if (isFile) return { state: "live", line: "Ready", refusal: null };
  if (isHeld) return { state: "held", line: `Held, ${duration(age)} old`, refusal: null };
  if (staleAfter !== null && age > staleAfter) {
    const refusal = `The picture is ${duration(age)} old: clicks are refused until a newer one comes`;
    return { state: "stale", line: `${duration(age)} old`, refusal };
  }
  return { state: "live", line: `${duration(age)} old`, rate: `${rate.toFixed(1)}/s`, refusal: null };
}

export function showLiveness({ state, line, rate = "", refusal }) {
  const live = find("live");
  live.dataset.state = state;
  // A screen reader hears changes of the state, not every millisecond.
  live.setAttribute("aria-live", "off");
  live.querySelector(".age").textContent = line;
  live.querySelector(".rate").textContent = rate;
  const banner = find("banner");
  const text = refusal ?? (state === "held" ? "Held: prompts are answered on this picture. F goes on." : "");
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = text === "";
  banner.dataset.kind = state;
  const stage = find("stage").parentElement;
  stage.toggleAttribute("data-stale", state === "stale" || state === "lost");
}

export function showStatus({ level, text, values, clients }) {
  const health = find("health");
  health.dataset.level = level;
  health.textContent = `${["", "Warning: ", "Error: "][level] ?? ""}${text}`;
  const all = [["pages connected", String(clients)], ...values];
  const rows = all.map(([key, value]) => make("div", {}, make("dt", { text: key }), make("dd", { text: value })));
  find("values").replaceChildren(...rows);
}

export function showTimeline(timeline) {
  find("timeline").hidden = !timeline;
  if (!timeline) return;
  const slider = find("position");
  slider.max = Math.max(timeline.count - 1, 0);
  slider.value = timeline.index;
  find("previous").disabled = timeline.index === 0;
  find("next").disabled = timeline.index + 1 >= timeline.count;
  const time = timeline.rate ? `, ${(timeline.index / timeline.rate).toFixed(2)} s` : "";
  find("position-text").textContent = `${timeline.index + 1} of ${timeline.count}${time}: ${timeline.name}`;
}

export function showCameras(names, selected, select) {
  const nav = find("cameras");
  nav.hidden = names.length < 2;
  nav.replaceChildren(...names.map((name, i) => make("button", {
    "role": "tab", "aria-selected": String(i === selected), "text": name || "camera", "click": () => select(i),
  })));
}
