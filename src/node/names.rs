//! The names that topics have in the end: expanded, and remapped as the command line says. r2r hands only the short
//! names to rcl, and says nothing about what becomes of them.

use std::ffi::{CStr, CString, c_char};

use r2r::Node;
use r2r_rcl::{
    RCL_RET_OK, rcl_allocator_t, rcl_arguments_fini, rcl_arguments_t, rcl_get_zero_initialized_arguments,
    rcl_parse_arguments, rcl_ret_t, rcutils_get_default_allocator,
};

use super::NodeError;

unsafe extern "C" {
    /// rcl/remap.h, which r2r_rcl leaves out. `output` is null when no rule matches.
    fn rcl_remap_topic_name(
        local: *const rcl_arguments_t,
        global: *const rcl_arguments_t,
        topic: *const c_char,
        node_name: *const c_char,
        node_namespace: *const c_char,
        allocator: rcl_allocator_t,
        output: *mut *mut c_char,
    ) -> rcl_ret_t;
}

/// A node's names, and the remapping rules of its command line.
pub struct Names {
    rules: rcl_arguments_t,
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
        let pointers: Vec<*const c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
        let qualified = format!("{}/{node}", namespace.trim_end_matches('/'));
        let (node, namespace) = (c(node)?, c(namespace)?);
        // SAFETY: takes nothing, returns a plain value.
        let mut rules = unsafe { rcl_get_zero_initialized_arguments() };
        // SAFETY: `pointers` are as many strings as said, which end with a zero byte and live until the call is over: rcl
        // copies what it keeps. `rules` is zero-initialized, as asked for.
        let parsed = unsafe {
            rcl_parse_arguments(
                pointers.len() as i32,
                pointers.as_ptr(),
                rcutils_get_default_allocator(),
                &raw mut rules,
            )
        };
        if parsed != RCL_RET_OK as rcl_ret_t {
            return Err(r2r::Error::from_rcl_error(parsed).into());
        }
        Ok(Names { rules, node, namespace, qualified })
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
        let mut output: *mut c_char = std::ptr::null_mut();
        // SAFETY: `rules` was filled by rcl_parse_arguments and is not freed before `self`; no local rules are a null
        // pointer; the strings end with a zero byte and outlive the call, which writes at most one pointer to `output`.
        let remapped = unsafe {
            rcl_remap_topic_name(
                std::ptr::null(),
                &raw const self.rules,
                topic.as_ptr(),
                self.node.as_ptr(),
                self.namespace.as_ptr(),
                rcutils_get_default_allocator(),
                &raw mut output,
            )
        };
        if remapped != RCL_RET_OK as rcl_ret_t || output.is_null() {
            return name;
        }
        // SAFETY: rcl wrote a string that ends with a zero byte, with the allocator given above, and it is ours now.
        unsafe {
            let resolved = CStr::from_ptr(output).to_string_lossy().into_owned();
            let allocator = rcutils_get_default_allocator();
            if let Some(free) = allocator.deallocate {
                free(output.cast(), allocator.state);
            }
            resolved
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        // SAFETY: filled by rcl_parse_arguments, and freed only here.
        unsafe { rcl_arguments_fini(&raw mut self.rules) };
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
