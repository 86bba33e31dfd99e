//! How sessions are to run: execution providers, precision, threads, memory. docs/providers.md explains each.

use std::path::PathBuf;
use std::str::FromStr;

use super::{Error, Precision, Provider, cores};

/// Bytes of a megabyte, in every parameter, option, log line and figure.
pub const MEGABYTE: usize = 1_000_000;

/// How the sessions of one model are made.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionOptions {
    /// Asked for in this order; the first that can be had runs the whole session. An empty list means the CPU.
    /// A list without [`Provider::Cpu`] is an error where none of it can be had.
    pub providers: Vec<Provider>,
    /// Which of a bundle's variants runs; none takes the lowest precision that the bundle lists for the provider that
    /// opens, and fp32 where that fails.
    pub precision: Option<Precision>,
    /// Threads within one operator; 0 takes one for each physical core that this process may use.
    pub threads: usize,
    /// Threads spin for the next operator as long as a run takes, not for 20 us (`Plan::builder`): worth up to 10 % where
    /// nothing else wants the processors. Where encoder, decoder and other programs share them, it doubles a run.
    pub spinning: bool,
    pub arena: Arena,
    pub gpu: GpuOptions,
    /// Open what a bundle with memory follows objects by: two sessions more.
    pub memory: bool,
    /// Most objects in one run of the decoder; larger batches are cut. TensorRT's shape profile ends there.
    pub max_objects: usize,
    /// Most sparse prompt tokens of an object that TensorRT's shape profile is built for.
    pub max_tokens: usize,
    /// The batch and the number of tokens that TensorRT's engine is the fastest for.
    pub opt_objects: usize,
    pub opt_tokens: usize,
}

/// What only TensorRT and CUDA know.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuOptions {
    pub device_id: i32,
    /// Most memory of CUDA's arena, bytes; 0 for all of the GPU.
    pub memory: usize,
    /// TensorRT makes an fp32 graph half precision by itself. An fp16 variant needs no such permission.
    pub fp16: bool,
    /// TensorRT may compute in 8 bits where a graph has quantised operators.
    pub int8: bool,
    /// Most scratch memory of TensorRT's operators, bytes; 0 for TensorRT's own choice.
    pub workspace: usize,
    /// Folder for TensorRT's engines, which take minutes to build; none builds them at each start.
    pub engine_cache: Option<PathBuf>,
    /// Keep the timings of TensorRT's operators there too, so that the next engine is built sooner.
    pub timing_cache: bool,
    /// Replay the encoder's launches as one CUDA graph.
    pub cuda_graphs: bool,
    /// Compare fp16 on the GPU with fp32 when a model is opened, and refuse it where they differ.
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
            opt_objects: 1,
            opt_tokens: 2,
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
            timing_cache: true,
            cuda_graphs: false,
            self_check: true,
        }
    }
}

impl SessionOptions {
    /// The CPU with `threads` threads: what tests and benchmarks ask for.
    pub fn cpu(threads: usize) -> Self {
        SessionOptions { providers: vec![Provider::Cpu], threads, ..SessionOptions::default() }
    }

    /// Threads of a session: what was asked for, or one for each physical core. A second thread on a core shares its
    /// vector units, and what sessions do is vector arithmetic.
    pub fn session_threads(&self) -> usize {
        if self.threads == 0 { cores::physical() } else { self.threads }
    }
}

impl GpuOptions {
    /// What people write for [`Self::engine_cache`]: a folder, nothing for the user's own, `none` for none.
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

/// How the memory of sessions grows, on the CPU and on CUDA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arena {
    /// By what is asked for: the least memory.
    #[default]
    Exact,
    /// To the next power of two, which is ONNX Runtime's own choice: fewer allocations.
    Doubling,
    /// Nothing is kept between runs; on CUDA as [`Self::Exact`].
    Off,
}

impl Arena {
    /// What people can ask for, in the order of help texts.
    pub const CHOICES: [&'static str; 3] = ["exact", "doubling", "off"];
}

impl FromStr for Arena {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "exact" => Ok(Arena::Exact),
            "doubling" => Ok(Arena::Doubling),
            "off" => Ok(Arena::Off),
            _ => Err(Error::UnknownArena { found: name.to_owned() }),
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
