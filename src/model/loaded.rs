//! A loaded model.

use super::decoder::MaskDecoder;
use super::encoder::ImageEncoder;
use super::info::ModelInfo;
use super::layout::MemoryGraph;
use super::memory::MemorySessions;
use super::runtime::ProviderReport;
use super::runtime::graph_file::GraphRole;

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

    /// Returns the role and the report of each session, to add to the report.
    pub(super) fn reports_mut(&mut self) -> impl Iterator<Item = (GraphRole, &mut ProviderReport)> {
        let MaskDecoder { providers: decoder, memory, .. } = &mut self.decoder;
        let memory = memory.iter_mut().flat_map(MemorySessions::providers_mut);
        GraphRole::ALL.into_iter().zip([self.encoder.providers_mut(), decoder].into_iter().chain(memory))
    }
}
