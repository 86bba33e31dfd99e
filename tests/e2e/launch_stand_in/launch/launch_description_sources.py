from __future__ import annotations

import re
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory

from . import LaunchContext, LaunchDescription
from .actions import DeclareLaunchArgument, IncludeLaunchDescription


class PythonLaunchDescriptionSource:
    def __init__(self, path: str) -> None:
        self.path = path

    def load(self, context: LaunchContext) -> LaunchDescription:
        return runpy.run_path(self.path)["generate_launch_description"]()


class AnyLaunchDescriptionSource(PythonLaunchDescriptionSource):
    def load(self, context: LaunchContext) -> LaunchDescription:
        if Path(self.path).suffix != ".xml":
            return super().load(context)
        return LaunchDescription([_Xml(element) for element in ElementTree.parse(self.path).getroot()])


class _Xml:
    """An element, whose substitutions are made when it is executed."""

    def __init__(self, element: ElementTree.Element) -> None:
        self.element = element

    def execute(self, context: LaunchContext) -> list[Any]:
        match self.element.tag:
            case "arg":
                name, default, description = self._attributes(self.element, context, "name", "default", "description")
                return [DeclareLaunchArgument(name, default_value=default, description=description)]
            case "include":
                (file,) = self._attributes(self.element, context, "file")
                arguments = [self._attributes(inner, context, "name", "value") for inner in self.element]
                return [IncludeLaunchDescription(AnyLaunchDescriptionSource(file), launch_arguments=arguments)]
        raise RuntimeError(f"the stand-in for launch does not know <{self.element.tag}>")

    def _attributes(self, element: ElementTree.Element, context: LaunchContext, *names: str) -> list[str]:
        unknown = set(element.keys()) - set(names)
        assert not unknown, f"the stand-in for launch does not know {unknown} of <{element.tag}>"
        return [_substituted(element.attrib[name], context) for name in names]


def _substituted(text: str, context: LaunchContext) -> str:
    def value(found: re.Match[str]) -> str:
        match found[1]:
            case "var":
                return context.launch_configurations[found[2]]
            case "find-pkg-share":
                return get_package_share_directory(found[2])
        raise RuntimeError(f"the stand-in for launch does not know $({found[1]} ...)")

    return re.sub(r"\$\((\S+) ([^)]*)\)", value, text)
