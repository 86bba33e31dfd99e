"""Several cameras: ros2 launch promptseg promptseg_cameras.launch.py cameras:='front rear' image:=image_raw

Each camera is in the namespace of its name: /front/image_raw, /rear/image_raw. There is one node for each camera
(/front/promptseg/mask) or, with shared:=true, one node and one model for all cameras (/promptseg/front/mask).
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory('promptseg'))

CAMERAS = [
    ('cameras', 'front rear', 'Names of the cameras, separated by spaces.'),
    ('shared', 'false', 'true: one node, whose cameras share the model and its memory. false: a node for each camera.'),
]
# Passed to promptseg.launch.py for each node.
OURS = [
    ('name', 'promptseg', "Name of the nodes and prefix of the outputs of a camera."),
    ('namespace', '', 'Namespace of the cameras and nodes: /robot/front/image_raw with robot.'),
    ('image', 'image_raw', "Topic of the cameras (sensor_msgs/Image) below their names."),
    ('camera_info', 'camera_info', 'Topic of the calibrations (sensor_msgs/CameraInfo) below the names, for 3-D clicks only.'),
    ('point', 'point', "Clicks in pixels (geometry_msgs/Point) below the names, in addition to clicks in rqt_image_view."),
    ('detections', 'detections', "Boxes of an upstream detector (vision_msgs/Detection2DArray) below the names."),
    ('yolo_detections', 'yolo_detections', "Boxes of yolo_ros (yolo_msgs/DetectionArray) below the names."),
    ('params_file', str(SHARE / 'config' / 'promptseg.yaml'), 'YAML file with the parameters of the nodes.'),
    ('model', '', 'Folder of a model bundle. Empty: the model of params_file.'),
    ('image_transport', '', "'raw' or 'compressed'. Empty: the value of params_file."),
    ('autostart', 'true', 'true: the nodes configure and activate themselves. false: they wait for a lifecycle manager.'),
    ('lifecycle_manager', 'false', "true: also start Nav2's lifecycle manager, one for each node."),
    ('respawn', 'false', 'true: restart a node two seconds after it ended.'),
    ('use_sim_time', 'false', 'true: take the time from /clock, for simulation and bags.'),
    ('log_level', 'info', 'error, warn, info, debug, trace, or a filter such as promptseg::engine=debug.'),
]


def node_for(value, **changes):
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / 'launch' / 'promptseg.launch.py')),
        launch_arguments=[*({name: value[name] for name, _, _ in OURS} | changes).items()],
    )


def start(context):
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in CAMERAS + OURS}
    cameras = value['cameras'].split()
    if not cameras:
        raise RuntimeError("cameras is empty: name at least one, as in cameras:='front rear'")
    if value['shared'].lower() in ('true', '1'):
        return [node_for(value, cameras=' '.join(cameras))]
    above = value['namespace'].rstrip('/')
    return [node_for(value, cameras='', namespace=f'{above}/{camera}' if above else camera) for camera in cameras]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in CAMERAS + OURS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
