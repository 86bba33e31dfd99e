//! Definition of one parameter.

use r2r::ParameterValue;

use Kind::{Flag, Float, Integer, Text, Texts};

use super::groups::Config;

/// Type of a parameter with its default, the values that it takes, and the function that stores a value in its field.
///
/// Values are checked before they are stored: `store` never gets a number out of bounds or a text that is no choice.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Flag {
        default: fn() -> bool,
        store: fn(&mut Config, bool),
    },
    Integer {
        default: fn() -> i64,
        min: i64,
        max: i64,
        store: fn(&mut Config, i64),
    },
    Float {
        default: fn() -> f64,
        min: f64,
        max: f64,
        store: fn(&mut Config, f64),
    },
    Text {
        default: &'static str,
        /// Accepted values; empty for a free text.
        choices: &'static [&'static str],
        store: fn(&mut Config, &str),
    },
    Texts {
        default: &'static [&'static str],
        items: Items,
        store: fn(&mut Config, &[String]),
    },
}

/// Values that a list of texts takes.
#[derive(Debug, Clone, Copy)]
pub enum Items {
    Any,
    OneOf(&'static [&'static str]),
    /// Distinct ROS names without a slash.
    Names,
    /// At most 255 distinct names of classes.
    Classes,
    /// Phrases of text prompts.
    Phrases,
}

/// Time at which a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakesEffect {
    Now,
    /// With the next transition `configure`, which reads the parameters of the model together.
    WithConfigure,
    /// Never: the value comes from the parameter file or the command line, and is read-only while the node runs.
    ReadOnly,
}

/// One parameter.
pub struct Definition {
    /// Name, with a dot after the name of its group: `track.max_objects`. Only names without a group have no dot.
    pub name: &'static str,
    /// Name in the previous version, if it was another. This version reads the former name, with a warning.
    pub formerly: Option<&'static str>,
    pub description: &'static str,
    pub takes_effect: TakesEffect,
    pub kind: Kind,
}

impl Definition {
    /// Default as a value of ROS.
    pub fn default(&self) -> ParameterValue {
        match self.kind {
            Flag { default, .. } => ParameterValue::Bool(default()),
            Integer { default, .. } => ParameterValue::Integer(default()),
            Float { default, .. } => ParameterValue::Double(default()),
            Text { default, .. } => ParameterValue::String(default.to_owned()),
            Texts { default, .. } => ParameterValue::StringArray(default.iter().map(|&item| item.to_owned()).collect()),
        }
    }

    /// Stores a checked value in the field of the parameter. A value of another type changes nothing.
    pub fn store(&self, config: &mut Config, value: &ParameterValue) {
        match (self.kind, value) {
            (Flag { store, .. }, ParameterValue::Bool(v)) => store(config, *v),
            (Integer { store, .. }, ParameterValue::Integer(v)) => store(config, *v),
            (Float { store, .. }, ParameterValue::Double(v)) => store(config, *v),
            (Text { store, .. }, ParameterValue::String(v)) => store(config, v),
            (Texts { store, .. }, ParameterValue::StringArray(v)) => store(config, v),
            _ => {}
        }
    }
}
