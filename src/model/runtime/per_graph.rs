//! One value for each graph of a model.

use serde::{Deserialize, Serialize};

use super::graph_file::GraphRole;

/// One value for each graph of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PerGraph<T> {
    pub encoder: T,
    pub decoder: T,
    pub memory_attention: T,
    pub memory_encoder: T,
}

impl<T> PerGraph<T> {
    /// Makes the value of each graph.
    pub fn new(mut value: impl FnMut(GraphRole) -> T) -> Self {
        PerGraph {
            encoder: value(GraphRole::ImageEncoder),
            decoder: value(GraphRole::MaskDecoder),
            memory_attention: value(GraphRole::MemoryAttention),
            memory_encoder: value(GraphRole::MemoryEncoder),
        }
    }

    /// Returns the value of a graph.
    pub fn get(&self, graph: GraphRole) -> &T {
        match graph {
            GraphRole::ImageEncoder => &self.encoder,
            GraphRole::MaskDecoder => &self.decoder,
            GraphRole::MemoryAttention => &self.memory_attention,
            GraphRole::MemoryEncoder => &self.memory_encoder,
        }
    }

    /// Returns the value of a graph, to change it.
    pub fn get_mut(&mut self, graph: GraphRole) -> &mut T {
        match graph {
            GraphRole::ImageEncoder => &mut self.encoder,
            GraphRole::MaskDecoder => &mut self.decoder,
            GraphRole::MemoryAttention => &mut self.memory_attention,
            GraphRole::MemoryEncoder => &mut self.memory_encoder,
        }
    }

    /// Returns the values in the order of [`GraphRole::ALL`].
    pub fn values(&self) -> [&T; 4] {
        GraphRole::ALL.map(|graph| self.get(graph))
    }
}
