//! ROS command lines, parsed by rcl. r2r offers no remapping rules, and of the parameters only the sections for the full
//! name of the node and for `/**`.

use std::ffi::{CStr, CString, c_char, c_int};

use r2r::ParameterValue;
use r2r_rcl::{
    RCL_RET_OK, rcl_allocator_t, rcl_arguments_fini, rcl_arguments_get_count_unparsed_ros,
    rcl_arguments_get_log_levels, rcl_arguments_get_param_overrides, rcl_arguments_get_unparsed_ros, rcl_arguments_t,
    rcl_get_zero_initialized_arguments, rcl_get_zero_initialized_log_levels, rcl_log_levels_fini, rcl_parse_arguments,
    rcl_ret_t, rcl_variant_t, rcl_yaml_node_struct_fini, rcutils_get_default_allocator,
};

use super::log;

unsafe extern "C" {
    /// Declared in rcl/remap.h; r2r_rcl has no binding. `output` is null if no rule matches.
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

/// A parsed ROS command line.
pub struct Arguments(rcl_arguments_t);

/// Name and value of a parameter.
pub type Override = (String, ParameterValue);

impl Arguments {
    /// Parses a command line.
    ///
    /// # Errors
    /// The reason, when it is no ROS command line, or a file that it names cannot be read.
    pub fn parse(arguments: &[CString]) -> Result<Self, String> {
        let pointers: Vec<*const c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
        // SAFETY: the function has no arguments and returns a plain value.
        let mut rules = unsafe { rcl_get_zero_initialized_arguments() };
        // SAFETY: `pointers` holds `pointers.len()` strings, which end with a zero byte and outlive the call; rcl
        // copies the strings that it keeps. `rules` is zero-initialized, as rcl requires.
        let parsed = unsafe {
            rcl_parse_arguments(
                pointers.len() as i32,
                pointers.as_ptr(),
                rcutils_get_default_allocator(),
                &raw mut rules,
            )
        };
        if parsed != RCL_RET_OK as rcl_ret_t {
            return Err(log::last_error());
        }
        let parsed = Arguments(rules);
        match parsed.unknown(arguments).as_slice() {
            [] => Ok(parsed),
            unknown => Err(format!("unknown ROS arguments: {}", unknown.join(" "))),
        }
    }

    /// Returns the arguments after `--ros-args` that rcl does not know.
    fn unknown(&self, arguments: &[CString]) -> Vec<String> {
        let mut indices: *mut c_int = std::ptr::null_mut();
        // SAFETY: rcl_parse_arguments filled the arguments. The call writes `count` indices to memory of the given
        // allocator, which is freed below. The pointer stays null if there are no indices.
        unsafe {
            let count = rcl_arguments_get_count_unparsed_ros(&raw const self.0);
            let allocator = rcutils_get_default_allocator();
            if count <= 0
                || rcl_arguments_get_unparsed_ros(&raw const self.0, allocator, &raw mut indices)
                    != RCL_RET_OK as rcl_ret_t
            {
                return Vec::new();
            }
            let argument = |i: &c_int| arguments.get(usize::try_from(*i).ok()?);
            let unknown = slice(indices, usize::try_from(count).unwrap_or_default()).iter().filter_map(argument);
            let unknown = unknown.map(|a| format!("'{}'", a.to_string_lossy())).collect();
            if let Some(free) = allocator.deallocate {
                free(indices.cast(), allocator.state);
            }
            unknown
        }
    }

    /// Returns the level of the last `--log-level LEVEL` as a level of `tracing`. rcutils itself applies the levels of single
    /// loggers (`NODE:=LEVEL`).
    pub fn log_level(&self) -> Option<&'static str> {
        // SAFETY: rcl_parse_arguments filled the arguments. The copy of their levels is freed below.
        let severity = unsafe {
            let mut levels = rcl_get_zero_initialized_log_levels();
            if rcl_arguments_get_log_levels(&raw const self.0, &raw mut levels) != RCL_RET_OK as rcl_ret_t {
                return None;
            }
            let severity = levels.default_logger_level as c_int;
            // The call fails only if there are no levels.
            let _ = rcl_log_levels_fini(&raw mut levels);
            severity
        };
        match severity {
            ..=0 => None,
            1..=10 => Some("debug"),
            11..=20 => Some("info"),
            21..=30 => Some("warn"),
            _ => Some("error"),
        }
    }

    /// Returns the sections of the parameter files and of `-p` in their order, each with the name pattern of its nodes.
    /// If a parameter is given twice, the later value counts.
    ///
    /// # Errors
    /// The error of rcl, if memory is exhausted.
    pub fn overrides(&self) -> r2r::Result<Vec<(String, Vec<Override>)>> {
        let mut parsed = std::ptr::null_mut();
        // SAFETY: rcl_parse_arguments filled the arguments. The call writes a copy of their parameters to `parsed`, or
        // leaves `parsed` null without parameters.
        let outcome = unsafe { rcl_arguments_get_param_overrides(&raw const self.0, &raw mut parsed) };
        if outcome != RCL_RET_OK as rcl_ret_t {
            return Err(r2r::Error::from_rcl_error(outcome));
        }
        // SAFETY: `parsed` is null, or points to parameters that this function owns and frees below.
        let Some(params) = (unsafe { parsed.as_ref() }) else { return Ok(Vec::new()) };
        let mut sections = Vec::with_capacity(params.num_nodes);
        // SAFETY: rcl_yaml_param_parser fills arrays of the sizes that it stores beside them; their strings end with a
        // zero byte. The parameters live until they are freed below, and are copied here.
        unsafe {
            for (name, node) in
                slice(params.node_names, params.num_nodes).iter().zip(slice(params.params, params.num_nodes))
            {
                let names = slice(node.parameter_names, node.num_params);
                let values = slice(node.parameter_values, node.num_params);
                let overrides = names.iter().zip(values).map(|(name, value)| (text(*name), value_of(value)));
                sections.push((text(*name), overrides.collect()));
            }
            rcl_yaml_node_struct_fini(parsed);
        }
        Ok(sections)
    }

    /// Returns the full name of a topic after remapping, if a rule matches.
    pub fn remap(&self, topic: &CStr, node: &CStr, namespace: &CStr) -> Option<String> {
        let mut output: *mut c_char = std::ptr::null_mut();
        // SAFETY: rcl_parse_arguments filled the rules, and they live as long as `self`. A null pointer means no local
        // rules. The strings end with a zero byte and outlive the call, which writes at most one pointer to `output`.
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
        // SAFETY: `output` is a string that ends with a zero byte. rcl allocated the string with the allocator given
        // above and passed its ownership to this function.
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
        // SAFETY: rcl_parse_arguments filled the arguments, and only this function frees them.
        unsafe { rcl_arguments_fini(&raw mut self.0) };
    }
}

/// Returns `length` values from `first` on, or none if `first` is null.
///
/// # Safety
/// `first` must be null, or point to `length` values that outlive the result.
unsafe fn slice<'a, T>(first: *const T, length: usize) -> &'a [T] {
    // SAFETY: the caller upholds the contract.
    if first.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(first, length) } }
}

/// Copies a C string.
///
/// # Safety
/// `string` must end with a zero byte.
unsafe fn text(string: *const c_char) -> String {
    // SAFETY: the caller upholds the contract.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// Copies the value of a parameter.
///
/// # Safety
/// rcl_yaml_param_parser must have filled `value`: at most one pointer is not null, and points to a value or to an
/// array with its size.
unsafe fn value_of(value: &rcl_variant_t) -> ParameterValue {
    // SAFETY: the caller upholds the contract.
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
