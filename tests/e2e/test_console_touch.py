"""Fingers on the operator's console: Chromium's own touch events, as from a phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from browser import Tab, needs_chromium, url_of
from robot import Robot
from scenes import DISK, EGG, Scene

pytestmark = needs_chromium

Open = Callable[..., Tab]
Place = tuple[float, float]
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}


class Fingers:
    """Fingers on the screen, at positions in CSS pixels of the page."""

    def __init__(self, tab: Tab) -> None:
        self._devtools = tab.context.new_cdp_session(tab.page)

    def _send(self, kind: str, places: list[Place]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        self._devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def down(self, *places: Place) -> None:
        self._send("touchStart", list(places))

    def move(self, *places: Place) -> None:
        self._send("touchMove", list(places))

    def up(self) -> None:
        self._send("touchEnd", [])


# On a busy machine a tap may take longer than a long press.
NO_LONG_PRESS = """
    const wait = window.setTimeout;
    window.setTimeout = (run, time, ...values) => wait(run, time === 500 ? 1e9 : time, ...values);
"""


@pytest.fixture
def phone(console: Robot, open_tab: Open) -> Tab:
    tab = open_tab(url_of(console.process), script=NO_LONG_PRESS, **PHONE)
    tab.until_state("live")
    return tab


def spot(tab: Tab, colour: tuple[int, int, int]) -> Place:
    return tab.spot(colour, PHONE["device_scale_factor"])


def prompts(tab: Tab, count: int) -> list[dict[str, Any]]:
    tab.wait(f"{count} prompts", lambda: len(tab.asked("prompt")) == count)
    return tab.asked("prompt")


def test_a_finger_that_stays_marks_what_does_not_belong_to_the_object(console: Robot, open_tab: Open) -> None:
    phone = open_tab(url_of(console.process), **PHONE)
    phone.until_state("live")
    disk, egg = spot(phone, DISK.colour), spot(phone, EGG.colour)
    phone.page.mouse.click(*disk)
    prompts(phone, 1)
    phone.until_objects(1)
    fingers = Fingers(phone)
    fingers.down(egg)
    assert prompts(phone, 2)[-1]["points"][0][2] is False
    fingers.up()
    # The end of the press is no tap: the next prompt is the next click.
    phone.page.mouse.click(*disk)
    assert prompts(phone, 3)[-1]["points"][0][0] < 160


def test_a_tap_and_a_drag(phone: Tab) -> None:
    fingers = Fingers(phone)
    disk, egg = spot(phone, DISK.colour), spot(phone, EGG.colour)
    fingers.down(disk)
    fingers.up()
    assert prompts(phone, 1)[-1]["points"][0][2] is True
    phone.until_objects(1)
    phone.page.locator("#new").tap()
    fingers.down((egg[0] - 60, egg[1] - 50))
    for step in range(1, 9):
        fingers.move((egg[0] - 60 + step * 15, egg[1] - 50 + step * 12))
    fingers.up()
    assert len(prompts(phone, 2)[-1]["box"]) == 4
    phone.until_objects(2)


def test_two_fingers_zoom_and_the_next_tap_hits_its_pixel(console: Robot, phone: Tab, scene: Scene) -> None:
    marker = (250, 20, 250)
    rgb = scene.rgb.copy()
    rgb[101:104, 211:214] = marker
    phone.until_shown(console.show(rgb))
    x, y = spot(phone, marker)
    before = phone.has_colour(marker).sum()
    fingers = Fingers(phone)
    fingers.down((x - 30, y), (x + 30, y))
    for step in range(1, 9):
        fingers.move((x - 30 - step * 8, y + step * 3), (x + 30 + step * 8, y + step * 3))
    fingers.up()
    # The camera's next picture has the pixels for the zoom.
    phone.until_shown(console.show(rgb))
    assert phone.has_colour(marker).sum() > 2 * before
    assert not phone.asked("prompt"), "a pinch is no tap and no box"
    x, y = spot(phone, marker)
    fingers.down((x, y))
    fingers.up()
    assert prompts(phone, 1)[-1]["points"] == [[212, 102, True]]
