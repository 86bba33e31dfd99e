//! The values of the node's parameters: checked when they come in, said why when they are refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use r2r::ParameterValue;
use r2r::rcl_interfaces::msg::{FloatingPointRange, IntegerRange, ParameterDescriptor};

use super::table::{Bounds, DEFINITIONS, Definition, TakesEffect};

/// Why a value was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    Unknown { name: String, nearest: &'static str },
    Type { name: String, found: &'static str, expected: &'static str, hint: String },
    Value { name: String, found: String, expected: String },
    ReadOnly { name: String },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Unknown { name, nearest } => {
                write!(f, "there is no parameter '{name}'; did you mean '{nearest}'?")
            }
            Refused::Type { name, found, expected, hint } => {
                write!(f, "'{name}' is {}, found {}{hint}", with_article(expected), with_article(found))
            }
            Refused::Value { name, found, expected } => write!(f, "'{name}' is {found}, expected {expected}"),
            Refused::ReadOnly { name } => {
                write!(
                    f,
                    "'{name}' is read-only after the start: set it in the parameter file and start the node again"
                )
            }
        }
    }
}

impl std::error::Error for Refused {}

/// A parameter that is not in the table, since its name depends on those of the topics. It is read at start.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    pub value: ParameterValue,
    pub description: String,
}

/// Prefix of the parameters that override the quality of service of topics.
pub const QOS_OVERRIDES: &str = "qos_overrides.";

/// The values in force.
#[derive(Debug, Clone)]
pub struct Parameters {
    values: BTreeMap<&'static str, ParameterValue>,
    declared: Arc<BTreeMap<String, Declared>>,
}

impl Default for Parameters {
    fn default() -> Self {
        let values = DEFINITIONS.iter().map(|d| (d.name, d.default())).collect();
        Parameters { values, declared: Arc::default() }
    }
}

fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|d| d.name == name)
}

/// The parameter whose name shares most pairs of letters with `name`, of all that the two have.
fn nearest(name: &str) -> &'static str {
    let pairs = |s: &str| s.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let wanted = pairs(name);
    let alike = |d: &&Definition| {
        let shared = pairs(d.name).iter().filter(|p| wanted.contains(p)).count();
        1000 * shared / (d.name.len() + name.len()).max(1)
    };
    DEFINITIONS.iter().max_by_key(alike).map_or("model", |d| d.name)
}

/// The first name that ROS cannot take as one token of a topic's name, or that was there before.
fn wrong_name(names: &[String]) -> Option<(&str, &'static str)> {
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

impl Parameters {
    /// The defaults with the values of the parameter file and the command line.
    ///
    /// # Errors
    /// Values that cannot be used; unknown names come back as the second part, since they do no harm.
    pub fn with_overrides<'a>(
        overrides: impl IntoIterator<Item = (&'a String, &'a ParameterValue)>,
    ) -> Result<(Self, Vec<Refused>), Refused> {
        let mut parameters = Parameters::default();
        let mut unknown = Vec::new();
        for (name, value) in overrides {
            // What an empty list in a parameter file becomes.
            let empty = ParameterValue::StringArray(Vec::new());
            let value = if *value == ParameterValue::NotSet { &empty } else { value };
            match parameters.check(name, value) {
                Ok((known, value)) => {
                    parameters.values.insert(known, value);
                }
                // These are for the topics, once they are made.
                Err(Refused::Unknown { .. }) if name.starts_with(QOS_OVERRIDES) => {}
                Err(refused @ Refused::Unknown { .. }) => unknown.push(refused),
                Err(refused) => return Err(refused),
            }
        }
        Ok((parameters, unknown))
    }

    /// Sets a value while the node runs.
    ///
    /// # Errors
    /// It is unknown, of another type, out of bounds, or cannot change any more; the old value stays.
    pub fn set(&mut self, name: &str, value: &ParameterValue) -> Result<TakesEffect, Refused> {
        let read_only = || Err(Refused::ReadOnly { name: name.to_owned() });
        if let Some(declared) = self.declared.get(name) {
            return if declared.value == *value { Ok(TakesEffect::Now) } else { read_only() };
        }
        let (known, value) = self.check(name, value)?;
        if self.values.get(known) == Some(&value) {
            return Ok(TakesEffect::Now);
        }
        let takes_effect = definition(known).map_or(TakesEffect::ReadOnly, |d| d.takes_effect);
        if takes_effect == TakesEffect::ReadOnly {
            return read_only();
        }
        self.values.insert(known, value);
        Ok(takes_effect)
    }

    /// The value as it would be stored: an integer is taken for a float.
    fn check(&self, name: &str, value: &ParameterValue) -> Result<(&'static str, ParameterValue), Refused> {
        let unknown = || Refused::Unknown { name: name.to_owned(), nearest: nearest(name) };
        let definition = definition(name).ok_or_else(unknown)?;
        let default = definition.default();
        let value = match (&default, value) {
            (ParameterValue::Double(_), ParameterValue::Integer(i)) => ParameterValue::Double(*i as f64),
            // An empty list has no type in a parameter file, and any type on the command line.
            (ParameterValue::StringArray(_), list) if is_empty_list(list) => ParameterValue::StringArray(Vec::new()),
            _ => value.clone(),
        };
        if std::mem::discriminant(&default) != std::mem::discriminant(&value) {
            let (found, expected) = (value.type_name(), default.type_name());
            return Err(Refused::Type { name: name.to_owned(), found, expected, hint: quoted(name, &default, &value) });
        }
        let wrong = |found: String, expected: String| Refused::Value { name: name.to_owned(), found, expected };
        match (definition.bounds, &value) {
            (Bounds::Integer(low, high), ParameterValue::Integer(i)) if !(low..=high).contains(i) => {
                Err(wrong(i.to_string(), format!("{low} to {high}")))
            }
            (Bounds::Float(low, high), ParameterValue::Double(v)) if !(low..=high).contains(v) => {
                Err(wrong(v.to_string(), format!("{low} to {high}")))
            }
            (Bounds::OneOf(known), ParameterValue::String(s)) if !known.contains(&s.as_str()) => {
                Err(wrong(format!("'{s}'"), format!("one of {}", listed(known))))
            }
            (Bounds::EachOneOf(known), ParameterValue::StringArray(list)) => {
                match list.iter().find(|s| !known.contains(&s.as_str())) {
                    Some(s) => Err(wrong(format!("'{s}'"), format!("a list of {}", known.join(", ")))),
                    None => Ok((definition.name, value)),
                }
            }
            (Bounds::Names, ParameterValue::StringArray(names)) => match wrong_name(names) {
                Some((name, expected)) => Err(wrong(format!("'{name}'"), expected.to_owned())),
                None => Ok((definition.name, value)),
            },
            _ => Ok((definition.name, value)),
        }
    }

    pub fn get(&self, name: &str) -> Option<&ParameterValue> {
        self.values.get(name).or_else(|| self.declared.get(name).map(|d| &d.value))
    }

    /// Adds parameters that are not in the table.
    pub fn declare(&mut self, declared: BTreeMap<String, Declared>) {
        self.declared = Arc::new(declared);
    }

    /// The names that `ros2 param list` asks for: below one of the prefixes, at most `depth` names deep (0: any).
    pub fn list(&self, prefixes: &[String], depth: u64) -> Vec<String> {
        let shallow = |rest: &str| depth == 0 || (rest.matches('.').count() as u64) < depth;
        let below = |name: &str, prefix: &str| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.').is_some_and(shallow))
        };
        let wanted = |name: &str| match prefixes {
            [] => shallow(name),
            prefixes => prefixes.iter().any(|prefix| below(name, prefix)),
        };
        let names = self.values.keys().copied().chain(self.declared.keys().map(String::as_str));
        names.filter(|name| wanted(name)).map(str::to_owned).collect()
    }

    // The table fixes each parameter's type and `check` guards it: the fall-backs below are never taken.

    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(ParameterValue::String(s)) => s,
            _ => "",
        }
    }

    pub fn texts(&self, name: &str) -> &[String] {
        match self.values.get(name) {
            Some(ParameterValue::StringArray(list)) => list,
            _ => &[],
        }
    }

    pub fn integer(&self, name: &str) -> i64 {
        match self.values.get(name) {
            Some(ParameterValue::Integer(i)) => *i,
            _ => 0,
        }
    }

    pub fn float(&self, name: &str) -> f64 {
        match self.values.get(name) {
            Some(ParameterValue::Double(v)) => *v,
            _ => 0.0,
        }
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(ParameterValue::Bool(true)))
    }

    /// What `ros2 param describe` shows.
    pub fn descriptor(&self, name: &str) -> ParameterDescriptor {
        let mut descriptor = ParameterDescriptor { name: name.to_owned(), ..ParameterDescriptor::default() };
        if let Some(declared) = self.declared.get(name) {
            descriptor.type_ = type_number(&declared.value);
            descriptor.description.clone_from(&declared.description);
            descriptor.read_only = true;
        }
        let Some(definition) = definition(name) else { return descriptor };
        descriptor.type_ = type_number(&definition.default());
        definition.description.clone_into(&mut descriptor.description);
        descriptor.read_only = definition.takes_effect == TakesEffect::ReadOnly;
        match definition.bounds {
            Bounds::Integer(from_value, to_value) => {
                descriptor.integer_range = vec![IntegerRange { from_value, to_value, step: 0 }];
            }
            Bounds::Float(from_value, to_value) => {
                descriptor.floating_point_range = vec![FloatingPointRange { from_value, to_value, step: 0.0 }];
            }
            Bounds::OneOf(known) | Bounds::EachOneOf(known) => {
                descriptor.additional_constraints = format!("one of {}", listed(known));
            }
            Bounds::Names => "letters, digits and underscores, no digit first, none twice"
                .clone_into(&mut descriptor.additional_constraints),
            Bounds::Any => {}
        }
        descriptor
    }
}

fn with_article(noun: &str) -> String {
    format!("{} {noun}", if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" })
}

/// How a value that YAML takes for a number or a flag is given as text.
fn quoted(name: &str, default: &ParameterValue, value: &ParameterValue) -> String {
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

/// The choices with commas; that of nothing at all is two quotes.
fn listed(known: &[&str]) -> String {
    known.iter().map(|s| if s.is_empty() { "\"\"" } else { s }).collect::<Vec<_>>().join(", ")
}

/// The number of a value's type in rcl_interfaces/ParameterType.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::network::MemorySpec;

    fn text(s: &str) -> ParameterValue {
        ParameterValue::String(s.to_owned())
    }

    #[test]
    fn every_default_passes_its_own_check() {
        let parameters = Parameters::default();
        for d in DEFINITIONS {
            assert_eq!(parameters.check(d.name, &d.default()).map(|(n, _)| n), Ok(d.name));
        }
    }

    #[test]
    fn no_more_memories_can_be_asked_for_than_engines_take() {
        let most = |name: &str| match definition(name).map(|d| d.bounds) {
            Some(Bounds::Integer(_, most)) => most as usize,
            other => panic!("{name}: {other:?}"),
        };
        let sam_2 = MemorySpec { frames: 7, pointers: 16, ..MemorySpec::default() };
        assert_eq!(most("track_prompted_frames") + most("track_memories"), sam_2.most_memories());
    }

    #[test]
    fn a_change_says_when_it_takes_effect() {
        let mut parameters = Parameters::default();
        assert_eq!(parameters.set("click_mode", &text("box")), Ok(TakesEffect::Now));
        assert_eq!(parameters.set("model", &text("elsewhere")), Ok(TakesEffect::WithConfigure));
        assert_eq!(parameters.set("model", &text("elsewhere")), Ok(TakesEffect::Now), "no change");
    }

    #[test]
    fn an_integer_is_taken_for_a_float() {
        let mut parameters = Parameters::default();
        parameters.set("prompt_timeout", &ParameterValue::Integer(2)).unwrap();
        assert_eq!(parameters.float("prompt_timeout"), 2.0);
    }

    #[test]
    fn an_empty_list_is_one_of_texts_whatever_its_type() {
        let mut parameters = Parameters::default();
        parameters.set("detection_classes", &ParameterValue::StringArray(vec!["cup".into()])).unwrap();
        for empty in [ParameterValue::NotSet, ParameterValue::BoolArray(Vec::new())] {
            parameters.set("detection_classes", &empty).unwrap();
            assert!(parameters.texts("detection_classes").is_empty());
        }
        assert!(parameters.set("detection_classes", &ParameterValue::BoolArray(vec![true])).is_err());
        assert!(parameters.set("click_mode", &ParameterValue::NotSet).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_and_the_old_value_stays() {
        let mut parameters = Parameters::default();
        for (name, value, says) in [
            ("persistence", text("always"), "one of once, hold, track"),
            ("keep_frames", ParameterValue::Integer(0), "1 to 10000"),
            ("track_min_iou", ParameterValue::Double(f64::NAN), "0 to 1"),
            ("keep_frames", text("many"), "is an integer, found a string"),
            ("metrics_address", ParameterValue::Integer(9090), "in a file metrics_address: '9090'"),
            ("detection_classes", ParameterValue::IntegerArray(vec![0, 41]), "-p detection_classes:=\"['0', '41']\""),
            ("detection_classes", text("cup"), "in a file detection_classes: ['cup']"),
            ("autostart", ParameterValue::Bool(false), "start the node again"),
            ("persistance", text("hold"), "did you mean 'persistence'"),
        ] {
            let said = parameters.set(name, &value).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
        assert_eq!(parameters.text("persistence"), "hold");
    }

    #[test]
    fn a_file_may_name_unknown_parameters_but_not_wrong_values() {
        let file = [("qos_overrides.x".to_owned(), text("y")), ("modell".to_owned(), text("x"))];
        let (_, unknown) = Parameters::with_overrides(file.iter().map(|(n, v)| (n, v))).unwrap();
        assert_eq!(unknown, [Refused::Unknown { name: "modell".into(), nearest: "model" }]);
        let file = [("providers".to_owned(), ParameterValue::StringArray(vec!["rocm".into()]))];
        assert!(Parameters::with_overrides(file.iter().map(|(n, v)| (n, v))).is_err());
    }

    #[test]
    fn names_of_cameras() {
        let given = |names: &[&str]| {
            let names = ParameterValue::StringArray(names.iter().map(|n| (*n).to_owned()).collect());
            let file = [("cameras".to_owned(), names)];
            Parameters::with_overrides(file.iter().map(|(n, v)| (n, v))).map(|(p, _)| p.texts("cameras").len())
        };
        assert_eq!((given(&[]), given(&["front", "rear_2", "_x"])), (Ok(0), Ok(3)));
        for (names, says) in [
            (&["front", ""][..], "is '', expected names of"),
            (&["2nd"], "is '2nd'"),
            (&["front/left"], "is 'front/left'"),
            (&["größe"], "is 'größe'"),
            (&["front", "rear", "front"], "is 'front', expected a different name"),
        ] {
            let said = given(names).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn an_empty_list_of_a_parameter_file_is_no_value_to_rcl() {
        let file = [("cameras".to_owned(), ParameterValue::NotSet)];
        let (parameters, unknown) = Parameters::with_overrides(file.iter().map(|(n, v)| (n, v))).unwrap();
        assert!(parameters.texts("cameras").is_empty() && unknown.is_empty());
    }

    #[test]
    fn descriptors_carry_bounds_and_what_is_read_only() {
        let parameters = Parameters::default();
        let d = parameters.descriptor("keep_frames");
        assert_eq!((d.type_, d.read_only, d.integer_range[0].to_value), (2, false, 10_000));
        assert!(parameters.descriptor("cameras").read_only && !parameters.descriptor("model").read_only);
        assert!(parameters.descriptor("persistence").additional_constraints.contains("track"));
    }

    #[test]
    fn declared_parameters_are_shown_and_read_only() {
        let mut parameters = Parameters::default();
        let name = "qos_overrides./image.subscription.depth";
        let declared = Declared { value: ParameterValue::Integer(1), description: "depth".into() };
        parameters.declare([(name.to_owned(), declared)].into());
        assert_eq!(parameters.get(name), Some(&ParameterValue::Integer(1)));
        assert_eq!(parameters.set(name, &ParameterValue::Integer(1)), Ok(TakesEffect::Now));
        assert!(matches!(parameters.set(name, &ParameterValue::Integer(2)), Err(Refused::ReadOnly { .. })));
        let d = parameters.descriptor(name);
        assert_eq!((d.type_, d.read_only, d.description.as_str()), (2, true, "depth"));
        let listed = |prefixes: &[&str], depth| {
            let prefixes: Vec<String> = prefixes.iter().map(|p| (*p).to_owned()).collect();
            parameters.list(&prefixes, depth)
        };
        assert!(listed(&[], 0).contains(&name.to_owned()));
        assert!(listed(&[], 1).contains(&"model".to_owned()) && !listed(&[], 1).contains(&name.to_owned()));
        assert_eq!(listed(&["qos_overrides", "model"], 0), ["model", name]);
        assert_eq!(listed(&["qos_overrides"], 2), Vec::<String>::new());
        assert_eq!(listed(&["qos_overrides"], 3), [name]);
        assert_eq!(listed(&["qos"], 0), Vec::<String>::new());
    }
}
