//! What opening asks of a kind of model: groups of graphs that are tried together and timed.

use std::fmt::Display;

use image::{Rgb, RgbImage};

use crate::model::error::Error;
use crate::model::runtime::OpenGraph;

/// A model whose sessions are tried and timed on the providers of a machine.
pub trait Tried: Sized {
    type Error: Display + From<Error>;
    /// Values of a trial run, which are compared with those of fp32.
    type Outputs;

    /// Returns the graphs in groups. The graphs of a group are tried together. If a group fails, the other groups stay.
    fn groups(&mut self) -> Vec<Vec<OpenGraph<'_>>>;

    /// Runs the graphs of a group on a drawn picture.
    ///
    /// # Errors
    /// The error of a run, with the name of the graph that failed if it is known.
    fn run_group(&mut self, group: usize) -> Result<Self::Outputs, RunFailure<Self::Error>>;

    /// Runs the graphs of a group on their largest inputs, so that a lack of memory is detected.
    ///
    /// # Errors
    /// As [`Self::run_group`].
    fn run_largest(&mut self, _group: usize) -> Result<(), RunFailure<Self::Error>> {
        Ok(())
    }

    /// Returns the difference of two trial runs in words if it is larger than accepted.
    fn difference(found: &Self::Outputs, expected: &Self::Outputs) -> Option<String>;

    /// Runs each graph once. Returns the names of the graphs, and the times of the runs in milliseconds.
    ///
    /// # Errors
    /// The error of the first run that fails.
    fn time(&mut self) -> Result<Vec<(&'static str, f64)>, Self::Error>;
}

/// A run that failed.
pub struct RunFailure<E> {
    /// Name of the graph that failed, if it is known.
    pub graph: Option<&'static str>,
    pub error: E,
}

impl<E> RunFailure<E> {
    /// Returns a function that names the graph of an error.
    pub fn of(graph: &'static str) -> impl Fn(E) -> Self {
        move |error| RunFailure { graph: Some(graph), error }
    }
}

/// Draws discs on a gradient, 640 x 480 pixels.
pub fn picture() -> RgbImage {
    RgbImage::from_fn(640, 480, |x, y| {
        let (dx, dy) = ((x % 160).abs_diff(80), (y % 160).abs_diff(80));
        let disc = dx * dx + dy * dy < 50 * 50;
        if disc { Rgb([220, 60, (x % 256) as u8]) } else { Rgb([(x / 4) as u8, (y / 4) as u8, 90]) }
    })
}

/// Returns the largest difference of values as a fraction of the range of `expected`. None if a value is not finite, or the
/// numbers of values differ.
pub fn apart(found: &[f32], expected: &[f32]) -> Option<f32> {
    if found.len() != expected.len() || found.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    let largest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    Some(largest / (high - low).max(f32::MIN_POSITIVE))
}

/// Returns the overlap (IoU) of two masks of logits.
pub fn overlap(a: &[f32], b: &[f32]) -> f32 {
    let pairs = || a.iter().zip(b);
    let both = pairs().filter(|(a, b)| **a > 0.0 && **b > 0.0).count() as f32;
    let either = pairs().filter(|(a, b)| **a > 0.0 || **b > 0.0).count() as f32;
    if either == 0.0 { 1.0 } else { both / either }
}
