//! Sessions on providers that compile a graph: TensorRT's engines and OpenVINO's models come from the cache, or are built and
//! stored there.

use std::time::Instant;

use ort::session::Session;

use super::cpu::Cpu;
use super::engine_cache::{EngineCache, EngineKey, EngineRecord};
use super::execution::SessionPlan;
use super::graph_file::GraphFile;
use super::library;
use crate::model::precision::Precision;
use crate::model::provider::Provider;
use crate::native;

/// Opens a session on a provider that compiles the graph, with its engines on disk if there is an engine cache. `progress`
/// receives what takes minutes; `notes` receives what the report of the session shows.
///
/// # Errors
/// The reason in words, if the provider refuses the graph, or refused it at an earlier start.
pub fn open(
    plan: &SessionPlan<'_>,
    graph: GraphFile<'_>,
    progress: &dyn Fn(&str),
    notes: &mut Vec<String>,
) -> Result<(Session, Option<EngineRecord>), String> {
    if plan.provider == Provider::OpenVino {
        plan.options.openvino.check()?;
    }
    let (label, kind) = (graph.label(), kind(plan.provider));
    // A disk that is full or cannot be written costs time at the next start. This session runs nevertheless.
    let not_kept = |why: String| format!("the {kind} of {label} are not kept on disk: {why}");
    let mut engines = None;
    if let Some(folder) = &plan.options.gpu.engine_cache {
        let hash = graph.hash().map_err(|e| e.to_string())?;
        match EngineCache::open(folder, &key(plan, &hash), &label, notes) {
            Ok(opened) => engines = Some(opened),
            Err(why) => notes.push(not_kept(why)),
        }
    }
    notes.iter().for_each(|note| progress(note));
    if let Some(reason) = engines.as_ref().and_then(|engines| engines.refused.clone()) {
        return Err(reason);
    }
    let warm = engines.as_ref().is_some_and(EngineCache::warm);
    let building = building(plan, &label);
    if !warm {
        progress(&building);
    }
    let start = Instant::now();
    let mut made = plan.open(graph, engines.as_ref());
    if let (Err(reason), true, Some(stale)) = (&made, warm, &mut engines) {
        let note = format!("the {kind} of {label} are built again: {reason}");
        progress(&note);
        progress(&building);
        notes.push(note);
        if let Err(why) = stale.discard() {
            notes.push(not_kept(why));
            engines = None;
        }
        made = plan.open(graph, engines.as_ref());
    }
    let session = made?;
    if let Some(built) = engines.as_mut().filter(|engines| !engines.warm()) {
        progress(&format!("the engine of {label} is built, in {:.0} s", start.elapsed().as_secs_f64()));
        if let Err(why) = built.seal() {
            notes.push(not_kept(why));
            // Incomplete engines only take room. If they cannot be removed, the next start detects that they are incomplete.
            let _ = built.discard();
            engines = None;
        }
    }
    Ok((session, engines.as_ref().map(EngineCache::record)))
}

/// Returns the name of the engines in messages.
fn kind(provider: Provider) -> &'static str {
    match provider {
        Provider::OpenVino => "OpenVINO models",
        Provider::Tensorrt | Provider::Cuda | Provider::Cpu => "TensorRT engines",
    }
}

/// Describes what is built, for people who wait.
fn building(plan: &SessionPlan<'_>, label: &str) -> String {
    let precision = plan.computes();
    match plan.provider {
        Provider::OpenVino => {
            let device = &plan.options.openvino.device;
            format!("OpenVINO compiles {label} for {device} in {precision}, which takes seconds")
        }
        _ => format!("TensorRT builds the engine of {label} in {precision}, which takes minutes"),
    }
}

/// Returns the key of the engines of a graph with this hash.
fn key<'a>(plan: &SessionPlan<'_>, graph: &'a str) -> EngineKey<'a> {
    let SessionPlan { options, profile, .. } = plan;
    let (gpu, precision) = (&options.gpu, plan.computes());
    let unknown = || "unknown".to_owned();
    let (kind, half) = (kind(plan.provider), plan.lower.is_some_and(Precision::is_half));
    if plan.provider == Provider::OpenVino {
        let device = &options.openvino.device;
        let version = library::folder().and_then(|folder| native::openvino::version_in(&folder));
        let machine = vec![
            ("OpenVINO", version.unwrap_or_else(unknown)),
            ("CPU", Cpu::of_this_machine().name.clone()),
            ("device", device.clone()),
            ("precision", precision.to_string()),
        ];
        let options = vec![("threads", options.session_threads().to_string())];
        let name = format!("openvino-{precision}-{}", device.to_lowercase());
        return EngineKey { kind, graph, half, name, machine, options };
    }
    let precision = format!("{precision}{}", if gpu.int8 { "-int8" } else { "" });
    let shapes = format!("{} to {}, best at {}", profile.min, profile.max, profile.opt);
    let name = format!("{precision}-gpu{}", gpu.device_id);
    let machine = vec![
        ("TensorRT", native::gpu::tensorrt_version().unwrap_or_else(unknown)),
        ("GPU", native::gpu::name(gpu.device_id).unwrap_or_else(unknown)),
        ("precision", precision),
    ];
    let options = vec![("shapes", shapes), ("workspace", gpu.workspace.to_string())];
    EngineKey { kind, graph, half, name, machine, options }
}
