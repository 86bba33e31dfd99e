"""Who may use the operator's console, and when it refuses: tokens, origins, stale pictures, cameras that are not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from builtin_interfaces.msg import Time

from browser import CONSOLE, Tab, needs_chromium, url_of
from harness import START_TIMEOUT, NodeProcess, Peer, eventually, parameter_args
from messages import image
from robot import CAMERA_QOS, Robot, get_parameters
from scenes import DISK, EGG, Scene

pytestmark = needs_chromium

Open = Callable[..., Tab]
TOKEN = "operator-0123456789"
SPECTATOR = "spectator-0123456789"
# Opens a WebSocket from a page of another origin.
CONNECT = """(url) => new Promise((done) => {
    const socket = new WebSocket(url);
    socket.onopen = () => done("open");
    socket.onerror = () => done("refused");
})"""


def test_token_origin_and_spectators(start_robot: Callable[..., Robot], open_tab: Open, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n{SPECTATOR}\n")
    robot = start_robot(CONSOLE | {"console.token_file": tokens}).connect()
    robot.show(Scene().rgb)
    url = url_of(robot.process)
    tab = open_tab(url)
    tab.page.fill("#token", "wrong-token-0123456789")
    tab.page.click("button")
    tab.until("document.body.textContent.includes('not the token')")
    tab.page.fill("#token", TOKEN)
    tab.page.click("button")
    tab.until_state("live")
    assert tab.page.url == url, "the address has no token"
    tab.page.reload()
    tab.until_state("live")

    spectator = open_tab(f"{url}?token={SPECTATOR}")
    spectator.until_state("live")
    assert spectator.page.url == url
    spectator.click_spot(DISK.colour)
    spectator.until_toast("may only watch")
    assert not spectator.asked("prompt")
    tab.click_spot(DISK.colour)
    spectator.until_objects(1)

    other = open_tab("about:blank")
    assert other.page.evaluate(CONNECT, url.replace("http", "ws") + "socket") == "refused"
    other.errors.clear()
    # Neither the log nor the parameters have the tokens.
    assert TOKEN not in robot.process.log() and SPECTATOR not in robot.process.log()
    assert get_parameters(robot.peer, "console.token", "console.spectator_token") == ["", ""]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"console.address": "0.0.0.0:0"}, "console.token is empty"),
        ({"console.token": "short-token"}, "console.token has 11 characters, expected at least 16"),
        ({"console.token_file": "/no/such/file"}, "console.token_file /no/such/file: No such file"),
        ({"console.token": TOKEN, "console.token_file": "/dev/null"}, "leave console.token and console.spectator_token empty"),
        ({"console.tls_key": "/dev/null"}, "belong together"),
        ({"console.origins": "[robot]"}, "expected an origin such as"),
    ],
)
def test_wrong_settings_end_the_node_with_the_reason(
    peer: Peer, start_node: Callable[..., NodeProcess], parameters: dict[str, str], words: str
) -> None:
    node = start_node(peer.domain, *parameter_args(CONSOLE | parameters))
    assert node.exit_status(START_TIMEOUT) != 0
    assert words in node.log() and TOKEN not in node.log()


def test_a_stale_picture_is_grey_and_refuses_clicks(start_robot: Callable[..., Robot], open_tab: Open) -> None:
    robot = start_robot(CONSOLE | {"console.stale_after": 1.0}).connect()
    robot.show(Scene().rgb)
    tab = open_tab(url_of(robot.process))
    tab.until_state("stale")
    assert "clicks are refused until a newer one comes" in tab.page.locator("#banner").inner_text()

    def is_grey() -> bool:
        picture = tab.screenshot().astype(int)[120:-120]  # without the banner
        return (picture.max(axis=2) - picture.min(axis=2)).max() <= 3

    tab.wait("a grey picture", is_grey)
    tab.page.locator("#stage").click()
    tab.until_toast("clicks are refused")
    assert not tab.asked("prompt")
    # The node refuses too: a page whose clock is wrong does not know that the picture is old.
    prompt = {"do": "prompt", "stamp": tab.pictures[-1]["stamp"], "object": 0, "points": [[80, 100, True]]}
    answer = tab.page.evaluate(ASK, [url_of(robot.process).replace("http", "ws") + "socket", prompt])
    assert not answer["ok"] and "clicks are refused after 1.0 s (console.stale_after)" in answer["text"]


# Sends a request on a connection of its own, and returns the answer.
ASK = """([url, action]) => new Promise((done) => {
    const socket = new WebSocket(url);
    socket.onopen = () => socket.send(JSON.stringify({ type: "ask", id: 1, camera: 0, action }));
    socket.onmessage = ({ data }) => {
        const message = typeof data === "string" ? JSON.parse(data) : {};
        if (message.type === "answer") done(message);
    };
})"""


def test_cameras_are_tabs(peer: Peer, start_node: Callable[..., NodeProcess], open_tab: Open) -> None:
    """Each camera has its own picture and its own objects."""
    scenes = {"front": Scene((DISK,)), "rear": Scene((EGG,))}
    node = start_node(peer.domain, *parameter_args(CONSOLE), "-p", "cameras:=[front, rear]")
    node.wait_ready()
    tab = open_tab(url_of(node))
    seconds = 0

    def send(camera: str) -> None:
        nonlocal seconds
        seconds += 1
        peer.publish(f"{camera}/image", image(scenes[camera].rgb, Time(sec=seconds)), CAMERA_QOS)

    # The page is the only subscriber: its camera is encoded because it looks at it.
    for camera, shape in [("front", DISK), ("rear", EGG)]:
        tab.page.get_by_role("tab", name=camera).click()

        def shown(name: str = camera) -> bool:
            send(name)
            return tab.page.evaluate("document.getElementById('live').dataset.state") == "live"

        eventually(f"a picture of {camera}", shown, START_TIMEOUT)
        tab.until_objects(0)
        tab.click_spot(shape.colour)
        tab.until_objects(1)
    tab.page.get_by_role("tab", name="front").click()
    tab.until_objects(1)
    assert tab.has_colour(EGG.colour).sum() == 0
