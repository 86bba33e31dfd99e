"""What every end-to-end test needs: the real node as a process, and somebody who talks to it over DDS."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

ROOT = Path(__file__).resolve().parents[2]
# Only a test that fails waits this long: a machine with other work to do must not make one fail.
TIMEOUT = 20.0
START_TIMEOUT = 60.0
# The Linux kernel's ephemeral ports begin above the ports of domain 101.
DOMAINS = range(1, 102)

T = TypeVar("T")


def find_node() -> Path:
    """The node under test: PROMPTSEG_NODE, or the newest one in cargo's target folder."""
    if given := os.environ.get("PROMPTSEG_NODE"):
        found = Path(given)
        assert found.is_file(), f"PROMPTSEG_NODE={given} is not there: build it (./dev test does)"
        return found
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [target / profile / "promptseg_node" for profile in ("release", "debug")]
    there = [b for b in built if b.is_file()]
    assert there, f"no node in {target}: build it (./dev test does), or name it in PROMPTSEG_NODE"
    return max(there, key=lambda b: b.stat().st_mtime)


def free_domain() -> int:
    """A ROS domain that no other process of this machine is in: its first port is free."""
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7400 + 250 * domain + 10))
            except OSError:
                continue
            return domain
    return random.choice(DOMAINS)


def eventually(what: str, look: Callable[[], T | None], timeout: float = TIMEOUT) -> T:
    """What `look` finds, as soon as it finds something; fails with `what` after the timeout."""
    end = time.monotonic() + timeout
    while True:
        if found := look():
            return found
        assert time.monotonic() < end, f"waited {timeout:.0f} s for {what}"
        time.sleep(0.005)


class NodeProcess:
    """A promptseg_node. Its output goes to a file, so that it never waits for a reader."""

    def __init__(
        self, domain: int, *ros_args: str, env: dict[str, str] | None = None, log_level: str = "info"
    ) -> None:
        self.log_path = Path(tempfile.mkstemp(prefix="promptseg-", suffix=".log")[1])
        environment = os.environ | {"ROS_DOMAIN_ID": str(domain)} | (env or {})
        environment.pop("RUST_LOG", None)
        command = [str(find_node()), "--log-level", log_level]
        if ros_args:
            command += ["--ros-args", *ros_args]
        with self.log_path.open("w") as log:
            # With the signals that Python ignores ignored, as for `fill_disk`: a full disk sends none.
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, restore_signals=False
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def is_running(self) -> bool:
        return self._process.poll() is None

    def exit_status(self, timeout: float = TIMEOUT) -> int:
        return self._process.wait(timeout)

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.is_running(), f"the node ended with status {self._process.returncode}:\n{self.log()}"
            return "ready" in self.log()

        eventually("the node to say 'ready'", ready, START_TIMEOUT)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def resident_megabytes(self) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmRSS")

    def fill_disk(self) -> None:
        """From now on the node can make files and write none, its log included: every write fails with EFBIG. Unlike a file
        system of some kilobytes, this needs no right to mount."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (0, self._most_bytes_a_file()))

    def empty_disk(self) -> None:
        most = self._most_bytes_a_file()
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (most, most))

    def _most_bytes_a_file(self) -> int:
        return resource.prlimit(self.pid, resource.RLIMIT_FSIZE)[1]

    def close(self) -> None:
        if self.is_running():
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.log_path.unlink(missing_ok=True)


class Inbox:
    """Messages of one topic in the order in which they came."""

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._lock = threading.Lock()

    def put(self, message: Any) -> None:
        with self._lock:
            self._messages.append(message)

    def all(self, since: int = 0) -> list[Any]:
        with self._lock:
            return self._messages[since:]

    def mark(self) -> int:
        """Where the messages begin that are yet to come."""
        with self._lock:
            return len(self._messages)

    def wait(
        self, what: str, accept: Callable[[Any], bool] = lambda _: True, since: int = 0, timeout: float = TIMEOUT
    ) -> Any:
        """The first accepted message from `since` on."""
        seen = since

        def look() -> list[Any]:
            nonlocal seen
            new = self.all(seen)
            seen += len(new)
            return [m for m in new if accept(m)]

        return eventually(what, look, timeout)[0]


LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)


class Peer:
    """An rclpy node in a context of its own, spun by a thread: camera, operator and detector in one."""

    def __init__(self, domain: int, name: str = "peer") -> None:
        self.domain = domain
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = Node(name, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self._publishers: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}

    def _spin(self) -> None:
        # Not spin(): ending that from another thread pulls the ground from under a callback that runs.
        while not self._closing.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def subscribe(self, kind: type, topic: str, qos: QoSProfile | int = 50) -> Inbox:
        inbox = Inbox()
        self.node.create_subscription(kind, topic, inbox.put, qos)
        return inbox

    def publish(self, topic: str, message: Any, qos: QoSProfile | int = 10, wait: bool = True) -> None:
        """Publishes; the first time, waits until somebody listens."""
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(type(message), topic, qos)
        publisher = self._publishers[topic]
        if wait:
            eventually(f"a subscriber of {topic}", publisher.get_subscription_count)
        publisher.publish(message)

    def start_call(self, kind: type, service: str, request: Any) -> Any:
        """A future."""
        if service not in self._clients:
            self._clients[service] = self.node.create_client(kind, service)
        client = self._clients[service]
        assert client.wait_for_service(TIMEOUT), f"there is no service {service}"
        return client.call_async(request)

    def call(self, kind: type, service: str, request: Any, timeout: float = TIMEOUT) -> Any:
        future = self.start_call(kind, service, request)
        eventually(f"an answer of {service}", future.done, timeout)
        return future.result()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=2.0)
        self._executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)


def parameter_args(parameters: dict[str, Any]) -> list[str]:
    """`-p name:=value` for each."""

    def text(value: Any) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    return [part for name, value in parameters.items() for part in ("-p", f"{name}:={text(value)}")]


def remap_args(remappings: Sequence[str]) -> list[str]:
    return [part for rule in remappings for part in ("-r", rule)]
