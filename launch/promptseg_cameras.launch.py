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
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory('promptseg'))

ARGUMENTS = [
    ('cameras', 'front rear', 'Namespaces of the cameras, with spaces between them.'),
    ('shared', 'false', 'true: one node, whose cameras share the model and its memory. false: a node for each.'),
    ('image', 'image_raw', "The cameras' topic within their namespace."),
    ('params_file', str(SHARE / 'config' / 'promptseg.yaml'), 'YAML file with the parameters of the nodes.'),
    ('model', '', 'Folder of a model bundle. Empty: the one of params_file.'),
    ('image_transport', '', "'raw' or 'compressed'. Empty: as in params_file."),
    ('autostart', 'true', 'true: the nodes configure and activate themselves. false: they wait for a lifecycle manager.'),
    ('respawn', 'false', 'true: a node is started again two seconds after it ended.'),
    ('use_sim_time', 'false', 'true: time from /clock, for simulation and bags.'),
    ('log_level', 'info', 'error, warn, info, debug, trace, or a filter such as promptseg::engine=debug.'),
]


def is_true(text):
    return text.lower() in ('true', '1')


def one_node(cameras, value):
    # What is empty stays as the file has it.
    overrides = {name: value[name] for name in ('model', 'image_transport') if value[name]}
    if is_true(value['use_sim_time']):
        overrides['use_sim_time'] = True
    if not is_true(value['autostart']):
        overrides['autostart'] = False
    return Node(
        package='promptseg',
        executable='promptseg_node',
        name='promptseg',
        parameters=[value['params_file'], {**overrides, 'cameras': cameras}],
        # The node's own names are front/image, front/point, ...; only the image, and clicks on it, are called differently.
        remappings=[
            rule
            for camera in cameras
            for rule in [
                (f'{camera}/image', f"{camera}/{value['image']}"),
                # Where rqt_image_view says that the camera's picture was clicked.
                (f'{camera}/point', f"{camera}/{value['image']}_mouse_left"),
            ]
        ],
        arguments=['--log-level', value['log_level']],
        output='screen',
        emulate_tty=True,
        respawn=is_true(value['respawn']),
        respawn_delay=2.0,
    )


def node_of(camera, value):
    handed_on = ('image', 'params_file', 'model', 'image_transport', 'autostart', 'respawn', 'use_sim_time', 'log_level')
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / 'launch' / 'promptseg.launch.py')),
        launch_arguments=[('namespace', camera), *((name, value[name]) for name in handed_on)],
    )


def start(context):
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    cameras = value['cameras'].split()
    if not cameras:
        raise RuntimeError("cameras is empty: name at least one, as in cameras:='front rear'")
    if is_true(value['shared']):
        return [one_node(cameras, value)]
    return [node_of(camera, value) for camera in cameras]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
