//! Parameters as the messages of rcl_interfaces.

use r2r::ParameterValue;
use r2r::rcl_interfaces::msg::{
    FloatingPointRange, IntegerRange, ParameterDescriptor, ParameterValue as ParameterValueMsg,
};

use super::check::list_choices;
use super::definition::{Items, Kind, TakesEffect};
use super::groups::MAX_CLASSES;
use super::values::{Parameters, definition};
use crate::text::phrase::{MAX_CHARS, MAX_PHRASES};

/// Returns what `ros2 param describe` shows. An unknown parameter has the type 0.
pub fn descriptor(parameters: &Parameters, name: &str) -> ParameterDescriptor {
    let mut descriptor = ParameterDescriptor { name: name.to_owned(), ..ParameterDescriptor::default() };
    if let Some(declared) = parameters.declared(name) {
        descriptor.type_ = type_number(&declared.value);
        descriptor.description.clone_from(&declared.description);
        descriptor.read_only = true;
    }
    let Some(definition) = definition(name) else { return descriptor };
    descriptor.type_ = type_number(&definition.default());
    descriptor.description = if name == definition.name {
        definition.description.to_owned()
    } else {
        format!("Former name of '{}'. {}", definition.name, definition.description)
    };
    descriptor.read_only = definition.takes_effect == TakesEffect::ReadOnly;
    match definition.kind {
        Kind::Integer { min, max, .. } => {
            descriptor.integer_range = vec![IntegerRange { from_value: min, to_value: max, step: 0 }];
        }
        Kind::Float { min, max, .. } => {
            descriptor.floating_point_range = vec![FloatingPointRange { from_value: min, to_value: max, step: 0.0 }];
        }
        Kind::Text { choices: &[], .. } | Kind::Texts { items: Items::Any, .. } | Kind::Flag { .. } => {}
        Kind::Text { choices, .. } | Kind::Texts { items: Items::OneOf(choices), .. } => {
            descriptor.additional_constraints = format!("one of {}", list_choices(choices));
        }
        Kind::Texts { items: Items::Names, .. } => "letters, digits and underscores, no digit first, none twice"
            .clone_into(&mut descriptor.additional_constraints),
        Kind::Texts { items: Items::Classes, .. } => {
            descriptor.additional_constraints = format!("at most {MAX_CLASSES} different names, none empty");
        }
        Kind::Texts { items: Items::Phrases, .. } => {
            descriptor.additional_constraints =
                format!("at most {MAX_PHRASES} phrases of at most {MAX_CHARS} characters");
        }
    }
    descriptor
}

/// Returns the number of a value's type in rcl_interfaces/ParameterType.
pub fn type_number(value: &ParameterValue) -> u8 {
    match value {
        ParameterValue::NotSet => 0,
        ParameterValue::Bool(_) => 1,
        ParameterValue::Integer(_) => 2,
        ParameterValue::Double(_) => 3,
        ParameterValue::String(_) => 4,
        ParameterValue::ByteArray(_) => 5,
        ParameterValue::BoolArray(_) => 6,
        ParameterValue::IntegerArray(_) => 7,
        ParameterValue::DoubleArray(_) => 8,
        ParameterValue::StringArray(_) => 9,
    }
}

/// Returns the value of a message.
pub fn value_of(message: &ParameterValueMsg) -> ParameterValue {
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

/// Returns a value as a message.
pub fn message_of(value: &ParameterValue) -> ParameterValueMsg {
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
