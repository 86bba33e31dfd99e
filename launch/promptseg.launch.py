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
    ('rviz', 'false', "true: rviz2 too, with the camera's image as a plane that Publish Point can click."),
    ('fixed_frame', 'map', "rviz2's fixed frame; without TF, the optical frame of the camera."),
    ('use_sim_time', 'false', 'true: time from /clock, for simulation and bags.'),
    ('log_level', 'info', 'error, warn, info, debug, trace, or a filter such as promptseg::engine=debug.'),
]


def start(context):
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    # What is empty stays as the file has it.
    overrides = {name: value[name] for name in ('model', 'image_transport') if value[name]}
    if is_true(value['use_sim_time']):
        overrides['use_sim_time'] = True
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
        )
    ]
    if is_true(value['rviz']):
        nodes.append(rviz(value))
    return nodes


def is_true(text):
    return text.lower() in ('true', '1')


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
