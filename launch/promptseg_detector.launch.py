"""With a detector, whose boxes become masks: ros2 launch promptseg promptseg_detector.launch.py image:=/camera/image_raw

The detector is yolo_ros unless told otherwise. Any other one that publishes vision_msgs/Detection2DArray or
yolo_msgs/DetectionArray will do: name its launch file and what it is to be told.
"""

import runpy
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import AnyLaunchDescriptionSource, PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory('promptseg'))

# What is handed on to promptseg.launch.py, which describes it too.
OURS = [
    ('name', 'promptseg', 'Name of the node; its outputs are below it, as in /promptseg/mask.'),
    ('namespace', '', 'Namespace of the node and of its inputs.'),
    ('params_file', str(SHARE / 'config' / 'promptseg.yaml'), 'YAML file with the parameters of the node.'),
    ('model', '', 'Folder of a model bundle. Empty: the one of params_file.'),
    ('image', '/image', "The camera's topic (sensor_msgs/Image), which the detector looks at too."),
    ('detections', 'detections', "The detector's boxes (vision_msgs/Detection2DArray)."),
    ('yolo_detections', '/yolo/tracking', "yolo_ros' boxes (yolo_msgs/DetectionArray): with tracking, objects keep their names."),
    ('image_transport', '', "'raw' or 'compressed'. Empty: as in params_file."),
    ('camera_info', 'camera_info', 'Topic of the calibration (sensor_msgs/CameraInfo), for 3-D clicks only.'),
    ('point', 'point', "Clicks in pixels (geometry_msgs/Point), beside rqt_image_view's."),
    ('autostart', 'true', 'true: the node configures and activates itself. false: it waits for a lifecycle manager.'),
    ('lifecycle_manager', 'false', "true: Nav2's lifecycle manager too, which starts the node and watches over it."),
    ('rviz', 'false', "true: rviz2 too, with the camera's image as a plane that Publish Point can click."),
    ('fixed_frame', 'map', "rviz2's fixed frame; without TF, the optical frame of the camera."),
    ('respawn', 'false', 'true: the node is started again two seconds after it ended.'),
    ('use_sim_time', 'false', 'true: time from /clock, for simulation and bags.'),
    ('log_level', 'info', 'error, warn, info, debug, trace, or a filter such as promptseg::engine=debug.'),
]
DETECTOR = [
    ('detector_package', 'yolo_bringup', "Package of the detector's launch file."),
    ('detector_launch', 'yolo.launch.py', "The detector's launch file."),
    (
        'detector_arguments',
        'input_image_topic:=IMAGE use_debug:=False',
        'What that launch file is told: name:=value, with spaces between them. IMAGE stands for the topic of the camera.',
    ),
]


def start(context):
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in OURS + DETECTOR}
    told = [part.split(':=', 1) for part in value['detector_arguments'].replace('IMAGE', value['image']).split()]
    for argument in told:
        if len(argument) != 2:
            raise RuntimeError(f'detector_arguments: {argument[0]} is not of the form name:=value')
    try:
        detector = Path(get_package_share_directory(value['detector_package'])) / 'launch' / value['detector_launch']
    except PackageNotFoundError:
        raise RuntimeError(
            f"detector_package: the package {value['detector_package']} is not installed; build the detector in this workspace, "
            'or use promptseg.launch.py with detections:=TOPIC beside a detector that runs already'
        ) from None
    if not detector.is_file():
        raise RuntimeError(f'detector_launch: there is no file {detector}')
    # What promptseg.launch.py would refuse is refused before the detector starts.
    runpy.run_path(str(SHARE / 'launch' / 'promptseg.launch.py'))['check'](value)
    return [
        # With arguments of its own only: it may well have a 'model' and a 'params_file' too.
        GroupAction(
            [IncludeLaunchDescription(AnyLaunchDescriptionSource(str(detector)), launch_arguments=told)],
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
