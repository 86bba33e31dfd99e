//! The names that topics have in the end: expanded, and remapped as the command line says. r2r hands only the short
//! names to rcl, and says nothing about what becomes of them.

use std::ffi::CString;

use r2r::Node;

use super::NodeError;
use crate::native::remap::Rules;

/// A node's names, and the remapping rules of its command line.
pub struct Names {
    rules: Rules,
    node: CString,
    namespace: CString,
    /// `/namespace/node`
    qualified: String,
}

impl Names {
    /// # Errors
    /// The command line is no ROS command line.
    pub fn of(node: &Node) -> Result<Self, NodeError> {
        Self::new(&node.name()?, &node.namespace()?, std::env::args())
    }

    fn new(node: &str, namespace: &str, arguments: impl Iterator<Item = String>) -> Result<Self, NodeError> {
        let c = |s: &str| CString::new(s).map_err(|_| r2r::Error::RCL_RET_INVALID_ARGUMENT);
        let arguments = arguments.map(|a| c(&a)).collect::<Result<Vec<_>, _>>()?;
        let qualified = format!("{}/{node}", namespace.trim_end_matches('/'));
        Ok(Names { rules: Rules::parse(&arguments)?, node: c(node)?, namespace: c(namespace)?, qualified })
    }

    /// The full name before remapping: of `image`, `~/mask` or `/diagnostics`.
    pub fn expand(&self, name: &str) -> String {
        let namespace = self.namespace.to_string_lossy();
        match name.strip_prefix("~/") {
            Some(private) => format!("{}/{private}", self.qualified),
            None if name.starts_with('/') => name.to_owned(),
            None => format!("{}/{name}", namespace.trim_end_matches('/')),
        }
    }

    /// The full name of a topic after remapping.
    pub fn resolve(&self, name: &str) -> String {
        let name = self.expand(name);
        let Ok(topic) = CString::new(name.as_str()) else { return name };
        self.rules.remap(&topic, &self.node, &self.namespace).unwrap_or(name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn names(rules: &[&str]) -> Names {
        let rules = rules.iter().flat_map(|r| ["-r", r]);
        let arguments = ["promptseg_node", "--ros-args"].into_iter().chain(rules).map(str::to_owned);
        Names::new("seg", "/robot", arguments).unwrap()
    }

    #[test]
    fn names_are_expanded() {
        let names = names(&[]);
        for (name, full) in
            [("image", "/robot/image"), ("~/mask", "/robot/seg/mask"), ("/tf", "/tf"), ("a/b", "/robot/a/b")]
        {
            assert_eq!((names.expand(name).as_str(), names.resolve(name).as_str()), (full, full));
        }
        let root = Names::new("seg", "/", std::iter::empty()).unwrap();
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
