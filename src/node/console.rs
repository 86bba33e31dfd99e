//! The operator's console in the node: its start, and what it asks of the node.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::info;

use super::config::{ConsoleConfig, PromptInput};
use super::error::NodeError;
use super::lifecycle::{Lifecycle, Progress};
use super::lock::lock;
use super::outputs::diagnostics::Latest;
use super::slot::CameraSlot;
use super::text::submit_text;
use crate::console::{Console, Owner};
use crate::engine::{Engine, Persistence};
use crate::monitor::Snapshot;
use crate::text::Understood;

/// Parts of the node that the console uses.
struct NodeOwner {
    slots: Vec<Arc<CameraSlot>>,
    lifecycle: Arc<Lifecycle>,
    progress: Arc<Progress>,
    snapshots: Latest,
}

impl Owner for NodeOwner {
    fn cameras(&self) -> Vec<String> {
        self.slots.iter().map(|slot| slot.camera.clone()).collect()
    }

    fn with_engine(&self, camera: usize, use_engine: &mut dyn FnMut(&Engine)) -> bool {
        let active = self.slots.get(camera).and_then(|slot| slot.get());
        active.map(|active| use_engine(&active.engine)).is_some()
    }

    fn inactivity(&self, _: usize) -> String {
        let why = self.progress.step().or_else(|| self.progress.failure());
        why.map_or_else(
            || format!("the node is {}", self.lifecycle.state()),
            |why| format!("the node is not active: {why}"),
        )
    }

    fn persistence(&self, camera: usize) -> Persistence {
        let active = self.slots.get(camera).and_then(|slot| slot.get());
        active.map(|active| active.config().persistence.of(PromptInput::Pixel)).unwrap_or_default()
    }

    fn phrases(&self, camera: usize) -> Option<Vec<String>> {
        let active = self.slots.get(camera).and_then(|slot| slot.get())?;
        active.model.text.is_some().then(|| active.text.searched())
    }

    fn set_text(&self, camera: usize, text: &str) -> Result<oneshot::Receiver<Result<Understood, String>>, String> {
        let active = self.slots.get(camera).and_then(|slot| slot.get()).ok_or_else(|| self.inactivity(camera))?;
        submit_text(&active, text).map_err(|refusal| {
            active.refusals.warn("the console's text", &refusal);
            refusal.message
        })
    }

    fn snapshot(&self, camera: usize) -> Option<Snapshot> {
        let slot = self.slots.get(camera)?;
        slot.get()?;
        lock(&self.snapshots).iter().find(|snapshot| snapshot.camera == slot.camera).cloned()
    }
}

/// Starts the console if it is enabled, and connects it to the cameras.
///
/// # Errors
/// A parameter of the console is wrong, or its address is in use.
pub fn start(
    config: &ConsoleConfig,
    slots: &[Arc<CameraSlot>],
    (lifecycle, progress): (Arc<Lifecycle>, Arc<Progress>),
    snapshots: Latest,
) -> Result<(), NodeError> {
    if !config.enabled {
        return Ok(());
    }
    let owner = NodeOwner { slots: slots.to_vec(), lifecycle, progress, snapshots };
    let settings = config.settings().map_err(NodeError::Console)?;
    let needs_token = !settings.token.is_empty();
    let console = Console::start(settings, Arc::new(owner), &Handle::current());
    let console = Arc::new(console.map_err(|e| NodeError::Console(e.to_string()))?);
    let hint = if needs_token { ", and asks for a token" } else { "" };
    info!("the operator's console is at {}{hint}", console.url());
    for (camera, slot) in slots.iter().enumerate() {
        slot.console.connect(Arc::clone(&console), camera);
    }
    Ok(())
}
