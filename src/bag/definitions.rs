//! Definitions of the types that are written, as a bag embeds them: the text of the type, then the texts of all types in it.

/// Line between two definitions.
const SEPARATOR: &str = "\n================================================================================\n";

/// Texts of std_msgs, builtin_interfaces, sensor_msgs and geometry_msgs: the fields, without comments.
const TIME: (&str, &str) = ("builtin_interfaces/Time", "int32 sec\nuint32 nanosec\n");
const HEADER: (&str, &str) = ("std_msgs/Header", "builtin_interfaces/Time stamp\nstring frame_id\n");
const ROI: (&str, &str) = (
    "sensor_msgs/RegionOfInterest",
    "uint32 x_offset\nuint32 y_offset\nuint32 height\nuint32 width\nbool do_rectify\n",
);
const IMAGE: (&str, &str) = (
    "sensor_msgs/Image",
    "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\nuint8[] data\n",
);
const GEOMETRY: [(&str, &str); 4] = [
    ("geometry_msgs/PoseWithCovariance", "geometry_msgs/Pose pose\nfloat64[36] covariance\n"),
    ("geometry_msgs/Pose", "geometry_msgs/Point position\ngeometry_msgs/Quaternion orientation\n"),
    ("geometry_msgs/Point", "float64 x\nfloat64 y\nfloat64 z\n"),
    ("geometry_msgs/Quaternion", "float64 x 0\nfloat64 y 0\nfloat64 z 0\nfloat64 w 1\n"),
];

macro_rules! message {
    ($package:literal, $name:literal) => {
        (
            concat!($package, "/", $name),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/interfaces/", $package, "/msg/", $name, ".msg")),
        )
    };
}

/// Returns the definition of `promptseg_msgs/msg/MaskArray`.
pub fn mask_array() -> String {
    let parts = [message!("promptseg_msgs", "ObjectMask"), HEADER, TIME, ROI, IMAGE];
    joined(message!("promptseg_msgs", "MaskArray").1, &parts)
}

/// Returns the definition of `sensor_msgs/msg/Image`.
pub fn image() -> String {
    joined(IMAGE.1, &[HEADER, TIME])
}

/// Returns the definition of `sensor_msgs/msg/CompressedImage`.
pub fn compressed_image() -> String {
    joined("std_msgs/Header header\nstring format\nuint8[] data\n", &[HEADER, TIME])
}

/// Returns the definition of `vision_msgs/msg/Detection2DArray`.
pub fn detections() -> String {
    let own = [
        message!("vision_msgs", "Detection2D"),
        message!("vision_msgs", "ObjectHypothesisWithPose"),
        message!("vision_msgs", "ObjectHypothesis"),
        message!("vision_msgs", "BoundingBox2D"),
        message!("vision_msgs", "Pose2D"),
        message!("vision_msgs", "Point2D"),
    ];
    let parts = [&own[..], &GEOMETRY, &[HEADER, TIME]].concat();
    joined(message!("vision_msgs", "Detection2DArray").1, &parts)
}

fn joined(definition: &str, parts: &[(&str, &str)]) -> String {
    parts.iter().fold(definition.to_owned(), |text, (name, part)| format!("{text}{SEPARATOR}MSG: {name}\n{part}"))
}
