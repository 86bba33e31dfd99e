//! Table of the node's parameters: defines each with its type, default, bounds, the field of
//! [`Config`](super::groups::Config) that holds the value, and the time at which a change takes effect.
//!
//! A group has a file of its own, with the name of the group: the parameters `track.*` are in `track.rs`. The parameters
//! without a group are in `model`, `cameras`, `prompts` and `process`. [`removed`] lists parameters of the previous version that
//! do not exist any more.

mod cameras;
mod classes;
mod click;
mod console;
mod defaults;
mod depth;
mod detections;
mod encode;
mod everything;
mod gpu;
mod image_plane;
mod keep;
mod model;
mod openvino;
mod output;
mod persistence;
mod process;
mod prompts;
pub mod removed;
mod session;
mod tensorrt;
mod text;
mod track;

use super::definition::Definition;

/// Files of the table, in the order of `config/promptseg.yaml`.
const FILES: &[&[Definition]] = &[
    model::MODEL,
    session::SESSION,
    gpu::GPU,
    tensorrt::TENSORRT,
    openvino::OPENVINO,
    cameras::CAMERAS,
    encode::ENCODE,
    keep::KEEP,
    prompts::PROMPTS,
    click::CLICK,
    persistence::PERSISTENCE,
    detections::DETECTIONS,
    text::TEXT,
    track::TRACK,
    everything::EVERYTHING,
    image_plane::IMAGE_PLANE,
    output::OUTPUT,
    classes::CLASSES,
    depth::DEPTH,
    console::CONSOLE,
    process::PROCESS,
];

/// Returns the definitions of all parameters, in the order of `config/promptseg.yaml`.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    FILES.iter().copied().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns the group of a parameter, if it has one.
    fn group(d: &Definition) -> Option<&'static str> {
        d.name.split_once('.').map(|(group, _)| group)
    }

    #[test]
    fn a_group_is_one_file() {
        let mut groups = BTreeSet::new();
        for file in FILES {
            let group_of_file = group(&file[0]);
            assert!(file.iter().all(|d| group(d) == group_of_file), "the file of {} mixes groups", file[0].name);
            if let Some(name) = group_of_file {
                assert!(groups.insert(name), "the group {name} has several files");
            }
        }
        // In YAML a key has a value or parameters below it.
        assert_eq!(definitions().find(|d| groups.contains(d.name)).map(|d| d.name), None);
        assert!(definitions().all(|d| d.name.matches('.').count() < 2));
    }

    #[test]
    fn no_name_has_two_meanings() {
        let mut names = BTreeSet::new();
        let current = definitions().map(|d| d.name);
        let former = definitions().filter_map(|d| d.formerly);
        for name in current.chain(former).chain(removed::REMOVED.iter().map(|r| r.name)) {
            assert!(names.insert(name), "{name}");
        }
    }
}
