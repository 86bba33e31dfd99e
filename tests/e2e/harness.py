"""The base of the end-to-end tests: the real node as a process, and a peer that communicates with it over DDS."""

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
# Long timeouts, so that tests do not fail on a busy machine; only failing tests wait this long.
TIMEOUT = 60.0
START_TIMEOUT = 60.0
# Number of this worker of pytest-xdist, and the number of workers.
WORKER, WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
# Ports of domains above 101 overlap with Linux's ephemeral ports. Workers have different domains, because two of them could find
# the same one free before either uses it.
DOMAINS = range(1 + WORKER, 102, WORKERS)

T = TypeVar("T")


def find_node() -> Path:
    """Finds the node under test: PROMPTSEG_NODE, or the newest build in cargo's target folder."""
    if named := os.environ.get("PROMPTSEG_NODE"):
        path = Path(named)
        assert path.is_file(), f"PROMPTSEG_NODE={named} does not exist: build it (./dev test does)"
        return path
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    builds = [target / profile / "promptseg_node" for profile in ("release", "debug")]
    existing = [b for b in builds if b.is_file()]
    assert existing, f"no node in {target}: build it (./dev test does), or set PROMPTSEG_NODE"
    return max(existing, key=lambda b: b.stat().st_mtime)


def free_domain() -> int:
    """Finds a ROS domain that no other process on this machine uses: its first port is free."""
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7400 + 250 * domain + 10))
            except OSError:
                continue
            return domain
    return random.choice(DOMAINS)


def share_enough_memory() -> None:
    """Sets Fast DDS's profile for this process and its children, as docs/performance.md recommends: an image of 1280x720 is
    larger than the memory that Fast DDS shares by default."""
    os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(ROOT / "config/fastdds.xml"))


def eventually(description: str, poll: Callable[[], T | None], timeout: float = TIMEOUT) -> T:
    """Calls `poll` until it returns a true value, and returns that value. Fails with the description after the timeout."""
    end = time.monotonic() + timeout
    while True:
        if result := poll():
            return result
        assert time.monotonic() < end, f"waited {timeout:.0f} s for {description}"
        time.sleep(0.005)


class NodeProcess:
    """A promptseg_node process. Its output goes to a file, so that it never blocks on a reader."""

    def __init__(
        self, domain: int, *ros_args: str, env: dict[str, str] | None = None, log_level: str | None = "info"
    ) -> None:
        """`log_level`: the node's own argument; without it what stands behind `--ros-args` counts."""
        self.log_path = Path(tempfile.mkstemp(prefix="promptseg-", suffix=".log")[1])
        # The nodes' log files are not to fill ~/.ros/log.
        logs = Path(tempfile.gettempdir()) / "promptseg-ros-logs"
        environment = {"ROS_LOG_DIR": str(logs)} | os.environ | {"ROS_DOMAIN_ID": str(domain)} | (env or {})
        environment.pop("RUST_LOG", None)
        command = [str(find_node()), *(["--log-level", log_level] if log_level else [])]
        if ros_args:
            command += ["--ros-args", *ros_args]
        with self.log_path.open("w") as log:
            # Keeps SIGXFSZ ignored for `fill_disk`, because a full disk sends no signal.
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

        eventually("the node to log 'ready'", ready, START_TIMEOUT)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def resident_megabytes(self) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise AssertionError("no VmRSS")

    def fill_disk(self) -> None:
        """Makes all writes of the node to files fail with EFBIG, its log included; it can still create files.

        Unlike a small file system, this needs no permission to mount.
        """
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (0, self._hard_file_size_limit()))

    def empty_disk(self) -> None:
        limit = self._hard_file_size_limit()
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, limit))

    def _hard_file_size_limit(self) -> int:
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
    """The received messages of a topic, in order of arrival."""

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
        """The index of the next message."""
        with self._lock:
            return len(self._messages)

    def wait(
        self, description: str, accept: Callable[[Any], bool] = lambda _: True, since: int = 0, timeout: float = TIMEOUT
    ) -> Any:
        """Waits for the first accepted message at or after the index `since`."""
        checked = since

        def poll() -> list[Any]:
            nonlocal checked
            new = self.all(checked)
            checked += len(new)
            return [m for m in new if accept(m)]

        return eventually(description, poll, timeout)[0]


LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)


class Peer:
    """An rclpy node with its own context, spun by a thread; acts as camera, operator and detector."""

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

    def run(self, call: Callable[[], T]) -> T:
        """Runs a call on the thread of the callbacks. An action client of rclpy ignores a response that another thread takes
        before the client has noted the request."""
        task = self._executor.create_task(call)
        eventually("the end of a call", task.done)
        return task.result()

    def _spin(self) -> None:
        # Not spin(): stopping spin() from another thread destroys objects that a running callback uses.
        while not self._closing.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def subscribe(self, kind: type, topic: str, qos: QoSProfile | int = 50) -> Inbox:
        inbox = Inbox()
        self.node.create_subscription(kind, topic, inbox.put, qos)
        return inbox

    def publish(self, topic: str, message: Any, qos: QoSProfile | int = 10, wait: bool = True) -> None:
        """Publishes a message, after waiting for a subscriber unless `wait` is false."""
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(type(message), topic, qos)
        publisher = self._publishers[topic]
        if wait:
            eventually(f"a subscriber of {topic}", publisher.get_subscription_count)
        publisher.publish(message)

    def start_call(self, kind: type, service: str, request: Any) -> Any:
        """Calls a service; returns the future."""
        if service not in self._clients:
            self._clients[service] = self.node.create_client(kind, service)
        client = self._clients[service]
        assert client.wait_for_service(TIMEOUT), f"no service {service} within {TIMEOUT:.0f} s"
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
    """Arguments `-p name:=value` for parameters."""

    def text(value: Any) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    return [part for name, value in parameters.items() for part in ("-p", f"{name}:={text(value)}")]


def remap_args(remappings: Sequence[str]) -> list[str]:
    return [part for rule in remappings for part in ("-r", rule)]
