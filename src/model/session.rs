//! Opening ONNX Runtime sessions on the first provider that can be had, and saying which one that was.

use std::path::Path;

use ort::ep::{self, ExecutionProvider};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::layout::{Signature, TensorSpec};
use super::options::{Provider, ProviderReport, SessionOptions};
use super::{Error, runtime};

/// Where a graph comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Graph<'a> {
    File(&'a Path),
    /// Name for messages, and content.
    Memory(&'a str, &'a [u8]),
}

impl Graph<'_> {
    pub fn label(&self) -> String {
        match self {
            Graph::File(path) => path.display().to_string(),
            Graph::Memory(name, _) => (*name).to_owned(),
        }
    }
}

/// Lowest, usual and highest shapes of the dynamic inputs: TensorRT builds its engine for this range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ShapeProfile {
    pub min: String,
    pub opt: String,
    pub max: String,
}

impl ShapeProfile {
    pub fn add(&mut self, name: &str, min: &[usize], opt: &[usize], max: &[usize]) {
        for (text, shape) in [(&mut self.min, min), (&mut self.opt, opt), (&mut self.max, max)] {
            if !text.is_empty() {
                text.push(',');
            }
            let dimensions = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
            text.push_str(&format!("{name}:{dimensions}"));
        }
    }
}

/// Inputs and outputs of a graph, read with the CPU provider and without optimising it.
pub(super) fn signature(graph: Graph<'_>) -> Result<Signature, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::Session { file: graph.label(), reason: e.to_string() };
    let builder = Session::builder(&runtime::environment()?).map_err(|e| failed(&e))?;
    let mut builder = builder.with_optimization_level(GraphOptimizationLevel::Disable).map_err(|e| failed(&e))?;
    let session = commit(&mut builder, graph).map_err(|e| failed(&e))?;
    Ok(signature_of(&session, graph.label()))
}

pub(super) fn signature_of(session: &Session, file: String) -> Signature {
    Signature {
        file,
        inputs: session.inputs().iter().map(TensorSpec::of).collect(),
        outputs: session.outputs().iter().map(TensorSpec::of).collect(),
    }
}

/// Opens `graph` on the first provider of `options` that takes it.
///
/// # Errors
/// [`Error::Session`] when the graph itself is refused, [`Error::NoProvider`] when the CPU is not in the list and
/// nothing that is could be had.
pub(super) fn open(
    graph: Graph<'_>,
    options: &SessionOptions,
    profile: &ShapeProfile,
) -> Result<(Session, ProviderReport), Error> {
    runtime::environment()?;
    let asked: &[Provider] = if options.providers.is_empty() { &[Provider::Cpu] } else { &options.providers };
    let mut refused = Vec::new();
    for &provider in asked {
        match open_on(provider, graph, options, profile) {
            Ok(session) => return Ok((session, ProviderReport { used: provider, refused })),
            // The CPU runs every valid graph, so its refusal is about the graph and nothing else would help.
            Err(reason) if provider == Provider::Cpu => return Err(Error::Session { file: graph.label(), reason }),
            Err(reason) => {
                tracing::debug!(%provider, %reason, "execution provider refused");
                refused.push((provider, reason));
            }
        }
    }
    let list = refused.iter().map(|(p, reason)| format!("{p}: {reason}")).collect::<Vec<_>>().join("; ");
    Err(Error::NoProvider { file: graph.label(), refused: list })
}

fn open_on(
    provider: Provider,
    graph: Graph<'_>,
    options: &SessionOptions,
    profile: &ShapeProfile,
) -> Result<Session, String> {
    let available = match provider {
        Provider::Tensorrt => ep::TensorRT::is_available(),
        Provider::Cuda => ep::CUDA::is_available(),
        Provider::Cpu => Ok(true),
    };
    if !available.map_err(|e| e.to_string())? {
        return Err("this build of ONNX Runtime does not have it".to_owned());
    }
    let mut builder = builder(options).map_err(|e| e.to_string())?;
    let providers = match provider {
        Provider::Tensorrt => {
            // What TensorRT cannot take of a graph runs on CUDA beside it.
            vec![tensorrt(options, profile)?.build().error_on_failure(), cuda(options).build()]
        }
        Provider::Cuda => vec![cuda(options).build().error_on_failure()],
        Provider::Cpu => vec![ep::CPU::default().with_arena_allocator(true).build()],
    };
    builder = builder.with_execution_providers(providers).map_err(|e| e.to_string())?;
    commit(&mut builder, graph).map_err(|e| e.to_string())
}

fn builder(options: &SessionOptions) -> ort::Result<SessionBuilder> {
    let environment = runtime::environment().map_err(|e| ort::Error::new(e.to_string()))?;
    let builder = Session::builder(&environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_op_spinning(options.spinning)?;
    if options.threads == 0 { Ok(builder) } else { Ok(builder.with_intra_threads(options.threads)?) }
}

fn commit(builder: &mut SessionBuilder, graph: Graph<'_>) -> ort::Result<Session> {
    match graph {
        Graph::File(path) => builder.commit_from_file(path),
        Graph::Memory(_, content) => builder.commit_from_memory(content),
    }
}

fn cuda(options: &SessionOptions) -> ep::CUDA {
    ep::CUDA::default().with_device_id(options.device_id).with_tf32(false)
}

fn tensorrt(options: &SessionOptions, profile: &ShapeProfile) -> Result<ep::TensorRT, String> {
    let mut trt = ep::TensorRT::default().with_device_id(options.device_id).with_fp16(options.fp16);
    if options.fp16 {
        trt = trt.with_layer_norm_fp32_fallback(true);
    }
    if !profile.min.is_empty() {
        trt = trt
            .with_profile_min_shapes(&profile.min)
            .with_profile_opt_shapes(&profile.opt)
            .with_profile_max_shapes(&profile.max);
    }
    if let Some(folder) = &options.engine_cache {
        std::fs::create_dir_all(folder).map_err(|e| format!("engine cache {}: {e}", folder.display()))?;
        let path = folder.display();
        trt = trt
            .with_engine_cache(true)
            .with_engine_cache_path(path.to_string())
            .with_timing_cache(true)
            .with_timing_cache_path(path.to_string());
    }
    Ok(trt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_profile_is_written_as_tensorrt_wants_it() {
        let mut profile = ShapeProfile::default();
        profile.add("a", &[1, 1, 2], &[1, 2, 2], &[64, 16, 2]);
        profile.add("b", &[1], &[1], &[64]);
        assert_eq!(profile.min, "a:1x1x2,b:1");
        assert_eq!(profile.max, "a:64x16x2,b:64");
    }
}
