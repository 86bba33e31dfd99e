//! Sessions of ONNX Runtime: each is opened on the first execution provider that can run its graph.

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use super::cpu::Cpu;
use super::engine_cache::EngineRecord;
use super::execution::{SessionPlan, commit};
use super::graph_file::{GraphFile, GraphVariants};
use super::options::SessionOptions;
use super::report::{ProviderRefusal, ProviderReport};
use super::shape_profile::ShapeProfile;
use super::{compiled, failure, library};
use crate::model::error::Error;
use crate::model::layout::{Signature, TensorSpec};
use crate::model::precision::Precision;
use crate::model::provider::Provider;

/// Reads inputs and outputs of a graph with the CPU provider, without optimising the graph.
///
/// # Errors
/// The errors of [`GraphFile::check`], [`Error::NotOnnx`] or [`Error::Session`] if ONNX Runtime refuses the file.
pub fn signature(graph: GraphFile<'_>) -> Result<Signature, Error> {
    graph.check()?;
    let failed = |reason: String| failure::unreadable(graph.label(), reason);
    let builder = Session::builder(&library::environment()?).map_err(|e| failed(e.to_string()))?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::Disable);
    let session = commit(&mut builder.map_err(|e| failed(e.to_string()))?, graph, &[]).map_err(failed)?;
    Ok(session_signature(&session, graph.label()))
}

fn session_signature(session: &Session, file: String) -> Signature {
    Signature {
        file,
        inputs: session.inputs().iter().map(TensorSpec::from_outlet).collect(),
        outputs: session.outputs().iter().map(TensorSpec::from_outlet).collect(),
    }
}

/// How a session is opened.
#[derive(Clone, Copy)]
pub struct SessionRequest<'a> {
    pub options: &'a SessionOptions,
    /// Providers in the order in which they are tried; an empty list means the CPU.
    pub providers: &'a [Provider],
    /// Shapes that TensorRT builds its engine for.
    pub profile: &'a ShapeProfile,
    /// Outputs that are read; the graph is cut to them. Empty: the graph stays whole.
    pub outputs: &'a [String],
    /// Providers, and precisions on a provider, that an earlier attempt refused. They are not tried.
    pub skip: &'a [ProviderRefusal],
    /// Receives progress as sentences for people, because building an engine takes minutes.
    pub progress: &'a dyn Fn(&str),
}

/// An open session with the inputs and outputs of its graph.
pub struct OpenedSession {
    pub session: Session,
    pub signature: Signature,
    pub report: ProviderReport,
    /// Engines on disk, if the session runs on TensorRT or OpenVINO with an engine cache.
    pub engines: Option<EngineRecord>,
}

/// One way to run a graph on a provider.
struct Attempt<'a> {
    graph: GraphFile<'a>,
    /// Precision in which the session computes, if known.
    precision: Option<Precision>,
    /// Precision below fp32 in which the provider may compute.
    lower: Option<Precision>,
}

/// Returns the attempts on a provider, the best first.
fn attempts<'a>(graphs: GraphVariants<'a>, provider: Provider, request: &SessionRequest<'_>) -> Vec<Attempt<'a>> {
    let fp16 = Some(Precision::Fp16);
    let skipped = |attempt: &Attempt<'_>| {
        let same = |r: &ProviderRefusal| r.provider == provider && r.precision == attempt.precision;
        attempt.precision.is_some() && request.skip.iter().any(same)
    };
    let options = request.options;
    // Precision in which the provider may compute an fp32 graph.
    let lower = match provider {
        Provider::Tensorrt => fp16.filter(|_| options.gpu.fp16),
        Provider::OpenVino => options.openvino.lower_precision(options.precision, Cpu::of_this_machine().bf16),
        Provider::Cpu => options.cpu_precision(Cpu::of_this_machine()),
        Provider::Cuda => None,
    };
    let levels = options.gpu.u8_pictures;
    let mut list = Vec::new();
    for (graph, precision) in graphs.for_provider(provider, options.precision, levels) {
        if lower.is_some() && matches!(precision, None | Some(Precision::Fp32)) {
            list.push(Attempt { graph, precision: lower, lower });
        }
        // Without the builder's permission TensorRT computes an fp16 graph in fp32, and refuses a graph with 8-bit weights.
        let below_fp32 = |p: &Precision| matches!(p, Precision::Fp16 | Precision::Int8);
        let permitted = precision.filter(|p| provider == Provider::Tensorrt && below_fp32(p));
        list.push(Attempt { graph, precision, lower: permitted });
    }
    list.retain(|attempt| !skipped(attempt));
    if list.is_empty() {
        // An earlier attempt refused the requested precision on this provider: fp32 is left.
        let plain = graphs.for_provider(provider, Some(Precision::Fp32), levels).into_iter();
        list.extend(plain.map(|(graph, precision)| Attempt { graph, precision, lower: None }));
    }
    list
}

/// Opens a graph on the first provider that can run it, in the best precision for that provider.
///
/// # Errors
/// [`Error::Session`] if ONNX Runtime refuses the graph itself, [`Error::NoProvider`] if no provider in the options can
/// run the graph and the CPU is not among them, and the errors of [`GraphFile::check`].
pub fn open(graphs: GraphVariants<'_>, request: &SessionRequest<'_>) -> Result<OpenedSession, Error> {
    library::environment()?;
    let options = request.options;
    let providers: &[Provider] = if request.providers.is_empty() { &[Provider::Cpu] } else { request.providers };
    let mut refused: Vec<ProviderRefusal> = Vec::new();
    let mut label = graphs.plain(options.precision).label();
    for &provider in providers {
        let earlier = request.skip.iter().filter(|r| r.provider == provider);
        refused.extend(earlier.clone().cloned());
        if earlier.clone().any(|r| r.precision.is_none()) {
            continue;
        }
        if let Err(reason) = provider.available() {
            refused.push(ProviderRefusal { provider, precision: None, reason });
            continue;
        }
        let list = attempts(graphs, provider, request);
        let last = list.len().saturating_sub(1);
        for (i, Attempt { graph, precision, lower }) in list.into_iter().enumerate() {
            graph.check()?;
            let fixed_shapes = graphs.fixed_shapes();
            let (profile, outputs) = (request.profile, request.outputs);
            let plan = SessionPlan { provider, lower, options, profile, outputs, fixed_shapes };
            let mut notes = Vec::new();
            let opened = match provider {
                Provider::Tensorrt | Provider::OpenVino => compiled::open(&plan, graph, request.progress, &mut notes),
                Provider::Cuda | Provider::Cpu => plan.open(graph, None).map(|session| (session, None)),
            };
            match opened {
                Ok((session, engines)) => {
                    let signature = session_signature(&session, graph.label());
                    let engines_kept = engines.is_some();
                    let timings = Vec::new();
                    let report = ProviderReport { used: provider, precision, refused, notes, engines_kept, timings };
                    return Ok(OpenedSession { session, signature, report, engines });
                }
                // The CPU runs every valid graph, so the fault lies in the graph and no other provider would help.
                Err(reason) if provider == Provider::Cpu && i == last => {
                    return Err(failure::unreadable(graph.label(), reason));
                }
                Err(reason) => {
                    tracing::debug!(%provider, ?precision, %reason, "refused");
                    label = graph.label();
                    refused.push(ProviderRefusal { provider, precision, reason: failure::with_advice(reason) });
                }
            }
        }
    }
    let refused = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Err(Error::NoProvider { file: label, refused })
}
