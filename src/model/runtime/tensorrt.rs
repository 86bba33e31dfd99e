//! Sessions on TensorRT: the engines come from the cache, or are built and stored there.

use std::time::Instant;

use ort::session::Session;

use super::engine_cache::{EngineCache, EngineKey, EngineRecord};
use super::execution::SessionPlan;
use super::graph_file::GraphFile;

/// Opens a session on TensorRT, with its engines on disk if there is an engine cache. `progress` receives what takes
/// minutes; `notes` receives what the report of the session shows.
///
/// # Errors
/// The reason in words, if TensorRT refuses the graph, or refused it at an earlier start.
pub fn open(
    plan: &SessionPlan<'_>,
    graph: GraphFile<'_>,
    progress: &dyn Fn(&str),
    notes: &mut Vec<String>,
) -> Result<(Session, Option<EngineRecord>), String> {
    let label = graph.label();
    // A disk that is full or cannot be written costs time at the next start. This session runs on TensorRT nevertheless.
    let not_kept = |why: String| format!("the TensorRT engines of {label} are not kept on disk: {why}");
    let mut engines = None;
    if let Some(folder) = &plan.options.gpu.engine_cache {
        let hash = graph.hash().map_err(|e| e.to_string())?;
        let key = EngineKey { graph: &hash, half: plan.half, gpu: &plan.options.gpu, profile: plan.profile };
        match EngineCache::open(folder, &key, &label, notes) {
            Ok(opened) => engines = Some(opened),
            Err(why) => notes.push(not_kept(why)),
        }
    }
    notes.iter().for_each(|note| progress(note));
    if let Some(reason) = engines.as_ref().and_then(|engines| engines.refused.clone()) {
        return Err(reason);
    }
    let warm = engines.as_ref().is_some_and(EngineCache::warm);
    let building = format!(
        "TensorRT builds the engine of {label} in {}, which takes minutes",
        if plan.half { "fp16" } else { "fp32" }
    );
    if !warm {
        progress(&building);
    }
    let start = Instant::now();
    let mut made = plan.open(graph, engines.as_ref());
    if let (Err(reason), true, Some(stale)) = (&made, warm, &mut engines) {
        let note = format!("the TensorRT engines of {label} are built again: {reason}");
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
