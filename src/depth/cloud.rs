//! Point clouds of objects, with the colour of the image and a label for each point.

use std::collections::HashMap;

use image::RgbImage;
use nalgebra::{Isometry3, Point3};

use super::surface::Surface;

/// Bytes of a point in [`Cloud::to_bytes`].
const POINT_BYTES: usize = 20;

/// Visible surface of an object with its label.
#[derive(Debug, Clone, Copy)]
pub struct LabelledSurface<'a> {
    pub label: u16,
    pub surface: &'a Surface,
}

/// Order and number of the points of a cloud.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CloudLayout {
    /// A point for each pixel of the image, row by row; NaN outside the objects. Where objects overlap, the object with
    /// fewer points wins, as in `~/labels`.
    Organised,
    /// The points of the objects, one object after the other. With a positive `voxel`, in metres, one point for each cube
    /// of that size and each object: the mean of the points in the cube, in the cloud's frame.
    Dense { voxel: f32 },
}

/// A point of a cloud.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CloudPoint {
    /// Metres in the cloud's frame; NaN for a pixel without a point.
    pub position: [f32; 3],
    pub rgb: [u8; 3],
    /// Label of the object; 0 without a point.
    pub label: u16,
}

/// A cloud of labelled points.
#[derive(Debug, Clone, PartialEq)]
pub struct Cloud {
    /// Points in a row: the width of the image if organised, else the number of points.
    pub width: u32,
    /// Rows: the height of the image if organised, else 1.
    pub height: u32,
    /// Whether every point is finite.
    pub is_dense: bool,
    pub points: Vec<CloudPoint>,
}

impl Cloud {
    /// Offsets of the fields in a point of [`Cloud::to_bytes`]: name, offset in bytes, size in bytes.
    pub const FIELDS: [(&'static str, u32, u32); 5] =
        [("x", 0, 4), ("y", 4, 4), ("z", 8, 4), ("rgb", 12, 4), ("label", 16, 2)];

    /// Makes the cloud of the surfaces of objects on one image. `cloud_from_optical` takes the points from the optical
    /// frame to the frame of the cloud. Pixels outside `image` are black.
    pub fn new(
        objects: &[LabelledSurface],
        image: &RgbImage,
        cloud_from_optical: &Isometry3<f64>,
        layout: CloudLayout,
    ) -> Cloud {
        let cloud_from_optical = cloud_from_optical.cast::<f32>();
        let points = |object: &LabelledSurface| -> Vec<((u32, u32), CloudPoint)> {
            let label = object.label;
            let pixels = object.surface.pixels().zip(object.surface.points());
            let point = pixels.map(|((x, y), position)| {
                let position = (cloud_from_optical * Point3::from(position)).into();
                let rgb = image.get_pixel_checked(x, y).map_or([0; 3], |p| p.0);
                ((x, y), CloudPoint { position, rgb, label })
            });
            point.collect()
        };
        match layout {
            CloudLayout::Organised => organised(objects, image.dimensions(), points),
            CloudLayout::Dense { voxel } => {
                let of_object = |object| match points(object) {
                    points if voxel > 0.0 => decimated(&points, voxel),
                    points => points.into_iter().map(|(_, point)| point).collect::<Vec<_>>(),
                };
                let points: Vec<CloudPoint> = objects.iter().flat_map(of_object).collect();
                Cloud { width: points.len() as u32, height: 1, is_dense: true, points }
            }
        }
    }

    /// Returns the points as the data of a sensor_msgs/PointCloud2, little-endian, 20 bytes a point: x, y, z (float32, at
    /// 0, 4, 8), rgb (float32 whose bits are 0x00RRGGBB, at 12), label (uint16, at 16), two unused bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.points.len() * POINT_BYTES);
        for point in &self.points {
            let [r, g, b] = point.rgb;
            point.position.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
            bytes.extend_from_slice(&[b, g, r, 0]);
            bytes.extend_from_slice(&point.label.to_le_bytes());
            bytes.extend_from_slice(&[0; 2]);
        }
        bytes
    }

    /// Returns the number of bytes of a point in [`Cloud::to_bytes`].
    pub fn point_step() -> u32 {
        POINT_BYTES as u32
    }
}

fn organised(
    objects: &[LabelledSurface],
    (width, height): (u32, u32),
    points: impl Fn(&LabelledSurface) -> Vec<((u32, u32), CloudPoint)>,
) -> Cloud {
    let none = CloudPoint { position: [f32::NAN; 3], rgb: [0; 3], label: 0 };
    let mut all = vec![none; width as usize * height as usize];
    let mut order: Vec<&LabelledSurface> = objects.iter().rev().collect();
    order.sort_by_key(|object| std::cmp::Reverse(object.surface.len()));
    for ((x, y), point) in order.into_iter().flat_map(points) {
        if x < width && y < height {
            all[y as usize * width as usize + x as usize] = point;
        }
    }
    Cloud { width, height, is_dense: false, points: all }
}

/// Returns the mean of the points in each cube of side `voxel`, in the order of their first points.
fn decimated(points: &[((u32, u32), CloudPoint)], voxel: f32) -> Vec<CloudPoint> {
    let mut index_of: HashMap<[i64; 3], usize> = HashMap::new();
    let mut sums: Vec<([f64; 3], [u32; 3], u32, u16)> = Vec::new();
    for (_, point) in points {
        let cube = point.position.map(|v| (v / voxel).floor() as i64);
        let index = *index_of.entry(cube).or_insert_with(|| {
            sums.push(([0.0; 3], [0; 3], 0, point.label));
            sums.len() - 1
        });
        let (position, rgb, count, _) = &mut sums[index];
        position.iter_mut().zip(point.position).for_each(|(sum, v)| *sum += f64::from(v));
        rgb.iter_mut().zip(point.rgb).for_each(|(sum, v)| *sum += u32::from(v));
        *count += 1;
    }
    let mean = |(position, rgb, count, label): ([f64; 3], [u32; 3], u32, u16)| CloudPoint {
        position: position.map(|sum| (sum / f64::from(count)) as f32),
        rgb: rgb.map(|sum| (sum / count) as u8),
        label,
    };
    sums.into_iter().map(mean).collect()
}
