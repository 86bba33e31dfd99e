//! How the node's parameters want its model to run.

use super::values::Parameters;
use crate::model::{GpuOptions, MEGABYTE, Precision, SessionOptions};
use crate::node::error::NodeError;

pub fn session_options(parameters: &Parameters) -> Result<SessionOptions, NodeError> {
    let number = |name: &str| parameters.integer(name).max(0) as usize;
    let mut providers = Vec::new();
    for name in parameters.texts("providers") {
        providers.push(name.parse()?);
    }
    Ok(SessionOptions {
        providers,
        precision: Precision::choice(parameters.text("precision"))?,
        threads: number("threads"),
        spinning: parameters.flag("spinning"),
        arena: parameters.text("arena").parse()?,
        gpu: GpuOptions {
            device_id: parameters.integer("device_id") as i32,
            memory: number("gpu_memory_mb") * MEGABYTE,
            fp16: parameters.flag("fp16"),
            int8: parameters.flag("int8"),
            workspace: number("tensorrt_workspace_mb") * MEGABYTE,
            engine_cache: GpuOptions::engine_cache_of(parameters.text("engine_cache")),
            timing_cache: parameters.flag("timing_cache"),
            cuda_graphs: parameters.flag("cuda_graphs"),
            self_check: parameters.flag("self_check"),
        },
        memory: parameters.flag("track_memory"),
        max_objects: number("max_objects"),
        max_tokens: number("max_tokens"),
        opt_objects: number("opt_objects"),
        opt_tokens: number("opt_tokens"),
    })
}

#[cfg(test)]
mod tests {
    use r2r::ParameterValue;

    use super::*;

    #[test]
    fn megabytes_are_a_million_bytes() {
        let mut parameters = Parameters::default();
        for name in ["gpu_memory_mb", "tensorrt_workspace_mb"] {
            parameters.set(name, &ParameterValue::Integer(3)).unwrap();
        }
        let gpu = session_options(&parameters).unwrap().gpu;
        assert_eq!((gpu.memory, gpu.workspace), (3_000_000, 3_000_000));
    }
}
