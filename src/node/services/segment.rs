//! The node's services: segment, new_object, clear, undo, set_click_label, and the six of ROS parameters.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use r2r::promptseg_msgs::msg::MaskArray;
use r2r::promptseg_msgs::srv::Segment as SegmentSrv;
use r2r::rcl_interfaces::msg::{
    ListParametersResult, Parameter, ParameterEvent, ParameterValue as ParameterValueMsg, SetParametersResult,
};
use r2r::rcl_interfaces::srv::{
    DescribeParameters, GetParameterTypes, GetParameters, ListParameters, SetParameters, SetParametersAtomically,
};
use r2r::std_srvs::srv::{SetBool, Trigger};
use r2r::{ParameterValue, QosProfile, ServiceRequest, WrappedServiceTypeSupport};
use tokio::sync::oneshot;

use crate::engine::{DEFECT, FrameRef, FrameResult, Interaction, Refusal, RefusalKind, Segment, SegmentOn};
use crate::node::camera::{Shared, Slot};
use crate::node::config::table::TakesEffect;
use crate::node::config::values::{Parameters, type_number};
use crate::node::error::NodeError;
use crate::node::lock::lock;
use crate::node::outputs::publishers::{MaskEncoding, mask_array};
use crate::node::ros::clock::NodeClock;
use crate::node::ros::convert;
use crate::node::ros::qos::Profile;
use crate::node::ros::topics::{Output, Requests, Topics};

/// Answers requests one after the other, on a task of its own.
pub fn serve<T, F>(mut requests: Requests<T>, mut answer: F)
where
    T: WrappedServiceTypeSupport + 'static,
    T::Request: Send,
    T::Response: Send,
    F: FnMut(&T::Request) -> T::Response + Send + 'static,
{
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            // A made-up answer would be a lie: whoever asked runs into their timeout.
            match catch_unwind(AssertUnwindSafe(|| answer(&request.message))) {
                Ok(response) => respond(request, response),
                Err(_) => tracing::error!("a service panicked (see above), its question has no answer; {DEFECT}"),
            }
        }
    });
}

/// An answer in words. A panic costs this one, and is said in it.
async fn guarded<T: Send + 'static>(
    answer: impl Future<Output = Result<T, String>> + Send + 'static,
) -> Result<T, String> {
    tokio::spawn(answer).await.unwrap_or_else(|panicked| {
        let message = format!("{panicked}; {DEFECT}");
        tracing::error!("a service: {message}");
        Err(message)
    })
}

pub fn respond<T: WrappedServiceTypeSupport + 'static>(request: ServiceRequest<T>, response: T::Response) {
    if let Err(e) = request.respond(response) {
        tracing::warn!("a service's answer could not be sent: {e}");
    }
}

/// Creates `~/segment`, `~/new_object`, `~/clear` and `~/undo`.
///
/// # Errors
/// The middleware refuses a service.
pub fn start(topics: &mut Topics, slot: &Arc<Slot>) -> Result<(), NodeError> {
    let mut segments: Requests<SegmentSrv::Service> = topics.service("~/segment")?;
    let s = Arc::clone(slot);
    tokio::spawn(async move {
        while let Some(request) = segments.next().await {
            // Each on a task of its own: a large image of one client does not hold up the others.
            tokio::spawn(segment(Arc::clone(&s), request));
        }
    });
    for (name, done, interaction) in [
        ("~/new_object", "the next click starts a new object", (|| Interaction::NewObject) as fn() -> Interaction),
        ("~/clear", "all objects are cleared", || Interaction::Clear),
    ] {
        trigger(topics, name, slot, move |s| async move {
            let shared = at_work(&s).await?;
            shared.engine.interact(interaction()).map(|()| done.to_owned()).map_err(|refusal| refusal.message)
        })?;
    }
    trigger(topics, "~/undo", slot, undo)
}

/// Serves a trigger, whose answer is what was done, or why nothing was.
fn trigger<F>(
    topics: &mut Topics,
    name: &str,
    slot: &Arc<Slot>,
    answer: impl Fn(Arc<Slot>) -> F + Send + 'static,
) -> Result<(), NodeError>
where
    F: Future<Output = Result<String, String>> + Send + 'static,
{
    let mut requests: Requests<Trigger::Service> = topics.service(name)?;
    let slot = Arc::clone(slot);
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let (success, message) = match guarded(answer(Arc::clone(&slot))).await {
                Ok(done) => (true, done),
                Err(reason) => (false, reason),
            };
            respond(request, Trigger::Response { success, message });
        }
    });
    Ok(())
}

/// What works, or why nothing does.
async fn at_work(slot: &Slot) -> Result<Arc<Shared>, String> {
    let inactive = || "the node is not active: configure and activate it (ros2 lifecycle set)".to_owned();
    slot.get_soon().await.ok_or_else(inactive)
}

// An answer that is waited for holds on to nothing: while it is under way the node may be deactivated, which drops the
// question, and so ends the waiting.
const GONE: &str = "the node was deactivated";

/// What was taken back, or why nothing was.
async fn undo(slot: Arc<Slot>) -> Result<String, String> {
    let (reply, answer) = oneshot::channel();
    at_work(&slot).await?.engine.interact(Interaction::Undo { reply }).map_err(|refusal| refusal.message)?;
    answer.await.unwrap_or_else(|_| Err(format!("no answer: it failed (see the log), or {GONE}")))
}

async fn segment(slot: Arc<Slot>, mut request: ServiceRequest<SegmentSrv::Service>) {
    let question = std::mem::take(&mut request.message);
    let response = match guarded(masks(slot, question)).await {
        Ok(result) => SegmentSrv::Response { success: true, message: String::new(), result },
        Err(message) => SegmentSrv::Response { success: false, message, ..SegmentSrv::Response::default() },
    };
    respond(request, response);
}

async fn masks(slot: Arc<Slot>, question: SegmentSrv::Request) -> Result<MaskArray, String> {
    let (answer, model) = {
        let shared = at_work(&slot).await?;
        (ask(&shared, question), shared.model.name.clone())
    };
    let refused = |refusal: Refusal| {
        if let Some(shared) = slot.get() {
            shared.refusals.say("~/segment", &refusal);
        }
        refusal.message
    };
    answer.await.map(|result| mask_array(&result, &model, MaskEncoding::Raw)).map_err(refused)
}

fn ask(shared: &Shared, request: SegmentSrv::Request) -> impl Future<Output = Result<FrameResult, Refusal>> + use<> {
    let (reply, answer) = oneshot::channel();
    let objects = convert::object_prompts(request.objects);
    let refused = match objects {
        Ok(objects) => {
            let on = match convert::is_absent(&request.image) {
                true => SegmentOn::Frame(FrameRef::from(convert::stamp(&request.stamp))),
                false => SegmentOn::Image(convert::frame(request.image)),
            };
            shared.engine.segment(Segment { on, objects, all_candidates: request.all_candidates, reply });
            None
        }
        Err(refusal) => {
            shared.engine.count_refusal(refusal.kind);
            Some(refusal)
        }
    };
    async move {
        match refused {
            Some(refusal) => Err(refusal),
            None => answer.await.unwrap_or_else(|_| Err(Refusal::new(RefusalKind::ModelFailed, GONE))),
        }
    }
}

/// Creates the six parameter services and `~/set_click_label`; `changed` is called with the new values after each change.
///
/// # Errors
/// The middleware refuses a service.
pub fn start_parameters(
    topics: &mut Topics,
    node_name: &str,
    parameters: &Arc<Mutex<Parameters>>,
    clock: NodeClock,
    changed: impl Fn(&Parameters) + Send + Sync + 'static,
) -> Result<(), NodeError> {
    let events: Output<ParameterEvent> =
        topics.publisher("/parameter_events", Profile::fixed(QosProfile::parameter_events()))?;
    let current = |p: &Mutex<Parameters>| lock(p).clone();
    let node_name = node_name.to_owned();
    let set_all = {
        let parameters = Arc::clone(parameters);
        // A publisher may move between threads, not be shared by them.
        let events = Mutex::new(events);
        Arc::new(move |asked: &[Parameter], atomically: bool| {
            let mut values = lock(&parameters);
            let mut next = values.clone();
            let mut event = ParameterEvent { stamp: clock.now(), node: node_name.clone(), ..ParameterEvent::default() };
            let mut results = Vec::with_capacity(asked.len());
            for p in asked {
                let value = value_of(&p.value);
                results.push(match next.set(&p.name, &value) {
                    Ok(takes_effect) => {
                        // As it is stored: a whole number for a float has become one.
                        let value = next.get(&p.name).map(message_of).unwrap_or_default();
                        event.changed_parameters.push(Parameter { name: p.name.clone(), value });
                        SetParametersResult { successful: true, reason: later(&p.name, takes_effect) }
                    }
                    Err(refused) => SetParametersResult { successful: false, reason: refused.to_string() },
                });
            }
            let refused = atomically && results.iter().any(|r| !r.successful);
            if !refused && !event.changed_parameters.is_empty() {
                *values = next;
                changed(&values);
                if let Err(e) = lock(&events).publish(&event) {
                    tracing::warn!("/parameter_events could not be published: {e}");
                }
            }
            results
        })
    };
    let set = Arc::clone(&set_all);
    serve::<SetBool::Service, _>(topics.service("~/set_click_label")?, move |request| {
        let label = if request.data { "foreground" } else { "background" };
        let value = message_of(&ParameterValue::String(label.into()));
        let results = set(&[Parameter { name: "click_label".into(), value }], true);
        match results.into_iter().find(|r| !r.successful) {
            Some(refused) => SetBool::Response { success: false, message: refused.reason },
            None => SetBool::Response { success: true, message: format!("clicks are {label} from now on") },
        }
    });
    let set = Arc::clone(&set_all);
    serve::<SetParameters::Service, _>(topics.service("~/set_parameters")?, move |request| SetParameters::Response {
        results: set(&request.parameters, false),
    });
    serve::<SetParametersAtomically::Service, _>(topics.service("~/set_parameters_atomically")?, move |request| {
        let results = set_all(&request.parameters, true);
        let reasons: Vec<&str> = results.iter().map(|r| r.reason.as_str()).filter(|r| !r.is_empty()).collect();
        let ok = SetParametersResult { successful: true, reason: reasons.join("; ") };
        let refused = results.into_iter().find(|r| !r.successful);
        SetParametersAtomically::Response { result: refused.unwrap_or(ok) }
    });
    let p = Arc::clone(parameters);
    serve::<GetParameters::Service, _>(topics.service("~/get_parameters")?, move |request| {
        let values = current(&p);
        let value = |name: &String| values.get(name).map_or_else(ParameterValueMsg::default, message_of);
        GetParameters::Response { values: request.names.iter().map(value).collect() }
    });
    let p = Arc::clone(parameters);
    serve::<GetParameterTypes::Service, _>(topics.service("~/get_parameter_types")?, move |request| {
        let values = current(&p);
        let type_of = |name: &String| values.get(name).map_or(0, type_number);
        GetParameterTypes::Response { types: request.names.iter().map(type_of).collect() }
    });
    let p = Arc::clone(parameters);
    serve::<DescribeParameters::Service, _>(topics.service("~/describe_parameters")?, move |request| {
        let values = current(&p);
        DescribeParameters::Response { descriptors: request.names.iter().map(|name| values.descriptor(name)).collect() }
    });
    let p = Arc::clone(parameters);
    serve::<ListParameters::Service, _>(topics.service("~/list_parameters")?, move |request| {
        let names = current(&p).list(&request.prefixes, request.depth);
        let groups: BTreeSet<&str> = names.iter().filter_map(|n| n.rsplit_once('.')).map(|(group, _)| group).collect();
        let prefixes = groups.into_iter().map(str::to_owned).collect();
        ListParameters::Response { result: ListParametersResult { names, prefixes } }
    });
    Ok(())
}

/// Serves `~/get_type_description`, as rclcpp does since Iron.
///
/// # Errors
/// The middleware refuses the service.
#[cfg(type_description)]
pub fn start_type_description(topics: &mut Topics) -> Result<(), NodeError> {
    use r2r::type_description_interfaces::srv::GetTypeDescription::{Response, Service};

    let mut requests: Requests<Service> = topics.service("~/get_type_description")?;
    let node = topics.spinning();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let (reply, answer) = oneshot::channel();
            let question = request.message.clone();
            let asked = node.with_node(move |node| {
                // Nobody waits for it any more: only while the node goes away.
                let _ = reply.send(crate::native::node_types::describe(node, &question));
                Ok(())
            });
            let failed = match asked.await {
                Ok(()) => String::new(),
                Err(e) => e.to_string(),
            };
            let response = answer.await.unwrap_or(Response { failure_reason: failed, ..Response::default() });
            respond(request, response);
        }
    });
    Ok(())
}

/// What whoever sets a parameter must do for it to count; `ros2 param set` shows it.
fn later(name: &str, takes_effect: TakesEffect) -> String {
    match takes_effect {
        TakesEffect::WithConfigure => format!("'{name}' needs cleanup and configure to take effect"),
        TakesEffect::Now | TakesEffect::ReadOnly => String::new(),
    }
}

fn value_of(message: &ParameterValueMsg) -> ParameterValue {
    let m = message.clone();
    match m.type_ {
        1 => ParameterValue::Bool(m.bool_value),
        2 => ParameterValue::Integer(m.integer_value),
        3 => ParameterValue::Double(m.double_value),
        4 => ParameterValue::String(m.string_value),
        5 => ParameterValue::ByteArray(m.byte_array_value),
        6 => ParameterValue::BoolArray(m.bool_array_value),
        7 => ParameterValue::IntegerArray(m.integer_array_value),
        8 => ParameterValue::DoubleArray(m.double_array_value),
        9 => ParameterValue::StringArray(m.string_array_value),
        _ => ParameterValue::NotSet,
    }
}

fn message_of(value: &ParameterValue) -> ParameterValueMsg {
    let mut message = ParameterValueMsg { type_: type_number(value), ..ParameterValueMsg::default() };
    match value.clone() {
        ParameterValue::NotSet => {}
        ParameterValue::Bool(v) => message.bool_value = v,
        ParameterValue::Integer(v) => message.integer_value = v,
        ParameterValue::Double(v) => message.double_value = v,
        ParameterValue::String(v) => message.string_value = v,
        ParameterValue::BoolArray(v) => message.bool_array_value = v,
        ParameterValue::ByteArray(v) => message.byte_array_value = v,
        ParameterValue::IntegerArray(v) => message.integer_array_value = v,
        ParameterValue::DoubleArray(v) => message.double_array_value = v,
        ParameterValue::StringArray(v) => message.string_array_value = v,
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_one_answer_and_is_said_in_it() {
        let said = guarded(async { if true { panic!("on purpose") } else { Ok(()) } }).await.unwrap_err();
        assert!(said.contains("on purpose") && said.contains(DEFECT), "{said}");
        assert_eq!(guarded(async { Ok(1) }).await, Ok(1));
        assert_eq!(guarded(async { Err::<(), _>("no".to_owned()) }).await, Err("no".to_owned()));
    }
}
