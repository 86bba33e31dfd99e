//! Parameters of the previous version that do not exist any more.

/// A removed parameter. Its value is ignored, with a warning.
pub struct Removed {
    pub name: &'static str,
    /// Reason for the removal, and what happens without the parameter.
    pub reason: &'static str,
}

/// Removed parameters, in the order of `docs/parameters.md`.
pub const REMOVED: &[Removed] = &[
    Removed { name: "timing_cache", reason: "the timings of TensorRT's operators are always kept beside its engines" },
    Removed {
        name: "opt_objects",
        reason: "TensorRT's engine is always the fastest for one object, which is what a click waits for",
    },
    Removed {
        name: "opt_tokens",
        reason: "TensorRT's engine is always the fastest for two prompt tokens, which is a click or a box",
    },
];

/// Returns a removed parameter.
pub fn removed(name: &str) -> Option<&'static Removed> {
    REMOVED.iter().find(|r| r.name == name)
}
