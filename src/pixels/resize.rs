//! From the camera's image to the model's square: sizes and coordinates.

use serde::{Deserialize, Serialize};

/// Method of fitting an image into the model's square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// SAM: the longer side is scaled to the side of the square. Padding fills the square to the right and at the
    /// bottom (`segment_anything/utils/transforms.py`, `ResizeLongestSide`).
    Letterbox,
    /// SAM 2: both sides are scaled to the side of the square, without regard to the aspect ratio
    /// (`sam2/utils/transforms.py`, `SAM2Transforms`).
    Stretch,
}

/// Size of an image, and the part of the model's square that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Width and height of the camera's image, in pixels.
    pub image: (u32, u32),
    /// Side of the model's square, in pixels.
    pub side: u32,
    pub resize: Resize,
    /// Width and height of the part of the square that shows the image, from its top-left corner.
    pub content: (u32, u32),
}

impl Geometry {
    /// Computes the geometry of an image of `width` x `height` pixels. A size of 0 counts as 1: decoding refuses images
    /// without pixels. A side that the letterbox would round to 0 (the image is more than twice as long as the square)
    /// keeps one pixel, where SAM itself fails.
    pub fn new(width: u32, height: u32, side: u32, resize: Resize) -> Self {
        let (width, height, side) = (width.max(1), height.max(1), side.max(1));
        let content = match resize {
            Resize::Stretch => (side, side),
            Resize::Letterbox => {
                let scale = f64::from(side) / f64::from(width.max(height));
                let fit = |length: u32| ((f64::from(length) * scale + 0.5) as u32).clamp(1, side);
                (fit(width), fit(height))
            }
        };
        Geometry { image: (width, height), side, resize, content }
    }

    /// Transforms a position in the camera's image to the model's square, both in pixels.
    ///
    /// SAM: `ResizeLongestSide.apply_coords`, `x * new_w / old_w`; SAM 2: `SAM2Transforms.transform_coords`,
    /// `x / w * side`. Neither adds half a pixel here; the prompt encoder adds it.
    pub fn model_from_image(&self, x: f32, y: f32) -> (f32, f32) {
        let map = |v: f32, content: u32, image: u32| (f64::from(v) * (f64::from(content) / f64::from(image))) as f32;
        (map(x, self.content.0, self.image.0), map(y, self.content.1, self.image.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letterbox_sizes_are_those_of_resize_longest_side() {
        for (w, h, side, expected) in [
            (1280, 720, 1024, (1024, 576)),
            (640, 480, 1024, (1024, 768)),
            (480, 640, 1024, (768, 1024)),
            (451, 300, 1024, (1024, 681)),
            (333, 500, 256, (170, 256)),
            (1, 1, 256, (256, 256)),
            (4000, 3, 256, (256, 1)),
        ] {
            let g = Geometry::new(w, h, side, Resize::Letterbox);
            assert_eq!(g.content, expected, "{w}x{h} -> {side}");
        }
    }

    #[test]
    fn coordinates_follow_the_rounded_size() {
        let g = Geometry::new(451, 300, 1024, Resize::Letterbox);
        assert_eq!(g.model_from_image(451.0, 300.0), (1024.0, 681.0));
        let s = Geometry::new(640, 480, 1024, Resize::Stretch);
        assert_eq!(s.model_from_image(320.0, 120.0), (512.0, 256.0));
        assert_eq!(Geometry::new(0, 0, 0, Resize::Letterbox).model_from_image(0.0, 0.0), (0.0, 0.0));
    }

    #[test]
    fn the_names_in_a_bundle() {
        assert_eq!(serde_json::to_string(&Resize::Letterbox).unwrap(), "\"letterbox\"");
        assert_eq!(serde_json::from_str::<Resize>("\"stretch\"").unwrap(), Resize::Stretch);
    }
}
