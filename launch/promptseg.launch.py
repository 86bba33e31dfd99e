"""Starts the promptseg node: ros2 launch promptseg promptseg.launch.py image:=/camera/image_raw"""

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory('promptseg'))

ARGUMENTS = [
    ('name', 'promptseg', 'Name of the node and prefix of its outputs, as in /promptseg/mask.'),
    ('namespace', '', 'Namespace of the node and of its inputs.'),
    ('cameras', '', 'Names of several cameras that share the node, separated by spaces. Empty: one camera.'),
    ('params_file', str(SHARE / 'config' / 'promptseg.yaml'), 'YAML file with the parameters of the node.'),
    ('model', '', 'Folder of a model bundle. Empty: the model of params_file.'),
    ('image', 'image', "Topic of the camera (sensor_msgs/Image). <image>/compressed is used with image_transport:=compressed."),
    ('image_transport', '', "'raw' or 'compressed'. Empty: the value of params_file."),
    ('camera_info', 'camera_info', 'Topic of the calibration (sensor_msgs/CameraInfo), for clicks, boxes and objects in metres.'),
    ('depth', 'depth', 'Depth images that are registered to the image (sensor_msgs/Image), for objects in metres.'),
    ('point', 'point', "Clicks in pixels (geometry_msgs/Point), in addition to clicks in rqt_image_view on the camera's image and on the overlay."),
    ('detections', 'detections', "Boxes of an upstream detector (vision_msgs/Detection2DArray)."),
    ('yolo_detections', 'yolo_detections', "Boxes of yolo_ros (yolo_msgs/DetectionArray): /yolo/detections or /yolo/tracking."),
    ('autostart', 'true', 'true: the node configures and activates itself. false: it waits for a lifecycle manager.'),
    ('lifecycle_manager', 'false', "true: also start Nav2's lifecycle manager, which activates and supervises the node."),
    ('respawn', 'false', 'true: restart the node two seconds after it ended.'),
    ('rviz', 'false', "true: also start rviz2, with the camera's image as a plane that can be clicked with Publish Point."),
    ('fixed_frame', 'map', "Fixed frame of rviz2; without TF, the optical frame of the camera."),
    ('use_sim_time', 'false', 'true: take the time from /clock, for simulation and bags.'),
    ('log_level', 'info', 'error, warn, info, debug, trace, or a filter such as promptseg::engine=debug.'),
]
# Variables that name a profile of Fast DDS; all distributions read the first.
FAST_DDS_PROFILES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
# Inputs whose topics are arguments.
TOPICS = ('image', 'camera_info', 'depth', 'point', 'detections', 'yolo_detections')


def start(context):
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    check(value)
    managed = is_true(value['lifecycle_manager'])
    actions = [node(value, managed)]
    if managed:
        actions.append(lifecycle_manager(value))
    if is_true(value['rviz']):
        if is_installed('rviz2', 'rviz2'):
            actions.append(rviz(value))
        else:
            actions.append(LogInfo(msg=f"WARNING: starting without rviz2, which is not installed: apt install {debian('rviz2')}"))
    return actions


def check(value):
    """Raises an error before the first process starts. A later error would leave processes behind."""
    if not Path(value['params_file']).is_file():
        raise RuntimeError(f"params_file: there is no file {value['params_file']}")
    if is_true(value['lifecycle_manager']) and not is_installed('nav2_lifecycle_manager', 'lifecycle_manager'):
        raise RuntimeError(
            'lifecycle_manager:=true needs the package nav2_lifecycle_manager, which is not installed: '
            f"apt install {debian('nav2_lifecycle_manager')}, or omit lifecycle_manager: the node activates itself"
        )


def is_true(text):
    return text.lower() in ('true', '1')


def is_installed(package, executable):
    try:
        return (Path(get_package_prefix(package)) / 'lib' / package / executable).is_file()
    except PackageNotFoundError:
        return False


def debian(package):
    return f"ros-{os.environ.get('ROS_DISTRO', 'DISTRO')}-{package.replace('_', '-')}"


def node(value, managed):
    # A parameter whose argument is empty keeps the value of the file.
    overrides = {name: value[name] for name in ('model', 'image_transport') if value[name]}
    cameras = value['cameras'].split()
    if cameras:
        overrides['cameras'] = cameras
    if is_true(value['use_sim_time']):
        overrides['use_sim_time'] = True
    if managed or not is_true(value['autostart']):
        overrides['autostart'] = False
    return Node(
        package='promptseg',
        executable='promptseg_node',
        name=value['name'],
        namespace=value['namespace'],
        parameters=[value['params_file'], overrides],
        # With several cameras, topics are below the names of the cameras: front/image, front/point.
        remappings=[
            (below(camera, topic), below(camera, value[topic])) for camera in cameras or [''] for topic in TOPICS
        ],
        arguments=['--log-level', value['log_level']],
        additional_env=dds_profile(),
        output='screen',
        emulate_tty=True,
        respawn=is_true(value['respawn']),
        respawn_delay=2.0,
    )


def dds_profile():
    """Makes Fast DDS reserve shared memory for images, if its transports are not chosen already."""
    if any(os.environ.get(name) for name in (*FAST_DDS_PROFILES, 'FASTDDS_BUILTIN_TRANSPORTS')):
        return {}
    return {FAST_DDS_PROFILES[0]: str(SHARE / 'config' / 'fastdds.xml')}


def below(camera, topic):
    return f'{camera}/{topic}' if camera and not topic.startswith('/') else topic


def lifecycle_manager(value):
    """Nav2's lifecycle manager. Its bond needs a node that was built with the package bond: see docs/lifecycle.md."""
    return Node(
        package='nav2_lifecycle_manager',
        executable='lifecycle_manager',
        name='lifecycle_manager_' + value['name'],
        namespace=value['namespace'],
        parameters=[
            {
                'autostart': True,
                'node_names': [value['name']],
                'use_sim_time': is_true(value['use_sim_time']),
                'attempt_respawn_reconnection': is_true(value['respawn']),
            }
        ],
        output='screen',
    )


def rviz(value):
    """rviz2, with the topics of config/promptseg.rviz remapped to those of the node, or of its first camera."""
    inputs = value['namespace'].strip('/')
    inputs = '/' + inputs if inputs else ''
    outputs = f"{inputs}/{value['name']}"
    for camera in value['cameras'].split()[:1]:
        inputs, outputs = f'{inputs}/{camera}', f'{outputs}/{camera}'
    image = value['image'] if value['image'].startswith('/') else f"{inputs}/{value['image']}"
    return Node(
        package='rviz2',
        executable='rviz2',
        name='rviz_' + value['name'],
        namespace=value['namespace'],
        arguments=['-d', str(SHARE / 'config' / 'promptseg.rviz'), '-f', value['fixed_frame']],
        parameters=[{'use_sim_time': is_true(value['use_sim_time'])}],
        remappings=[
            ('/image', image),
            ('/clicked_point', inputs + '/clicked_point'),
            ('/promptseg/overlay', outputs + '/overlay'),
            ('/promptseg/image_plane', outputs + '/image_plane'),
            ('/promptseg/cloud', outputs + '/cloud'),
        ],
    )


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
