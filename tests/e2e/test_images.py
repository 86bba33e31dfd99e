"""Every encoding that cameras use, with padding and both byte orders; JPEG and PNG."""

from __future__ import annotations

import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest

from harness import eventually
from messages import compressed, header, image, pixels, prompt, stamp_of, whole_mask
from robot import Robot
from scenes import Scene, iou

GOOD = 0.75


def grey(rgb: np.ndarray) -> np.ndarray:
    return np.round(rgb @ [0.299, 0.587, 0.114]).astype(np.uint8)


def yuv(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BT.601, studio range, as UVC cameras send."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    return tuple(np.clip(np.round(p), 0, 255).astype(np.uint8) for p in (y, u, v))


def packed_422(rgb: np.ndarray, luma_first: bool) -> np.ndarray:
    y, u, v = yuv(rgb)
    out = np.empty((*y.shape, 2), np.uint8)
    luma, chroma = (0, 1) if luma_first else (1, 0)
    out[..., luma] = y
    out[:, 0::2, chroma] = u[:, 0::2]
    out[:, 1::2, chroma] = v[:, 0::2]
    return out


def nv12(rgb: np.ndarray) -> np.ndarray:
    y, u, v = yuv(rgb)
    chroma = np.stack([u[::2, ::2], v[::2, ::2]], -1).reshape(y.shape[0] // 2, -1)
    return np.concatenate([y, chroma])


def bayer(rgb: np.ndarray) -> np.ndarray:
    mosaic = rgb[..., 1].copy()
    mosaic[::2, ::2] = rgb[::2, ::2, 0]
    mosaic[1::2, 1::2] = rgb[1::2, 1::2, 2]
    return mosaic


ENCODINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rgb8": lambda rgb: rgb,
    "bgr8": lambda rgb: rgb[..., ::-1],
    "rgba8": lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 7, np.uint8)]),
    "bgra8": lambda rgb: np.dstack([rgb[..., ::-1], np.full(rgb.shape[:2], 7, np.uint8)]),
    "mono8": grey,
    "mono16": lambda rgb: grey(rgb).astype("<u2") * 257,
    "yuv422": lambda rgb: packed_422(rgb, luma_first=False),
    "yuv422_yuy2": lambda rgb: packed_422(rgb, luma_first=True),
    "bayer_rggb8": bayer,
}


def region_of(scene: Scene) -> RegionOfInterest:
    x0, y0, x1, y1 = scene.shapes[0].box
    return RegionOfInterest(x_offset=x0, y_offset=y0, width=x1 - x0, height=y1 - y0)


def check(robot: Robot, scene: Scene, message: Image, colour: bool) -> None:
    """The node decodes the image as it was drawn, and segments its disk."""
    before = robot.overlay.mark()
    stamp = robot.show_message(message)
    shown = pixels(robot.overlay.wait("the overlay", lambda m: m.header.stamp == stamp, before)).astype(int)
    expected = scene.rgb.astype(int) if colour else np.repeat(grey(scene.rgb)[..., None], 3, -1).astype(int)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < 4
    answer = robot.add(prompt(box=scene.shapes[0].box), stamp=stamp)
    assert stamp_of(answer) == stamp_of(message)
    if colour:
        assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= GOOD


@pytest.mark.parametrize("padding", [0, 20])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings(robot: Robot, scene: Scene, encoding: str, padding: int) -> None:
    data = ENCODINGS[encoding](scene.rgb)
    message = image(data, robot.stamp(), encoding, padding, width=scene.width)
    check(robot, scene, message, colour=not encoding.startswith("mono"))


def test_nv12_has_its_chroma_below(robot: Robot, scene: Scene) -> None:
    message = image(nv12(scene.rgb), robot.stamp(), "nv12", width=scene.width)
    message.height = scene.height
    check(robot, scene, message, colour=True)


def test_sixteen_bits_in_the_order_of_other_machines(robot: Robot, scene: Scene) -> None:
    data = grey(scene.rgb).astype(">u2") * 257
    message = image(data.astype(">u2"), robot.stamp(), "mono16", big_endian=True)
    check(robot, scene, message, colour=False)


@pytest.mark.parametrize("size", [(64, 48), (641, 479), (200, 900)])
def test_sizes(robot: Robot, size: tuple[int, int]) -> None:
    width, height = size
    shapes = (Scene().shapes[0].moved(-20, -40),) if width > 100 else ()
    scene = Scene(shapes=shapes, width=width, height=height)
    stamp = robot.show(scene.rgb)
    answer = robot.click(width // 4, height // 4, stamp)
    assert (answer.width, answer.height) == size


def test_a_camera_may_change_its_size(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[1].centre, stamp)
    # The held click is outside this image, and inside the next image.
    robot.show(scene.rgb[:40, :40].copy())
    before = robot.masks.mark()
    stamp = robot.show(scene.rgb)
    answer = robot.masks.wait("masks", lambda m: m.header.stamp == stamp and m.masks, before)
    assert (answer.width, answer.height) == (scene.width, scene.height)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_compressed_images(start_robot: Callable[..., Robot], scene: Scene, kind: str) -> None:
    robot = start_robot({"image_transport": "compressed"})
    robot.process.wait_ready()

    def send(message: CompressedImage) -> None:
        robot.peer.publish("image/compressed", message, 5)

    def send_both() -> None:
        send(compressed(scene.rgb, robot.stamp(), kind))
        robot.peer.publish("region", region_of(scene))

    answer = robot.until_answered(send_both, robot.masks)
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= GOOD
    broken = CompressedImage(header=compressed(scene.rgb, robot.stamp(), kind).header, format="jpeg", data=[1, 2, 3])
    robot.expect_refusal("bad_image", "neither JPEG nor PNG", lambda: send(broken))
    assert robot.process.is_running()


def test_every_kind_of_jpeg_has_the_pixels_of_libjpeg_turbo(start_robot: Callable[..., Robot]) -> None:
    """JPEG as cameras and programs send it: MJPEG frames without Huffman tables, a scan for each component, CMYK."""
    robot = start_robot({"image_transport": "compressed"})
    robot.process.wait_ready()
    folder = Path(__file__).parents[1] / "golden" / "jpeg"
    for name in ("baseline_420_61x45", "mjpeg_422_64x48", "scans_420_61x45", "scans_440_64x48", "cmyk_61x45"):
        file = folder / f"{name}.jpg"
        stamp = robot.stamp()
        message = CompressedImage(header=header(stamp), format="jpeg", data=array.array("B", file.read_bytes()))

        def overlays(stamp=stamp, message=message) -> list[Image]:
            robot.peer.publish("image/compressed", message)
            return [m for m in robot.overlay.all() if m.header.stamp == stamp]

        overlay = pixels(eventually(f"the overlay of {name}", overlays, 30)[0])
        assert (overlay == np.asarray(Picture.open(file).convert("RGB"))).all(), name
