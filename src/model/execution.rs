//! From [`SessionOptions`] to what ONNX Runtime is told: session options and providers with their keys and values.

use ort::ep::{self, ArenaExtendStrategy, ExecutionProviderDispatch};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::engines::Engines;
use super::options::{Arena, SessionOptions};
use super::{Provider, runtime};

/// Lowest, usual and highest shapes of the dynamic inputs: TensorRT builds its engine for this range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ShapeProfile {
    pub min: String,
    pub opt: String,
    pub max: String,
}

impl ShapeProfile {
    pub fn add(&mut self, name: &str, min: &[usize], opt: &[usize], max: &[usize]) {
        for (text, shape) in [(&mut self.min, min), (&mut self.opt, opt), (&mut self.max, max)] {
            if !text.is_empty() {
                text.push(',');
            }
            let dimensions = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
            text.push_str(&format!("{name}:{dimensions}"));
        }
    }
}

/// One session to be made.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    pub provider: Provider,
    /// Whether TensorRT may compute in half precision.
    pub half: bool,
    pub options: &'a SessionOptions,
    pub profile: &'a ShapeProfile,
    /// Whether one CUDA graph may stand for every run: only where no shape changes.
    pub fixed_shapes: bool,
}

impl Plan<'_> {
    /// `engines` is where TensorRT keeps what it builds.
    pub fn builder(&self, engines: Option<&Engines>) -> ort::Result<SessionBuilder> {
        let environment = runtime::environment().map_err(|e| ort::Error::new(e.to_string()))?;
        let options = self.options;
        let mut builder = Session::builder(&environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_op_spinning(options.spinning || runtime::spins_briefly())?
            // Never after a run, for the next one.
            .with_config_entry("session.force_spinning_stop", "1")?
            .with_intra_threads(options.session_threads())?
            // A pattern is planned memory beside what the first run took: MobileSAM's encoder would hold twice as much.
            .with_memory_pattern(options.arena == Arena::Doubling)?;
        if !options.spinning {
            // As long as the next operator of a run usually takes to come; more is taken from who else wants the cores.
            builder = builder
                .with_config_entry("session.intra_op.spin_duration_us", "20")?
                .with_config_entry("session.intra_op.spin_backoff_max", "8")?;
        }
        if options.arena == Arena::Exact {
            // The process-wide arena of `runtime`, which all sessions share.
            builder = builder.with_env_allocators()?;
        }
        Ok(builder.with_execution_providers(self.providers(engines))?)
    }

    fn providers(&self, engines: Option<&Engines>) -> Vec<ExecutionProviderDispatch> {
        match self.provider {
            Provider::Tensorrt => {
                // What TensorRT cannot take of a graph runs on CUDA beside it.
                vec![self.tensorrt(engines).build().error_on_failure(), self.cuda(false).build()]
            }
            Provider::Cuda => vec![self.cuda(self.graph()).build().error_on_failure()],
            Provider::Cpu => {
                vec![ep::CPU::default().with_arena_allocator(self.options.arena != Arena::Off).build()]
            }
        }
    }

    fn graph(&self) -> bool {
        self.fixed_shapes && self.options.gpu.cuda_graphs
    }

    fn cuda(&self, graph: bool) -> ep::CUDA {
        let gpu = &self.options.gpu;
        let strategy = match self.options.arena {
            Arena::Doubling => ArenaExtendStrategy::NextPowerOfTwo,
            Arena::Exact | Arena::Off => ArenaExtendStrategy::SameAsRequested,
        };
        let mut cuda = ep::CUDA::default()
            .with_device_id(gpu.device_id)
            .with_arena_extend_strategy(strategy)
            // Like PyTorch's own default for matrices: 10 bits of mantissa are not fp32.
            .with_tf32(false)
            .with_cuda_graph(graph);
        if gpu.memory > 0 {
            cuda = cuda.with_memory_limit(gpu.memory);
        }
        cuda
    }

    fn tensorrt(&self, engines: Option<&Engines>) -> ep::TensorRT {
        let gpu = &self.options.gpu;
        let mut trt = ep::TensorRT::default()
            .with_device_id(gpu.device_id)
            .with_fp16(self.half)
            .with_int8(gpu.int8)
            .with_cuda_graph(self.graph());
        if self.half {
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
            trt = trt.with_engine_cache(true).with_engine_cache_path(path);
            if gpu.timing_cache {
                trt = trt.with_timing_cache(true).with_timing_cache_path(engines.timings().display());
            }
        }
        trt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_profile_is_written_as_tensorrt_wants_it() {
        let mut profile = ShapeProfile::default();
        profile.add("a", &[1, 1, 2], &[1, 2, 2], &[64, 16, 2]);
        profile.add("b", &[1], &[1], &[64]);
        assert_eq!(profile.min, "a:1x1x2,b:1");
        assert_eq!(profile.max, "a:64x16x2,b:64");
    }
}
