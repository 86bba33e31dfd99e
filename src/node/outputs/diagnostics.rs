//! `/diagnostics` at 1 Hz, and the metrics endpoint: the snapshots of [`crate::monitor`] as messages.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use r2r::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus, KeyValue};
use r2r::std_msgs::msg::Header;
use tracing::info;

use crate::engine::Metrics;
use crate::monitor::{
    self, Jetson, RESIDENT_MEMORY_KEY, Snapshot, System, TextFacts, exposition, parse_address, resident_memory_text,
};
use crate::node::error::NodeError;
use crate::node::lifecycle::{Lifecycle, Progress, State};
use crate::node::lock::lock;
use crate::node::ros::clock::NodeClock;
use crate::node::ros::convert;
use crate::node::ros::topics::Output;
use crate::node::slot::{ActiveCamera, CameraSlot};

/// Snapshots that were published last, for the metrics endpoint.
pub type Latest = Arc<Mutex<Vec<Snapshot>>>;

/// Starts the metrics endpoint. An empty address starts none.
///
/// # Errors
/// The text is no address, or the address is in use.
pub fn serve(address: &str, latest: &Latest) -> Result<(), NodeError> {
    if address.is_empty() {
        return Ok(());
    }
    let parsed = parse_address(address).map_err(NodeError::Metrics)?;
    let latest = Arc::clone(latest);
    let page = move || exposition(&lock(&latest));
    let bound = monitor::serve(parsed, page).map_err(|e| NodeError::Metrics(format!("'{address}': {e}")))?;
    info!("metrics at http://{bound}/metrics");
    Ok(())
}

/// Publishes once a second until publishing fails, when the node ends.
pub async fn report(
    (cameras, lifecycle, progress): (Vec<Arc<CameraSlot>>, Arc<Lifecycle>, Arc<Progress>),
    latest: Latest,
    node_name: String,
    publisher: Output<DiagnosticArray>,
    clock: NodeClock,
) {
    let system = System::default();
    let mut before: Vec<Option<Metrics>> = vec![None; cameras.len()];
    let mut since = Instant::now();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        second.tick().await;
        let seconds = since.elapsed().as_secs_f64();
        since = Instant::now();
        let (mut status_of_all, mut snapshots) = (Vec::new(), Vec::new());
        // Read once for all cameras: reading the board's alarms clears them.
        let machine = (system.resident(), system.jetson());
        let hardware_id = hardware_id(&system, machine.1.as_ref());
        for (slot, before) in cameras.iter().zip(&mut before) {
            let Some(camera) = slot.get() else {
                *before = None;
                let status = inactive_status(slot, &node_name, lifecycle.state(), &progress, machine.0);
                status_of_all.push(DiagnosticStatus { hardware_id: hardware_id.clone(), ..status });
                continue;
            };
            let (earlier, now) = (before.take().unwrap_or_default(), camera.engine.metrics());
            let snapshot = snapshot(&camera, machine.clone(), (earlier, now), seconds);
            let hardware_id = hardware_id.clone();
            status_of_all.push(DiagnosticStatus { hardware_id, ..status(&camera, &node_name, &snapshot) });
            *before = Some(snapshot.now.clone());
            snapshots.push(snapshot);
        }
        *lock(&latest) = snapshots;
        let status = status_of_all;
        let header = Header { stamp: clock.now(), frame_id: String::new() };
        if publisher.publish(&DiagnosticArray { header, status }).is_err() {
            // The node ends.
            return;
        }
    }
}

/// Returns the status of a camera of an inactive node: the transition under way, or the reason that the last one failed.
fn inactive_status(
    slot: &CameraSlot,
    node_name: &str,
    state: State,
    progress: &Progress,
    resident: Option<u64>,
) -> DiagnosticStatus {
    let (level, message) = match (progress.step(), progress.failure()) {
        (Some(step), _) => (DiagnosticStatus::OK as u8, step),
        (None, Some(failure)) => (DiagnosticStatus::ERROR as u8, failure),
        (None, None) => (DiagnosticStatus::OK as u8, state.to_string()),
    };
    let mut values = vec![KeyValue { key: "lifecycle state".into(), value: state.to_string() }];
    let memory = |bytes| KeyValue { key: RESIDENT_MEMORY_KEY.into(), value: resident_memory_text(bytes) };
    values.extend(resident.map(memory));
    DiagnosticStatus {
        level,
        name: name(node_name, &slot.camera),
        message: convert::text(&message),
        values,
        ..DiagnosticStatus::default()
    }
}

/// Returns the host name, behind the name of the board on a Jetson.
fn hardware_id(system: &System, jetson: Option<&Jetson>) -> String {
    let host = system.host();
    convert::text(&jetson.map_or_else(|| host.clone(), |jetson| format!("{} {host}", jetson.board)))
}

/// Returns the name of a status.
fn name(node_name: &str, camera: &str) -> String {
    let task = if camera.is_empty() { "segmentation".into() } else { format!("segmentation of {camera}") };
    format!("{}: {task}", node_name.trim_start_matches('/'))
}

/// Returns the status of a running camera.
fn status(camera: &ActiveCamera, node_name: &str, snapshot: &Snapshot) -> DiagnosticStatus {
    let (level, message) = snapshot.health();
    let values = snapshot.values().into_iter();
    let values = values.map(|(key, value)| KeyValue { key, value: convert::text(&value) }).collect();
    DiagnosticStatus {
        level: level as u8,
        name: name(node_name, &camera.camera),
        message: convert::text(&message),
        values,
        ..DiagnosticStatus::default()
    }
}

/// Returns the state of a camera `now`, with the counters of `seconds` before.
fn snapshot(
    camera: &ActiveCamera,
    (resident, jetson): (Option<u64>, Option<Jetson>),
    (before, now): (Metrics, Metrics),
    seconds: f64,
) -> Snapshot {
    Snapshot {
        camera: camera.camera.clone(),
        image_topic: camera.image_topic.clone(),
        model: camera.model.facts.clone(),
        before,
        now,
        seconds,
        usage: camera.engine.usage(),
        keep: camera.config().keep_limits(),
        resident,
        jetson,
        text: camera.model.text.as_ref().map(|text| TextFacts {
            model: text.name.clone(),
            sessions: text.sessions.clone(),
            phrases: camera.text.searched(),
        }),
    }
}
