// Keys and buttons: each calls one of the page's actions.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const ZOOM = 1.4;

/** Listens to the keyboard. Keys that move or click the cursor need the focus on the stage, or on nothing. */
export function bindKeys(canvas, actions) {
  const keys = {
    "n": actions.newObject, "z": actions.undo, "y": actions.redo, "f": actions.hold, "s": actions.toggleDetails,
    "h": actions.hide, "r": actions.rename, "delete": actions.remove, "backspace": actions.remove,
    "x": actions.corner, "e": actions.everything, "t": actions.focusWords, "escape": actions.escape, "0": actions.whole,
    "p": () => actions.setTool("point"), "b": () => actions.setTool("brush"), "m": () => actions.setTool("pan"),
    "+": () => actions.zoom(ZOOM), "=": () => actions.zoom(ZOOM), "-": () => actions.zoom(1 / ZOOM),
    "[": () => actions.brushBy(0.8), "]": () => actions.brushBy(1.25),
    ",": () => actions.step(-1), ".": () => actions.step(1),
    "1": () => actions.candidate(0), "2": () => actions.candidate(1), "3": () => actions.candidate(2),
    "?": openHelp,
  };
  const withControl = { "z": actions.undo, "y": actions.redo, "s": actions.save };

  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input:not([type=range])");
    if (isTyping || event.altKey && !ARROWS[event.key] || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    const isOnStage = event.target === canvas || event.target === document.body;
    const run = (action, ...values) => {
      event.preventDefault();
      action(...values);
    };
    if (event.ctrlKey || event.metaKey) {
      const action = key === "z" && event.shiftKey ? actions.redo : withControl[key];
      if (action) run(action);
    } else if (isOnStage && ARROWS[event.key]) {
      run(actions.moveCursor, ...ARROWS[event.key], event.altKey);
    } else if (isOnStage && key === "enter") {
      run(actions.clickCursor, !event.shiftKey);
    } else if (keys[key]) {
      run(keys[key]);
    }
  });
}

/** Listens to the buttons of the page. */
export function bindButtons(actions) {
  const buttons = {
    "new": actions.newObject, "undo": actions.undo, "redo": actions.redo, "clear": actions.clear,
    "everything": actions.everything, "search-end": actions.endSearch,
    "zoom-in": () => actions.zoom(ZOOM), "zoom-fit": actions.whole, "hold": actions.hold,
    "details": actions.toggleDetails, "theme": switchTheme, "help": openHelp,
    "brush-clear": actions.clearBrush, "brush-apply": actions.applyBrush,
    "previous": () => actions.step(-1), "next": () => actions.step(1), "save": actions.save,
  };
  for (const [id, press] of Object.entries(buttons)) {
    document.getElementById(id).addEventListener("click", () => press());
  }
  for (const button of document.querySelectorAll(".tools [data-tool]")) {
    button.addEventListener("click", () => actions.setTool(button.dataset.tool));
  }
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
}

function openHelp() {
  document.getElementById("keys").showModal();
}

function switchTheme() {
  const { dataset } = document.documentElement;
  const isDark = dataset.theme ? dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("theme", dataset.theme);
}
