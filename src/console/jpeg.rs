//! Pictures for the page: a frame's image at the size of a viewport, as JPEG.

use std::sync::Arc;

use axum::body::Bytes;
use image::RgbImage;
use image::imageops::thumbnail;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::spawn_blocking;

use crate::pixels::encode_jpeg;

/// Widths of pictures are multiples of this number, so that viewports of nearly the same size share a picture.
const WIDTH_STEP: u32 = 64;

/// The image of a frame, and its JPEGs at the sizes that were asked for.
#[derive(Debug)]
pub struct Picture {
    pub image: Arc<RgbImage>,
    jpegs: Mutex<Vec<Jpeg>>,
}

/// A JPEG.
#[derive(Debug, Clone)]
pub struct Jpeg {
    /// Width and height in pixels.
    pub size: (u32, u32),
    pub data: Bytes,
}

impl Picture {
    pub fn new(image: Arc<RgbImage>) -> Self {
        Picture { image, jpegs: Mutex::default() }
    }

    /// Returns the picture for a viewport of that size, in device pixels. It is never larger than the image. `encoders` limits
    /// the processors that encode at a time.
    ///
    /// # Errors
    /// The image cannot be encoded.
    pub async fn jpeg(&self, viewport: (u32, u32), quality: u8, encoders: &Semaphore) -> Result<Jpeg, String> {
        let size = fit(self.image.dimensions(), viewport);
        // The lock is held while the picture is encoded: clients with the same size wait for it instead of encoding.
        let mut jpegs = self.jpegs.lock().await;
        if let Some(jpeg) = jpegs.iter().find(|jpeg| jpeg.size == size) {
            return Ok(jpeg.clone());
        }
        let _place = encoders.acquire().await.map_err(|e| e.to_string())?;
        let image = Arc::clone(&self.image);
        let encoded = spawn_blocking(move || match size == image.dimensions() {
            true => encode_jpeg(&image, quality),
            false => encode_jpeg(&thumbnail(&*image, size.0, size.1), quality),
        });
        let data = encoded.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        let jpeg = Jpeg { size, data: data.into() };
        jpegs.push(jpeg.clone());
        Ok(jpeg)
    }
}

/// Returns the size of a picture that fills the viewport in one direction at least, with the aspect ratio of the image.
pub fn fit((width, height): (u32, u32), viewport: (u32, u32)) -> (u32, u32) {
    let scale = (f64::from(viewport.0) / f64::from(width)).min(f64::from(viewport.1) / f64::from(height));
    let wanted = (f64::from(width) * scale).ceil() as u32;
    let fitted = wanted.max(1).next_multiple_of(WIDTH_STEP);
    if fitted >= width {
        return (width, height);
    }
    let fitted_height = (f64::from(height) * f64::from(fitted) / f64::from(width)).round() as u32;
    (fitted, fitted_height.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::decode_compressed;

    #[test]
    fn a_picture_has_the_size_of_the_viewport_but_never_more_than_the_image() {
        assert_eq!(fit((1280, 720), (640, 640)), (640, 360));
        assert_eq!(fit((1280, 720), (600, 600)), (640, 360), "the next step");
        assert_eq!(fit((1280, 720), (9000, 300)), (576, 324));
        assert_eq!(fit((1280, 720), (4000, 4000)), (1280, 720));
        assert_eq!(fit((1280, 720), (1279, 9999)), (1280, 720));
        assert_eq!(fit((640, 480), (0, 0)), (64, 48));
        assert_eq!(fit((10_000, 3), (64, 64)), (64, 1));
    }

    #[tokio::test]
    async fn clients_of_one_size_share_a_picture() {
        let image = RgbImage::from_fn(640, 320, |x, _| image::Rgb([(x / 4) as u8, 90, 30]));
        let picture = Picture::new(Arc::new(image));
        let encoders = Semaphore::new(1);
        let first = picture.jpeg((320, 320), 90, &encoders).await.unwrap();
        let second = picture.jpeg((310, 320), 90, &encoders).await.unwrap();
        assert_eq!(first.data.as_ptr(), second.data.as_ptr(), "encoded once");
        let whole = picture.jpeg((2000, 2000), 90, &encoders).await.unwrap();
        for (jpeg, size) in [(first, (320, 160)), (whole, (640, 320))] {
            let decoded = decode_compressed(&jpeg.data, "jpeg").unwrap();
            assert_eq!((jpeg.size, decoded.dimensions()), (size, size));
            // The colour at the middle is the colour of the image there.
            let [red, ..] = decoded.get_pixel(size.0 / 2, size.1 / 2).0;
            assert!(red.abs_diff(80) <= 3, "{red}");
        }
    }
}
