from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import rclpy
import yaml
from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, Process
from lifecycle_msgs.msg import TransitionEvent
from lifecycle_msgs.srv import ChangeState as ChangeStateService
from rclpy.executors import SingleThreadedExecutor

from .events.lifecycle import ChangeState, StateTransition


class Node:
    """Starts the executable with the command line that launch_ros makes."""

    def __init__(
        self,
        *,
        package: str,
        executable: str,
        name: str,
        namespace: str = "",
        parameters: list[str | dict[str, Any]] | None = None,
        remappings: list[tuple[str, str]] | None = None,
        arguments: list[str] | None = None,
        additional_env: dict[str, str] | None = None,
        output: str = "log",
        emulate_tty: bool = False,
        respawn: bool = False,
        respawn_delay: float = 0.0,
    ) -> None:
        self.package, self.executable, self.name = package, executable, name
        self.namespace = namespace if namespace.startswith("/") else f"/{namespace}"
        self.parameters, self.remappings, self.arguments = parameters or [], remappings or [], arguments or []
        self.additional_env = additional_env or {}
        self.respawn, self.respawn_delay = respawn, respawn_delay

    @property
    def node_name(self) -> str:
        return f"{self.namespace.rstrip('/')}/{self.name}"

    def execute(self, context: LaunchContext) -> None:
        file = Path(get_package_prefix(self.package)) / "lib" / self.package / self.executable
        if not file.is_file():
            raise RuntimeError(f"executable '{self.executable}' not found on the libexec directory '{file.parent}'")
        command = [str(file), *self.arguments, "--ros-args", "-r", f"__node:={self.name}", "-r", f"__ns:={self.namespace}"]
        for parameters in self.parameters:
            command += ["--params-file", parameters if isinstance(parameters, str) else self._file_of(parameters)]
        for source, target in self.remappings:
            command += ["-r", f"{source}:={target}"]
        context.processes.append(Process(command, self.additional_env, self.respawn, self.respawn_delay))

    def _file_of(self, parameters: dict[str, Any]) -> str:
        # Lists become `!!python/tuple`, as with launch_ros.
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()}
        with tempfile.NamedTemporaryFile("w", prefix="launch_params_", delete=False) as file:
            yaml.dump({self.node_name: {"ros__parameters": values}}, file)
            return file.name


class LifecycleNode(Node):
    """Asks its node for transitions when a ChangeState event names it, and makes an event of each transition of the node."""

    def execute(self, context: LaunchContext) -> None:
        super().execute(context)
        if not rclpy.ok():
            rclpy.init()
        peer = rclpy.create_node("launch_ros")
        self._client = peer.create_client(ChangeStateService, f"{self.node_name}/change_state")

        def on_transition(message: TransitionEvent) -> None:
            context.events.append(StateTransition(self, message.start_state.label, message.goal_state.label))

        peer.create_subscription(TransitionEvent, f"{self.node_name}/transition_event", on_transition, 10)
        executor = SingleThreadedExecutor()
        executor.add_node(peer)
        threading.Thread(target=executor.spin, daemon=True).start()
        context.handlers.append(self)

    def entities_for(self, event: Any) -> list[Any]:
        if isinstance(event, ChangeState) and event.lifecycle_node_matcher(self):
            if not self._client.wait_for_service(60.0):
                raise RuntimeError(f"no service {self.node_name}/change_state")
            request = ChangeStateService.Request()
            request.transition.id = event.transition_id
            self._client.call_async(request)
        return []
