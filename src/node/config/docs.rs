//! `config/promptseg.yaml` and `docs/parameters.md`, made from the table of parameters.

use std::fmt::Write as _;

use r2r::ParameterValue;

use super::definition::{Definition, Kind, TakesEffect};
use super::table::definitions;

/// Returns the commented default parameter file.
pub fn yaml() -> String {
    let mut out = String::from(
        "# All parameters of promptseg with their defaults. Made by `promptseg_node --parameters yaml`.\n\
         /**:\n  ros__parameters:\n",
    );
    for d in definitions() {
        let bounds = bounds(d).map_or_else(String::new, |b| format!(" {b}."));
        let when = match d.takes_effect {
            TakesEffect::Now => "",
            TakesEffect::WithConfigure => " A change needs cleanup and configure.",
            TakesEffect::ReadOnly => " Read at start.",
        };
        // A launch file sets it for all of its nodes, and a parameter file would override that.
        let comment = if d.name == "use_sim_time" { "# " } else { "" };
        // Writing to a String cannot fail, here and below.
        let _ =
            writeln!(out, "    # {}{bounds}{when}\n    {comment}{}: {}", d.description, d.name, value(&d.default()));
    }
    out
}

/// Returns `docs/parameters.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Parameters\n\nMade by `promptseg_node --parameters markdown`. A change by `ros2 param set` takes effect at once, or, \
         where the table says *configure*, with the next cleanup and configure of the managed node \
         ([lifecycle.md](lifecycle.md)): the answer of the service names them. A parameter with *start* is read-only once \
         the node runs. A wrong value is refused with the reason, and the previous value stays.\n\n\
         | parameter | default | takes effect | meaning |\n|---|---|---|---|\n",
    );
    for d in definitions() {
        let bounds = bounds(d).map_or_else(String::new, |b| format!(" {b}."));
        let when = match d.takes_effect {
            TakesEffect::Now => "at once",
            TakesEffect::WithConfigure => "configure",
            TakesEffect::ReadOnly => "start",
        };
        let _ = writeln!(out, "| `{}` | `{}` | {when} | {}{bounds} |", d.name, value(&d.default()), d.description);
    }
    out
}

/// Returns the bounds of a number; the description of a text names its choices.
fn bounds(d: &Definition) -> Option<String> {
    match d.kind {
        Kind::Integer { min, max, .. } => Some(format!("{min} to {max}")),
        Kind::Float { min, max, .. } => Some(format!("{min:?} to {max:?}")),
        Kind::Flag { .. } | Kind::Text { .. } | Kind::Texts { .. } => None,
    }
}

/// Returns a value as YAML.
fn value(value: &ParameterValue) -> String {
    match value {
        ParameterValue::Bool(v) => v.to_string(),
        ParameterValue::Integer(v) => v.to_string(),
        ParameterValue::Double(v) => format!("{v:?}"),
        ParameterValue::StringArray(list) => format!("[{}]", list.join(", ")),
        ParameterValue::String(s) if s.is_empty() => "\"\"".to_owned(),
        ParameterValue::String(s) => s.clone(),
        // The table has no other type.
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_current(file: &str, text: &str, format: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{file} is not current: cargo run --bin promptseg_node -- --parameters {format} > {file}"
        );
    }

    #[test]
    fn the_parameter_file_is_current() {
        assert_current("config/promptseg.yaml", &yaml(), "yaml");
    }

    #[test]
    fn the_page_of_parameters_is_current() {
        assert_current("docs/parameters.md", &markdown(), "markdown");
    }
}
