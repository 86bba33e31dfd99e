//! Boxes in metres: `prompts_3d`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion, Vector3};
use r2r::vision_msgs::msg::{Detection3D, Detection3DArray};

use super::drain::drain;
use crate::engine::{Header, ObjectPrompt, Refusal, RefusalKind};
use crate::node::config::PromptInput;
use crate::node::error::NodeError;
use crate::node::ros::topics::Topics;
use crate::node::ros::{convert, qos};
use crate::node::slot::{ActiveCamera, CameraSlot};
use crate::pointing::{Boxes, SpaceBox};

const INPUT: &str = "prompts_3d";
/// Period at which a transform is looked for.
const POLL: Duration = Duration::from_millis(10);
/// Most messages that wait for their transform.
const MAX_WAITING: usize = 64;
/// Largest deviation of the length of a quaternion from 1.
const QUATERNION_TOLERANCE: f64 = 0.01;

/// Subscribes to the boxes in metres of a camera.
///
/// # Errors
/// The middleware refuses the topic, or an override of its profile is wrong.
pub fn subscribe(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    let messages = topics.subscribe::<Detection3DArray>(INPUT, qos::DETECTIONS)?;
    let (s, waiting) = (Arc::clone(slot), Arc::new(AtomicUsize::new(0)));
    drain(messages, slot, INPUT, move |camera, message| {
        let counted = |refusal: &Refusal| camera.engine.count_refusal(refusal.kind);
        let header = convert::header(&message.header);
        let boxes = space_boxes(&header, &message.detections).inspect_err(counted)?;
        if boxes.is_empty() {
            return Ok(());
        }
        if waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            waiting.fetch_sub(1, Ordering::Relaxed);
            let message = format!("{MAX_WAITING} messages wait for their transforms already");
            return Err(Refusal::new(RefusalKind::QueueFull, message)).inspect_err(counted);
        }
        let (s, waiting) = (Arc::clone(&s), Arc::clone(&waiting));
        tokio::spawn(async move {
            prompt_when_transform_is_known(&s, header, boxes).await;
            waiting.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(())
    });
    Ok(())
}

/// Hands boxes to the engine once the transform of their stamp is known. They wait here and not in the engine's queue, so that
/// a tracker whose transforms are missing does not delay clicks.
async fn prompt_when_transform_is_known(slot: &Arc<CameraSlot>, header: Header, boxes: Vec<SpaceBox>) {
    let since = Instant::now();
    loop {
        let Some(camera) = slot.get() else { return };
        let missing = missing_transform(&camera, &header);
        let refusal = match missing {
            Some(refusal) if since.elapsed() < camera.config().engine.prompt_timeout => {
                drop((camera, refusal));
                tokio::time::sleep(POLL).await;
                continue;
            }
            Some(refusal) => {
                camera.engine.count_refusal(refusal.kind);
                Some(refusal)
            }
            None => prompt(&camera, slot, header, boxes).err(),
        };
        if let Some(refusal) = refusal {
            camera.refusals.warn(INPUT, &refusal);
        }
        return;
    }
}

/// Returns why boxes of that header cannot be transformed into the optical frame yet.
fn missing_transform(camera: &ActiveCamera, header: &Header) -> Option<Refusal> {
    let Some(optical_frame) = camera.pointing.optical_frame() else {
        let message = "no camera_info has arrived, by which boxes in metres are projected";
        return Some(Refusal::new(RefusalKind::NoCameraInfo, message));
    };
    let error = camera.pointing.transform(&optical_frame, &header.frame_id, header.stamp).err()?;
    // Any other error is reported when the boxes are projected.
    let message = format!("boxes in \"{}\": {error}", header.frame_id);
    error.may_pass().then(|| Refusal::new(RefusalKind::NoTransform, message))
}

fn prompt(camera: &ActiveCamera, slot: &Arc<CameraSlot>, header: Header, boxes: Vec<SpaceBox>) -> Result<(), Refusal> {
    let config = camera.config();
    let rectified = config.is_rectified(&camera.image_topic);
    let slot = Arc::clone(slot);
    let refuse = move |refusal: Refusal| {
        if let Some(camera) = slot.get() {
            camera.engine.count_refusal(refusal.kind);
            camera.refusals.warn(INPUT, &refusal);
        }
    };
    let persistence = config.persistence.of(PromptInput::Prompts3d);
    camera.engine.interact(Boxes::prompt(&camera.pointing, header, boxes, (rectified, persistence), refuse))
}

/// Converts the boxes of a message.
fn space_boxes(header: &Header, detections: &[Detection3D]) -> Result<Vec<SpaceBox>, Refusal> {
    if header.frame_id.is_empty() && !detections.is_empty() {
        return Err(bad("header.frame_id is empty: boxes in metres need the name of their TF frame".into()));
    }
    let mut ids = BTreeSet::new();
    if let Some(d) = detections.iter().find(|d| !d.id.is_empty() && !ids.insert(d.id.as_str())) {
        return Err(bad(format!("the id '{}' is given twice", d.id)));
    }
    detections.iter().map(space_box).collect()
}

fn space_box(d: &Detection3D) -> Result<SpaceBox, Refusal> {
    let (p, q, s) = (&d.bbox.center.position, &d.bbox.center.orientation, &d.bbox.size);
    let values = [p.x, p.y, p.z, q.x, q.y, q.z, q.w, s.x, s.y, s.z];
    if !values.iter().all(|v| v.is_finite()) {
        return Err(bad(format!("box '{}' has a value that is not finite", d.id)));
    }
    let rotation = Quaternion::new(q.w, q.x, q.y, q.z);
    if (rotation.norm() - 1.0).abs() > QUATERNION_TOLERANCE {
        let norm = rotation.norm();
        return Err(bad(format!("box '{}' has an orientation of length {norm:.3}, expected a unit quaternion", d.id)));
    }
    if s.x < 0.0 || s.y < 0.0 || s.z < 0.0 || s.x.max(s.y).max(s.z) == 0.0 {
        let size = format!("({}, {}, {})", s.x, s.y, s.z);
        return Err(bad(format!("box '{}' has the size {size}, expected lengths in metres that are not all 0", d.id)));
    }
    let best = d.results.iter().max_by(|a, b| a.hypothesis.score.total_cmp(&b.hypothesis.score));
    // A number is that of an object on `~/masks`; any other id is a tag.
    let id = d.id.parse::<u32>().ok().filter(|id| (1..=u32::from(u16::MAX)).contains(id));
    let object = ObjectPrompt {
        id: id.unwrap_or(0),
        tag: if id.is_some() { String::new() } else { d.id.clone() },
        class_id: best.map(|b| b.hypothesis.class_id.clone()).unwrap_or_default(),
        ..ObjectPrompt::default()
    };
    let pose = Isometry3::from_parts(Translation3::new(p.x, p.y, p.z), UnitQuaternion::new_normalize(rotation));
    Ok(SpaceBox { pose, size: Vector3::new(s.x, s.y, s.z), object })
}

fn bad(message: String) -> Refusal {
    Refusal::new(RefusalKind::BadPrompt, message)
}
