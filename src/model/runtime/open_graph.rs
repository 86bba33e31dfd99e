//! A graph with an open session, as trial runs see it.

use super::engine_cache::EngineRecord;
use super::report::ProviderReport;

/// A graph with an open session.
pub struct OpenGraph<'a> {
    /// Name of the graph in requests, timings and refusals.
    pub name: &'static str,
    pub report: &'a mut ProviderReport,
    /// Engines on disk, if the session runs on TensorRT or OpenVINO with an engine cache.
    pub engines: Option<&'a EngineRecord>,
}
