// What the page knows: the console's greeting, the picture on the stage, and the object that takes the next prompts.

export const state = {
  hello: { operator: false, cameras: [""], stale_after: null, timeline: null },
  camera: 0,
  /** Picture on the stage: {header}. */
  shown: null,
  /** Header of the picture that the browser decodes. */
  decoding: null,
  /** Picture that waits until a held or pinned one is let go. */
  next: null,
  isHeld: false,
  /** A prompt that waits for its answer on the picture on the stage: {until, masked}. */
  pin: null,
  /**
   * The operator's steps so far (prompts, undo, save, ...), which run one after the other: the second click of a new object needs
   * the object's number, and undo takes back the last click, also if that is not answered yet.
   */
  steps: Promise.resolve(),
  selected: 0,
  carried: new Map(),
  candidates: { id: 0, list: [] },
  details: false,
  drawn: [],
  closed: "",
};
