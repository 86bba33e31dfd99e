//! Requests of the service and goals of the action as requests to the engine.

use r2r::builtin_interfaces::msg::Time;
use r2r::promptseg_msgs::msg::MaskArray;
use r2r::rcl_interfaces::msg::Parameter;
use r2r::sensor_msgs::msg::{Image, RegionOfInterest};
use tokio::sync::{oneshot, watch};

use crate::engine::{
    FrameRef, GenerationClient, GenerationEnd, GenerationRequest, GenerationResult, GenerationSettings, Refusal,
    RefusalKind, SegmentOn,
};
use crate::everything::Progress;
use crate::node::config::{MaskEncoding, Parameters, value_of};
use crate::node::lock::lock;
use crate::node::outputs::mask_array;
use crate::node::ros::convert;
use crate::node::services::serve::{DEACTIVATED, active};
use crate::node::slot::CameraSlot;
use crate::pixels::PixelRect;

/// Parameters of the group that are not about one generation.
const NOT_FOR_ONE_REQUEST: [&str; 2] = ["everything.rate", "everything.when_busy"];

/// The fields that the service and the action have in common.
pub struct EverythingRequest {
    pub image: Image,
    pub stamp: Time,
    pub region: RegionOfInterest,
    pub points_per_side: u32,
    pub min_iou: f32,
    pub min_stability: f32,
    pub min_area: u32,
    pub parameters: Vec<Parameter>,
}

/// A request that the engine has. Dropping the answer cancels it.
pub struct Submitted {
    pub progress: watch::Receiver<Progress>,
    pub answer: oneshot::Receiver<Result<GenerationResult, GenerationEnd>>,
    /// Name of the model.
    model: String,
}

/// The masks, and a note if some were left out.
pub struct Everything {
    pub masks: MaskArray,
    pub note: String,
}

/// Hands a request to the engine.
///
/// # Errors
/// The node is not active, or a setting is refused.
pub async fn submit(slot: &CameraSlot, request: EverythingRequest) -> Result<Submitted, String> {
    let camera = active(slot).await?;
    let settings = {
        let parameters = lock(&camera.parameters).clone();
        settings(parameters, &request)
    };
    let settings = settings.map_err(|refusal| {
        camera.engine.count_refusal(refusal.kind);
        camera.refusals.warn("~/segment_everything", &refusal);
        refusal.message
    })?;
    let on = match convert::is_absent(&request.image) {
        true => SegmentOn::Frame(FrameRef::from(convert::stamp(&request.stamp))),
        false => SegmentOn::Image(convert::frame(request.image)),
    };
    let RegionOfInterest { x_offset: x, y_offset: y, width, height, .. } = request.region;
    let region = (width > 0 || height > 0).then_some(PixelRect { x, y, width, height });
    let (progress, watched) = watch::channel(Progress { decoded: 0, points: 0, masks: 0 });
    let (reply, answer) = oneshot::channel();
    let client = GenerationClient { progress, reply };
    camera.engine.segment_everything(GenerationRequest { on, region, settings, client });
    Ok(Submitted { progress: watched, answer, model: camera.model.name.clone() })
}

impl Submitted {
    /// Converts the engine's answer; a refusal is logged.
    ///
    /// # Errors
    /// Why there are no masks.
    pub fn result(
        model: &str,
        slot: &CameraSlot,
        answer: Result<Result<GenerationResult, GenerationEnd>, oneshot::error::RecvError>,
    ) -> Result<Everything, String> {
        let GenerationResult { result, left_out } = match answer {
            Ok(Ok(result)) => result,
            Ok(Err(GenerationEnd::Refused(refusal))) => {
                if let Some(camera) = slot.get() {
                    camera.refusals.warn("~/segment_everything", &refusal);
                }
                return Err(refusal.message);
            }
            Ok(Err(GenerationEnd::Superseded)) => {
                return Err("superseded by a newer request (everything.when_busy is 'supersede')".into());
            }
            Err(_) => return Err(DEACTIVATED.into()),
        };
        let note = match left_out {
            0 => String::new(),
            left_out => format!(
                "{left_out} masks were left out: at most everything.max_masks are returned, and at most keep.megabytes of pixels"
            ),
        };
        Ok(Everything { masks: mask_array(&result, model, MaskEncoding::Raw), note })
    }

    /// Waits for the masks.
    ///
    /// # Errors
    /// Why there are no masks.
    pub async fn finish(self, slot: &CameraSlot) -> Result<Everything, String> {
        let Submitted { answer, model, .. } = self;
        Submitted::result(&model, slot, answer.await)
    }

    /// Returns the progress, the answer, and the name of the model.
    pub fn into_parts(
        self,
    ) -> (watch::Receiver<Progress>, oneshot::Receiver<Result<GenerationResult, GenerationEnd>>, String) {
        (self.progress, self.answer, self.model)
    }
}

/// Returns the settings of a request: the node's parameters, those of the request, and its four fields.
fn settings(mut parameters: Parameters, request: &EverythingRequest) -> Result<GenerationSettings, Refusal> {
    let bad = |message: String| Refusal::new(RefusalKind::BadSettings, message);
    for Parameter { name, value } in &request.parameters {
        if !name.starts_with("everything.") || NOT_FOR_ONE_REQUEST.contains(&name.as_str()) {
            return Err(bad(format!(
                "parameter '{name}' cannot be set for one request: expected a name that begins with 'everything.', except {}",
                NOT_FOR_ONE_REQUEST.join(" and ")
            )));
        }
        parameters.set(name, &value_of(value)).map_err(|e| bad(e.to_string()))?;
    }
    let mut settings = parameters.config().engine.everything.generation.clone();
    if request.points_per_side > 0 {
        settings.points_per_side = Some(request.points_per_side);
    }
    // NaN is a value too, which the engine refuses.
    if request.min_iou != 0.0 {
        settings.pred_iou_thresh = Some(request.min_iou);
    }
    if request.min_stability != 0.0 {
        settings.stability_score_thresh = Some(request.min_stability);
    }
    if request.min_area > 0 {
        settings.min_area = request.min_area;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use r2r::ParameterValue;

    use super::*;
    use crate::node::config::message_of;

    fn request() -> EverythingRequest {
        EverythingRequest {
            image: Image::default(),
            stamp: Time::default(),
            region: RegionOfInterest::default(),
            points_per_side: 0,
            min_iou: 0.0,
            min_stability: 0.0,
            min_area: 0,
            parameters: Vec::new(),
        }
    }

    fn with_parameter(name: &str, value: ParameterValue) -> EverythingRequest {
        let parameters = vec![Parameter { name: name.into(), value: message_of(&value) }];
        EverythingRequest { parameters, ..request() }
    }

    #[test]
    fn a_request_that_sets_nothing_has_the_nodes_parameters() {
        let mut parameters = Parameters::default();
        assert_eq!(settings(parameters.clone(), &request()), Ok(GenerationSettings::default()));
        parameters.set("everything.points_per_side", &ParameterValue::Integer(7)).unwrap();
        assert_eq!(settings(parameters, &request()).unwrap().points_per_side, Some(7));
    }

    #[test]
    fn fields_and_parameters_of_a_request_hold_for_it_alone() {
        let parameters = Parameters::default();
        let fields =
            EverythingRequest { points_per_side: 5, min_iou: 0.5, min_stability: 0.25, min_area: 9, ..request() };
        let set = settings(parameters.clone(), &fields).unwrap();
        assert_eq!((set.points_per_side, set.min_area), (Some(5), 9));
        assert_eq!((set.pred_iou_thresh, set.stability_score_thresh), (Some(0.5), Some(0.25)));
        let crops = with_parameter("everything.crop_n_layers", ParameterValue::Integer(2));
        assert_eq!(settings(parameters.clone(), &crops).unwrap().generator.crop_n_layers, 2);
        assert_eq!(parameters.config().engine.everything.generation, GenerationSettings::default());
    }

    #[test]
    fn parameters_that_are_not_about_one_request_are_refused() {
        let refusal = |name: &str, value| settings(Parameters::default(), &with_parameter(name, value)).unwrap_err();
        for (name, value, words) in [
            ("everything.rate", ParameterValue::Double(1.0), "for one request"),
            ("model", ParameterValue::String("x".into()), "begins with 'everything.'"),
            ("everything.points_per_side", ParameterValue::Integer(300), "0 to 256"),
            ("everything.box_nms_thresh", ParameterValue::Double(1.5), "0 to 1"),
            ("everything.box_nms_tresh", ParameterValue::Double(0.5), "everything.box_nms_thresh"),
        ] {
            let refusal = refusal(name, value);
            assert_eq!(refusal.kind, RefusalKind::BadSettings);
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
    }
}
