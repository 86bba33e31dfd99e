//! Arguments for the model and its sessions. The node has parameters of the same names in the groups `session`, `gpu`,
//! `tensorrt` and `openvino`; docs/providers.md explains each.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use promptseg::model::{
    self, Arena, GpuOptions, InferencePrecision, MEGABYTE, Model, OpenVinoOptions, Precision, Provider, SessionOptions,
    UnknownName,
};

/// The model of a command that works on pictures.
#[derive(Args)]
pub struct ModelArguments {
    /// Bundle, folder with two ONNX files, or file of an image encoder; the default is the built-in model.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// File of the mask decoder, if --model is the file of an image encoder.
    #[arg(long, value_name = "FILE", requires = "model")]
    decoder: Option<PathBuf>,
    #[command(flatten)]
    options: ModelOptions,
}

impl ModelArguments {
    /// Opens the model; `memory` also opens the graphs that follow objects.
    pub fn open(&self, memory: bool) -> Result<Model, model::Error> {
        let options = self.options.session_options(memory)?;
        match &self.model {
            Some(path) => Model::open(path, self.decoder.as_deref(), &options),
            None => Model::tiny(&options),
        }
    }

    /// Returns whether the command line names a model.
    pub fn is_given(&self) -> bool {
        self.model.is_some()
    }

    /// Returns the options of the sessions.
    pub fn session_options(&self) -> Result<SessionOptions, model::Error> {
        self.options.session_options(false)
    }
}

/// The model of a command that works on models alone.
#[derive(Args)]
pub struct ModelPath {
    /// Bundle, folder with two ONNX files, or file of an image encoder; the default is the built-in model.
    pub path: Option<PathBuf>,
    /// File of the mask decoder, if PATH is the file of an image encoder.
    #[arg(long, value_name = "FILE", requires = "path")]
    pub decoder: Option<PathBuf>,
}

impl ModelPath {
    pub fn open(&self, options: &SessionOptions) -> Result<Model, model::Error> {
        match &self.path {
            Some(path) => Model::open(path, self.decoder.as_deref(), options),
            None => Model::tiny(options),
        }
    }
}

/// Variant, execution providers, threads and memory of the sessions.
#[derive(Args)]
pub struct ModelOptions {
    /// Variant of the bundle; auto takes the variant that the bundle lists for the provider, or fp32.
    #[arg(long, value_name = "P", default_value = "auto", value_parser = Precision::CHOICES)]
    precision: String,
    /// Execution providers in the order of preference: tensorrt, cuda, openvino, cpu. With auto in the list, the fastest of the
    /// others for each graph; auto alone stands for all.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "auto", value_parser = provider_name)]
    providers: Vec<String>,
    /// Threads on the CPU; 0 is one thread for each physical core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Threads wait busily during a run, which is faster if nothing else runs on the machine.
    #[arg(long, help_heading = "Sessions")]
    spinning: bool,
    /// Growth of the memory arena: exact, doubling (ONNX Runtime's default), off.
    #[arg(long, value_name = "A", default_value = "exact", value_parser = Arena::CHOICES, help_heading = "Sessions")]
    arena: String,
    /// Most objects in one run of the decoder.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one, help_heading = "Sessions")]
    max_objects: usize,
    /// Number of the GPU.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..64), help_heading = GPU)]
    device_id: i32,
    /// Largest size of CUDA's arena in MB; 0 is all memory of the GPU.
    #[arg(long, value_name = "MB", default_value_t = 0, help_heading = GPU)]
    gpu_memory_mb: usize,
    /// Let TensorRT run an fp32 graph in half precision.
    #[arg(long, help_heading = GPU)]
    fp16: bool,
    /// Let TensorRT compute quantised operators in 8 bits.
    #[arg(long, help_heading = GPU)]
    int8: bool,
    /// Most scratch memory of TensorRT's operators in MB; 0 is TensorRT's default.
    #[arg(long, value_name = "MB", default_value_t = 0, help_heading = GPU)]
    tensorrt_workspace_mb: usize,
    /// Folder of TensorRT's engines, OpenVINO's models and the timings of providers; the default is ~/.cache/promptseg/engines,
    /// `none` builds and times at each start.
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true, help_heading = GPU)]
    engine_cache: String,
    /// Most prompt tokens of an object that TensorRT's engine accepts: a click is 2, a box 2, each further click 1.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one, help_heading = GPU)]
    max_tokens: usize,
    /// Run the encoder as one CUDA graph.
    #[arg(long, help_heading = GPU)]
    cuda_graphs: bool,
    /// Send pictures to the GPU as levels in 8 bits, if the bundle has an encoder that takes them.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = GPU)]
    u8_pictures: bool,
    /// Run a model once on TensorRT, CUDA and OpenVINO when it is opened, and compare fp16 and bf16 with fp32.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = GPU)]
    self_check: bool,
    /// Device of OpenVINO: CPU, GPU, GPU.1 or NPU.
    #[arg(long, value_name = "D", default_value = "CPU", help_heading = "OpenVINO")]
    openvino_device: String,
    /// Precision in which OpenVINO computes fp32 graphs.
    #[arg(long, value_name = "P", default_value = "auto", value_parser = InferencePrecision::CHOICES, help_heading = "OpenVINO")]
    openvino_precision: String,
}

const GPU: &str = "TensorRT and CUDA";

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(|| "expected a whole number, at least 1".to_owned())
}

/// Checks the name of a provider.
pub fn provider_name(text: &str) -> Result<String, UnknownName> {
    Provider::list(&[text]).map(|_| text.to_owned())
}

impl ModelOptions {
    /// Returns the options of the sessions; `memory` also opens the graphs that follow objects.
    pub fn session_options(&self, memory: bool) -> Result<SessionOptions, model::Error> {
        let (providers, fastest) = Provider::list(&self.providers)?;
        Ok(SessionOptions {
            providers,
            fastest,
            precision: Precision::choice(&self.precision)?,
            threads: self.threads,
            spinning: self.spinning,
            cpu_bf16: true,
            arena: self.arena.parse()?,
            gpu: GpuOptions {
                device_id: self.device_id,
                memory: self.gpu_memory_mb.saturating_mul(MEGABYTE),
                fp16: self.fp16,
                int8: self.int8,
                workspace: self.tensorrt_workspace_mb.saturating_mul(MEGABYTE),
                engine_cache: GpuOptions::engine_cache_of(&self.engine_cache),
                cuda_graphs: self.cuda_graphs,
                u8_pictures: self.u8_pictures,
                self_check: self.self_check,
            },
            openvino: OpenVinoOptions {
                device: self.openvino_device.to_uppercase(),
                precision: self.openvino_precision.parse()?,
            },
            memory,
            max_objects: self.max_objects,
            max_tokens: self.max_tokens,
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
