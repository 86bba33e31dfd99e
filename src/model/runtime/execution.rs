//! From [`SessionOptions`] to the options of ONNX Runtime: those of the session, and those of each execution provider.

use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider as _, ArenaExtendStrategy, ExecutionProviderDispatch};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use serde_json::json;

use super::engine_cache::EngineCache;
use super::external_weights;
use super::graph_cut;
use super::graph_file::GraphFile;
use super::library;
use super::options::{Arena, SessionOptions};
use super::shape_profile::ShapeProfile;
use crate::model::bundle::file_checks;
use crate::model::precision::Precision;
use crate::model::provider::Provider;

/// Option of the session: matrix products of fp32 graphs run in bf16 on ARM.
const ARM_BF16: &str = "mlas.enable_gemm_fastmath_arm64_bfloat16";

/// Provider and options of one session.
#[derive(Clone, Copy)]
pub struct SessionPlan<'a> {
    pub provider: Provider,
    /// Precision below fp32 in which the provider may compute. An fp16 graph and a graph with 8-bit weights need TensorRT's
    /// permission.
    pub lower: Option<Precision>,
    pub options: &'a SessionOptions,
    pub profile: &'a ShapeProfile,
    /// Outputs that are read. Empty: all.
    pub outputs: &'a [String],
    /// Whether all runs have the same shapes, so that one CUDA graph can replay each run.
    pub fixed_shapes: bool,
}

impl SessionPlan<'_> {
    /// Returns the precision in which a provider that compiles the graph computes operators in fp32.
    pub fn computes(&self) -> Precision {
        self.lower.unwrap_or(Precision::Fp32)
    }

    /// Opens a session. `engines` is the folder of the provider's engines.
    ///
    /// # Errors
    /// The reason in words, if the provider refuses the graph.
    pub fn open(&self, graph: GraphFile<'_>, engines: Option<&EngineCache>) -> Result<Session, String> {
        let mut builder = self.builder(engines).map_err(|e| e.to_string())?;
        commit(&mut builder, graph, self.outputs)
    }

    fn builder(&self, engines: Option<&EngineCache>) -> ort::Result<SessionBuilder> {
        let environment = library::environment().map_err(|e| ort::Error::new(e.to_string()))?;
        let options = self.options;
        let mut builder = Session::builder(&environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_op_spinning(options.spinning || library::limits_spinning())?
            // Threads never spin between two runs.
            .with_config_entry("session.force_spinning_stop", "1")?
            .with_intra_threads(options.session_threads())?
            // A memory pattern is allocated beside the memory of the first run: MobileSAM's encoder would hold twice as much.
            .with_memory_pattern(options.arena == Arena::Doubling)?;
        if !options.spinning {
            // The next operator of a run usually follows within this time. Longer spinning takes cores from other programs.
            builder = builder
                .with_config_entry("session.intra_op.spin_duration_us", "20")?
                .with_config_entry("session.intra_op.spin_backoff_max", "8")?;
        }
        if let Some((key, value)) = self.kernels() {
            builder = builder.with_config_entry(key, value)?;
        }
        if options.arena == Arena::Exact {
            // The arena of the process, which all sessions share (`library`).
            builder = builder.with_env_allocators()?;
        }
        Ok(builder.with_execution_providers(self.providers(engines))?)
    }

    /// Returns the option for the kernels of the CPU provider, if they may compute in bf16.
    fn kernels(&self) -> Option<(&'static str, &'static str)> {
        (self.provider == Provider::Cpu && self.lower == Some(Precision::Bf16)).then_some((ARM_BF16, "1"))
    }

    fn providers(&self, engines: Option<&EngineCache>) -> Vec<ExecutionProviderDispatch> {
        match self.provider {
            Provider::Tensorrt => {
                // Operators that TensorRT does not support run on CUDA.
                vec![self.tensorrt(engines).build().error_on_failure(), self.cuda(false).build()]
            }
            Provider::OpenVino => vec![self.openvino(engines).build().error_on_failure()],
            Provider::Cuda => vec![self.cuda(self.cuda_graph()).build().error_on_failure()],
            Provider::Cpu => {
                vec![ep::CPU::default().with_arena_allocator(self.options.arena != Arena::Off).build()]
            }
        }
    }

    /// Returns whether a CUDA graph replays the runs.
    fn cuda_graph(&self) -> bool {
        self.fixed_shapes && self.options.gpu.cuda_graphs
    }

    fn cuda(&self, cuda_graph: bool) -> ep::CUDA {
        let gpu = &self.options.gpu;
        let strategy = match self.options.arena {
            Arena::Doubling => ArenaExtendStrategy::NextPowerOfTwo,
            Arena::Exact | Arena::Off => ArenaExtendStrategy::SameAsRequested,
        };
        let mut cuda = ep::CUDA::default()
            .with_device_id(gpu.device_id)
            .with_arena_extend_strategy(strategy)
            // As PyTorch's default for matrix products: TF32 has 10 bits of mantissa, fp32 has 23.
            .with_tf32(false)
            .with_cuda_graph(cuda_graph);
        if gpu.memory > 0 {
            cuda = cuda.with_memory_limit(gpu.memory);
        }
        cuda
    }

    fn openvino(&self, engines: Option<&EngineCache>) -> ep::OpenVINO {
        let device = self.options.openvino.device.as_str();
        let hint = match self.computes() {
            Precision::Bf16 => "bf16",
            Precision::Fp16 => "f16",
            Precision::Fp32 | Precision::Int8 => "f32",
        };
        // Without the hint OpenVINO computes in bf16 on each CPU that can.
        let mut config = json!({ "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY" });
        if self.options.openvino.on_cpu() {
            config["INFERENCE_NUM_THREADS"] = json!(self.options.session_threads().to_string());
            // Encoder and decoder run at the same time: pinned threads of both would share some cores and leave others idle.
            config["ENABLE_CPU_PINNING"] = json!("NO");
        }
        if let Some(engines) = engines {
            config["CACHE_DIR"] = json!(engines.folder().display().to_string());
        }
        let (kind, _) = device.split_once('.').unwrap_or((device, ""));
        let config = json!({ kind: config });
        ep::OpenVINO::default().with_device_type(device).with_arbitrary_config("load_config", config)
    }

    fn tensorrt(&self, engines: Option<&EngineCache>) -> ep::TensorRT {
        let gpu = &self.options.gpu;
        let mut trt = ep::TensorRT::default()
            .with_device_id(gpu.device_id)
            .with_fp16(self.lower == Some(Precision::Fp16))
            .with_int8(gpu.int8 || self.lower == Some(Precision::Int8))
            .with_cuda_graph(self.cuda_graph());
        if self.lower == Some(Precision::Fp16) {
            trt = trt.with_layer_norm_fp32_fallback(true);
        }
        if gpu.workspace > 0 {
            trt = trt.with_max_workspace_size(gpu.workspace);
        }
        let profile = self.profile;
        if !profile.min.is_empty() {
            trt = trt
                .with_profile_min_shapes(&profile.min)
                .with_profile_opt_shapes(&profile.opt)
                .with_profile_max_shapes(&profile.max);
        }
        if let Some(engines) = engines {
            let path = engines.folder().display();
            trt = trt
                .with_engine_cache(true)
                .with_engine_cache_path(path)
                .with_timing_cache(true)
                .with_timing_cache_path(engines.timings().display());
        }
        trt
    }
}

/// Loads a graph with the options of `builder`, without what no output of `outputs` needs.
///
/// # Errors
/// The reason in words, if the file cannot be read or ONNX Runtime refuses the graph.
pub fn commit(builder: &mut SessionBuilder, graph: GraphFile<'_>, outputs: &[String]) -> Result<Session, String> {
    if let Some(content) = cut(graph, outputs)? {
        return builder.commit_from_memory(&content).map_err(|e| e.to_string());
    }
    let session = match graph {
        GraphFile::Path(path) => builder.commit_from_file(path),
        GraphFile::Bundled(bundle, name) => match bundle.path(name) {
            Some(path) => builder.commit_from_file(path),
            None => builder.commit_from_memory(&bundle.read(name).map_err(|e| e.to_string())?),
        },
    };
    session.map_err(|e| e.to_string())
}

/// Returns a graph without what no output of `outputs` needs. None if it needs no cut, or has weights in other files, for which ONNX
/// Runtime needs the graph's folder.
fn cut(graph: GraphFile<'_>, outputs: &[String]) -> Result<Option<Vec<u8>>, String> {
    let GraphFile::Path(path) = graph else { return Ok(None) };
    if outputs.is_empty() {
        return Ok(None);
    }
    let content = file_checks::read(path, file_checks::MAX_GRAPH).map_err(|e| e.to_string())?;
    let cut = match external_weights::locations(&content) {
        Ok(locations) if !locations.is_empty() => return Ok(None),
        Ok(_) => graph_cut::cut(&content, outputs),
        Err(e) => Err(e),
    };
    cut.map_err(|e| format!("not an ONNX graph: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_computes_in_bf16_by_the_option_of_its_kernels_alone() {
        let options = SessionOptions::default();
        let kernels = |provider, lower| {
            let profile = &ShapeProfile::default();
            SessionPlan { provider, lower, options: &options, profile, outputs: &[], fixed_shapes: false }.kernels()
        };
        let on = Some(("mlas.enable_gemm_fastmath_arm64_bfloat16", "1"));
        assert_eq!(kernels(Provider::Cpu, Some(Precision::Bf16)), on);
        assert_eq!(kernels(Provider::Cpu, None), None);
        assert_eq!(kernels(Provider::OpenVino, Some(Precision::Bf16)), None);
    }
}
