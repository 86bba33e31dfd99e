//! What rcl makes of a command line: remapping rules, which r2r leaves out, and parameters, of which r2r takes only those
//! that name the node in full or `/**`.

use std::ffi::{CStr, CString, c_char};

use r2r::ParameterValue;
use r2r_rcl::{
    RCL_RET_OK, rcl_allocator_t, rcl_arguments_fini, rcl_arguments_get_param_overrides, rcl_arguments_t,
    rcl_get_zero_initialized_arguments, rcl_parse_arguments, rcl_ret_t, rcl_variant_t, rcl_yaml_node_struct_fini,
    rcutils_get_default_allocator,
};

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

/// A ROS command line.
pub struct Arguments(rcl_arguments_t);

/// The name of a parameter, and its value.
pub type Override = (String, ParameterValue);

impl Arguments {
    /// # Errors
    /// It is no ROS command line.
    pub fn parse(arguments: &[CString]) -> r2r::Result<Self> {
        let pointers: Vec<*const c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
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
        if parsed == RCL_RET_OK as rcl_ret_t { Ok(Arguments(rules)) } else { Err(r2r::Error::from_rcl_error(parsed)) }
    }

    /// The sections of its parameter files and `-p`, each with the nodes that it is for, in order: of a parameter that is
    /// given twice, the later one counts.
    ///
    /// # Errors
    /// rcl has no memory.
    pub fn overrides(&self) -> r2r::Result<Vec<(String, Vec<Override>)>> {
        let mut found = std::ptr::null_mut();
        // SAFETY: the arguments were filled by rcl_parse_arguments; a copy of their parameters is written to `found`, or
        // nothing where there are none.
        let outcome = unsafe { rcl_arguments_get_param_overrides(&raw const self.0, &raw mut found) };
        if outcome != RCL_RET_OK as rcl_ret_t {
            return Err(r2r::Error::from_rcl_error(outcome));
        }
        // SAFETY: null, or parameters that are ours until they are freed below.
        let Some(params) = (unsafe { found.as_ref() }) else { return Ok(Vec::new()) };
        let mut sections = Vec::with_capacity(params.num_nodes);
        // SAFETY: rcl_yaml_param_parser fills arrays of the sizes that stand beside them, of strings that end with a zero
        // byte; all of it lives until it is freed below, and is copied here.
        unsafe {
            for (name, node) in
                slice(params.node_names, params.num_nodes).iter().zip(slice(params.params, params.num_nodes))
            {
                let names = slice(node.parameter_names, node.num_params);
                let values = slice(node.parameter_values, node.num_params);
                let overrides = names.iter().zip(values).map(|(name, value)| (text(*name), value_of(value)));
                sections.push((text(*name), overrides.collect()));
            }
            rcl_yaml_node_struct_fini(found);
        }
        Ok(sections)
    }

    /// The full name of a topic after remapping, where a rule matches.
    pub fn remap(&self, topic: &CStr, node: &CStr, namespace: &CStr) -> Option<String> {
        let mut output: *mut c_char = std::ptr::null_mut();
        // SAFETY: the rules were filled by rcl_parse_arguments and are not freed before `self`; no local rules are a null
        // pointer; the strings end with a zero byte and outlive the call, which writes at most one pointer to `output`.
        let remapped = unsafe {
            rcl_remap_topic_name(
                std::ptr::null(),
                &raw const self.0,
                topic.as_ptr(),
                node.as_ptr(),
                namespace.as_ptr(),
                rcutils_get_default_allocator(),
                &raw mut output,
            )
        };
        if remapped != RCL_RET_OK as rcl_ret_t || output.is_null() {
            return None;
        }
        // SAFETY: rcl wrote a string that ends with a zero byte, with the allocator given above, and it is ours now.
        unsafe {
            let resolved = CStr::from_ptr(output).to_string_lossy().into_owned();
            let allocator = rcutils_get_default_allocator();
            if let Some(free) = allocator.deallocate {
                free(output.cast(), allocator.state);
            }
            Some(resolved)
        }
    }
}

impl Drop for Arguments {
    fn drop(&mut self) {
        // SAFETY: filled by rcl_parse_arguments, and freed only here.
        unsafe { rcl_arguments_fini(&raw mut self.0) };
    }
}

/// # Safety
/// `first` is null, or the first of `length` values that live as long as what is made of them here.
unsafe fn slice<'a, T>(first: *const T, length: usize) -> &'a [T] {
    // SAFETY: as the caller says.
    if first.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(first, length) } }
}

/// # Safety
/// A string that ends with a zero byte.
unsafe fn text(string: *const c_char) -> String {
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// # Safety
/// As rcl_yaml_param_parser fills it: one pointer is not null, to a value or to an array with its size.
unsafe fn value_of(value: &rcl_variant_t) -> ParameterValue {
    // SAFETY: as the caller says.
    unsafe {
        if let Some(v) = value.bool_value.as_ref() {
            ParameterValue::Bool(*v)
        } else if let Some(v) = value.integer_value.as_ref() {
            ParameterValue::Integer(*v)
        } else if let Some(v) = value.double_value.as_ref() {
            ParameterValue::Double(*v)
        } else if !value.string_value.is_null() {
            ParameterValue::String(text(value.string_value))
        } else if let Some(list) = value.byte_array_value.as_ref() {
            ParameterValue::ByteArray(slice(list.values, list.size).to_vec())
        } else if let Some(list) = value.bool_array_value.as_ref() {
            ParameterValue::BoolArray(slice(list.values, list.size).to_vec())
        } else if let Some(list) = value.integer_array_value.as_ref() {
            ParameterValue::IntegerArray(slice(list.values, list.size).to_vec())
        } else if let Some(list) = value.double_array_value.as_ref() {
            ParameterValue::DoubleArray(slice(list.values, list.size).to_vec())
        } else if let Some(list) = value.string_array_value.as_ref() {
            let list: &[*mut c_char] = slice(list.data, list.size);
            ParameterValue::StringArray(list.iter().map(|s| text(*s)).collect())
        } else {
            ParameterValue::NotSet
        }
    }
}
