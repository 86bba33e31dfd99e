//! Opening ONNX Runtime sessions on the first provider that can be had, and saying which one that was.

use std::path::Path;

use ort::ep::{self, ExecutionProvider};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::bundle::{Bundle, DECODER, ENCODER};
use super::layout::{Signature, TensorSpec};
use super::options::{Provider, ProviderReport, Refused, SessionOptions};
use super::variant::{self, Precision, Variant};
use super::{Error, file, runtime};

/// Where a graph comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Graph<'a> {
    File(&'a Path),
    Bundled(&'a Bundle, &'a str),
}

impl Graph<'_> {
    pub fn label(&self) -> String {
        match self {
            Graph::File(path) => path.display().to_string(),
            Graph::Bundled(bundle, name) => bundle.label(name),
        }
    }

    /// Checks the file before ONNX Runtime sees it.
    fn check(&self) -> Result<(), Error> {
        match self {
            Graph::File(path) => file::check_graph(path),
            Graph::Bundled(bundle, name) => {
                bundle.verify(name)?;
                bundle.path(name).map_or(Ok(()), |path| file::check_graph(&path))
            }
        }
    }
}

/// Which half of a model.
#[derive(Debug, Clone, Copy)]
pub(super) enum Half {
    Encoder,
    Decoder,
}

/// A graph, or the same graph in several precisions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Graphs<'a> {
    File(&'a Path),
    Bundled(&'a Bundle, Half),
}

impl<'a> Graphs<'a> {
    /// The graphs to try on a provider, best first.
    fn on(self, provider: Provider, asked: Option<Precision>) -> Vec<(Graph<'a>, Option<Precision>)> {
        match self {
            Graphs::File(path) => vec![(Graph::File(path), None)],
            Graphs::Bundled(bundle, half) => {
                let name = |v: &'a Variant| match half {
                    Half::Encoder => v.encoder.as_str(),
                    Half::Decoder => v.decoder.as_str(),
                };
                let order = variant::for_provider(&bundle.manifest.variants, asked, provider).into_iter().map(name);
                let mut list: Vec<_> =
                    order.map(|name| (Graph::Bundled(bundle, name), bundle.manifest.precision_of(name))).collect();
                // Variants may share a graph.
                list.dedup_by_key(|(_, precision)| *precision);
                list
            }
        }
    }

    /// The one whose inputs and outputs stand for all.
    pub fn plain(self, asked: Option<Precision>) -> Graph<'a> {
        match (self, self.on(Provider::Cpu, asked).last()) {
            (_, Some((graph, _))) => *graph,
            (Graphs::File(path), None) => Graph::File(path),
            (Graphs::Bundled(bundle, Half::Encoder), None) => Graph::Bundled(bundle, ENCODER),
            (Graphs::Bundled(bundle, Half::Decoder), None) => Graph::Bundled(bundle, DECODER),
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
    graph.check()?;
    let failed = |reason: String| refusal(graph, reason);
    let builder = Session::builder(&runtime::environment()?).map_err(|e| failed(e.to_string()))?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::Disable);
    let session = commit(&mut builder.map_err(|e| failed(e.to_string()))?, graph).map_err(failed)?;
    Ok(signature_of(&session, graph.label()))
}

pub(super) fn signature_of(session: &Session, file: String) -> Signature {
    Signature {
        file,
        inputs: session.inputs().iter().map(TensorSpec::of).collect(),
        outputs: session.outputs().iter().map(TensorSpec::of).collect(),
    }
}

/// ONNX Runtime's words about a file that it cannot read at all, in ours.
fn refusal(graph: Graph<'_>, reason: String) -> Error {
    let file = graph.label();
    if reason.contains("Protobuf parsing failed") {
        let reason = "it does not parse; it is truncated, damaged, or of another kind".to_owned();
        return Error::NotOnnx { file, reason };
    }
    Error::Session { file, reason }
}

/// A session, the file that it runs, and how that came about.
pub(super) struct Opened {
    pub session: Session,
    pub signature: Signature,
    pub report: ProviderReport,
}

/// Opens a graph on the first provider of `options` that takes it, in the precision that suits the provider.
///
/// # Errors
/// [`Error::Session`] when the graph itself is refused, [`Error::NoProvider`] when the CPU is not in the list and
/// nothing that is could be had, what is wrong with the file.
pub(super) fn open(graphs: Graphs<'_>, options: &SessionOptions, profile: &ShapeProfile) -> Result<Opened, Error> {
    runtime::environment()?;
    let asked: &[Provider] = if options.providers.is_empty() { &[Provider::Cpu] } else { &options.providers };
    let mut refused: Vec<Refused> = Vec::new();
    let mut label = String::new();
    for &provider in asked {
        let list = graphs.on(provider, options.precision);
        if let Err(reason) = provider.available() {
            label = list.first().map_or(label, |(graph, _)| graph.label());
            refused.push(Refused { provider, precision: None, reason });
            continue;
        }
        let last = list.len().saturating_sub(1);
        for (i, (graph, precision)) in list.into_iter().enumerate() {
            graph.check()?;
            match open_on(provider, graph, precision, options, profile) {
                Ok(session) => {
                    let signature = signature_of(&session, graph.label());
                    let report = ProviderReport { used: provider, precision, refused };
                    return Ok(Opened { session, signature, report });
                }
                // The CPU runs every valid graph, so its refusal is about the graph and nothing else would help.
                Err(reason) if provider == Provider::Cpu && i == last => return Err(refusal(graph, reason)),
                Err(reason) => {
                    tracing::debug!(%provider, ?precision, %reason, "refused");
                    label = graph.label();
                    refused.push(Refused { provider, precision, reason });
                }
            }
        }
    }
    let refused = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Err(Error::NoProvider { file: label, refused })
}

impl Provider {
    /// Whether ONNX Runtime was built with it, or why it cannot be asked.
    pub fn available(self) -> Result<(), String> {
        runtime::environment().map_err(|e| e.to_string())?;
        let available = match self {
            Provider::Tensorrt => ep::TensorRT::is_available(),
            Provider::Cuda => ep::CUDA::is_available(),
            Provider::Cpu => Ok(true),
        };
        match available {
            Ok(true) => Ok(()),
            Ok(false) => Err("this build of ONNX Runtime does not have it".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }
}

fn open_on(
    provider: Provider,
    graph: Graph<'_>,
    precision: Option<Precision>,
    options: &SessionOptions,
    profile: &ShapeProfile,
) -> Result<Session, String> {
    let mut builder = builder(options).map_err(|e| e.to_string())?;
    let providers = match provider {
        Provider::Tensorrt => {
            // What TensorRT cannot take of a graph runs on CUDA beside it.
            vec![tensorrt(options, precision, profile)?.build().error_on_failure(), cuda(options).build()]
        }
        Provider::Cuda => vec![cuda(options).build().error_on_failure()],
        Provider::Cpu => vec![ep::CPU::default().with_arena_allocator(true).build()],
    };
    builder = builder.with_execution_providers(providers).map_err(|e| e.to_string())?;
    commit(&mut builder, graph)
}

fn builder(options: &SessionOptions) -> ort::Result<SessionBuilder> {
    let environment = runtime::environment().map_err(|e| ort::Error::new(e.to_string()))?;
    // Threads that spin from operator to operator are worth 5 to 20 %; after the run they sleep.
    let builder = Session::builder(&environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_config_entry("session.force_spinning_stop", if options.spinning { "0" } else { "1" })?;
    if options.threads == 0 { Ok(builder) } else { Ok(builder.with_intra_threads(options.threads)?) }
}

fn commit(builder: &mut SessionBuilder, graph: Graph<'_>) -> Result<Session, String> {
    let session = match graph {
        Graph::File(path) => builder.commit_from_file(path),
        Graph::Bundled(bundle, name) => match bundle.path(name) {
            Some(path) => builder.commit_from_file(path),
            None => builder.commit_from_memory(&bundle.read(name).map_err(|e| e.to_string())?),
        },
    };
    session.map_err(|e| e.to_string())
}

fn cuda(options: &SessionOptions) -> ep::CUDA {
    ep::CUDA::default().with_device_id(options.device_id).with_tf32(false)
}

fn tensorrt(
    options: &SessionOptions,
    precision: Option<Precision>,
    profile: &ShapeProfile,
) -> Result<ep::TensorRT, String> {
    // Without the builder's permission TensorRT computes an fp16 graph in fp32.
    let fp16 = options.fp16 || precision == Some(Precision::Fp16);
    let mut trt = ep::TensorRT::default().with_device_id(options.device_id).with_fp16(fp16);
    if fp16 {
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
