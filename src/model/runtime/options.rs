//! Options of sessions: execution providers, precision, threads, memory. docs/providers.md explains each option.

use std::path::PathBuf;
use std::str::FromStr;

use super::cpu::Cpu;
use super::threads;
use crate::model::precision::Precision;
use crate::model::provider::Provider;
use crate::model::unknown_name::UnknownName;

/// Bytes of a megabyte in every parameter, option, log line and figure.
pub const MEGABYTE: usize = 1_000_000;

/// Options of the sessions of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionOptions {
    /// Providers in the order in which they are tried. The first that can run a session runs the whole session. An empty
    /// list means the CPU. If none can run the session and [`Provider::Cpu`] is not in the list, opening fails.
    pub providers: Vec<Provider>,
    /// Time each graph on the providers that this machine has, and try the fastest first.
    pub fastest: bool,
    /// Precision of the bundle's variant that runs. None selects the lowest precision that the bundle lists for the provider,
    /// and fp32 if that fails.
    pub precision: Option<Precision>,
    /// Threads within one operator. 0 means one for each physical core that this process may use.
    pub threads: usize,
    /// Threads spin for the next operator during the whole run instead of for 20 us (`SessionPlan::builder`). A run becomes up
    /// to 10 % faster if no other program uses the processors. If encoder, decoder and other programs share them, a run takes
    /// twice as long.
    pub spinning: bool,
    /// The CPU provider may compute the matrix products of fp32 graphs in bf16, on ARM processors with instructions for it, if no
    /// precision is requested.
    pub cpu_bf16: bool,
    pub arena: Arena,
    pub gpu: GpuOptions,
    pub openvino: OpenVinoOptions,
    /// Open the two sessions of a bundle's memory, which follow objects through a video.
    pub memory: bool,
    /// Most objects in one run of the decoder; larger batches are split. Upper end of TensorRT's shape profile.
    pub max_objects: usize,
    /// Most sparse prompt tokens of an object on TensorRT. Upper end of TensorRT's shape profile.
    pub max_tokens: usize,
}

/// Options of OpenVINO.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenVinoOptions {
    /// `CPU`, `GPU`, `GPU.1` or `NPU`.
    pub device: String,
    pub precision: InferencePrecision,
}

/// Precision in which OpenVINO computes fp32 graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InferencePrecision {
    /// The fastest of the device: bf16 on a CPU with instructions for it, f32 on other CPUs, f16 on GPU and NPU. f32 if the
    /// user asked for a precision of the model.
    #[default]
    Auto,
    F32,
    Bf16,
}

/// Options of TensorRT and CUDA.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuOptions {
    pub device_id: i32,
    /// Most bytes of CUDA's arena. 0 means all of the GPU's memory.
    pub memory: usize,
    /// TensorRT may compute an fp32 graph in half precision. An fp16 variant needs no such permission.
    pub fp16: bool,
    /// TensorRT may compute quantised operators in 8 bits.
    pub int8: bool,
    /// Most bytes of scratch memory of TensorRT's operators. 0 leaves the choice to TensorRT.
    pub workspace: usize,
    /// Folder for TensorRT's engines, which take minutes to build, for the timings of its operators, which make the next build
    /// shorter, for the models that OpenVINO compiled, and for the choices of providers. Without a folder each start builds
    /// and times again.
    pub engine_cache: Option<PathBuf>,
    /// Replay the encoder's kernel launches as one CUDA graph.
    pub cuda_graphs: bool,
    /// Send pictures to the GPU as levels in 8 bits, if the bundle has an encoder that takes them.
    pub u8_pictures: bool,
    /// Try TensorRT, CUDA and OpenVINO when a model is opened, and refuse fp16 and bf16 if the masks differ from those of fp32.
    pub self_check: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            providers: Provider::ALL.to_vec(),
            fastest: true,
            precision: None,
            threads: 0,
            spinning: false,
            cpu_bf16: true,
            arena: Arena::default(),
            gpu: GpuOptions::default(),
            openvino: OpenVinoOptions::default(),
            memory: true,
            max_objects: 64,
            max_tokens: 16,
        }
    }
}

impl Default for OpenVinoOptions {
    fn default() -> Self {
        OpenVinoOptions { device: "CPU".to_owned(), precision: InferencePrecision::default() }
    }
}

impl Default for GpuOptions {
    fn default() -> Self {
        GpuOptions {
            device_id: 0,
            memory: 0,
            fp16: false,
            int8: false,
            workspace: 0,
            engine_cache: None,
            cuda_graphs: false,
            u8_pictures: true,
            self_check: true,
        }
    }
}

impl SessionOptions {
    /// Returns options for the CPU with `threads` threads and without bf16: the results of tests, which compare digits, do not
    /// depend on the processor's instructions.
    pub fn cpu(threads: usize) -> Self {
        SessionOptions { providers: vec![Provider::Cpu], threads, cpu_bf16: false, ..SessionOptions::default() }
    }

    /// Returns the precision below fp32 in which the CPU provider computes the matrix products of fp32 graphs; none for fp32.
    /// ONNX Runtime has such kernels for ARM only.
    pub(in crate::model) fn cpu_precision(&self, cpu: &Cpu) -> Option<Precision> {
        (self.cpu_bf16 && self.precision.is_none() && cpu.arm && cpu.bf16).then_some(Precision::Bf16)
    }

    /// Returns whether the CPU provider may compute fp32 graphs in bf16 on this machine.
    pub(in crate::model) fn may_compute_in_bf16_on_cpu(&self) -> bool {
        self.cpu_precision(Cpu::of_this_machine()).is_some()
    }

    /// Returns the number of threads of a session: [`Self::threads`], or one for each physical core. Two threads on one core
    /// would share the vector units, and sessions do vector arithmetic.
    pub fn session_threads(&self) -> usize {
        if self.threads == 0 { threads::physical_cores() } else { self.threads }
    }
}

impl GpuOptions {
    /// Parses a value for [`Self::engine_cache`]: a folder, an empty text for the user's cache folder, or `none`.
    pub fn engine_cache_of(text: &str) -> Option<PathBuf> {
        match text {
            "none" => None,
            "" => {
                let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
                let caches = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
                caches.map(|folder| folder.join("promptseg").join("engines"))
            }
            folder => Some(PathBuf::from(folder)),
        }
    }
}

impl OpenVinoOptions {
    /// Returns whether the device is a CPU.
    pub fn on_cpu(&self) -> bool {
        self.device == "CPU"
    }

    /// Checks the name of the device.
    ///
    /// # Errors
    /// The device and the names that are expected, in words.
    pub fn check(&self) -> Result<(), String> {
        let number = self.device.strip_prefix("GPU.").map(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        match (self.device.as_str(), number) {
            ("CPU" | "GPU" | "NPU", _) | (_, Some(true)) => Ok(()),
            (device, _) => Err(format!("openvino.device is {device}, expected CPU, GPU, GPU.N or NPU")),
        }
    }

    /// Returns the precision below fp32 in which OpenVINO computes fp32 graphs; none for fp32. `requested` is the precision
    /// that the user asked for, `bf16` whether the CPU has instructions for it.
    pub fn lower_precision(&self, requested: Option<Precision>, bf16: bool) -> Option<Precision> {
        match self.precision {
            InferencePrecision::F32 => None,
            InferencePrecision::Bf16 => Some(Precision::Bf16),
            InferencePrecision::Auto if requested.is_some() => None,
            InferencePrecision::Auto if self.on_cpu() => bf16.then_some(Precision::Bf16),
            InferencePrecision::Auto => Some(Precision::Fp16),
        }
    }
}

impl InferencePrecision {
    /// Names that options and parameters accept, in the order of help texts.
    pub const CHOICES: [&'static str; 3] = ["auto", "f32", "bf16"];
}

impl FromStr for InferencePrecision {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "auto" => Ok(InferencePrecision::Auto),
            "f32" => Ok(InferencePrecision::F32),
            "bf16" => Ok(InferencePrecision::Bf16),
            _ => Err(UnknownName {
                kind: "precision of OpenVINO",
                found: name.to_owned(),
                expected: "auto, f32 or bf16",
            }),
        }
    }
}

/// Growth of the memory of sessions, on the CPU and on CUDA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arena {
    /// By the requested size, which takes the least memory.
    #[default]
    Exact,
    /// To the next power of two, which is ONNX Runtime's default and makes fewer allocations.
    Doubling,
    /// No memory is kept between runs. On CUDA the same as [`Self::Exact`].
    Off,
}

impl Arena {
    /// Names that options and parameters accept, in the order of help texts.
    pub const CHOICES: [&'static str; 3] = ["exact", "doubling", "off"];
}

impl FromStr for Arena {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "exact" => Ok(Arena::Exact),
            "doubling" => Ok(Arena::Doubling),
            "off" => Ok(Arena::Off),
            _ => Err(UnknownName { kind: "arena", found: name.to_owned(), expected: "exact, doubling or off" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arenas_have_names() {
        let all = [Arena::Exact, Arena::Doubling, Arena::Off];
        assert_eq!(Arena::CHOICES.map(|name| name.parse::<Arena>().unwrap()), all);
        assert!("big".parse::<Arena>().unwrap_err().to_string().contains("expected exact, doubling or off"));
    }

    #[test]
    fn openvino_computes_in_bf16_where_the_cpu_can() {
        let lower = |device: &str, name: &str, requested, bf16| {
            OpenVinoOptions { device: device.into(), precision: name.parse().unwrap() }.lower_precision(requested, bf16)
        };
        use Precision::{Bf16, Fp16, Fp32};
        assert_eq!((lower("CPU", "auto", None, true), lower("CPU", "auto", None, false)), (Some(Bf16), None));
        assert_eq!((lower("GPU", "auto", None, true), lower("NPU", "auto", None, false)), (Some(Fp16), Some(Fp16)));
        assert_eq!(lower("CPU", "auto", Some(Fp32), true), None, "the user asked for fp32");
        assert_eq!((lower("CPU", "bf16", Some(Fp32), false), lower("CPU", "f32", None, true)), (Some(Bf16), None));
        assert!("fp32".parse::<InferencePrecision>().unwrap_err().to_string().contains("expected auto, f32 or bf16"));
    }

    #[test]
    fn the_cpu_computes_in_bf16_on_arm_alone() {
        let cpu = |arm, bf16| Cpu { name: String::new(), arm, bf16 };
        let options = SessionOptions::default();
        assert_eq!(options.cpu_precision(&cpu(true, true)), Some(Precision::Bf16));
        assert_eq!(options.cpu_precision(&cpu(true, false)), None, "no instructions");
        assert_eq!(options.cpu_precision(&cpu(false, true)), None, "no kernels for x86");
        let asked = SessionOptions { precision: Some(Precision::Fp32), ..options.clone() };
        assert_eq!(asked.cpu_precision(&cpu(true, true)), None, "the user asked for fp32");
        let off = SessionOptions { cpu_bf16: false, ..options };
        assert_eq!(off.cpu_precision(&cpu(true, true)), None, "the reference of the self-check");
        assert_eq!(
            SessionOptions::cpu(1).cpu_precision(&cpu(true, true)),
            None,
            "the golden tests compare digits of fp32"
        );
    }

    #[test]
    fn an_engine_cache_is_a_folder_or_none() {
        assert_eq!(GpuOptions::engine_cache_of("none"), None);
        assert_eq!(GpuOptions::engine_cache_of("/engines"), Some(PathBuf::from("/engines")));
        assert!(GpuOptions::engine_cache_of("").is_none_or(|folder| folder.ends_with("promptseg/engines")));
    }
}
