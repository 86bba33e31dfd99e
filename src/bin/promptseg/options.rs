//! How a model runs, as it is typed. docs/providers.md explains each; the node has parameters of the same names.

use clap::{ArgAction, Args};
use promptseg::model::{self, Arena, GpuOptions, MEGABYTE, Precision, Provider, SessionOptions};

#[derive(Args)]
pub struct ModelOptions {
    /// Which of a bundle's variants runs; auto takes what the bundle lists for the provider, or fp32.
    #[arg(long, value_name = "P", default_value = "auto", value_parser = Precision::CHOICES)]
    precision: String,
    /// Execution providers, asked for in this order.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "tensorrt,cuda,cpu")]
    pub providers: Vec<Provider>,
    /// Threads on the CPU; 0 takes one for each physical core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Threads wait busily as long as a run takes: faster where nothing else runs.
    #[arg(long, help_heading = "Sessions")]
    spinning: bool,
    /// How memory grows: exact, doubling (ONNX Runtime's own), off.
    #[arg(long, value_name = "A", default_value = "exact", value_parser = Arena::CHOICES, help_heading = "Sessions")]
    arena: String,
    /// Most objects in one run of the decoder.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one, help_heading = "Sessions")]
    max_objects: usize,
    /// Number of the GPU.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..64), help_heading = GPU)]
    device_id: i32,
    /// Most memory of CUDA's arena in MB; 0 is all of the GPU's.
    #[arg(long, value_name = "MB", default_value_t = 0, help_heading = GPU)]
    gpu_memory_mb: usize,
    /// TensorRT makes an fp32 graph half precision by itself.
    #[arg(long, help_heading = GPU)]
    fp16: bool,
    /// TensorRT may compute quantised operators in 8 bits.
    #[arg(long, help_heading = GPU)]
    int8: bool,
    /// Most scratch memory of TensorRT's operators in MB; 0 is TensorRT's own choice.
    #[arg(long, value_name = "MB", default_value_t = 0, help_heading = GPU)]
    tensorrt_workspace_mb: usize,
    /// Folder of TensorRT's engines: ~/.cache/promptseg/engines without it, `none` builds them at each start.
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true, help_heading = GPU)]
    engine_cache: String,
    /// Keep TensorRT's timings there too.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = GPU)]
    timing_cache: bool,
    /// Objects of one run that TensorRT's engine is the fastest for.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one, help_heading = GPU)]
    opt_objects: usize,
    /// Prompt tokens of an object that TensorRT's engine is the fastest for.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least_one, help_heading = GPU)]
    opt_tokens: usize,
    /// Most prompt tokens of an object that TensorRT's engine takes: a click is 2, a box 2, each further click 1.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one, help_heading = GPU)]
    max_tokens: usize,
    /// Replay the encoder's launches as one CUDA graph.
    #[arg(long, help_heading = GPU)]
    cuda_graphs: bool,
    /// Try a model on the GPU when it is opened, and compare fp16 with fp32.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = GPU)]
    self_check: bool,
}

const GPU: &str = "TensorRT and CUDA";

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(|| "expected a whole number, at least 1".to_owned())
}

impl ModelOptions {
    /// `memory`: of commands that follow objects.
    pub fn session_options(&self, memory: bool) -> Result<SessionOptions, model::Error> {
        Ok(SessionOptions {
            providers: self.providers.clone(),
            precision: Precision::choice(&self.precision)?,
            threads: self.threads,
            spinning: self.spinning,
            arena: self.arena.parse()?,
            gpu: GpuOptions {
                device_id: self.device_id,
                memory: self.gpu_memory_mb.saturating_mul(MEGABYTE),
                fp16: self.fp16,
                int8: self.int8,
                workspace: self.tensorrt_workspace_mb.saturating_mul(MEGABYTE),
                engine_cache: GpuOptions::engine_cache_of(&self.engine_cache),
                timing_cache: self.timing_cache,
                cuda_graphs: self.cuda_graphs,
                self_check: self.self_check,
            },
            memory,
            max_objects: self.max_objects,
            max_tokens: self.max_tokens,
            opt_objects: self.opt_objects,
            opt_tokens: self.opt_tokens,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        model: ModelOptions,
    }

    #[test]
    fn the_defaults_of_the_command_line_are_those_of_sessions() {
        let options = CommandLine::parse_from(["promptseg"]).model.session_options(true).unwrap();
        // Without the option the folder is the user's own; programs choose theirs.
        let mut expected = SessionOptions::default();
        expected.gpu.engine_cache = GpuOptions::engine_cache_of("");
        assert_eq!(options, expected);
    }
}
