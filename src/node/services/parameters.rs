//! The six services of ROS parameters, `~/set_click_label`, and `/parameter_events`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use r2r::rcl_interfaces::msg::{
    ListParametersResult, Parameter, ParameterEvent, ParameterValue as ParameterValueMsg, SetParametersResult,
};
use r2r::rcl_interfaces::srv::{
    DescribeParameters, GetParameterTypes, GetParameters, ListParameters, SetParameters, SetParametersAtomically,
};
use r2r::std_srvs::srv::SetBool;
use r2r::{ParameterValue, QosProfile};

use super::serve::serve;
use crate::node::config::{self, Config, FormerName, Parameters, TakesEffect, message_of, type_number, value_of};
use crate::node::error::NodeError;
use crate::node::lock::lock;
use crate::node::ros::clock::NodeClock;
use crate::node::ros::qos::Profile;
use crate::node::ros::topics::{Output, Topics};

/// Makes the services. `changed` is called with the new values after each change.
///
/// # Errors
/// The middleware refuses a service.
pub fn serve_parameters(
    topics: &mut Topics,
    node_name: &str,
    parameters: &Arc<Mutex<Parameters>>,
    clock: NodeClock,
    changed: impl Fn(&Config) + Send + Sync + 'static,
) -> Result<(), NodeError> {
    let events = topics.publisher("/parameter_events", Profile::fixed(QosProfile::parameter_events()))?;
    let setter = Arc::new(Setter {
        node_name: node_name.to_owned(),
        parameters: Arc::clone(parameters),
        events: Mutex::new(events),
        clock,
        changed: Box::new(changed),
    });
    serve_changes(topics, setter)?;
    serve_queries(topics, parameters)
}

/// Sets parameters, and publishes an event for each change.
struct Setter {
    node_name: String,
    parameters: Arc<Mutex<Parameters>>,
    /// A publisher moves between threads, but cannot be shared without a lock.
    events: Mutex<Output<ParameterEvent>>,
    clock: NodeClock,
    changed: Box<dyn Fn(&Config) + Send + Sync>,
}

impl Setter {
    /// Sets each parameter whose value is accepted. `atomically`: all parameters, or none. A former name sets the parameter
    /// of its new name, unless the new name is requested too.
    fn set(&self, requested: &[Parameter], atomically: bool) -> Vec<SetParametersResult> {
        let mut current = lock(&self.parameters);
        let mut next = current.clone();
        let (stamp, node) = (self.clock.now(), self.node_name.clone());
        let mut event = ParameterEvent { stamp, node, ..ParameterEvent::default() };
        let mut results = Vec::with_capacity(requested.len());
        for Parameter { name, value } in requested {
            let former = FormerName::find(name, |current| requested.iter().any(|p| p.name == current));
            if let Some(former) = &former {
                tracing::warn!("parameters: {former}");
                if former.is_superseded {
                    results.push(SetParametersResult { successful: true, reason: former.to_string() });
                    continue;
                }
            }
            let name = former.as_ref().map_or(name.as_str(), |former| former.current);
            results.push(match next.set(name, &value_of(value)) {
                Ok(takes_effect) => {
                    // The stored value: an integer for a float has become a float.
                    let value = next.get(name).map(message_of).unwrap_or_default();
                    event.changed_parameters.push(Parameter { name: name.to_owned(), value });
                    let reasons = [former.map(|f| f.to_string()), advice(name, takes_effect)];
                    let reason = reasons.into_iter().flatten().collect::<Vec<_>>().join("; ");
                    SetParametersResult { successful: true, reason }
                }
                Err(error) => SetParametersResult { successful: false, reason: error.to_string() },
            });
        }
        let is_rejected = atomically && results.iter().any(|r| !r.successful);
        if !is_rejected && !event.changed_parameters.is_empty() {
            *current = next;
            (self.changed)(&current.config());
            if let Err(e) = lock(&self.events).publish(&event) {
                tracing::warn!("/parameter_events could not be published: {e}");
            }
        }
        results
    }
}

/// Returns what must follow for a change to take effect, if anything; `ros2 param set` shows it.
fn advice(name: &str, takes_effect: TakesEffect) -> Option<String> {
    match takes_effect {
        TakesEffect::WithConfigure => Some(format!("'{name}' needs cleanup and configure to take effect")),
        TakesEffect::Now | TakesEffect::ReadOnly => None,
    }
}

fn serve_changes(topics: &mut Topics, setter: Arc<Setter>) -> Result<(), NodeError> {
    let s = Arc::clone(&setter);
    serve::<SetBool::Service, _>(topics.service("~/set_click_label")?, move |request| {
        let label = if request.data { "foreground" } else { "background" };
        let value = message_of(&ParameterValue::String(label.into()));
        let results = s.set(&[Parameter { name: "click.label".into(), value }], true);
        match results.into_iter().find(|r| !r.successful) {
            Some(rejected) => SetBool::Response { success: false, message: rejected.reason },
            None => SetBool::Response { success: true, message: format!("clicks are {label} from now on") },
        }
    });
    let s = Arc::clone(&setter);
    serve::<SetParameters::Service, _>(topics.service("~/set_parameters")?, move |request| SetParameters::Response {
        results: s.set(&request.parameters, false),
    });
    serve::<SetParametersAtomically::Service, _>(topics.service("~/set_parameters_atomically")?, move |request| {
        let results = setter.set(&request.parameters, true);
        let reasons: Vec<&str> = results.iter().map(|r| r.reason.as_str()).filter(|r| !r.is_empty()).collect();
        let success = SetParametersResult { successful: true, reason: reasons.join("; ") };
        let rejected = results.into_iter().find(|r| !r.successful);
        SetParametersAtomically::Response { result: rejected.unwrap_or(success) }
    });
    Ok(())
}

fn serve_queries(topics: &mut Topics, parameters: &Arc<Mutex<Parameters>>) -> Result<(), NodeError> {
    let current = |p: &Mutex<Parameters>| lock(p).clone();
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
        DescribeParameters::Response {
            descriptors: request.names.iter().map(|name| config::descriptor(&values, name)).collect(),
        }
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
