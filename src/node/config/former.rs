//! Former names of parameters: this version reads the names of the previous version, with a warning.

use std::fmt;

use super::error::ParameterError;
use super::table::definitions;

/// Use of the former name of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerName {
    pub former: &'static str,
    pub current: &'static str,
    /// Whether the current name is given too. Its value counts, and the value of the former name is ignored.
    pub is_superseded: bool,
}

impl FormerName {
    /// Returns the use of a former name, if `name` is one. `is_given`: whether a name is given at the same time.
    pub fn find(name: &str, is_given: impl Fn(&str) -> bool) -> Option<Self> {
        let definition = definitions().find(|d| d.formerly == Some(name))?;
        let is_superseded = is_given(definition.name);
        Some(FormerName { former: definition.formerly?, current: definition.name, is_superseded })
    }
}

impl fmt::Display for FormerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FormerName { former, current, is_superseded } = self;
        if *is_superseded {
            write!(f, "'{former}' is ignored, because its new name '{current}' is given too: remove '{former}'")
        } else {
            write!(
                f,
                "'{former}' is now called '{current}': use the new name, the next version does not read the old one"
            )
        }
    }
}

/// Flaw of a parameter file or command line that does not keep the node from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A name that is no parameter, or is none any more. Its value is ignored.
    Ignored(ParameterError),
    FormerName(FormerName),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Ignored(error) => error.fmt(f),
            Warning::FormerName(former) => former.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use r2r::ParameterValue;

    use super::*;
    use crate::node::config::messages::descriptor;
    use crate::node::config::values::Parameters;
    use crate::node::config::{ParameterError, TakesEffect};

    /// Reads a parameter file of whole numbers and texts.
    fn read(file: &[(&str, &str)]) -> (Result<Parameters, ParameterError>, Vec<String>) {
        let value =
            |text: &str| text.parse().map_or_else(|_| ParameterValue::String(text.into()), ParameterValue::Integer);
        let file: Vec<_> = file.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect();
        let mut warnings = Vec::new();
        let parameters = Parameters::with_overrides(file.iter().map(|(n, v)| (n, v)), &mut warnings);
        (parameters, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_former_name_sets_the_parameter_of_its_new_name() {
        for d in definitions() {
            let Some(former) = d.formerly else { continue };
            let mut parameters = Parameters::default();
            assert_eq!(parameters.get(former), parameters.get(d.name), "{former}");
            assert!(parameters.set(former, &d.default()).is_ok(), "{former}");
            let file = [(former.to_owned(), d.default())];
            let mut warnings = Vec::new();
            Parameters::with_overrides(file.iter().map(|(n, v)| (n, v)), &mut warnings).unwrap();
            let expected = FormerName { former, current: d.name, is_superseded: false };
            assert_eq!(warnings, [Warning::FormerName(expected)]);
        }
    }

    #[test]
    fn a_former_name_is_read_with_a_warning_that_has_the_new_name() {
        let (parameters, warnings) = read(&[("keep_frames", "7"), ("persistence", "track")]);
        let parameters = parameters.unwrap();
        assert_eq!(parameters.get("keep.frames"), Some(&ParameterValue::Integer(7)));
        assert_eq!(parameters.config().engine.keep.frames, 7);
        assert_eq!(parameters.get("persistence.default"), Some(&ParameterValue::String("track".into())));
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("'keep_frames' is now called 'keep.frames'"), "{warnings:?}");
    }

    #[test]
    fn the_new_name_counts_if_both_are_given() {
        for file in [[("keep_frames", "7"), ("keep.frames", "8")], [("keep.frames", "8"), ("keep_frames", "7")]] {
            let (parameters, warnings) = read(&file);
            assert_eq!(parameters.unwrap().config().engine.keep.frames, 8);
            let expected = "'keep_frames' is ignored, because its new name 'keep.frames' is given too";
            assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{warnings:?}");
        }
    }

    #[test]
    fn a_wrong_value_of_a_former_name_is_an_error_after_the_warning() {
        let (parameters, warnings) = read(&[("keep_frames", "0")]);
        assert_eq!(parameters.unwrap_err().to_string(), "'keep.frames' is 0, expected 1 to 10000");
        assert!(warnings[0].contains("'keep_frames'"), "{warnings:?}");
    }

    #[test]
    fn a_typing_error_in_a_former_name_leads_to_the_new_name() {
        for (typed, expected) in [
            ("track_max_object", "track.max_objects"),
            ("max_detection", "detections.max_count"),
            ("spining", "session.spinning"),
        ] {
            let (_, warnings) = read(&[(typed, "1")]);
            assert_eq!(warnings, [format!("there is no parameter '{typed}'; did you mean '{expected}'?")]);
        }
    }

    #[test]
    fn a_removed_parameter_is_ignored_with_the_reason() {
        let (parameters, warnings) = read(&[("opt_tokens", "3")]);
        assert!(parameters.is_ok());
        assert!(warnings.len() == 1 && warnings[0].contains("'opt_tokens' does not exist any more: "), "{warnings:?}");
        let error = Parameters::default().set("timing_cache", &ParameterValue::Bool(true)).unwrap_err();
        assert!(error.to_string().contains("always kept beside its engines"), "{error}");
    }

    #[test]
    fn lists_have_the_new_name_and_descriptions_say_which_is_which() {
        let mut parameters = Parameters::default();
        let names = parameters.list(&[], 0);
        assert!(names.contains(&"track.max_objects".to_owned()) && !names.contains(&"track_max_objects".to_owned()));
        let d = descriptor(&parameters, "track_max_objects");
        assert_eq!((d.name.as_str(), d.type_), ("track_max_objects", 2));
        assert!(d.description.starts_with("Former name of 'track.max_objects'. "), "{}", d.description);
        assert_eq!(parameters.set("model", &ParameterValue::String("x".into())), Ok(TakesEffect::WithConfigure));
    }
}
