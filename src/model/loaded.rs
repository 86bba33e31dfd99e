//! A loaded model.

use super::decoder::MaskDecoder;
use super::encoder::ImageEncoder;
use super::info::ModelInfo;
use super::layout::MemoryGraph;
use super::runtime::ProviderReport;

/// A loaded model: its description and its two halves, which can be moved to two threads.
pub struct Model {
    pub info: ModelInfo,
    pub encoder: ImageEncoder,
    pub decoder: MaskDecoder,
}

impl Model {
    /// Returns the name and the report of each session.
    pub fn reports(&self) -> Vec<(&'static str, &ProviderReport)> {
        let memory = self.decoder.memory_providers().into_iter().flatten();
        let image = [("encoder", self.encoder.providers()), ("decoder", self.decoder.providers())];
        image.into_iter().chain(MemoryGraph::ALL.map(MemoryGraph::name).into_iter().zip(memory)).collect()
    }
}
