//! One of the two graphs: its session, what it is called in messages, and how it is run.

use std::borrow::Cow;

use ort::session::{Session, SessionInputValue};
use ort::value::DynValue;

use super::super::bundle::Bundle;
use super::super::engines::Kept;
use super::super::layout::{MemoryGraph, MemoryLayout, MemorySizes, Signature, recognise_memory};
use super::super::provider::ProviderReport;
use super::super::session::{self, Graphs, Part, Request};
use super::super::{Embedding, Error, Precision, binding};
use super::EMBEDDING;

pub(super) struct GraphSession {
    session: Session,
    pub layout: MemoryLayout,
    pub signature: Signature,
    pub report: ProviderReport,
    device_id: i32,
}

fn graphs(bundle: &Bundle, which: MemoryGraph) -> Graphs<'_> {
    let part = match which {
        MemoryGraph::Attention => Part::MemoryAttention,
        MemoryGraph::Encoder => Part::MemoryEncoder,
    };
    Graphs::Bundled(bundle, part)
}

/// Looks at the graph that stands for all of its precisions.
pub(super) fn check(
    bundle: &Bundle,
    which: MemoryGraph,
    asked: Option<Precision>,
    sizes: &MemorySizes,
) -> Result<MemoryLayout, Error> {
    recognise_memory(which, &session::signature(graphs(bundle, which).plain(asked))?, sizes)
}

impl GraphSession {
    pub fn open(
        bundle: &Bundle,
        which: MemoryGraph,
        sizes: &MemorySizes,
        request: &Request<'_>,
    ) -> Result<(Self, Option<Kept>), Error> {
        let opened = session::open(graphs(bundle, which), request)?;
        // Perhaps of another variant than the one that was looked at.
        let layout = recognise_memory(which, &opened.signature, sizes)?;
        let (signature, report) = (opened.signature, opened.report);
        let device_id = request.options.gpu.device_id;
        Ok((GraphSession { session: opened.session, layout, signature, report, device_id }, opened.engines))
    }

    /// The embedding of a frame where the session can read it.
    pub fn embedding<'a>(&self, frame: &'a Embedding) -> Result<&'a DynValue, Error> {
        let found = frame.tensor_for(EMBEDDING, self.report.used).map_err(|e| self.failed(&e))?;
        found.ok_or_else(|| {
            let made = frame.names().collect::<Vec<_>>().join(", ");
            Error::ForeignEmbedding { reason: format!("it holds {made}, {} takes {EMBEDDING}", self.signature.file) }
        })
    }

    /// One run. With `stays` the output is left where it was made, else it is where the processor can read it.
    pub fn run(
        &mut self,
        inputs: &[(&'static str, &DynValue)],
        output: &'static str,
        stays: bool,
    ) -> Result<DynValue, Error> {
        let done = if stays && self.report.used.on_gpu() {
            binding::run(&mut self.session, inputs, output, self.device_id)
        } else {
            let inputs = inputs.iter().map(|(name, value)| (Cow::Borrowed(*name), SessionInputValue::from(*value)));
            self.session.run(inputs.collect::<Vec<_>>()).and_then(|mut outputs| {
                outputs.remove(output).ok_or_else(|| ort::Error::new(format!("no output `{output}`")))
            })
        };
        done.map_err(|e| self.failed(&e))
    }

    pub fn failed(&self, e: &ort::Error) -> Error {
        session::failed(&self.signature.file, self.report.used, e)
    }

    /// What a caller gave is not what the graph takes.
    pub fn mismatch(&self, tensor: &str, found: String, expected: String) -> Error {
        Error::Tensor { file: self.signature.file.clone(), tensor: tensor.to_owned(), found, expected }
    }
}
