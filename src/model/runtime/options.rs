//! Options of sessions: execution providers, precision, threads, memory. docs/providers.md explains each option.

use std::path::PathBuf;
use std::str::FromStr;

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
    /// Precision of the bundle's variant that runs. None selects the lowest precision that the bundle lists for the provider,
    /// and fp32 if that fails.
    pub precision: Option<Precision>,
    /// Threads within one operator. 0 means one for each physical core that this process may use.
    pub threads: usize,
    /// Threads spin for the next operator during the whole run instead of for 20 us (`SessionPlan::builder`). A run becomes up
    /// to 10 % faster if no other program uses the processors. If encoder, decoder and other programs share them, a run takes
    /// twice as long.
    pub spinning: bool,
    pub arena: Arena,
    pub gpu: GpuOptions,
    /// Open the two sessions of a bundle's memory, which follow objects through a video.
    pub memory: bool,
    /// Most objects in one run of the decoder; larger batches are split. Upper end of TensorRT's shape profile.
    pub max_objects: usize,
    /// Most sparse prompt tokens of an object on TensorRT. Upper end of TensorRT's shape profile.
    pub max_tokens: usize,
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
    /// Folder for TensorRT's engines, which take minutes to build, and for the timings of its operators, which make the next
    /// build shorter. Without a folder each start builds the engines.
    pub engine_cache: Option<PathBuf>,
    /// Replay the encoder's kernel launches as one CUDA graph.
    pub cuda_graphs: bool,
    /// Compare fp16 on the GPU with fp32 when a model is opened, and refuse fp16 if the masks differ.
    pub self_check: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            providers: Provider::ALL.to_vec(),
            precision: None,
            threads: 0,
            spinning: false,
            arena: Arena::default(),
            gpu: GpuOptions::default(),
            memory: true,
            max_objects: 64,
            max_tokens: 16,
        }
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
            self_check: true,
        }
    }
}

impl SessionOptions {
    /// Returns options for the CPU with `threads` threads, as tests and benchmarks use them.
    pub fn cpu(threads: usize) -> Self {
        SessionOptions { providers: vec![Provider::Cpu], threads, ..SessionOptions::default() }
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
    fn an_engine_cache_is_a_folder_or_none() {
        assert_eq!(GpuOptions::engine_cache_of("none"), None);
        assert_eq!(GpuOptions::engine_cache_of("/engines"), Some(PathBuf::from("/engines")));
        assert!(GpuOptions::engine_cache_of("").is_none_or(|folder| folder.ends_with("promptseg/engines")));
    }
}
