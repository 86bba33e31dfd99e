//! Full names of topics, expanded and remapped by the rules of the command line: r2r hands short names to rcl, and does not
//! return the full ones. Also the sections of parameter files that name the node.

use std::ffi::CString;

use r2r::Node;

use crate::native::arguments::{Arguments, Override};
use crate::node::error::NodeError;

/// Names of the node, with the rules of its command line.
pub struct Names {
    arguments: Arguments,
    node: CString,
    namespace: CString,
    /// Full name: `/namespace/node`.
    qualified: String,
}

impl Names {
    /// # Errors
    /// The node has no name.
    pub fn new(node: &Node, arguments: Arguments) -> Result<Self, NodeError> {
        Self::from_parts(&node.name()?, &node.namespace()?, arguments)
    }

    fn from_parts(node: &str, namespace: &str, arguments: Arguments) -> Result<Self, NodeError> {
        let c = |s: &str| CString::new(s).map_err(|_| r2r::Error::RCL_RET_INVALID_ARGUMENT);
        let qualified = format!("{}/{node}", namespace.trim_end_matches('/'));
        Ok(Names { arguments, node: c(node)?, namespace: c(namespace)?, qualified })
    }

    /// Name of the node's logger, as in rclcpp: `robot.seg` for `/robot/seg`.
    pub fn logger(&self) -> String {
        self.qualified.trim_start_matches('/').replace('/', ".")
    }

    /// Parameters of this node on the command line and in its files, in order.
    ///
    /// # Errors
    /// rcl fails to allocate memory.
    pub fn overrides(&self) -> r2r::Result<Vec<Override>> {
        let (own, others): (Vec<_>, Vec<_>) =
            self.arguments.overrides()?.into_iter().partition(|(section, _)| self.is_named_by(section));
        if own.is_empty() && !others.is_empty() {
            let others: Vec<String> = others.into_iter().map(|(section, _)| section).collect();
            let (node, others) = (&self.qualified, others.join(", "));
            tracing::warn!(
                "parameters: none is for {node}, only for {others}; a section names the node in full, or is /**"
            );
        }
        Ok(own.into_iter().flat_map(|(_, overrides)| overrides).collect())
    }

    /// Whether a section of a parameter file is for this node, as in rclcpp (`parameter_map.cpp`): a section is the full name of
    /// a node, with or without the first slash; `*` matches one part of the name, `**` any number of parts. So `seg` matches
    /// `/seg`, not `/robot/seg`.
    fn is_named_by(&self, section: &str) -> bool {
        fn matches(pattern: &[&str], name: &[&str]) -> bool {
            match pattern {
                [] => name.is_empty(),
                ["**", rest @ ..] => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
                [first, rest @ ..] => {
                    name.first().is_some_and(|part| ["*", part].contains(first)) && matches(rest, &name[1..])
                }
            }
        }
        let pattern: Vec<&str> = section.trim_start_matches('/').split('/').collect();
        let name: Vec<&str> = self.qualified.trim_start_matches('/').split('/').collect();
        matches(&pattern, &name)
    }

    /// Returns the full name before remapping, for example of `image`, `~/mask` or `/diagnostics`.
    pub fn expand(&self, name: &str) -> String {
        let namespace = self.namespace.to_string_lossy();
        match name.strip_prefix("~/") {
            Some(private) => format!("{}/{private}", self.qualified),
            None if name.starts_with('/') => name.to_owned(),
            None => format!("{}/{name}", namespace.trim_end_matches('/')),
        }
    }

    /// Returns the full name of a topic after remapping.
    pub fn resolve(&self, name: &str) -> String {
        let name = self.expand(name);
        let Ok(topic) = CString::new(name.as_str()) else { return name };
        self.arguments.remap(&topic, &self.node, &self.namespace).unwrap_or(name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, String> {
        let all = ["promptseg_node"].iter().chain(arguments);
        Arguments::parse(&all.map(|a| CString::new(*a).unwrap()).collect::<Vec<_>>())
    }

    fn named(node: &str, namespace: &str, arguments: &[&str]) -> Names {
        Names::from_parts(node, namespace, parse(arguments).unwrap()).unwrap()
    }

    pub fn names(rules: &[&str]) -> Names {
        let rules = rules.iter().flat_map(|r| ["-r", *r]);
        named("seg", "/robot", &["--ros-args"].into_iter().chain(rules).collect::<Vec<_>>())
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_the_reason() {
        for (arguments, expected) in [
            (&["--params-file", "/nowhere/x.yaml"][..], "/nowhere/x.yaml"),
            (&["-r", "image:=two words"], "image:=two words"),
            (&["-r", "image"], "'-r image'"),
            (&["-p", "a"], "'-p a'"),
            (&["--log-level", "loud"], "loud"),
            (&["--remapp", "a:=b"], "unknown ROS arguments: '--remapp' 'a:=b'"),
        ] {
            let message = parse(&[&["--ros-args"], arguments].concat()).map(|_| ()).unwrap_err();
            assert!(message.contains(expected) && !message.contains(".c:"), "{arguments:?}: {message}");
        }
    }

    #[test]
    fn the_log_level_behind_ros_args() {
        let level = |arguments: &[&str]| parse(arguments).unwrap().log_level();
        assert_eq!(level(&["--log-level", "warn"]), None, "an argument outside of --ros-args");
        assert_eq!(level(&["--ros-args", "-p", "a:=1"]), None);
        assert_eq!(level(&["--ros-args", "--log-level", "DEBUG", "-p", "a:=1"]), Some("debug"));
        assert_eq!(level(&["--ros-args", "--log-level", "FATAL"]), Some("error"));
        assert_eq!(level(&["--ros-args", "--log-level", "warn", "--log-level", "rcl:=debug"]), Some("warn"));
    }

    #[test]
    fn sections_of_parameter_files_are_matched_as_in_rclcpp() {
        let names = names(&[]);
        for section in ["/robot/seg", "robot/seg", "/**", "**", "/*/seg", "/**/seg", "/robot/*", "/robot/**", "/**/*"] {
            assert!(names.is_named_by(section), "{section}");
        }
        for section in [
            "seg",
            "/seg",
            "/robot",
            "robot",
            "/*",
            "/*/*/seg",
            "/rob*/seg",
            "/other/seg",
            "/robot/seg/more",
            "/robot/segment",
        ] {
            assert!(!names.is_named_by(section), "{section}");
        }
        let root = named("seg", "/", &[]);
        for (section, is_ours) in [("seg", true), ("/seg", true), ("/*", true), ("/**/seg", true), ("/*/seg", false)] {
            assert_eq!(root.is_named_by(section), is_ours, "{section}");
        }
    }

    #[test]
    fn parameters_of_the_command_line_and_of_files_keep_their_types_and_order() {
        let file = std::env::temp_dir().join(format!("promptseg_names_{}.yaml", std::process::id()));
        let text = "/*/seg:\n  ros__parameters:\n    a: true\n    b: 3\n    c: 0.5\n    d: text\n    e: [up, down]\n    f: [1, 2]\n\
                    robot:\n  seg:\n    ros__parameters:\n      b: 4\n/other:\n  ros__parameters:\n    b: 5\n";
        std::fs::write(&file, text).unwrap();
        let arguments = ["--ros-args", "--params-file", file.to_str().unwrap(), "-p", "c:=1.5"];
        let names = named("seg", "/robot", &arguments);
        std::fs::remove_file(&file).unwrap();
        let mut values: Vec<String> =
            names.overrides().unwrap().iter().map(|(name, v)| format!("{name} {v:?}")).collect();
        assert_eq!(values.pop().unwrap(), "c Double(1.5)", "the command line comes last");
        let e = r#"e StringArray(["up", "down"])"#;
        let file =
            ["a Bool(true)", "b Integer(3)", "c Double(0.5)", r#"d String("text")"#, e, "f IntegerArray([1, 2])"];
        assert_eq!(values, [&file[..], &["b Integer(4)"]].concat());
    }

    #[test]
    fn names_are_expanded() {
        let names = names(&[]);
        for (name, full) in
            [("image", "/robot/image"), ("~/mask", "/robot/seg/mask"), ("/tf", "/tf"), ("a/b", "/robot/a/b")]
        {
            assert_eq!((names.expand(name).as_str(), names.resolve(name).as_str()), (full, full));
        }
        assert_eq!((names.logger().as_str(), named("seg", "/", &[]).logger().as_str()), ("robot.seg", "seg"));
        let root = named("seg", "/", &[]);
        assert_eq!((root.resolve("image"), root.resolve("~/mask")), ("/image".into(), "/seg/mask".into()));
    }

    #[test]
    fn the_rules_of_the_command_line_apply() {
        let names = names(&["image:=/front/image_raw", "~/mask:=things", "other:point:=a", "seg:point:=b", "/tf:=tf"]);
        for (name, full) in [
            ("image", "/front/image_raw"),
            ("~/mask", "/robot/things"),
            ("point", "/robot/b"),
            ("/tf", "/robot/tf"),
            ("image/compressed", "/robot/image/compressed"),
        ] {
            assert_eq!(names.resolve(name), full);
        }
    }
}
