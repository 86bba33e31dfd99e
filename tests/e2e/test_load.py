"""A camera that is far faster than the model costs neither memory nor delay."""

from __future__ import annotations

import threading
import time
from statistics import median

from promptseg_msgs.msg import PromptArray

from messages import detection, detections, image, prompt, prompts
from robot import Robot
from scenes import Scene, Shape

# Little is kept, so that memory is level soon.
PARAMETERS = {"qos_overrides./image.subscription.reliability": "best_effort", "keep_frames": 3, "keep_images": 3}
SECONDS = 8.0
BOX = (20, 20, 60, 60)


class FastCamera:
    """Publishes as fast as it can, on a thread of its own, with the true time as stamp."""

    def __init__(self, robot: Robot, rate: float) -> None:
        self.published = 0
        self._robot, self._pause = robot, 1 / rate
        self._message = image(Scene((Shape("ellipse", BOX, (220, 60, 40)),), 96, 72).rgb, robot.stamp())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FastCamera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            now = time.time_ns()
            self._message.header.stamp.sec, self._message.header.stamp.nanosec = now // 10**9, now % 10**9
            self._robot.publish_image(self._message)
            self.published += 1


def test_a_camera_faster_than_the_model(robot: Robot) -> None:
    ages: list[float] = []
    steps: list[float] = []
    with FastCamera(robot, rate=300) as camera:
        robot.overlay.wait("a first frame", since=robot.overlay.mark())
        robot.peer.publish("prompts", prompts(PromptArray.SET, prompt(object_id=1, box=BOX)))
        robot.masks.wait("masks", lambda m: m.masks, robot.masks.mark())
        # The detector lags behind, and some of its frames are gone: refused, not gathered.
        began = time.monotonic()
        settled = None
        seen = robot.masks.mark()
        while (elapsed := time.monotonic() - began) < SECONDS:
            new = robot.masks.all(seen)
            seen += len(new)
            for m in new[-1:]:
                ages.append(time.time() - (m.header.stamp.sec + m.header.stamp.nanosec * 1e-9))
                steps.append(m.encode_s + m.decode_s)
            if new:
                robot.peer.publish("detections", detections(new[0].header.stamp, detection(BOX, "disk", "1")))
            if settled is None and elapsed > SECONDS / 2:
                settled = robot.process.resident_megabytes()
            time.sleep(0.05)
    assert settled is not None
    growth = robot.process.resident_megabytes() - settled
    assert growth < 10, f"{growth:.1f} MB in {SECONDS / 2} s"
    values = robot.diagnostic_values(robot.diagnostics.mark())
    assert camera.published > int(values["images encoded"]), "the camera was not fast enough for this test"
    assert int(values["images superseded by a newer one"]) > 0
    assert int(values["kept frames"]) <= 3
    # Results keep coming, as fast as the model is on this machine, and they are of now: an image waits for the one on
    # the encoder, its embedding for the one on the decoder. A queue would make them older and older.
    assert len(ages) >= 4
    half = len(ages) // 2
    assert median(ages[half:]) < 0.5 + 4 * median(steps[half:]), (ages, steps)
