//! The values of the node's parameters: checked when they come in, said why when they are refused.

use std::collections::BTreeMap;
use std::fmt;

use r2r::ParameterValue;
use r2r::rcl_interfaces::msg::{FloatingPointRange, IntegerRange, ParameterDescriptor};

use super::parameter_table::{Bounds, DEFINITIONS, Definition};

/// Why a value was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    Unknown { name: String, nearest: &'static str },
    Type { name: String, found: &'static str, expected: &'static str },
    Value { name: String, found: String, expected: String },
    NotLive { name: String },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Unknown { name, nearest } => {
                write!(f, "there is no parameter '{name}'; did you mean '{nearest}'?")
            }
            Refused::Type { name, found, expected } => write!(f, "'{name}' is a {expected}, found a {found}"),
            Refused::Value { name, found, expected } => write!(f, "'{name}' is {found}, expected {expected}"),
            Refused::NotLive { name } => {
                write!(
                    f,
                    "'{name}' is read when the node starts: set it in the parameter file and start the node again"
                )
            }
        }
    }
}

/// The values in force.
#[derive(Debug, Clone)]
pub struct Parameters(BTreeMap<&'static str, ParameterValue>);

impl Default for Parameters {
    fn default() -> Self {
        Parameters(DEFINITIONS.iter().map(|d| (d.name, d.default())).collect())
    }
}

fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|d| d.name == name)
}

/// The parameter whose name shares most letters, in order, with `name`.
fn nearest(name: &str) -> &'static str {
    let pairs = |s: &str| s.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let wanted = pairs(name);
    let shared = |d: &&Definition| pairs(d.name).iter().filter(|p| wanted.contains(p)).count();
    DEFINITIONS.iter().max_by_key(shared).map_or("model", |d| d.name)
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
            match parameters.check(name, value) {
                Ok((known, value)) => {
                    parameters.0.insert(known, value);
                }
                // Every node of a launch file gets these.
                Err(Refused::Unknown { .. }) if name.starts_with("qos_overrides.") => {}
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
    pub fn set(&mut self, name: &str, value: &ParameterValue) -> Result<(), Refused> {
        let (known, value) = self.check(name, value)?;
        let changes = self.0.get(known) != Some(&value);
        if changes && definition(known).is_some_and(|d| !d.live) {
            return Err(Refused::NotLive { name: name.to_owned() });
        }
        self.0.insert(known, value);
        Ok(())
    }

    /// The value as it would be stored: an integer is taken for a float.
    fn check(&self, name: &str, value: &ParameterValue) -> Result<(&'static str, ParameterValue), Refused> {
        let unknown = || Refused::Unknown { name: name.to_owned(), nearest: nearest(name) };
        let definition = definition(name).ok_or_else(unknown)?;
        let default = definition.default();
        let value = match (&default, value) {
            (ParameterValue::Double(_), ParameterValue::Integer(i)) => ParameterValue::Double(*i as f64),
            _ => value.clone(),
        };
        if std::mem::discriminant(&default) != std::mem::discriminant(&value) {
            let (found, expected) = (value.type_name(), default.type_name());
            return Err(Refused::Type { name: name.to_owned(), found, expected });
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
                Err(wrong(format!("'{s}'"), format!("one of {}", known.join(", "))))
            }
            (Bounds::EachOneOf(known), ParameterValue::StringArray(list)) => {
                match list.iter().find(|s| !known.contains(&s.as_str())) {
                    Some(s) => Err(wrong(format!("'{s}'"), format!("a list of {}", known.join(", ")))),
                    None => Ok((definition.name, value)),
                }
            }
            _ => Ok((definition.name, value)),
        }
    }

    pub fn get(&self, name: &str) -> Option<&ParameterValue> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &ParameterValue)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    // The table fixes each parameter's type and `check` guards it: the fall-backs below are never taken.

    pub fn text(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(ParameterValue::String(s)) => s,
            _ => "",
        }
    }

    pub fn texts(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(ParameterValue::StringArray(list)) => list,
            _ => &[],
        }
    }

    pub fn integer(&self, name: &str) -> i64 {
        match self.0.get(name) {
            Some(ParameterValue::Integer(i)) => *i,
            _ => 0,
        }
    }

    pub fn float(&self, name: &str) -> f64 {
        match self.0.get(name) {
            Some(ParameterValue::Double(v)) => *v,
            _ => 0.0,
        }
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(ParameterValue::Bool(true)))
    }
}

/// What `ros2 param describe` shows.
pub fn descriptor(name: &str) -> ParameterDescriptor {
    let Some(definition) = definition(name) else {
        return ParameterDescriptor { name: name.to_owned(), ..ParameterDescriptor::default() };
    };
    let mut descriptor = ParameterDescriptor {
        name: name.to_owned(),
        type_: type_number(&definition.default()),
        description: definition.description.to_owned(),
        read_only: !definition.live,
        ..ParameterDescriptor::default()
    };
    match definition.bounds {
        Bounds::Integer(from_value, to_value) => {
            descriptor.integer_range = vec![IntegerRange { from_value, to_value, step: 0 }];
        }
        Bounds::Float(from_value, to_value) => {
            descriptor.floating_point_range = vec![FloatingPointRange { from_value, to_value, step: 0.0 }];
        }
        Bounds::OneOf(known) | Bounds::EachOneOf(known) => {
            descriptor.additional_constraints = format!("one of {}", known.join(", "));
        }
        Bounds::Any => {}
    }
    descriptor
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
    fn an_integer_is_taken_for_a_float() {
        let mut parameters = Parameters::default();
        parameters.set("prompt_timeout", &ParameterValue::Integer(2)).unwrap();
        assert_eq!(parameters.float("prompt_timeout"), 2.0);
    }

    #[test]
    fn what_is_wrong_is_said_and_the_old_value_stays() {
        let mut parameters = Parameters::default();
        for (name, value, says) in [
            ("persistence", text("always"), "one of once, hold, track"),
            ("keep_frames", ParameterValue::Integer(0), "1 to 10000"),
            ("track_min_iou", ParameterValue::Double(f64::NAN), "0 to 1"),
            ("keep_frames", text("many"), "is a integer, found a string"),
            ("model", text("elsewhere"), "start the node again"),
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
    fn descriptors_carry_bounds_and_what_is_read_only() {
        let d = descriptor("keep_frames");
        assert_eq!((d.type_, d.read_only, d.integer_range[0].to_value), (2, false, 10_000));
        assert!(descriptor("model").read_only);
        assert!(descriptor("persistence").additional_constraints.contains("track"));
    }
}
