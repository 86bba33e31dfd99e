//! `config/promptseg.yaml` and `docs/parameters.md`, made from the table of parameters.

use std::fmt::Write as _;

use r2r::ParameterValue;

use super::definition::{Definition, Kind, TakesEffect};
use super::table::definitions;
use super::table::removed::REMOVED;

/// Returns the commented default parameter file.
pub fn yaml() -> String {
    let mut out = String::from(
        "# All parameters of promptseg with their defaults. Made by `promptseg_node --parameters yaml`.\n\
         /**:\n  ros__parameters:\n",
    );
    let mut group = "";
    for d in definitions() {
        // A parameter of a group is below the name of the group, and further in.
        let (group_of_parameter, key) = d.name.split_once('.').unwrap_or(("", d.name));
        if group != group_of_parameter {
            group = group_of_parameter;
            if !group.is_empty() {
                // Writing to a String cannot fail, here and below.
                let _ = writeln!(out, "    {group}:");
            }
        }
        let indent = if group.is_empty() { "    " } else { "      " };
        let bounds = bounds(d).map_or_else(String::new, |b| format!(" {b}."));
        let when = match d.takes_effect {
            TakesEffect::Now => "",
            TakesEffect::WithConfigure => " A change needs cleanup and configure.",
            TakesEffect::ReadOnly => " Read at start.",
        };
        // A launch file sets it for all of its nodes, and a parameter file would override that.
        let comment = if d.name == "use_sim_time" { "# " } else { "" };
        let _ = writeln!(out, "{indent}# {}{bounds}{when}", d.description);
        let _ = writeln!(out, "{indent}{comment}{key}: {}", value(&d.default()));
    }
    out
}

/// Returns `docs/parameters.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Parameters\n\nMade by `promptseg_node --parameters markdown`. The part of a name before the dot is a group: \
         `track.max_objects` is `max_objects` below `track` in a parameter file, and `track.max_objects` for `-p` and `ros2 param set`. \
         A change by `ros2 param set` takes effect at once, or, \
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
    out.push_str(
        "\n## Renamed parameters\n\nThis version reads the former names everywhere: in a parameter file, on the command line, in a \
         launch file, and in the services of parameters. Setting one logs a warning with the new name. If both names are given, the \
         new name counts, also with the value of `config/promptseg.yaml`, and the log says so. The next version does not read the \
         former names.\n\n\
         | former name | name |\n|---|---|\n",
    );
    for d in definitions() {
        if let Some(former) = d.formerly {
            let _ = writeln!(out, "| `{former}` | `{}` |", d.name);
        }
    }
    out.push_str(
        "\n## Removed parameters\n\nThe node ignores these names with a warning.\n\n| parameter | reason |\n|---|---|\n",
    );
    for removed in REMOVED {
        let _ = writeln!(out, "| `{}` | {} |", removed.name, removed.reason);
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
        // YAML 1.1 reads these words as a boolean.
        ParameterValue::String(s) if ["off", "on", "no", "yes"].contains(&s.as_str()) => format!("'{s}'"),
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
