"""Start the promptseg node: ros2 launch promptseg promptseg.launch.py image:=/camera/image_raw"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory('promptseg'))

ARGUMENTS = [
    ('name', 'promptseg', 'Name of the node; its outputs are below it, as in /promptseg/mask.'),
    ('namespace', '', 'Namespace of the node and of its inputs.'),
    ('params_file', str(SHARE / 'config' / 'promptseg.yaml'), 'YAML file with the parameters of the node.'),
    ('model', '', 'Folder of a model bundle. Empty: the one of params_file.'),
    ('image', 'image', "The camera's topic (sensor_msgs/Image). <image>/compressed is used when image_transport says so."),
    ('image_transport', '', "'raw' or 'compressed'. Empty: as in params_file."),
    ('camera_info', 'camera_info', 'Topic of the calibration (sensor_msgs/CameraInfo), for 3-D clicks only.'),
    ('point', '', 'Clicks in pixels (geometry_msgs/Point). Empty: IMAGE_mouse_left, where rqt_image_view publishes them.'),
    ('detections', 'detections', "An upstream detector's boxes (vision_msgs/Detection2DArray)."),
    ('yolo_detections', 'yolo_detections', "yolo_ros' boxes (yolo_msgs/DetectionArray): /yolo/detections or /yolo/tracking."),
    ('autostart', 'true', 'true: the node configures and activates itself. false: it waits for a lifecycle manager.'),
    ('lifecycle_manager', 'false', "true: Nav2's lifecycle manager too, which starts the node and watches over it."),
    ('respawn', 'false', 'true: the node is started again two seconds after it ended.'),
    ('rviz', 'false', "true: rviz2 too, with the camera's image as a plane that Publish Point can click."),
    ('fixed_frame', 'map', "rviz2's fixed frame; without TF, the optical frame of the camera."),
    ('use_sim_time', 'false', 'true: time from /clock, for simulation and bags.'),
    ('log_level', 'info', 'error, warn, info, debug, trace, or a filter such as promptseg::engine=debug.'),
]


def start(context):
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    # What is empty stays as the file has it.
    overrides = {name: value[name] for name in ('model', 'image_transport') if value[name]}
    managed = is_true(value['lifecycle_manager'])
    if is_true(value['use_sim_time']):
        overrides['use_sim_time'] = True
    if managed or not is_true(value['autostart']):
        overrides['autostart'] = False
    nodes = [
        Node(
            package='promptseg',
            executable='promptseg_node',
            name=value['name'],
            namespace=value['namespace'],
            parameters=[value['params_file'], overrides],
            remappings=[
                ('image', value['image']),
                ('camera_info', value['camera_info']),
                # Where rqt_image_view says that the camera's picture was clicked.
                ('point', value['point'] or value['image'] + '_mouse_left'),
                ('detections', value['detections']),
                ('yolo_detections', value['yolo_detections']),
            ],
            arguments=['--log-level', value['log_level']],
            output='screen',
            emulate_tty=True,
            respawn=is_true(value['respawn']),
            respawn_delay=2.0,
        )
    ]
    if managed:
        nodes.append(lifecycle_manager(value))
    if is_true(value['rviz']):
        nodes.append(rviz(value))
    return nodes


def is_true(text):
    return text.lower() in ('true', '1')


def lifecycle_manager(value):
    """Without a bond when the node was built without the package bond: see docs/lifecycle.md."""
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
    """With the topics of config/promptseg.rviz mapped to those of the node."""
    inputs = value['namespace'].strip('/')
    inputs = '/' + inputs if inputs else ''
    outputs = f"{inputs}/{value['name']}"
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
        ],
    )


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
