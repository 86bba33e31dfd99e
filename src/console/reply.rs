//! Messages to the page: JSON texts, and pictures as bytes.

use std::sync::Arc;

use axum::body::Bytes;
use serde::Serialize;

use super::jpeg::Jpeg;
use super::owner::Timeline;
use super::runs::Runs;
use crate::engine::{CandidateMask, FrameResult, ObjectResult, Refusal, StageMs, Stamp};
use crate::pixels::object_colour;

/// A message to the page.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// The first message.
    Hello(Hello),
    /// Answer to a ping. `clock`: milliseconds since the console started.
    Pong {
        sent: f64,
        clock: f64,
    },
    /// New masks on the picture that the page shows.
    Masks(Masks),
    Answer(Answer),
    Progress(ProgressView),
    Notice(Notice),
    Status(Status),
}

#[derive(Debug, Serialize)]
pub struct Hello {
    pub version: &'static str,
    /// Whether the client may prompt.
    pub operator: bool,
    pub cameras: Vec<String>,
    /// Age in milliseconds from which a picture is stale; `None`: never.
    pub stale_after: Option<u64>,
    pub timeline: Option<TimelineView>,
}

/// The pictures of files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimelineView {
    pub index: usize,
    pub count: usize,
    pub name: String,
    pub rate: Option<f64>,
}

impl From<Timeline> for TimelineView {
    fn from(Timeline { index, count, name, rate }: Timeline) -> Self {
        TimelineView { index, count, name, rate }
    }
}

/// The masks on a picture.
#[derive(Debug, Serialize)]
pub struct Masks {
    pub camera: usize,
    pub stamp: [i64; 2],
    pub objects: Vec<ObjectView>,
    pub ms: Milliseconds,
}

/// Durations of a result, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Milliseconds {
    pub encode: f32,
    pub decode: f32,
    pub total: f32,
}

/// An object on a picture.
#[derive(Debug, Serialize)]
pub struct ObjectView {
    pub id: u32,
    pub class: String,
    /// Colour in the form `#rrggbb`, the same as in the overlay.
    pub colour: String,
    pub iou: f32,
    pub stability: f32,
    /// Predicted IoU of each candidate.
    pub candidates: Vec<f32>,
    pub area: u32,
    pub mask: Option<Runs>,
    /// Points: x, y, and whether the point is on the object.
    pub points: Vec<(f32, f32, bool)>,
    #[serde(rename = "box")]
    pub bbox: Option<[f32; 4]>,
    /// Why the object is lost.
    pub lost: Option<String>,
    /// Persistence of the object. `None`: the object comes from a detector and cannot be changed.
    pub persistence: Option<String>,
}

/// Header of a picture. The masks of the picture come with it.
#[derive(Debug, Serialize)]
pub struct PictureHeader {
    /// Number to be returned when the picture was drawn.
    pub picture: u64,
    /// Arrival of the image, by the clock of [`Reply::Pong`].
    pub arrived: f64,
    /// Width and height of the image in pixels. The JPEG may be smaller.
    pub size: (u32, u32),
    #[serde(flatten)]
    pub masks: Masks,
}

/// Answer to a request.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// Id of the request.
    pub id: u32,
    pub ok: bool,
    pub text: String,
    /// Object that was prompted; 0 for none.
    pub object: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<CandidateView>,
    /// Masks that a search found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<FoundView>,
    /// Number of masks that a search left out.
    pub left_out: usize,
    /// Number of phrases that were refused.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<TimelineView>,
}

/// Progress of a search.
#[derive(Debug, Serialize)]
pub struct ProgressView {
    /// Id of the request.
    pub id: u32,
    /// Clicks that were decoded.
    pub decoded: u64,
    /// All clicks.
    pub points: u64,
    /// Masks so far.
    pub masks: usize,
}

/// A mask that a search found.
#[derive(Debug, Serialize)]
pub struct FoundView {
    pub iou: f32,
    pub area: u32,
    pub mask: Option<Runs>,
}

/// A candidate mask.
#[derive(Debug, Serialize)]
pub struct CandidateView {
    pub index: usize,
    pub iou: f32,
    pub current: bool,
    pub mask: Option<Runs>,
}

/// A line for the person in front of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// `info`, `warning` or `error`.
    pub level: &'static str,
    pub text: String,
}

/// State of a camera, with the words of `/diagnostics`.
#[derive(Debug, Serialize)]
pub struct Status {
    pub camera: usize,
    /// 0 ok, 1 warning, 2 error.
    pub level: u8,
    pub text: String,
    /// Number of clients of the console.
    pub clients: usize,
    /// All keys and values; empty if the page shows no details.
    pub values: Vec<(String, String)>,
    /// Phrases that are searched for; `None` without a text model.
    pub phrases: Option<Vec<String>>,
    /// The pictures of files; another page may have shown another one.
    pub timeline: Option<TimelineView>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Reply {
    /// Returns the JSON text.
    pub fn to_text(&self) -> String {
        // Fails only for maps with keys that are no texts.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Notice {
    pub fn info(text: String) -> Self {
        Notice { level: "info", text }
    }

    pub fn warning(text: String) -> Self {
        Notice { level: "warning", text }
    }

    /// `left_out`: number of refusals of the same kind that were not shown.
    pub fn refusal(refusal: &Refusal, left_out: u64) -> Self {
        let more = if left_out > 0 { format!(" ({left_out} more of this kind)") } else { String::new() };
        Notice { level: "error", text: format!("refused: {}{more}", refusal.message) }
    }
}

impl Answer {
    /// Returns the answer to a request that was done.
    pub fn done(id: u32, text: impl Into<String>) -> Self {
        Answer {
            id,
            ok: true,
            text: text.into(),
            object: 0,
            candidates: Vec::new(),
            found: Vec::new(),
            left_out: 0,
            refused: 0,
            timeline: None,
        }
    }

    /// Returns the answer to a request that was refused, with the reason.
    pub fn refused(id: u32, reason: impl Into<String>) -> Self {
        Answer { ok: false, ..Answer::done(id, reason) }
    }
}

impl Masks {
    pub fn new(camera: usize, result: &FrameResult) -> Self {
        let StageMs { encode, decode, total, .. } = result.ms;
        Masks {
            camera,
            stamp: stamp_numbers(result.header.stamp),
            objects: result.objects.iter().map(ObjectView::new).collect(),
            ms: Milliseconds { encode, decode, total },
        }
    }
}

fn stamp_numbers(stamp: Stamp) -> [i64; 2] {
    [stamp.sec.into(), stamp.nanosec.into()]
}

impl ObjectView {
    fn new(object: &Arc<ObjectResult>) -> Self {
        let [red, green, blue] = object_colour(object.id);
        ObjectView {
            id: object.id,
            class: object.class_id.clone(),
            colour: format!("#{red:02x}{green:02x}{blue:02x}"),
            iou: object.iou,
            stability: object.mask.stability,
            candidates: object.candidate_ious.clone(),
            area: object.mask.area,
            mask: Runs::new(&object.mask),
            points: object.points.iter().map(|p| (p.x, p.y, p.label == crate::prompt::Label::Foreground)).collect(),
            bbox: object.bbox.map(|b| [b.x_min, b.y_min, b.x_max, b.y_max]),
            lost: object.lost.clone(),
            persistence: object.persistence.map(|persistence| persistence.to_string()),
        }
    }
}

impl From<&CandidateMask> for CandidateView {
    fn from(candidate: &CandidateMask) -> Self {
        let CandidateMask { index, iou, mask, is_current } = candidate;
        CandidateView { index: *index, iou: *iou, current: *is_current, mask: Runs::new(mask) }
    }
}

/// Returns a picture as bytes: the length of the header (32 bits, lowest byte first), the header, the JPEG.
pub fn picture(header: &PictureHeader, jpeg: &Jpeg) -> Bytes {
    let header = serde_json::to_vec(header).unwrap_or_default();
    let mut bytes = Vec::with_capacity(4 + header.len() + jpeg.data.len());
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(header);
    bytes.extend_from_slice(&jpeg.data);
    bytes.into()
}
