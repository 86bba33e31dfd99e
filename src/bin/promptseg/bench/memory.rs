//! Memory that the model takes: of the process, and of the GPU.

use promptseg::model::{Provider, SessionOptions, runtime};

/// Returns the largest resident memory of this process in MB, or none if the system has no /proc.
pub fn peak_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kibibytes = line.split_whitespace().nth(1)?.parse::<f64>().ok()?;
    Some((kibibytes * 1024.0 / 1e5).round() / 10.0)
}

/// The largest memory of a GPU that was in use since the start of the measurement, without the memory in use before.
pub struct GpuMemory {
    device_id: i32,
    /// Bytes in use before the model was opened; none without a GPU.
    before: Option<u64>,
    most: u64,
}

impl GpuMemory {
    /// Starts a measurement before the model is opened. If no session may run on a GPU, the GPU is not touched, because CUDA's
    /// context takes memory of the process too.
    pub fn new(options: &SessionOptions) -> Self {
        let device_id = options.gpu.device_id;
        let on_gpu = |p: &Provider| p.on_gpu() && p.available().is_ok();
        let before = options.providers.iter().any(on_gpu).then(|| runtime::gpu_memory_in_use(device_id)).flatten();
        GpuMemory { device_id, before, most: 0 }
    }

    /// Reads the memory in use.
    pub fn sample(&mut self) {
        if let Some((now, before)) = runtime::gpu_memory_in_use(self.device_id).zip(self.before) {
            self.most = self.most.max(now.saturating_sub(before));
        }
    }

    /// Returns the largest memory in MB, or none without a GPU.
    pub fn megabytes(&self) -> Option<f64> {
        self.before.map(|_| (self.most as f64 / 1e5).round() / 10.0)
    }
}
