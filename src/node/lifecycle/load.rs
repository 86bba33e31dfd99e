//! The model that the parameters name, ready to work.

use std::path::Path;

use image::RgbImage;

use crate::model::{DecodeOptions, Model};
use crate::node::config::session;
use crate::node::config::values::Parameters;
use crate::node::error::NodeError;
use crate::prompt::{Label, Point, Prompt};

/// Loads it.
///
/// # Errors
/// A provider that does not exist; everything about files, graphs, providers and the runtime.
pub fn load(parameters: &Parameters) -> Result<Model, NodeError> {
    let options = session::session_options(parameters)?;
    let what = parameters.text("model");
    if what == "tiny" {
        return Ok(Model::tiny(&options)?);
    }
    let decoder = parameters.text("decoder");
    let decoder = (!decoder.is_empty()).then(|| Path::new(decoder));
    Ok(Model::open(Path::new(what), decoder, &options)?)
}

/// Runs both halves once, so that what a provider does at its first run (TensorRT engines, cuDNN's choice of algorithms,
/// memory) is done before the first image.
///
/// # Errors
/// The model does not run.
pub fn warm_up(model: &mut Model) -> Result<(), NodeError> {
    let embedding = model.encoder.encode(&RgbImage::new(640, 480))?;
    let point = Point { x: 320.0, y: 240.0, label: Label::Foreground };
    let prompt = Prompt { points: vec![point], ..Prompt::default() };
    model.decoder.decode(&embedding, &[prompt], &DecodeOptions::default())?;
    Ok(())
}
