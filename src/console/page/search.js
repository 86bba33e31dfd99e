// The search for everything in a picture: its progress, its end, and the masks that were found.

import { toast } from "./panels.js";

const find = (id) => document.getElementById(id);

/** Returns a colour for the mask of that number, which differs from those of its neighbours. */
function colour(number) {
  const hue = (number * 137.508) % 360;
  const channel = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.58 - 0.34 * Math.max(-1, Math.min(k - 3, 9 - k, 1)))).toString(16).padStart(2, "0");
  };
  return `#${channel(0)}${channel(8)}${channel(4)}`;
}

export class Search {
  /** Number of the request that runs; 0 for none. */
  #running = 0;

  /** `ask` has picture(), which returns {camera, stamp, held}, refusal() and hold(whether). */
  constructor(stage, link, ask) {
    this.stage = stage;
    this.link = link;
    this.ask = ask;
  }

  get isOn() {
    return this.#running !== 0 || this.stage.found.length > 0;
  }

  /** Starts a search, or ends what an earlier one shows. */
  async toggle() {
    if (this.isOn) return this.end();
    const reason = this.ask.refusal();
    if (reason) return toast("error", reason);
    this.ask.hold(true);
    this.#show("Searching", 0);
    const { camera, stamp, held } = this.ask.picture();
    const started = (number) => (this.#running = number);
    const answer = await this.link.ask(camera, { do: "everything", stamp, held }, { started, limit: 0 });
    // Cancelled, or a later search runs.
    if (answer.id !== this.#running) return undefined;
    this.#running = 0;
    if (!answer.ok) toast("warning", answer.text);
    else if (!answer.found?.length) toast("info", "Nothing was found.");
    if (!answer.found?.length) return this.end();
    this.stage.setFound(answer.found.map((mask, i) => ({ ...mask, id: -1 - i, colour: colour(i) })));
    const more = answer.left_out ? `, ${answer.left_out} more left out` : "";
    this.#show(`${answer.found.length} masks${more}: click one to make it an object`, null);
  }

  /** Shows how far the search has come. */
  progress({ id, decoded, points, masks }) {
    if (id === this.#running) this.#show(`${masks} masks so far`, points ? decoded / points : 0);
  }

  end() {
    const { camera } = this.#running ? this.ask.picture() : {};
    if (this.#running) this.link.ask(camera, { do: "cancel", request: this.#running });
    this.#running = 0;
    this.stage.setFound([]);
    find("search-bar").hidden = true;
    find("everything").setAttribute("aria-pressed", "false");
    this.ask.hold(false);
  }

  #show(text, share) {
    find("search-bar").hidden = false;
    find("everything").setAttribute("aria-pressed", "true");
    find("search-text").textContent = text;
    const bar = find("search-progress");
    bar.hidden = share === null;
    bar.value = share ?? 0;
    find("search-end").textContent = share === null ? "Close" : "Cancel";
  }
}
