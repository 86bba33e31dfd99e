"""The operator's console in a real Chromium, on the real node: pictures, prompts, objects."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable
from typing import Any

import pytest

from browser import Tab, needs_chromium, stamp_of, url_of
from harness import ROOT
from robot import GOOD, Robot
from scenes import DISK, EGG, Scene, iou

pytestmark = needs_chromium

Open = Callable[..., Tab]


@pytest.fixture
def tab(console: Robot, open_tab: Open) -> Tab:
    """A page that shows the scene."""
    tab = open_tab(url_of(console.process))
    tab.until_state("live")
    return tab


def test_a_click_becomes_a_mask_on_its_frame(console: Robot, tab: Tab, scene: Scene) -> None:
    stamp = console.show(scene.rgb)
    tab.until_shown(stamp)
    before, bare = console.masks.mark(), tab.has_colour(DISK.colour)
    tab.click_spot(DISK.colour)
    tab.until_objects(1)
    assert iou(tab.mask(), scene.truth[0]) >= GOOD
    assert stamp_of(tab.asked("prompt")[-1]) == stamp
    # The same answer is on the node's topics, with the header of the frame.
    console.masks.wait("the masks of the click", lambda m: m.masks and m.header.stamp == stamp, before)
    # The mask is drawn over the disk.
    assert tab.has_colour(DISK.colour).sum() < 0.3 * bare.sum()


def test_a_click_is_answered_on_the_picture_that_is_held(console: Robot, tab: Tab, scene: Scene) -> None:
    stamp = console.show(scene.rgb)
    tab.until_shown(stamp)
    place = tab.spot(DISK.colour)
    tab.page.keyboard.press("f")
    tab.until_state("held")
    for _ in range(3):
        newest = console.show(Scene(shapes=(DISK.moved(140, 60),)).rgb)
    tab.page.mouse.click(*place)
    tab.until_objects(1)
    assert stamp_of(tab.asked("prompt")[-1]) == stamp
    assert iou(tab.mask(), scene.truth[0]) >= GOOD
    tab.page.keyboard.press("f")
    tab.until_state("live")
    tab.until_shown(newest)


def test_a_held_picture_gets_more_pixels_for_a_zoom(console: Robot, open_tab: Open, scene: Scene) -> None:
    tab = open_tab(url_of(console.process), viewport={"width": 240, "height": 600})
    tab.until_state("live")
    tab.page.keyboard.press("f")
    tab.until_state("held")
    held = tab.pictures[-1]
    console.show(scene.rgb)
    box = tab.page.locator("#stage").bounding_box()
    assert box is not None
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.mouse.wheel(0, -600)
    # The JPEG had 256 of the 320 columns.
    again = lambda: [p for p in tab.pictures if p["picture"] == held["picture"] and p["bytes"] > held["bytes"]]  # noqa: E731
    tab.wait("the held picture with more pixels", again)


def test_keys_undo_redo_delete_and_start_an_object(tab: Tab) -> None:
    tab.click_spot(DISK.colour)
    tab.until_objects(1)
    tab.page.keyboard.press("n")
    tab.click_spot(EGG.colour)
    tab.until_objects(2)
    for key, count in [("z", 1), ("y", 2), ("z", 1)]:
        tab.page.keyboard.press(key)
        tab.until_objects(count)
    if not tab.page.locator(".object[data-selected]").count():
        tab.page.locator("#objects .pick").first.click()
        tab.until("document.querySelector('.object[data-selected]') !== null")
    tab.page.keyboard.press("Delete")
    tab.until_objects(0)
    tab.click_spot(DISK.colour)
    tab.until_objects(1)
    tab.page.locator("#clear").click()
    tab.until_objects(0)


SLOW_REQUESTS = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (message) {
  setTimeout(() => send.call(this, message), String(message).includes('"ask"') ? 500 : 0);
};
"""


def test_an_object_is_started_while_the_click_before_is_on_its_way(console: Robot, open_tab: Open) -> None:
    tab = open_tab(url_of(console.process), SLOW_REQUESTS)
    tab.until_state("live")
    disk, egg = tab.spot(DISK.colour), tab.spot(EGG.colour)
    tab.page.mouse.click(*disk)
    tab.page.keyboard.press("n")
    tab.page.mouse.click(*egg)
    tab.until_objects(2)
    assert [prompt["object"] for prompt in tab.asked("prompt")] == [0, 0]


def test_undo_takes_back_a_click_that_is_not_answered_yet(console: Robot, open_tab: Open) -> None:
    tab = open_tab(url_of(console.process), SLOW_REQUESTS)
    tab.until_state("live")
    disk = tab.spot(DISK.colour)
    tab.page.mouse.click(*disk)
    tab.page.mouse.click(disk[0] + 4, disk[1])
    tab.page.keyboard.press("z")
    tab.wait("undo", lambda: tab.asked("undo"))
    order = [m["action"]["do"] for m in tab.sent if m["type"] == "ask" and m["action"]["do"] in ("prompt", "undo")]
    assert order == ["prompt", "prompt", "undo"]


def test_a_box_a_background_click_and_a_brush(tab: Tab) -> None:
    x, y = tab.spot(DISK.colour)
    mouse = tab.page.mouse
    mouse.move(x - 90, y - 90)
    mouse.down()
    mouse.move(x, y, steps=4)
    mouse.move(x + 90, y + 90, steps=4)
    mouse.up()
    tab.until_objects(1)
    assert len(tab.asked("prompt")[-1]["box"]) == 4
    place = tab.spot(EGG.colour)
    for number, options in enumerate([{"button": "right"}, {"modifier": "Shift"}], 2):
        if modifier := options.pop("modifier", None):
            tab.page.keyboard.down(modifier)
        mouse.click(place[0] + number, place[1], **options)
        if modifier:
            tab.page.keyboard.up(modifier)
        tab.wait("a background click", lambda n=number: len(tab.asked("prompt")) == n)
        assert tab.asked("prompt")[-1]["points"][0][2] is False
    tab.page.keyboard.press("n")
    tab.page.keyboard.press("b")
    x, y = tab.spot(EGG.colour)
    mouse.move(x - 30, y)
    mouse.down()
    mouse.move(x + 30, y, steps=8)
    mouse.up()
    tab.page.locator("#brush-apply").click()
    tab.until_objects(2)
    assert sum(tab.asked("prompt")[-1]["mask"]["counts"][1::2]) > 20


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("viewport", [(1280, 800), (500, 900)])
def test_a_click_hits_the_pixel_under_it(
    console: Robot, open_tab: Open, scene: Scene, viewport: tuple[int, int], ratio: int
) -> None:
    """Zoom, pan, bars beside the picture and the ratio of device pixels: the place of a marker is known from a screenshot."""
    marker = (250, 20, 250)
    rgb = scene.rgb.copy()
    rgb[101:104, 211:214] = marker
    stamp = console.show(rgb)
    tab = open_tab(
        url_of(console.process), viewport={"width": viewport[0], "height": viewport[1]}, device_scale_factor=ratio
    )
    mouse = tab.page.mouse
    for step in range(3):
        tab.until_shown(stamp)
        x, y = tab.spot(marker, ratio)
        mouse.click(x, y)
        tab.wait("a prompt", lambda n=step: len(tab.asked("prompt")) > n)
        assert tab.asked("prompt")[-1]["points"] == [[212, 102, True]], (step, x, y)
        tab.until_objects(1)
        tab.page.keyboard.press("z")
        tab.until_objects(0)
        mouse.move(x + 20, y - 15)
        mouse.wheel(0, -500)
        mouse.move(x, y)
        mouse.down(button="middle")
        mouse.move(x + 17, y + 23, steps=3)
        mouse.up(button="middle")
        # The next picture has the pixels for the zoom.
        stamp = console.show(rgb)


def test_the_keyboard_alone_is_enough(tab: Tab, scene: Scene) -> None:
    # From the middle of the picture, where the first arrow shows the cursor, to the disk.
    for key, count in [("ArrowLeft", 16), ("ArrowUp", 4)]:
        for _ in range(count):
            tab.page.keyboard.press(key)
    tab.page.keyboard.press("Enter")
    tab.until_objects(1)
    assert iou(tab.mask(), scene.truth[0]) >= GOOD
    tab.until("document.getElementById('announcer').textContent.includes('Object 1, IoU')")
    # A box from one corner to another.
    tab.page.keyboard.press("n")
    tab.page.keyboard.press("x")
    for _ in range(8):
        tab.page.keyboard.press("ArrowRight")
        tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("Enter")
    tab.until_objects(2)
    assert len(tab.asked("prompt")[-1]["box"]) == 4


def test_candidates_class_persistence_and_visibility(console: Robot, tab: Tab, scene: Scene) -> None:
    tab.click_spot(DISK.colour)
    tab.until_objects(1)
    tab.until("document.querySelectorAll('.candidates button').length === 3")
    tab.page.keyboard.press("2")
    tab.until("document.querySelectorAll('.candidates button')[1]?.getAttribute('aria-pressed') === 'true'")
    tab.page.keyboard.press("r")
    tab.page.keyboard.type("cup")
    tab.page.keyboard.press("Enter")
    tab.until("document.querySelector('#objects .name').textContent === 'cup 1'")
    tab.page.get_by_role("radio", name="Track").click()
    tab.until("document.querySelector('[data-key=track-1]').getAttribute('aria-checked') === 'true'")
    tab.page.get_by_role("radio", name="Once").click()
    tab.until("document.querySelector('[data-key=once-1]').getAttribute('aria-checked') === 'true'")
    tab.page.locator("[data-key=hide-1]").click()
    tab.until("document.querySelector('.object').hasAttribute('data-hidden')")
    tab.spot(DISK.colour)
    # The object with persistence "once" is not on the next picture.
    tab.until_shown(console.show(scene.rgb))
    tab.until_objects(0)


def test_the_list_can_be_pressed_while_pictures_come(console: Robot, tab: Tab, scene: Scene) -> None:
    tab.click_spot(DISK.colour)
    tab.until_objects(1)
    tab.until("document.querySelectorAll('.candidates button').length === 3")
    box = tab.page.locator("[data-key=hide-1]").bounding_box()
    assert box is not None
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.mouse.down()
    for _ in range(2):
        tab.until_shown(console.show(scene.rgb))
    tab.page.mouse.up()
    tab.until("document.querySelector('.object')?.hasAttribute('data-hidden')")


def test_everything_is_found_and_a_click_makes_an_object(tab: Tab, scene: Scene) -> None:
    place = tab.spot(DISK.colour)
    tab.page.keyboard.press("e")
    tab.until("document.getElementById('search-text').textContent.includes('click one')")
    assert any(m["type"] == "progress" for m in tab.received)
    tab.page.mouse.click(*place)
    tab.until_objects(1)
    assert "mask" in tab.asked("prompt")[-1]
    assert iou(tab.mask(), scene.truth[0]) >= GOOD
    tab.page.keyboard.press("e")
    tab.until("document.getElementById('search-bar').hidden")
    tab.until_state("live")


def test_a_search_is_cancelled(tab: Tab) -> None:
    tab.page.evaluate("['everything', 'search-end'].forEach((id) => document.getElementById(id).click())")
    tab.wait("the answer to the search", lambda: [m for m in tab.received if m["type"] == "answer" and m["text"] == "cancelled"])
    assert len(tab.asked("everything")) == len(tab.asked("cancel")) == 1
    tab.until("document.getElementById('search-bar').hidden")
    # The decoder is free for a click.
    tab.until_state("live")
    tab.click_spot(DISK.colour)
    tab.until_objects(1)


def test_two_pages_see_each_others_objects(console: Robot, tab: Tab, open_tab: Open) -> None:
    """The second page is below a path, as behind a reverse proxy."""
    other = open_tab(url_of(console.process) + "robots/7/")
    other.until_state("live")
    tab.click_spot(DISK.colour)
    tab.until_objects(1)
    other.until_objects(1)
    other.click_spot(EGG.colour)
    other.until_objects(2)
    tab.until_objects(2)


def test_the_status_has_the_words_of_diagnostics(console: Robot, tab: Tab) -> None:
    tab.page.keyboard.press("s")
    tab.until("document.querySelectorAll('#values dt').length > 20")
    keys = set(tab.page.evaluate("[...document.querySelectorAll('#values dt')].map((key) => key.textContent)"))
    assert set(console.diagnostic_values()) <= keys
    # A refusal of another input is told in words.
    console.send_click(9000, 9000)
    tab.until_toast("refused: ")


LAYOUTS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "has_touch": True},
}
# Names as screen readers find them, in short.
NAMELESS = """[...document.querySelectorAll("button, input, canvas[tabindex], [role=radiogroup], nav")]
    .filter((e) => !e.hidden && !e.closest("[hidden]") && !e.textContent.trim()
        && !e.getAttribute("aria-label") && !e.title && !e.labels?.length).map((e) => e.outerHTML)"""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_fits_and_everything_has_a_name(console: Robot, open_tab: Open, layout: str) -> None:
    tab = open_tab(url_of(console.process), **LAYOUTS[layout])
    tab.until_state("live")
    tab.page.mouse.click(*tab.spot(DISK.colour, LAYOUTS[layout].get("device_scale_factor", 1)))
    tab.until("document.querySelectorAll('.candidates button').length === 3")
    root = "document.documentElement"
    assert tab.page.evaluate(f"{root}.scrollWidth <= innerWidth && {root}.scrollHeight <= innerHeight")
    assert tab.page.evaluate("document.querySelector('.bar').scrollWidth <= innerWidth")
    assert tab.page.evaluate(NAMELESS) == []
    out = ROOT / "out/console"
    out.mkdir(parents=True, exist_ok=True)
    tab.until_painted()
    tab.page.screenshot(path=out / f"{layout}.png")


def test_the_functions_of_the_page(chromium: Any) -> None:
    """tests/console_page in the browser, from a folder: modules need a server."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(ROOT))
    types = http.server.SimpleHTTPRequestHandler.extensions_map
    handler.extensions_map = types | {".mjs": "text/javascript"}  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/tests/console_page/tests.html")
        page.wait_for_function("document.title !== 'running'")
        assert page.title() == "passed", page.inner_text("pre")
        page.close()
        server.shutdown()
