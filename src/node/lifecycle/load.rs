//! Loading of the model that the parameters name.

use image::RgbImage;

use crate::model::{DecodeOptions, Model};
use crate::node::config::ModelConfig;
use crate::node::error::NodeError;
use crate::prompt::{Label, Point, Prompt};

/// Opens the model.
///
/// # Errors
/// A file, a graph, a provider or the runtime is missing or unusable.
pub fn open(config: &ModelConfig) -> Result<Model, NodeError> {
    if config.path.as_os_str() == "tiny" {
        return Ok(Model::tiny(&config.session)?);
    }
    Ok(Model::open(&config.path, config.decoder.as_deref(), &config.session)?)
}

/// Runs encoder and decoder once, so that the work of a provider at its first run (TensorRT engines, cuDNN's choice of
/// algorithms, memory) is done before the first image.
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
