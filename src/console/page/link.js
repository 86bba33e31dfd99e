// The connection to the console: messages, answers by number, the server's clock, and connecting again.

const ANSWER_TIMEOUT = 15_000;
const PING_PERIOD = 1000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;

/** Returns the address of the WebSocket beside the page, behind any reverse proxy. */
export function socketAddress(page) {
  const address = new URL("socket", page);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.search = "";
  address.hash = "";
  return address.href;
}

/** Returns the header and the JPEG of a picture. */
export function splitPicture(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { header, jpeg: new Uint8Array(buffer, 4 + length) };
}

/** The server's clock, from pings: the answer of the quickest one is the most exact. */
export class Clock {
  #samples = [];

  add(sent, received, clock) {
    const trip = received - sent;
    this.#samples.push({ trip, offset: clock - (sent + trip / 2) });
    if (this.#samples.length > 10) this.#samples.shift();
  }

  /** Returns the server's time now; undefined before the first answer. */
  now(local = performance.now()) {
    if (this.#samples.length === 0) return undefined;
    const best = this.#samples.reduce((a, b) => (b.trip < a.trip ? b : a));
    return local + best.offset;
  }

  /** Returns the time of the last round trip in milliseconds. */
  get trip() {
    return this.#samples.at(-1)?.trip;
  }
}

/** The connection. `receive` gets each message, `changed` whether the connection stands, with the reason. */
export class Link {
  clock = new Clock();
  #waiting = new Map();
  #next = 1;
  #socket = null;
  #wait = FIRST_WAIT;

  constructor(address, receive, changed) {
    this.address = address;
    this.receive = receive;
    this.changed = changed;
    this.#connect();
    setInterval(() => this.send({ type: "ping", sent: performance.now() }), PING_PERIOD);
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  send(message) {
    if (this.isOpen) this.#socket.send(JSON.stringify(message));
    return this.isOpen;
  }

  /**
   * Sends a request, and returns its answer. `shown`: stamp of the picture on the stage. `started` gets the number of the
   * request. A request without a time limit ends with the connection.
   */
  ask(camera, action, { shown = null, started, limit = ANSWER_TIMEOUT } = {}) {
    const id = this.#next++;
    started?.(id);
    return new Promise((resolve) => {
      const end = (answer) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(answer);
      };
      const refuse = (text) => end({ id, ok: false, text, object: 0 });
      const timer = limit && setTimeout(() => refuse(`no answer for ${limit / 1000} s`), limit);
      this.#waiting.set(id, { end, refuse });
      if (!this.send({ type: "ask", id, camera, shown, action })) refuse("there is no connection to the node");
    });
  }

  #connect() {
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => {
      this.#wait = FIRST_WAIT;
      this.clock = new Clock();
      this.send({ type: "ping", sent: performance.now() });
      this.changed(true, "");
    };
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onclose = ({ reason }) => {
      for (const { refuse } of [...this.#waiting.values()]) refuse("the connection to the node was lost");
      this.changed(false, reason);
      setTimeout(() => this.#connect(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    };
  }

  #take(data) {
    if (typeof data !== "string") return this.receive({ type: "picture", ...splitPicture(data) });
    const message = JSON.parse(data);
    if (message.type === "pong") return this.clock.add(message.sent, performance.now(), message.clock);
    if (message.type === "answer") return this.#waiting.get(message.id)?.end(message);
    return this.receive(message);
  }
}
