//! Check of a value against the definition of its parameter.

use r2r::ParameterValue;

use super::definition::{Definition, Items, Kind};
use super::error::ParameterError;
use super::groups::MAX_CLASSES;
use crate::text::parse_phrases;

impl Definition {
    /// Checks a value, and returns it in the type of the parameter: an integer is accepted for a float, and an empty list of
    /// any type for a list of texts, and `false` for the choice `off`.
    ///
    /// # Errors
    /// The value has another type, is out of bounds, or is no choice.
    pub fn check(&self, value: &ParameterValue) -> Result<ParameterValue, ParameterError> {
        let default = self.default();
        let value = match (&default, value) {
            (ParameterValue::Double(_), ParameterValue::Integer(i)) => ParameterValue::Double(*i as f64),
            // rcl gives an empty list no type in a parameter file, and any type on the command line.
            (ParameterValue::StringArray(_), list) if is_empty_list(list) => ParameterValue::StringArray(Vec::new()),
            // YAML 1.1, and with it rcl, reads `off` without quotes as false.
            (ParameterValue::String(_), ParameterValue::Bool(false)) if self.has_choice("off") => {
                ParameterValue::String("off".to_owned())
            }
            _ => value.clone(),
        };
        let name = || self.name.to_owned();
        if std::mem::discriminant(&default) != std::mem::discriminant(&value) {
            let (found, expected) = (value.type_name(), default.type_name());
            // A token must not appear in the log.
            let hint = if self.name.ends_with("token") {
                "; text needs quotes".to_owned()
            } else {
                quoting_hint(self.name, &default, &value)
            };
            return Err(ParameterError::Type { name: name(), found, expected, hint });
        }
        match self.violation(&value) {
            Some((found, expected)) => Err(ParameterError::Value { name: name(), found, expected }),
            None => Ok(value),
        }
    }

    fn has_choice(&self, choice: &str) -> bool {
        matches!(self.kind, Kind::Text { choices, .. } if choices.contains(&choice))
    }

    /// Returns the value that is not accepted, and what is expected in its place.
    fn violation(&self, value: &ParameterValue) -> Option<(String, String)> {
        match (self.kind, value) {
            (Kind::Integer { min, max, .. }, ParameterValue::Integer(i)) if !(min..=max).contains(i) => {
                Some((i.to_string(), format!("{min} to {max}")))
            }
            (Kind::Float { min, max, .. }, ParameterValue::Double(v)) if !(min..=max).contains(v) => {
                Some((v.to_string(), format!("{min} to {max}")))
            }
            (Kind::Text { choices, .. }, ParameterValue::String(s))
                if !choices.is_empty() && !choices.contains(&s.as_str()) =>
            {
                Some((format!("'{s}'"), format!("one of {}", list_choices(choices))))
            }
            (Kind::Texts { items: Items::OneOf(choices), .. }, ParameterValue::StringArray(list)) => {
                let wrong = list.iter().find(|item| !choices.contains(&item.as_str()))?;
                Some((format!("'{wrong}'"), format!("a list of {}", choices.join(", "))))
            }
            (Kind::Texts { items: Items::Names, .. }, ParameterValue::StringArray(names)) => {
                let (name, expected) = invalid_name(names)?;
                Some((format!("'{name}'"), expected.to_owned()))
            }
            (Kind::Texts { items: Items::Classes, .. }, ParameterValue::StringArray(names)) => {
                violation_of_classes(names)
            }
            (Kind::Texts { items: Items::Phrases, .. }, ParameterValue::StringArray(phrases)) => {
                let refused = parse_phrases(&phrases.join(",")).err()?;
                Some((format!("{phrases:?}"), format!("phrases: {refused}")))
            }
            _ => None,
        }
    }
}

/// Joins choices with commas; the empty choice is two quotes.
pub fn list_choices(choices: &[&str]) -> String {
    choices.iter().map(|s| if s.is_empty() { "\"\"" } else { s }).collect::<Vec<_>>().join(", ")
}

/// Returns the first name that is no token of a topic's name, or that occurs twice, with the expected names.
fn invalid_name(names: &[String]) -> Option<(&str, &'static str)> {
    let is_token = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    names.iter().enumerate().find_map(|(i, name)| match name {
        name if !is_token(name) => {
            Some((name.as_str(), "names of letters, digits and underscores that do not begin with a digit"))
        }
        name if names[..i].contains(name) => Some((name.as_str(), "a different name for each camera")),
        _ => None,
    })
}

/// Returns what is wrong with a list of classes, and what is expected.
fn violation_of_classes(names: &[String]) -> Option<(String, String)> {
    if names.len() > MAX_CLASSES {
        return Some((
            format!("a list of {} names", names.len()),
            format!("at most {MAX_CLASSES}: a pixel of mono8 has no more"),
        ));
    }
    let twice = names.iter().enumerate().find(|(i, name)| name.is_empty() || names[..*i].contains(name));
    twice.map(|(_, name)| (format!("'{name}'"), "different names, none of them empty".to_owned()))
}

/// Returns advice on how to write a value as text that YAML reads as a number or a flag; empty if there is none.
fn quoting_hint(name: &str, default: &ParameterValue, value: &ParameterValue) -> String {
    let list: Vec<String> = match value {
        ParameterValue::Bool(v) => vec![v.to_string()],
        ParameterValue::Integer(v) => vec![v.to_string()],
        ParameterValue::Double(v) => vec![v.to_string()],
        ParameterValue::String(v) => vec![v.clone()],
        ParameterValue::BoolArray(list) => list.iter().map(bool::to_string).collect(),
        ParameterValue::IntegerArray(list) => list.iter().map(i64::to_string).collect(),
        ParameterValue::DoubleArray(list) => list.iter().map(f64::to_string).collect(),
        _ => return String::new(),
    };
    let list: Vec<String> = list.iter().map(|item| format!("'{item}'")).collect();
    match (default, list.as_slice()) {
        (ParameterValue::String(_), [text]) => {
            format!("; text needs quotes: -p {name}:=\"{text}\", in a file {name}: {text}")
        }
        (ParameterValue::StringArray(_), list) => {
            let list = list.join(", ");
            format!("; a list of texts needs brackets and quotes: -p {name}:=\"[{list}]\", in a file {name}: [{list}]")
        }
        _ => String::new(),
    }
}

fn is_empty_list(value: &ParameterValue) -> bool {
    match value {
        ParameterValue::NotSet => true,
        ParameterValue::BoolArray(list) => list.is_empty(),
        ParameterValue::IntegerArray(list) => list.is_empty(),
        ParameterValue::DoubleArray(list) => list.is_empty(),
        ParameterValue::ByteArray(list) => list.is_empty(),
        _ => false,
    }
}
