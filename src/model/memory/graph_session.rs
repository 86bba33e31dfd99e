//! The session of one of the memory's two graphs.

use std::borrow::Cow;

use ort::session::{Session, SessionInputValue};
use ort::value::DynValue;

use crate::model::bundle::Bundle;
use crate::model::embedding::Embedding;
use crate::model::error::Error;
use crate::model::layout::{IMAGE_EMBEDDINGS, MemoryGraph, MemoryLayout, MemorySizes, Signature, recognise_memory};
use crate::model::precision::Precision;
use crate::model::runtime::engine_cache::EngineRecord;
use crate::model::runtime::failure::run_failed;
use crate::model::runtime::graph_file::{GraphRole, GraphVariants};
use crate::model::runtime::session::{self, SessionRequest};
use crate::model::runtime::{ProviderReport, binding};

/// One of the two graphs: its session, its layout, and its name in messages.
pub struct GraphSession {
    session: Session,
    pub layout: MemoryLayout,
    pub signature: Signature,
    pub report: ProviderReport,
    device_id: i32,
}

fn variants(bundle: &Bundle, graph: MemoryGraph) -> GraphVariants<'_> {
    let role = match graph {
        MemoryGraph::Attention => GraphRole::MemoryAttention,
        MemoryGraph::Encoder => GraphRole::MemoryEncoder,
    };
    GraphVariants::Bundled(bundle, role)
}

/// Checks role and shapes of the graph that stands for all of its precisions.
///
/// # Errors
/// The errors of the file, and of [`recognise_memory`].
pub fn check(
    bundle: &Bundle,
    graph: MemoryGraph,
    precision: Option<Precision>,
    sizes: &MemorySizes,
) -> Result<MemoryLayout, Error> {
    recognise_memory(graph, &session::signature(variants(bundle, graph).plain(precision))?, sizes)
}

impl GraphSession {
    /// Opens the session of a graph. Also returns its engines on disk, if the session runs on TensorRT.
    ///
    /// # Errors
    /// The errors of [`session::open`], and of [`recognise_memory`].
    pub fn open(
        bundle: &Bundle,
        graph: MemoryGraph,
        sizes: &MemorySizes,
        request: &SessionRequest<'_>,
    ) -> Result<(Self, Option<EngineRecord>), Error> {
        let opened = session::open(variants(bundle, graph), request)?;
        // The session may run another variant than the one that was checked.
        let layout = recognise_memory(graph, &opened.signature, sizes)?;
        let (signature, report) = (opened.signature, opened.report);
        let device_id = request.options.gpu.device_id;
        Ok((GraphSession { session: opened.session, layout, signature, report, device_id }, opened.engines))
    }

    /// Returns the embedding of a frame in memory that the session can read.
    ///
    /// # Errors
    /// [`Error::ForeignEmbedding`] if another model encoded the frame.
    pub fn embedding<'a>(&self, frame: &'a Embedding) -> Result<&'a DynValue, Error> {
        let found = frame.tensor_for(IMAGE_EMBEDDINGS, self.report.used).map_err(|e| self.failed(&e))?;
        found.ok_or_else(|| {
            let made = frame.names().collect::<Vec<_>>().join(", ");
            Error::ForeignEmbedding {
                reason: format!("it holds {made}, {} takes {IMAGE_EMBEDDINGS}", self.signature.file),
            }
        })
    }

    /// Runs the session. With `stays` the output stays in the memory of the provider, otherwise the processor can read it.
    ///
    /// # Errors
    /// [`Error::Session`] or [`Error::OutOfMemory`] if ONNX Runtime fails.
    pub fn run(
        &mut self,
        inputs: &[(&'static str, &DynValue)],
        output: &'static str,
        stays: bool,
    ) -> Result<DynValue, Error> {
        let output = if stays && self.report.used.on_gpu() {
            binding::run(&mut self.session, inputs, output, self.device_id)
        } else {
            let inputs = inputs.iter().map(|(name, value)| (Cow::Borrowed(*name), SessionInputValue::from(*value)));
            self.session.run(inputs.collect::<Vec<_>>()).and_then(|mut outputs| {
                outputs.remove(output).ok_or_else(|| ort::Error::new(format!("no output `{output}`")))
            })
        };
        output.map_err(|e| self.failed(&e))
    }

    /// Returns the error for a run that failed.
    pub fn failed(&self, e: &ort::Error) -> Error {
        run_failed(&self.signature.file, self.report.used, e)
    }

    /// Returns the error for a tensor of another size than the graph takes.
    pub fn mismatch(&self, tensor: &str, found: String, expected: String) -> Error {
        Error::Tensor { file: self.signature.file.clone(), tensor: tensor.to_owned(), found, expected }
    }
}
