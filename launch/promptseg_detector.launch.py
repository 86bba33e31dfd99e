"""Starts a detector, and the node that turns its boxes into masks: ros2 launch promptseg promptseg_detector.launch.py image:=/camera/image_raw

The default detector is yolo_ros. Any detector that publishes vision_msgs/Detection2DArray or
yolo_msgs/DetectionArray works: set its launch file and the arguments of that file.
"""

import runpy
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import AnyLaunchDescriptionSource, PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory('promptseg'))

# Passed to promptseg.launch.py, which declares the same arguments.
OURS = [
    ('name', 'promptseg', 'Name of the node and prefix of its outputs, as in /promptseg/mask.'),
    ('namespace', '', 'Namespace of the node and of its inputs.'),
    ('params_file', str(SHARE / 'config' / 'promptseg.yaml'), 'YAML file with the parameters of the node.'),
    ('model', '', 'Folder of a model bundle. Empty: the model of params_file.'),
    ('image', '/image', "Topic of the camera (sensor_msgs/Image), which the detector also reads."),
    ('detections', 'detections', "Boxes of the detector (vision_msgs/Detection2DArray)."),
    ('yolo_detections', '/yolo/tracking', "Boxes of yolo_ros (yolo_msgs/DetectionArray): with its tracker, objects keep their ids."),
    ('image_transport', '', "'raw' or 'compressed'. Empty: the value of params_file."),
    ('camera_info', 'camera_info', 'Topic of the calibration (sensor_msgs/CameraInfo), for 3-D clicks only.'),
    ('point', 'point', "Clicks in pixels (geometry_msgs/Point), in addition to clicks in rqt_image_view."),
    ('autostart', 'true', 'true: the node configures and activates itself. false: it waits for a lifecycle manager.'),
    ('lifecycle_manager', 'false', "true: also start Nav2's lifecycle manager, which activates and supervises the node."),
    ('rviz', 'false', "true: also start rviz2, with the camera's image as a plane that can be clicked with Publish Point."),
    ('fixed_frame', 'map', "Fixed frame of rviz2; without TF, the optical frame of the camera."),
    ('respawn', 'false', 'true: restart the node two seconds after it ended.'),
    ('use_sim_time', 'false', 'true: take the time from /clock, for simulation and bags.'),
    ('log_level', 'info', 'error, warn, info, debug, trace, or a filter such as promptseg::engine=debug.'),
]
DETECTOR = [
    ('detector_package', 'yolo_bringup', "Package of the detector's launch file."),
    ('detector_launch', 'yolo.launch.py', "The detector's launch file."),
    (
        'detector_arguments',
        'input_image_topic:=IMAGE use_debug:=False',
        'Arguments for that launch file: name:=value, separated by spaces. IMAGE stands for the topic of the camera.',
    ),
]


def start(context):
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in OURS + DETECTOR}
    arguments = [part.split(':=', 1) for part in value['detector_arguments'].replace('IMAGE', value['image']).split()]
    for argument in arguments:
        if len(argument) != 2:
            raise RuntimeError(f'detector_arguments: {argument[0]} is not of the form name:=value')
    try:
        detector = Path(get_package_share_directory(value['detector_package'])) / 'launch' / value['detector_launch']
    except PackageNotFoundError:
        raise RuntimeError(
            f"detector_package: the package {value['detector_package']} is not installed; build the detector in this workspace, "
            'or use promptseg.launch.py with detections:=TOPIC if a detector runs already'
        ) from None
    if not detector.is_file():
        raise RuntimeError(f'detector_launch: there is no file {detector}')
    # Refuses the arguments that promptseg.launch.py would refuse, before the detector starts.
    runpy.run_path(str(SHARE / 'launch' / 'promptseg.launch.py'))['check'](value)
    return [
        # The detector gets its own arguments only, because it can have a 'model' and a 'params_file' too.
        GroupAction(
            [IncludeLaunchDescription(AnyLaunchDescriptionSource(str(detector)), launch_arguments=arguments)],
            scoped=True,
            forwarding=False,
        ),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(SHARE / 'launch' / 'promptseg.launch.py')),
            launch_arguments=[(name, value[name]) for name, _, _ in OURS],
        ),
    ]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in OURS + DETECTOR
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
