// Tests of the functions of the console's page that need no page. They run in any browser (tests.html) and in node.

import { dab } from "../../src/console/page/brush.js";
import * as geometry from "../../src/console/page/geometry.js";
import { Clock, socketAddress, splitPicture } from "../../src/console/page/link.js";
import * as runs from "../../src/console/page/runs.js";

const IMAGE = { width: 1280, height: 720 };

function assertEqual(found, expected) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`found ${a}, expected ${b}`);
}

function assertClose(found, expected) {
  if (!(Math.abs(found - expected) < 1e-6)) throw new Error(`found ${found}, expected ${expected}`);
}

/** Returns a number between 0 and 1 from a seed, and the next seed. */
function* numbers(seed) {
  for (let state = seed; ;) {
    state = (state * 1103515245 + 12345) % 2147483648;
    yield state / 2147483648;
  }
}

const tests = {
  "a picture is centred between bars"() {
    assertEqual(geometry.placement(IMAGE, { width: 640, height: 640 }), { scale: 0.5, left: 0, top: 140 });
    assertEqual(geometry.placement(IMAGE, { width: 1000, height: 360 }), { scale: 0.5, left: 180, top: 0 });
  },

  "every pixel is found again under zoom, pan and bars"() {
    const random = numbers(7);
    const next = () => random.next().value;
    for (let i = 0; i < 5000; i++) {
      const stage = { width: 200 + Math.floor(next() * 2000), height: 200 + Math.floor(next() * 1400) };
      let view = geometry.FULL_VIEW;
      view = geometry.zoomAt(view, IMAGE, stage, 1 + next() * 12, next() * stage.width, next() * stage.height);
      view = geometry.panBy(view, IMAGE, stage, (next() - 0.5) * 900, (next() - 0.5) * 900);
      const place = geometry.placement(IMAGE, stage, view);
      const pixel = { x: Math.floor(next() * IMAGE.width), y: Math.floor(next() * IMAGE.height) };
      const at = geometry.toStage(place, pixel.x + 0.5, pixel.y + 0.5);
      const back = geometry.toImage(place, at.x, at.y);
      assertEqual(geometry.pixelAt(IMAGE, back.x, back.y), pixel);
    }
  },

  "zooming keeps the pixel under the pointer"() {
    const stage = { width: 900, height: 700 };
    const before = geometry.toImage(geometry.placement(IMAGE, stage), 450, 350);
    let view = geometry.FULL_VIEW;
    for (const factor of [2, 1.5, 0.8]) view = geometry.zoomAt(view, IMAGE, stage, factor, 450, 350);
    const after = geometry.toImage(geometry.placement(IMAGE, stage, view), 450, 350);
    assertClose(after.x, before.x);
    assertClose(after.y, before.y);
    assertEqual(geometry.zoomAt(view, IMAGE, stage, 0.01, 0, 0), geometry.FULL_VIEW);
  },

  "a picture cannot be moved out of sight"() {
    const stage = { width: 640, height: 360 };
    const view = geometry.panBy({ zoom: 2, x: 0, y: 0 }, IMAGE, stage, 9999, -9999);
    assertEqual(view, { zoom: 2, x: 320, y: -180 });
    assertEqual(geometry.panBy(geometry.FULL_VIEW, IMAGE, stage, 50, 50), geometry.FULL_VIEW);
  },

  "a zoomed picture follows the cursor"() {
    const stage = { width: 640, height: 360 };
    const view = geometry.zoomAt(geometry.FULL_VIEW, IMAGE, stage, 4, 320, 180);
    const seen = (x, y) => {
      const moved = geometry.reveal(view, IMAGE, stage, x, y, 40);
      return geometry.toStage(geometry.placement(IMAGE, stage, moved), x, y);
    };
    assertEqual(seen(640, 360), { x: 320, y: 180 });
    assertEqual(seen(400, 360), { x: 40, y: 180 });
    assertEqual(seen(640, 600), { x: 320, y: 320 });
    assertEqual(seen(1279.5, 10.5), { x: 639, y: 21 });
  },

  "positions beside the picture are no pixels"() {
    for (const [x, y] of [[-0.1, 5], [5, -0.1], [1280, 5], [5, 720]]) assertEqual(geometry.pixelAt(IMAGE, x, y), null);
    assertEqual(geometry.pixelAt(IMAGE, 1279.9, 719.9), { x: 1279, y: 719 });
    assertEqual(geometry.boxBetween(IMAGE, { x: 90, y: 50 }, { x: -20, y: 10.4 }), [0, 10, 90, 50]);
    assertEqual(geometry.boxBetween(IMAGE, { x: 90, y: 50 }, { x: 90.2, y: 10 }), null);
  },

  "the picture is asked for in device pixels"() {
    assertEqual(geometry.wantedSize({ width: 400, height: 300 }, { zoom: 2 }, 2), { width: 1600, height: 1200 });
    assertEqual(geometry.wantedSize({ width: 4000, height: 300 }, { zoom: 40 }, 2).width, 16384);
  },

  "run lengths are decoded row by row"() {
    const mask = { rect: [1, 1, 3, 2], counts: [0, 1, 1, 1, 1, 1, 1] };
    const bits = runs.decode(mask);
    assertEqual([...bits], [1, 0, 1, 0, 1, 0]);
    assertEqual([runs.contains(mask, bits, 1, 1), runs.contains(mask, bits, 2, 1)], [true, false]);
    assertEqual([runs.contains(mask, bits, 0, 1), runs.contains(mask, bits, 4, 1)], [false, false]);
  },

  "encoding is the inverse of decoding"() {
    const random = numbers(3);
    for (let i = 0; i < 200; i++) {
      const [width, height] = [1 + Math.floor(random.next().value * 40), 1 + Math.floor(random.next().value * 30)];
      const density = random.next().value;
      const bits = Uint8Array.from({ length: width * height }, () => (random.next().value < density ? 1 : 0));
      const mask = runs.encode(bits, width, height);
      if (!mask) {
        assertEqual(bits.includes(1), false);
        continue;
      }
      const inside = runs.decode(mask);
      const back = Array.from(bits, (_, at) => (runs.contains(mask, inside, at % width, Math.floor(at / width)) ? 1 : 0));
      assertEqual(back, [...bits]);
      assertEqual(mask.counts.reduce((a, b) => a + b, 0), mask.rect[2] * mask.rect[3]);
    }
    assertEqual(runs.encode(new Uint8Array(6), 3, 2), null);
  },

  "a mask is coloured inside and transparent outside"() {
    const mask = { rect: [2, 1, 3, 1], counts: [1, 2] };
    const [inside, outside] = [[0xf0, 0x82, 0x0a, 105], [0, 0, 0, 0]];
    assertEqual([...runs.colourPixels(mask, "#f0820a", 105)], [...outside, ...inside, ...inside]);
    assertEqual([...runs.colourPixels({ rect: [0, 0, 1, 1], counts: [0, 1] }, "#ffffff", 255)], [255, 255, 255, 255]);
  },

  "the outline runs around every pixel that differs from its neighbour"() {
    const square = { rect: [5, 7, 2, 2], counts: [0, 4] };
    assertEqual(runs.outline(square, runs.decode(square)), [5, 7, 7, 7, 5, 9, 7, 9, 5, 7, 5, 9, 7, 7, 7, 9]);
    const ring = { rect: [0, 0, 3, 3], counts: [0, 4, 1, 4] };
    const segments = runs.outline(ring, runs.decode(ring));
    let length = 0;
    for (let i = 0; i < segments.length; i += 4) {
      length += Math.abs(segments[i] - segments[i + 2]) + Math.abs(segments[i + 1] - segments[i + 3]);
    }
    assertEqual(length, 12 + 4);
  },

  "the brush always paints the pixel under it"() {
    const image = { width: 9, height: 7 };
    const painted = (x, y, radius) => {
      const bits = new Uint8Array(63);
      dab(bits, image, x, y, radius, 1);
      return bits.reduce((a, b) => a + b, 0);
    };
    assertEqual([painted(4.5, 3.5, 0.1), painted(4.5, 3.5, 1), painted(0.2, 0.2, 1.4)], [1, 5, 3]);
    assertEqual(painted(-5, -5, 2), 0);
  },

  "the socket is beside the page behind any proxy"() {
    assertEqual(socketAddress("http://robot:8060/"), "ws://robot:8060/socket");
    assertEqual(socketAddress("https://proxy/robots/7/?x=1#top"), "wss://proxy/robots/7/socket");
  },

  "a picture is split into its header and its JPEG"() {
    const header = new TextEncoder().encode('{"picture": 4}');
    const bytes = new Uint8Array(4 + header.length + 3);
    new DataView(bytes.buffer).setUint32(0, header.length, true);
    bytes.set(header, 4);
    bytes.set([1, 2, 3], 4 + header.length);
    const split = splitPicture(bytes.buffer);
    assertEqual([split.header, [...split.jpeg]], [{ picture: 4 }, [1, 2, 3]]);
  },

  "the clock follows the quickest answer"() {
    const clock = new Clock();
    assertEqual(clock.now(0), undefined);
    clock.add(100, 500, 1300);
    clock.add(1000, 1010, 2005);
    clock.add(2000, 2900, 3800);
    assertEqual([clock.now(5000), clock.trip], [6000, 900]);
  },
};

/** Runs all tests. Returns the failures as lines. */
export function run() {
  const failures = [];
  for (const [name, test] of Object.entries(tests)) {
    try {
      test();
    } catch (error) {
      failures.push(`${name}: ${error.message}`);
    }
  }
  return { count: Object.keys(tests).length, failures };
}
