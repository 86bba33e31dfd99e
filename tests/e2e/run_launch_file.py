"""Runs a launch file as `ros2 launch` does, until Ctrl-C: run_launch_file.py FILE NAME:=VALUE..."""

from __future__ import annotations

import sys

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource

file, *arguments = sys.argv[1:]
service = LaunchService(noninteractive=True)
source = AnyLaunchDescriptionSource(file)
included = IncludeLaunchDescription(source, launch_arguments=[a.split(":=", 1) for a in arguments])
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
