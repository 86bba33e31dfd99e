//! Scenes as messages.

use nalgebra::{Point3, UnitQuaternion};
use r2r::geometry_msgs::msg::{Point, Pose, PoseStamped, PoseWithCovariance, Quaternion, Vector3};
use r2r::promptseg_msgs::msg::ObjectPoints;
use r2r::promptseg_msgs::srv::GetCloud;
use r2r::sensor_msgs::msg::{PointCloud2, PointField};
use r2r::std_msgs::msg::Header as RosHeader;
use r2r::vision_msgs::msg::{BoundingBox3D, Detection3D, Detection3DArray, ObjectHypothesis, ObjectHypothesisWithPose};

use super::scene::{MeasuredObject, Scene};
use crate::depth::{Cloud, CloudLayout, LabelledSurface, Object3d};
use crate::node::config::{CloudForm, DepthConfig, HypothesisScore, PosePoint};
use crate::node::outputs::{detection_id, score};
use crate::node::ros::convert::ros_header;

/// Returns the header of the messages: the stamp of the image, and the frame of the objects.
fn header(scene: &Scene) -> RosHeader {
    RosHeader { frame_id: scene.frame_id.clone(), ..ros_header(&scene.result.header) }
}

/// Returns the measured objects for `~/detections_3d`.
pub fn detections(scene: &Scene, source: HypothesisScore) -> Detection3DArray {
    let detections = scene.objects.iter().map(|o| detection(o, header(scene), source)).collect();
    Detection3DArray { header: header(scene), detections }
}

fn detection(
    MeasuredObject { object, measured, .. }: &MeasuredObject,
    header: RosHeader,
    source: HypothesisScore,
) -> Detection3D {
    let bbox = &measured.bbox;
    let pose =
        PoseWithCovariance { pose: pose(&measured.centroid, &bbox.orientation), covariance: covariance(measured) };
    let hypothesis = ObjectHypothesis { class_id: object.class_id.clone(), score: score(object, source) };
    Detection3D {
        header,
        results: vec![ObjectHypothesisWithPose { hypothesis, pose }],
        bbox: BoundingBox3D {
            center: self::pose(&bbox.centre, &bbox.orientation),
            size: Vector3 { x: bbox.size.x, y: bbox.size.y, z: bbox.size.z },
        },
        id: detection_id(object),
    }
}

/// Returns the covariance of the position, in the layout of PoseWithCovariance; nothing is known of the rotation.
fn covariance(measured: &Object3d) -> Vec<f64> {
    let mut covariance = vec![0.0; 36];
    for row in 0..3 {
        for column in 0..3 {
            covariance[6 * row + column] = measured.covariance[(row, column)];
        }
    }
    covariance
}

fn pose(position: &Point3<f64>, orientation: &UnitQuaternion<f64>) -> Pose {
    let q = orientation.coords;
    Pose {
        position: Point { x: position.x, y: position.y, z: position.z },
        orientation: Quaternion { x: q.x, y: q.y, z: q.z, w: q.w },
    }
}

/// Returns the pose of the current object; `None` if it has no position.
pub fn current_pose(scene: &Scene, point: PosePoint) -> Option<PoseStamped> {
    let MeasuredObject { measured, top, .. } = scene.current()?;
    let position = match point {
        PosePoint::Centroid => &measured.centroid,
        PosePoint::Top => top,
    };
    Some(PoseStamped { header: header(scene), pose: pose(position, &measured.bbox.orientation) })
}

/// Returns the cloud of all objects.
pub fn cloud(scene: &Scene, config: &DepthConfig) -> PointCloud2 {
    let layout = match config.cloud {
        CloudForm::Organised => CloudLayout::Organised,
        CloudForm::Dense => CloudLayout::Dense { voxel: config.voxel_size as f32 },
    };
    let objects: Vec<&MeasuredObject> = scene.objects.iter().collect();
    point_cloud(scene, &objects, layout)
}

/// Returns the answer of `~/get_cloud`; `None` if the object is not in the scene. Id 0: all objects.
pub fn object_cloud(scene: &Scene, object_id: u32) -> Option<GetCloud::Response> {
    let objects: Vec<&MeasuredObject> =
        scene.objects.iter().filter(|o| object_id == 0 || o.object.id == object_id).collect();
    if objects.is_empty() {
        return None;
    }
    let (width, height) = scene.result.image.dimensions();
    let pixels = objects.iter().flat_map(|o| o.measured.surface.pixels().map(|(x, y)| y * width + x)).collect();
    let mut first = 0;
    let of_object = |o: &&MeasuredObject| {
        let next = first + o.measured.surface.len() as u32;
        let indices = (first..next).collect();
        first = next;
        ObjectPoints { object_id: o.object.id, class_id: o.object.class_id.clone(), indices }
    };
    let of_objects = objects.iter().map(of_object).collect();
    let cloud = point_cloud(scene, &objects, CloudLayout::Dense { voxel: 0.0 });
    Some(GetCloud::Response {
        success: true,
        message: String::new(),
        cloud,
        pixels,
        width,
        height,
        objects: of_objects,
    })
}

fn point_cloud(scene: &Scene, objects: &[&MeasuredObject], layout: CloudLayout) -> PointCloud2 {
    let surfaces: Vec<LabelledSurface> = objects
        .iter()
        .map(|o| LabelledSurface { label: o.object.id.min(u32::from(u16::MAX)) as u16, surface: &o.measured.surface })
        .collect();
    let cloud = Cloud::new(&surfaces, &scene.result.image, &scene.target.target_from_optical, layout);
    let datatype = |size: u32| if size == 2 { PointField::UINT16 as u8 } else { PointField::FLOAT32 as u8 };
    let field = |(name, offset, size): (&str, u32, u32)| PointField {
        name: name.into(),
        offset,
        datatype: datatype(size),
        count: 1,
    };
    PointCloud2 {
        header: header(scene),
        height: cloud.height,
        width: cloud.width,
        fields: Cloud::FIELDS.into_iter().map(field).collect(),
        is_bigendian: false,
        point_step: Cloud::point_step(),
        row_step: cloud.width * Cloud::point_step(),
        data: cloud.to_bytes(),
        is_dense: cloud.is_dense,
    }
}
