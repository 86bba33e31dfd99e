//! Values of the node's parameters: checked on arrival, and rejected with the reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use r2r::ParameterValue;

use super::definition::{Definition, TakesEffect};
use super::error::ParameterError;
use super::former::{FormerName, Warning};
use super::groups::Config;
use super::table::definitions;
use super::table::removed::removed;

/// Prefix of the parameters that override the quality of service of topics.
pub const QOS_OVERRIDES: &str = "qos_overrides.";

/// A parameter outside the table, because its name depends on the name of a topic. It is read at the start.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    pub value: ParameterValue,
    pub description: String,
}

/// Current values: as ROS has them, and as typed configuration.
#[derive(Debug, Clone)]
pub struct Parameters {
    values: BTreeMap<&'static str, ParameterValue>,
    /// The same values in the fields that the table names.
    config: Arc<Config>,
    declared: Arc<BTreeMap<String, Declared>>,
}

impl Default for Parameters {
    fn default() -> Self {
        let mut parameters =
            Parameters { values: BTreeMap::new(), config: Arc::new(Config::blank()), declared: Arc::default() };
        for definition in definitions() {
            parameters.store(definition, definition.default());
        }
        parameters
    }
}

/// Returns the definition of a parameter of the table, by its name or its former name.
pub fn definition(name: &str) -> Option<&'static Definition> {
    definitions().find(|d| d.name == name || d.formerly == Some(name))
}

/// Returns the parameter of the table whose name or former name is most similar to `name`: by the share of common pairs of
/// letters.
fn nearest(name: &str) -> &'static str {
    let pairs = |s: &str| s.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let wanted = pairs(name);
    let similarity_to = |known: &str| {
        let shared = pairs(known).iter().filter(|p| wanted.contains(p)).count();
        1000 * shared / (known.len() + name.len()).max(1)
    };
    let similarity = |d: &&Definition| similarity_to(d.name).max(d.formerly.map_or(0, similarity_to));
    definitions().max_by_key(similarity).map_or("model", |d| d.name)
}

impl Parameters {
    /// Returns the defaults with the values of the parameter file and the command line. `warnings` receives each name that is
    /// no parameter, or is a former name.
    ///
    /// # Errors
    /// A value is not accepted.
    pub fn with_overrides<'a>(
        overrides: impl Iterator<Item = (&'a String, &'a ParameterValue)> + Clone,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, ParameterError> {
        let mut parameters = Parameters::default();
        for (name, value) in overrides.clone() {
            if let Some(former) = FormerName::find(name, |current| overrides.clone().any(|(n, _)| n == current)) {
                let is_superseded = former.is_superseded;
                warnings.push(Warning::FormerName(former));
                if is_superseded {
                    continue;
                }
            }
            // rcl reads an empty list of a parameter file as no value.
            let empty = ParameterValue::StringArray(Vec::new());
            let value = if *value == ParameterValue::NotSet { &empty } else { value };
            match check(name, value) {
                Ok((definition, value)) => parameters.store(definition, value),
                // The topics take these when they are made.
                Err(ParameterError::Unknown { .. }) if name.starts_with(QOS_OVERRIDES) => {}
                Err(error @ (ParameterError::Unknown { .. } | ParameterError::Removed { .. })) => {
                    warnings.push(Warning::Ignored(error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(parameters)
    }

    /// Sets a value while the node runs. `name` may be a former name.
    ///
    /// # Errors
    /// The parameter is unknown, removed or read-only, or the value is not accepted; the previous value stays.
    pub fn set(&mut self, name: &str, value: &ParameterValue) -> Result<TakesEffect, ParameterError> {
        let read_only = || Err(ParameterError::ReadOnly { name: name.to_owned() });
        if let Some(declared) = self.declared.get(name) {
            return if declared.value == *value { Ok(TakesEffect::Now) } else { read_only() };
        }
        let (definition, value) = check(name, value)?;
        if self.values.get(definition.name) == Some(&value) {
            return Ok(TakesEffect::Now);
        }
        if definition.takes_effect == TakesEffect::ReadOnly {
            return read_only();
        }
        self.store(definition, value);
        Ok(definition.takes_effect)
    }

    fn store(&mut self, definition: &'static Definition, value: ParameterValue) {
        definition.store(Arc::make_mut(&mut self.config), &value);
        self.values.insert(definition.name, value);
    }

    /// The values as typed configuration.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    /// Returns a value. `name` may be a former name.
    pub fn get(&self, name: &str) -> Option<&ParameterValue> {
        let value = definition(name).and_then(|d| self.values.get(d.name));
        value.or_else(|| self.declared.get(name).map(|d| &d.value))
    }

    /// Returns a parameter outside the table.
    pub fn declared(&self, name: &str) -> Option<&Declared> {
        self.declared.get(name)
    }

    /// Sets the parameters outside the table.
    pub fn declare(&mut self, declared: BTreeMap<String, Declared>) {
        self.declared = Arc::new(declared);
    }

    /// Returns the names of `ros2 param list`: below one of the prefixes, at most `depth` names deep (0: any depth).
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
}

/// Checks a value, and returns it with the definition of its parameter.
fn check(name: &str, value: &ParameterValue) -> Result<(&'static Definition, ParameterValue), ParameterError> {
    let unknown = || match removed(name) {
        Some(removed) => ParameterError::Removed { name: removed.name, reason: removed.reason },
        None => ParameterError::Unknown { name: name.to_owned(), nearest: nearest(name) },
    };
    let definition = definition(name).ok_or_else(unknown)?;
    Ok((definition, definition.check(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EncodeMode, Settings};
    use crate::model::network::MemorySpec;
    use crate::model::{GpuOptions, SessionOptions};
    use crate::node::config::definition::{Items, Kind};
    use crate::node::config::messages::descriptor;

    fn text(s: &str) -> ParameterValue {
        ParameterValue::String(s.to_owned())
    }

    fn read(file: &[(String, ParameterValue)]) -> (Result<Parameters, ParameterError>, Vec<Warning>) {
        let mut warnings = Vec::new();
        let parameters = Parameters::with_overrides(file.iter().map(|(n, v)| (n, v)), &mut warnings);
        (parameters, warnings)
    }

    #[test]
    fn every_default_passes_its_own_check() {
        for d in definitions() {
            assert_eq!(d.check(&d.default()), Ok(d.default()), "{}", d.name);
        }
    }

    #[test]
    fn the_defaults_of_the_table_are_those_of_engine_and_sessions() {
        let config = Parameters::default().config();
        // An engine without a node has no subscribers to look for, and encodes every frame.
        let expected = Settings { encode: EncodeMode::Auto, ..Settings::default() };
        assert_eq!(config.engine_settings("image"), expected);
        // The empty parameter is the user's own folder; programs choose theirs.
        let mut expected = SessionOptions::default();
        expected.gpu.engine_cache = GpuOptions::engine_cache_of("");
        assert_eq!(config.model.session, expected);
    }

    #[test]
    fn every_parameter_is_stored_in_a_field_of_its_own() {
        let mut configs: BTreeMap<String, &str> = BTreeMap::new();
        configs.insert(format!("{:?}", Parameters::default().config()), "default");
        for d in definitions() {
            let values: Vec<ParameterValue> = match d.kind {
                Kind::Flag { default, .. } => vec![ParameterValue::Bool(!default())],
                Kind::Integer { min, max, .. } => [min, max].map(ParameterValue::Integer).into(),
                Kind::Float { min, max, .. } => [min, max].map(ParameterValue::Double).into(),
                Kind::Text { choices: &[], .. } => vec![text("elsewhere")],
                Kind::Text { choices, .. } => choices.iter().map(|s| text(s)).collect(),
                Kind::Texts { items: Items::OneOf(choices), .. } => {
                    choices.iter().map(|s| ParameterValue::StringArray(vec![(*s).to_owned()])).collect()
                }
                Kind::Texts { .. } => vec![ParameterValue::StringArray(vec!["elsewhere".into()])],
            };
            for value in values.into_iter().filter(|value| *value != d.default()) {
                let mut parameters = Parameters::default();
                parameters.store(d, d.check(&value).unwrap());
                let twin = configs.insert(format!("{:?}", parameters.config()), d.name);
                assert_eq!(twin, None, "{} = {value:?} changes no field, or that of another parameter", d.name);
            }
        }
    }

    #[test]
    fn megabytes_are_a_million_bytes() {
        let mut parameters = Parameters::default();
        for name in ["gpu.memory_mb", "tensorrt.workspace_mb", "keep.megabytes"] {
            parameters.set(name, &ParameterValue::Integer(3)).unwrap();
        }
        let config = parameters.config();
        let gpu = &config.model.session.gpu;
        assert_eq!((gpu.memory, gpu.workspace, config.engine.keep.bytes), (3_000_000, 3_000_000, 3_000_000));
    }

    #[test]
    fn cameras_share_the_memory_of_kept_frames() {
        let names = ParameterValue::StringArray(["front", "rear"].map(str::to_owned).to_vec());
        let file = [("cameras".to_owned(), names), ("keep.megabytes".to_owned(), ParameterValue::Integer(3))];
        let parameters = read(&file).0.unwrap();
        assert_eq!(parameters.config().engine_settings("image").keep.bytes, 1_500_000);
    }

    #[test]
    fn an_input_without_a_persistence_of_its_own_has_that_of_all() {
        use crate::engine::Persistence;
        use crate::node::config::groups::PromptInput;

        let mut parameters = Parameters::default();
        parameters.set("persistence.default", &text("track")).unwrap();
        parameters.set("persistence.region", &text("once")).unwrap();
        let persistence = &parameters.config().persistence;
        assert_eq!(persistence.of(PromptInput::Pixel), Persistence::Track);
        assert_eq!(persistence.of(PromptInput::Region), Persistence::Once);
    }

    #[test]
    fn the_largest_number_of_memories_fits_the_engines() {
        let most = |name: &str| match definition(name).map(|d| d.kind) {
            Some(Kind::Integer { max, .. }) => max as usize,
            other => panic!("{name}: {other:?}"),
        };
        let sam_2 = MemorySpec { frames: 7, pointers: 16, ..MemorySpec::default() };
        assert_eq!(most("track.prompted_frames") + most("track.memories"), sam_2.most_memories());
    }

    #[test]
    fn a_change_returns_when_it_takes_effect() {
        let mut parameters = Parameters::default();
        assert_eq!(parameters.set("click.mode", &text("box")), Ok(TakesEffect::Now));
        assert_eq!(parameters.set("model", &text("elsewhere")), Ok(TakesEffect::WithConfigure));
        assert_eq!(parameters.set("model", &text("elsewhere")), Ok(TakesEffect::Now), "no change");
    }

    #[test]
    fn an_integer_is_taken_for_a_float() {
        let mut parameters = Parameters::default();
        parameters.set("prompt_timeout", &ParameterValue::Integer(2)).unwrap();
        assert_eq!(parameters.get("prompt_timeout"), Some(&ParameterValue::Double(2.0)));
        assert_eq!(parameters.config().engine.prompt_timeout.as_secs_f64(), 2.0);
    }

    #[test]
    fn off_without_quotes_is_the_choice_off() {
        let mut parameters = Parameters::default();
        for name in ["session.arena", "everything.disjoint", "everything.mask_nms"] {
            parameters.set(name, &ParameterValue::Bool(false)).unwrap();
            assert_eq!(parameters.get(name), Some(&text("off")));
            assert!(parameters.set(name, &ParameterValue::Bool(true)).is_err());
        }
        assert!(parameters.set("click.mode", &ParameterValue::Bool(false)).is_err());
    }

    #[test]
    fn an_empty_list_is_one_of_texts_whatever_its_type() {
        let mut parameters = Parameters::default();
        parameters.set("detections.classes", &ParameterValue::StringArray(vec!["cup".into()])).unwrap();
        for empty in [ParameterValue::NotSet, ParameterValue::BoolArray(Vec::new())] {
            parameters.set("detections.classes", &empty).unwrap();
            assert!(parameters.config().detections.classes.is_empty());
        }
        assert!(parameters.set("detections.classes", &ParameterValue::BoolArray(vec![true])).is_err());
        assert!(parameters.set("click.mode", &ParameterValue::NotSet).is_err());
    }

    #[test]
    fn a_wrong_value_is_rejected_with_the_reason_and_the_old_value_stays() {
        let mut parameters = Parameters::default();
        for (name, value, expected) in [
            ("persistence.default", text("always"), "one of once, hold, track"),
            ("keep.frames", ParameterValue::Integer(0), "1 to 10000"),
            ("track.min_iou", ParameterValue::Double(f64::NAN), "0 to 1"),
            ("keep.frames", text("many"), "is an integer, found a string"),
            ("metrics_address", ParameterValue::Integer(9090), "in a file metrics_address: '9090'"),
            ("detections.classes", ParameterValue::IntegerArray(vec![0, 41]), "-p detections.classes:=\"['0', '41']\""),
            ("detections.classes", text("cup"), "in a file detections.classes: ['cup']"),
            ("autostart", ParameterValue::Bool(false), "start the node again"),
            ("persistance", text("hold"), "did you mean 'persistence.default'"),
        ] {
            let message = parameters.set(name, &value).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(parameters.get("persistence.default"), Some(&text("hold")));
    }

    #[test]
    fn a_file_may_name_unknown_parameters_but_not_wrong_values() {
        let file = [("qos_overrides.x".to_owned(), text("y")), ("modell".to_owned(), text("x"))];
        let (parameters, warnings) = read(&file);
        let unknown = ParameterError::Unknown { name: "modell".into(), nearest: "model" };
        assert!(parameters.is_ok());
        assert_eq!(warnings, [Warning::Ignored(unknown)]);
        let file = [("providers".to_owned(), ParameterValue::StringArray(vec!["rocm".into()]))];
        assert!(read(&file).0.is_err());
    }

    #[test]
    fn names_of_cameras() {
        let given = |names: &[&str]| {
            let names = ParameterValue::StringArray(names.iter().map(|n| (*n).to_owned()).collect());
            let file = [("cameras".to_owned(), names)];
            read(&file).0.map(|p| p.config().cameras.names.len())
        };
        assert_eq!((given(&[]), given(&["front", "rear_2", "_x"])), (Ok(0), Ok(3)));
        for (names, expected) in [
            (&["front", ""][..], "is '', expected names of"),
            (&["2nd"], "is '2nd'"),
            (&["front/left"], "is 'front/left'"),
            (&["größe"], "is 'größe'"),
            (&["front", "rear", "front"], "is 'front', expected a different name"),
        ] {
            let message = given(names).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn an_empty_list_of_a_parameter_file_is_no_value_to_rcl() {
        let file = [("cameras".to_owned(), ParameterValue::NotSet)];
        let (parameters, warnings) = read(&file);
        assert!(parameters.unwrap().config().cameras.names.is_empty() && warnings.is_empty());
    }

    #[test]
    fn descriptors_carry_bounds_and_what_is_read_only() {
        let parameters = Parameters::default();
        let d = descriptor(&parameters, "keep.frames");
        assert_eq!((d.type_, d.read_only, d.integer_range[0].to_value), (2, false, 10_000));
        assert!(descriptor(&parameters, "cameras").read_only && !descriptor(&parameters, "model").read_only);
        assert!(descriptor(&parameters, "persistence.default").additional_constraints.contains("track"));
    }

    #[test]
    fn declared_parameters_are_shown_and_read_only() {
        let mut parameters = Parameters::default();
        let name = "qos_overrides./image.subscription.depth";
        let declared = Declared { value: ParameterValue::Integer(1), description: "depth".into() };
        parameters.declare([(name.to_owned(), declared)].into());
        assert_eq!(parameters.get(name), Some(&ParameterValue::Integer(1)));
        assert_eq!(parameters.set(name, &ParameterValue::Integer(1)), Ok(TakesEffect::Now));
        assert!(matches!(parameters.set(name, &ParameterValue::Integer(2)), Err(ParameterError::ReadOnly { .. })));
        let d = descriptor(&parameters, name);
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
