"""Several cameras: ros2 launch promptseg promptseg_cameras.launch.py cameras:='front rear' image:=image_raw

Each camera is in the namespace of its name: /front/image_raw, /rear/image_raw. Either one node for each
(/front/promptseg/mask), or, with shared:=true, one node and one model for all (/promptseg/front/mask).
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory('promptseg'))

CAMERAS = [
    ('cameras', 'front rear', 'Names of the cameras, with spaces between them.'),
    ('shared', 'false', 'true: one node, whose cameras share the model and its memory. false: a node for each.'),
]
# Handed on to promptseg.launch.py for each node.
OURS = [
    ('name', 'promptseg', "Name of the nodes; a camera's outputs are below it."),
    ('namespace', '', 'Namespace of the cameras and nodes: /robot/front/image_raw with robot.'),
    ('image', 'image_raw', "The cameras' topic (sensor_msgs/Image) below their names."),
    ('camera_info', 'camera_info', 'Topic of the calibrations (sensor_msgs/CameraInfo) below the names, for 3-D clicks only.'),
    ('point', 'point', "Clicks in pixels (geometry_msgs/Point) below the names, beside rqt_image_view's."),
    ('detections', 'detections', "An upstream detector's boxes (vision_msgs/Detection2DArray) below the names."),
    ('yolo_detections', 'yolo_detections', "yolo_ros' boxes (yolo_msgs/DetectionArray) below the names."),
    ('params_file', str(SHARE / 'config' / 'promptseg.yaml'), 'YAML file with the parameters of the nodes.'),
    ('model', '', 'Folder of a model bundle. Empty: the one of params_file.'),
    ('image_transport', '', "'raw' or 'compressed'. Empty: as in params_file."),
    ('autostart', 'true', 'true: the nodes configure and activate themselves. false: they wait for a lifecycle manager.'),
    ('lifecycle_manager', 'false', "true: Nav2's lifecycle manager too, one for each node."),
    ('respawn', 'false', 'true: a node is started again two seconds after it ended.'),
    ('use_sim_time', 'false', 'true: time from /clock, for simulation and bags.'),
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
