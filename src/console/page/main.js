// The console's page: state, and the way from a gesture to a request and from a message to the screen.

import { Brush } from "./brush.js";
import { boxBetween, pixelAt, wantedSize } from "./geometry.js";
import { listen } from "./gestures.js";
import { bindButtons, bindKeys } from "./keys.js";
import { Link, socketAddress } from "./link.js";
import { ObjectList, inWords, thumbnail } from "./objects.js";
import { announce, liveness, showCameras, showLiveness, showStatus, showTimeline, toast } from "./panels.js";
import { Search } from "./search.js";
import { Stage } from "./stage.js";
import { state } from "./state.js";
import { makeTools } from "./tools.js";
import { bindWords, focusWords, showWords } from "./words.js";

/** Longest time that the page shows the clicked picture while it waits for the answer, and then for the masks. */
const PIN_TIME = 3000;
const SETTLE_TIME = 1000;
/** Pictures over which an answered object is drawn although their masks are older than the click. */
const CARRIED_PICTURES = 2;
const NO_CANDIDATES = [];

const find = (id) => document.getElementById(id);
const stage = new Stage(find("stage"), sendView);
const brush = new Brush();
stage.brush = brush;
const link = new Link(socketAddress(location.href), receive, connected);
const tools = makeTools(stage, brush, { point, box, prompt });
const search = new Search(stage, link, {
  hold, refusal, picture: () => ({ camera: state.camera, stamp: state.shown?.stamp, held: state.isHeld }),
});
const objects = new ObjectList(find("objects"), {
  select, hide, remove, rename, persist, choose,
});

// ---- messages of the console

function receive(message) {
  switch (message.type) {
    case "hello": return greet(message);
    case "picture": return takePicture(message);
    case "masks": return takeMasks(message);
    case "notice": return toast(message.level, message.text);
    case "status": return takeStatus(message);
    case "progress": return search.progress(message);
  }
}

function connected(isOpen, reason) {
  state.closed = reason;
  if (isOpen) {
    // Pictures of an earlier connection have another clock and other numbers.
    Object.assign(state, { shown: null, next: null, pin: null });
    if (search.isOn) search.end();
    hold(false);
  }
  tick();
}

function greet(hello) {
  state.hello = hello;
  document.body.toggleAttribute("data-spectator", !hello.operator);
  for (const id of ["new", "undo", "redo", "clear", "save", "everything"]) find(id).disabled = !hello.operator;
  showCameras(hello.cameras, state.camera, switchCamera);
  showTimeline(hello.timeline);
  find("hold").hidden = hello.timeline !== null;
  if (!hello.operator) toast("info", "This page may only watch.");
}

function takeStatus(status) {
  if (status.camera !== state.camera) return;
  showStatus(status);
  showWords(status.phrases, state.hello.operator);
  if (JSON.stringify(status.timeline) === JSON.stringify(state.hello.timeline)) return;
  state.hello.timeline = status.timeline;
  showTimeline(status.timeline);
}

async function takePicture({ header, jpeg }) {
  if (header.camera !== state.camera) return link.send({ type: "drawn", picture: header.picture });
  state.decoding = header;
  const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" })).catch(() => null);
  state.decoding = null;
  if (!bitmap) toast("warning", "The browser cannot read a picture of the camera.");
  state.next?.bitmap?.close();
  state.next = { header, bitmap };
  // A picture that comes while another one is held waits here, so that the console can send the held one with more pixels.
  if (state.isHeld) link.send({ type: "drawn", picture: header.picture });
  // The same picture with more pixels, after zooming in.
  showNext(header.picture === state.shown?.picture);
}

/** Shows the picture that waits, unless the operator holds the picture or waits for an answer on it. */
function showNext(isSame = false) {
  const { next } = state;
  const isPinned = state.pin && performance.now() < state.pin.until;
  if (!next || (!isSame && (state.isHeld || isPinned))) return;
  state.next = null;
  link.send({ type: "drawn", picture: next.header.picture });
  if (!next.bitmap) return;
  state.shown = next.header;
  state.drawn = [...state.drawn.slice(-20), performance.now()];
  const [width, height] = next.header.size;
  stage.show(next.bitmap, { width, height });
  for (const [id, carried] of state.carried) {
    const isThere = next.header.objects.some((object) => object.id === id);
    if (isThere || carried.pictures-- <= 0) state.carried.delete(id);
  }
  showObjects(next.header.objects);
  tick();
}

function takeMasks(masks) {
  const isOn = (header) => header && masks.camera === state.camera && String(header.stamp) === String(masks.stamp);
  for (const header of [state.decoding, state.next?.header]) {
    if (isOn(header)) header.objects = masks.objects;
  }
  if (!isOn(state.shown)) return;
  state.shown.objects = masks.objects;
  // These masks are newer than any prompt whose object is carried.
  state.carried.clear();
  showObjects(masks.objects);
  state.pin?.masked();
}

/** Shows the objects of a picture, and those whose answer is newer than the masks of the picture. */
function showObjects(list) {
  const ids = new Set(list.map((object) => object.id));
  const all = [...list, ...[...state.carried.values()].map((c) => c.object).filter((o) => !ids.has(o.id))];
  if (state.selected && !all.some((object) => object.id === state.selected)) state.selected = 0;
  stage.selected = state.selected;
  stage.setObjects(all);
  showList();
}

function showList() {
  const { selected } = state;
  const { list } = state.candidates;
  const object = stage.objects.find((o) => o.id === selected);
  const candidates = state.candidates.id === selected ? list : NO_CANDIDATES;
  objects.show(stage.objects, selected, stage.hidden, state.hello.operator, {
    candidates,
    thumbnail: (canvas, candidate) => thumbnail(canvas, stage, candidate, candidates, object?.colour ?? "#3aa0ff"),
  });
  find("count").textContent = stage.objects.length || "";
  find("empty").hidden = stage.objects.length > 0;
}

// ---- requests of the person

/** Returns why prompts are refused now, or null. */
function refusal() {
  return state.hello.operator ? current().refusal : "This page may only watch.";
}

async function act(action) {
  const answer = await link.ask(state.camera, action, { shown: state.shown?.stamp });
  if (!answer.ok) toast("error", answer.text);
  else if (answer.text) announce(answer.text);
  if (answer.timeline) showTimeline(answer.timeline);
  return answer;
}

/** Runs a step of the operator's work after the steps before it, some of which may wait for an answer. */
function inOrder(step) {
  // A step that fails is reported by the browser and stops no other step.
  state.steps = state.steps.catch(() => {}).then(step);
}

/** Sends a prompt on the picture that is shown. */
function prompt(fields) {
  const reason = refusal();
  if (reason) return toast("error", reason);
  const { stamp } = state.shown;
  const held = state.isHeld;
  const pin = { until: performance.now() + PIN_TIME };
  const masked = new Promise((resolve) => (pin.masked = resolve));
  state.pin = pin;
  inOrder(async () => {
    const object = state.selected;
    const answer = await act({ do: "prompt", stamp, held, object, ...fields });
    if (answer.ok) {
      // The masks and the answer take different ways.
      await Promise.race([masked, new Promise((resolve) => setTimeout(resolve, SETTLE_TIME))]);
      if (state.selected === object) state.selected = answer.object;
      takeAnswer(answer.object);
    }
    if (state.pin === pin) state.pin = null;
    showNext();
  });
}

/** Shows the object of an answer, also on the next pictures, whose masks may be older than the prompt. */
function takeAnswer(id) {
  // Candidates of an earlier object with the same id, which was undone, are not drawn again.
  state.candidates = { id: 0, list: NO_CANDIDATES };
  const list = state.shown?.objects ?? [];
  const object = list.find((o) => o.id === id);
  if (object) {
    if (object.persistence !== "once") state.carried.set(id, { object, pictures: CARRIED_PICTURES });
    announce(inWords(object));
  }
  showObjects(list);
  showCandidates();
}

function point(at, on) {
  const pixel = pixelAt(stage.image, at.x, at.y);
  if (!pixel) return;
  if (stage.found.length === 0) return prompt({ points: [[pixel.x, pixel.y, on]] });
  const found = stage.foundAt(pixel);
  if (!found) return;
  state.selected = 0;
  prompt({ mask: found.mask });
  stage.setFound(stage.found.filter((mask) => mask !== found));
}

function box(a, b) {
  const corners = boxBetween(stage.image, a, b);
  if (corners) prompt({ box: corners });
}

async function showCandidates() {
  const id = state.selected;
  state.candidates = { id: 0, list: [] };
  const object = stage.objects.find((o) => o.id === id);
  if (!object?.persistence || !state.hello.operator) return showList();
  const answer = await link.ask(state.camera, { do: "candidates", object: id });
  // The frame may be gone, which is no fault of the person.
  if (answer.ok && state.selected === id) state.candidates = { id, list: answer.candidates ?? [] };
  showList();
}

async function choose(id, candidate) {
  const answer = await act({ do: "choose", object: id, candidate });
  if (answer.ok) showCandidates();
}

function persist(id, persistence) {
  act({ do: "persist", object: id, persistence });
}

function remove(id) {
  state.carried.delete(id);
  act({ do: "remove", object: id });
}

function rename(id, name) {
  act({ do: "rename", object: id, class: name });
}

function select(id) {
  state.selected = state.selected === id ? 0 : id;
  stage.selected = state.selected;
  stage.repaint();
  const object = stage.objects.find((o) => o.id === state.selected);
  announce(object ? `${inWords(object)}, selected` : "The next click starts an object");
  showCandidates();
}

function newObject() {
  inOrder(() => state.selected && select(state.selected));
  toast("info", "The next click starts an object.");
}

function hide(id) {
  if (!stage.hidden.delete(id)) stage.hidden.add(id);
  stage.repaint();
  showList();
}

function undo(direction) {
  if (!brush.isEmpty && direction === "undo") return tools.clearBrush();
  inOrder(async () => {
    const answer = await act({ do: direction });
    if (!answer.ok) return;
    dropCarried();
    toast("info", answer.text);
  });
}

function clear() {
  inOrder(async () => {
    const answer = await act({ do: "clear" });
    if (answer.ok) dropCarried();
  });
}

/** Shows no object any more that the masks of the picture do not have. */
function dropCarried() {
  state.carried.clear();
  showObjects(state.shown?.objects ?? []);
}

async function show(index) {
  if (search.isOn) search.end();
  state.selected = 0;
  const answer = await act({ do: "show", index });
  if (!answer.ok) showTimeline(state.hello.timeline);
  else state.hello.timeline = answer.timeline;
}

function save() {
  inOrder(async () => {
    const answer = await act({ do: "save" });
    if (answer.ok) toast("info", answer.text);
  });
}

// ---- the stage

function hold(isHeld = !state.isHeld) {
  state.isHeld = isHeld && state.shown !== null;
  if (state.isHeld && state.next) link.send({ type: "drawn", picture: state.next.header.picture });
  find("hold").setAttribute("aria-pressed", String(state.isHeld));
  sendView();
  showNext();
  tick();
}

/**
 * Sends which camera the page shows, and at which size: no pixel behind another tab. Several calls within a frame are one
 * message.
 */
let viewTimer = 0;
function sendView() {
  clearTimeout(viewTimer);
  viewTimer = setTimeout(() => {
    const size = document.hidden ? { width: 0, height: 0 } : wantedSize(stage.size, stage.view, window.devicePixelRatio || 1);
    link.send({ type: "view", camera: state.camera, ...size, details: state.details, held: state.isHeld ? state.shown.picture : null });
  }, 15);
}

function switchCamera(camera) {
  if (search.isOn) search.end();
  Object.assign(state, { camera, shown: null, next: null, selected: 0, isHeld: false, drawn: [], pin: null });
  state.carried.clear();
  stage.hidden.clear();
  find("hold").setAttribute("aria-pressed", "false");
  stage.picture = null;
  showCameras(state.hello.cameras, camera, switchCamera);
  showObjects([]);
  sendView();
  tick();
}

// ---- what the person is told

function current() {
  const now = link.clock.now();
  const age = state.shown && now !== undefined ? now - state.shown.arrived : undefined;
  const recent = state.drawn.filter((at) => at > performance.now() - 5000);
  const rate = recent.length > 1 ? ((recent.length - 1) * 1000) / (recent.at(-1) - recent[0]) : 0;
  const { isHeld, closed: reason } = state;
  const { stale_after: staleAfter, timeline } = state.hello;
  return liveness({ isOpen: link.isOpen, age, rate, isHeld, staleAfter, isFile: timeline !== null, reason });
}

function tick() {
  showLiveness(current());
  showNext();
}

// ---- buttons and gestures

function toggleDetails() {
  state.details = !state.details;
  find("details").setAttribute("aria-pressed", String(state.details));
  find("status").hidden = !state.details;
  sendView();
}

const whenSelected = (run) => () => state.selected && run(state.selected);
const actions = {
  ...tools,
  newObject, save, clear, toggleDetails,
  everything: () => search.toggle(),
  endSearch: () => search.end(),
  focusWords,
  hold: () => hold(),
  undo: () => undo("undo"),
  redo: () => undo("redo"),
  hide: whenSelected(hide),
  remove: whenSelected(remove),
  rename: whenSelected((id) => document.querySelector(`[data-key="class-${id}"]`)?.focus()),
  candidate: (i) => {
    const { id, list } = state.candidates;
    if (list[i]) choose(id, list[i].index);
  },
  step: (by) => {
    const { timeline } = state.hello;
    const index = timeline && timeline.index + by;
    if (timeline && index >= 0 && index < timeline.count) show(index);
  },
};
bindKeys(stage.canvas, actions);
bindButtons(actions);
bindWords(act);
find("position").addEventListener("change", (event) => show(Number(event.target.value)));
listen(stage, tools.tool, { point, box, stroke: tools.stroke });
document.addEventListener("visibilitychange", sendView);
setInterval(tick, 200);
showList();
tick();
