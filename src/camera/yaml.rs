//! Calibration files: the YAML of camera_calibration, and of `ros2 topic echo`.

use thiserror::Error;
use yaml_rust2::{Yaml, YamlLoader};

use super::info::{CameraInfo, RegionOfInterest};

/// Reason why a calibration file was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CalibrationFileError {
    #[error("not YAML: {reason}")]
    Yaml { reason: String },
    #[error(
        "neither a calibration of camera_calibration (image_width, camera_matrix, ...) nor a camera_info message (width, \
         k, ...): no \"{field}\" in it"
    )]
    Missing { field: &'static str },
    #[error("\"{field}\" is {found}, expected {expected}")]
    Value { field: &'static str, found: String, expected: &'static str },
}

impl CameraInfo {
    /// Reads a calibration from YAML: a file that camera_calibration wrote (`ost.yaml`, a `camera_info_url`), or the output of
    /// `ros2 topic echo --once /camera_info`. Of several documents the first one counts.
    ///
    /// # Errors
    /// The text is not YAML, a field is missing, or a value is not of the expected kind.
    pub fn from_yaml(text: &str) -> Result<CameraInfo, CalibrationFileError> {
        // `ros2 topic echo` ends its output with a line that starts a second document.
        let first = text.strip_prefix("---").unwrap_or(text).split("\n---").next().unwrap_or_default();
        let documents =
            YamlLoader::load_from_str(first).map_err(|e| CalibrationFileError::Yaml { reason: e.to_string() })?;
        let yaml = documents.first().unwrap_or(&Yaml::BadValue);
        let is_message = !yaml["k"].is_badvalue();
        let model = |yaml: &Yaml| yaml.as_str().unwrap_or_default().to_owned();
        if is_message {
            let roi = &yaml["roi"];
            let part = |field: &'static str| optional(roi, field);
            return Ok(CameraInfo {
                width: size(yaml, "width")?,
                height: size(yaml, "height")?,
                distortion_model: model(&yaml["distortion_model"]),
                d: numbers(&yaml["d"], "d")?,
                k: matrix(&yaml["k"], "k", true)?,
                r: matrix(&yaml["r"], "r", false)?,
                p: matrix(&yaml["p"], "p", false)?,
                binning_x: optional(yaml, "binning_x")?,
                binning_y: optional(yaml, "binning_y")?,
                roi: RegionOfInterest {
                    x_offset: part("x_offset")?,
                    y_offset: part("y_offset")?,
                    width: part("width")?,
                    height: part("height")?,
                    do_rectify: roi["do_rectify"].as_bool().unwrap_or(false),
                },
            });
        }
        let data = |field: &str| &yaml[field]["data"];
        Ok(CameraInfo {
            width: size(yaml, "image_width")?,
            height: size(yaml, "image_height")?,
            distortion_model: model(&yaml["distortion_model"]),
            d: numbers(data("distortion_coefficients"), "distortion_coefficients")?,
            k: matrix(data("camera_matrix"), "camera_matrix", true)?,
            r: matrix(data("rectification_matrix"), "rectification_matrix", false)?,
            p: matrix(data("projection_matrix"), "projection_matrix", false)?,
            ..CameraInfo::default()
        })
    }
}

/// Returns a number of pixels.
fn size(yaml: &Yaml, field: &'static str) -> Result<u32, CalibrationFileError> {
    match &yaml[field] {
        Yaml::BadValue => Err(CalibrationFileError::Missing { field }),
        _ => optional(yaml, field),
    }
}

/// Returns a number of pixels; 0 if the field is missing.
fn optional(yaml: &Yaml, field: &'static str) -> Result<u32, CalibrationFileError> {
    let value = &yaml[field];
    if value.is_badvalue() {
        return Ok(0);
    }
    let number = value.as_i64().and_then(|v| u32::try_from(v).ok());
    number.ok_or_else(|| wrong(field, value, "a whole number of pixels"))
}

/// Returns the values of a list; none if the field is missing.
fn numbers(yaml: &Yaml, field: &'static str) -> Result<Vec<f64>, CalibrationFileError> {
    let expected = "a list of numbers";
    let Some(list) = yaml.as_vec() else {
        return if yaml.is_badvalue() { Ok(Vec::new()) } else { Err(wrong(field, yaml, expected)) };
    };
    let number = |value: &Yaml| value.as_f64().or_else(|| value.as_i64().map(|v| v as f64));
    list.iter().map(|value| number(value).ok_or_else(|| wrong(field, value, expected))).collect()
}

/// Returns the values of a matrix, row by row; zeros if the field is missing and not required.
fn matrix<const N: usize>(yaml: &Yaml, field: &'static str, required: bool) -> Result<[f64; N], CalibrationFileError> {
    if yaml.is_badvalue() {
        return if required { Err(CalibrationFileError::Missing { field }) } else { Ok([0.0; N]) };
    }
    let values = numbers(yaml, field)?;
    let expected = if N == 12 { "12 numbers" } else { "9 numbers" };
    let found = values.len();
    let count = |_| CalibrationFileError::Value { field, found: format!("a list of {found}"), expected };
    <[f64; N]>::try_from(values).map_err(count)
}

fn wrong(field: &'static str, value: &Yaml, expected: &'static str) -> CalibrationFileError {
    let found = match value {
        Yaml::Real(text) | Yaml::String(text) => format!("\"{text}\""),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Array(list) => format!("a list of {}", list.len()),
        Yaml::Hash(_) => "a map".to_owned(),
        other => format!("{other:?}"),
    };
    CalibrationFileError::Value { field, found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As camera_calibration writes it.
    const FILE: &str = "image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [525.5, 0., 319.5, 0., 524, 239.5, 0., 0., 1.]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.1, -0.2, 1.0e-03, 2e-3, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [520., 0., 320., 0., 0., 521., 240., 0., 0., 0., 1., 0.]
";

    /// As `ros2 topic echo --once` prints it.
    const MESSAGE: &str = "header:
  stamp:
    sec: 1
    nanosec: 2
  frame_id: camera
height: 480
width: 640
distortion_model: ''
d: []
k:
- 525.5
- 0.0
- 319.5
- 0.0
- 524.0
- 239.5
- 0.0
- 0.0
- 1.0
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [525.5, 0.0, 319.5, 0.0, 0.0, 524.0, 239.5, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 2
binning_y: 2
roi:
  x_offset: 10
  y_offset: 20
  height: 100
  width: 200
  do_rectify: true
---
";

    #[test]
    fn files_of_camera_calibration_and_messages_are_read() {
        let info = CameraInfo::from_yaml(FILE).unwrap();
        assert_eq!((info.width, info.height, info.distortion_model.as_str()), (640, 480, "plumb_bob"));
        assert_eq!((info.d.as_slice(), info.k[4], info.p[6]), (&[0.1, -0.2, 1e-3, 2e-3, 0.0][..], 524.0, 240.0));

        for text in [MESSAGE.to_owned(), format!("---\n{MESSAGE}{MESSAGE}")] {
            let info = CameraInfo::from_yaml(&text).unwrap();
            assert_eq!((info.width, info.height, info.k[0], info.p[5]), (640, 480, 525.5, 524.0));
            assert_eq!((info.binning_x, info.roi.x_offset, info.roi.height, info.d.len()), (2, 10, 100, 0));
            assert!(info.roi.do_rectify);
        }
    }

    #[test]
    fn damaged_files_are_refused_with_the_field() {
        for (from, to, expected) in [
            ("image_width: 640", "image_width: wide", "\"image_width\" is \"wide\", expected a whole number of pixels"),
            ("image_width: 640", "image_width: -3", "\"image_width\" is -3"),
            ("image_width: 640", "", "no \"image_width\" in it"),
            ("camera_matrix:", "camera:", "no \"camera_matrix\" in it"),
            ("[525.5, 0., ", "[", "\"camera_matrix\" is a list of 7, expected 9 numbers"),
            ("[525.5,", "[x,", "\"camera_matrix\" is \"x\", expected a list of numbers"),
            ("[520., 0., 320., 0., 0., 521., 240., 0., 0., 0., 1., 0.]", "7", "\"projection_matrix\" is 7"),
            ("data: [525.5", "data: [[525.5", "not YAML"),
        ] {
            let error = CameraInfo::from_yaml(&FILE.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for text in ["", "hello", "- 1\n- 2", "\u{0}"] {
            assert!(CameraInfo::from_yaml(text).is_err(), "{text}");
        }
    }
}
