//! Tensors on a GPU: the picture in memory that the GPU reads by itself, the embeddings left where they were made, for
//! the decoder.

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{DynValue, Tensor};

use super::layout::{EncoderLayout, TensorSpec};
use crate::native::onnxruntime::PageLocked;

/// Buffers of one session on one GPU.
pub(super) struct OnDevice {
    device_id: i32,
    picture: PageLocked,
    memory: MemoryInfo<'static>,
    graph: Option<Graph>,
}

/// A CUDA graph reads and writes the same memory in every run.
struct Graph {
    picture: Tensor<f32>,
    outputs: Vec<(String, Tensor<f32>)>,
    binding: IoBinding,
}

impl OnDevice {
    /// `shape` is the picture's. With `graph` the session was opened to record its launches.
    pub fn new(
        session: &Session,
        layout: &EncoderLayout,
        device_id: i32,
        shape: &[usize],
        graph: bool,
    ) -> ort::Result<Self> {
        let picture = PageLocked::new(session, device_id, shape)?;
        let memory = gpu_memory(device_id)?;
        let graph = match graph {
            true => Some(Graph::new(session, layout, memory.clone(), shape)?),
            false => None,
        };
        Ok(OnDevice { device_id, picture, memory, graph })
    }

    /// The picture as the graph takes it, to be written.
    pub fn picture(&mut self) -> &mut [f32] {
        self.picture.as_mut_slice()
    }

    /// Encodes what is in [`Self::picture`]; the outputs stay on the GPU.
    pub fn run(&mut self, session: &mut Session, layout: &EncoderLayout) -> ort::Result<Vec<(String, DynValue)>> {
        if let Some(graph) = &mut self.graph {
            return graph.run(session, self.picture.tensor(), self.device_id);
        }
        // A binding of its own for each picture, or the next one would be written over embeddings that are kept.
        let mut binding = session.create_binding()?;
        binding.bind_input(layout.image.name.as_str(), self.picture.tensor())?;
        for output in &layout.outputs {
            binding.bind_output_to_device(output.name.as_str(), &self.memory)?;
        }
        let mut outputs = session.run_binding(&binding)?;
        binding.synchronize_outputs()?;
        layout.outputs.iter().map(|output| take(&mut outputs, output)).collect()
    }
}

fn gpu_memory(device_id: i32) -> ort::Result<MemoryInfo<'static>> {
    MemoryInfo::new(AllocationDevice::CUDA, device_id, AllocatorType::Device, MemoryType::Default)
}

fn take(outputs: &mut ort::session::SessionOutputs<'_>, output: &TensorSpec) -> ort::Result<(String, DynValue)> {
    let value = outputs.remove(&output.name);
    Ok((output.name.clone(), value.ok_or_else(|| ort::Error::new(format!("no output `{}`", output.name)))?))
}

impl Graph {
    fn new(
        session: &Session,
        layout: &EncoderLayout,
        memory: MemoryInfo<'static>,
        shape: &[usize],
    ) -> ort::Result<Self> {
        let allocator = Allocator::new(session, memory)?;
        let picture = Tensor::<f32>::new(&allocator, shape.to_vec())?;
        let mut binding = session.create_binding()?;
        binding.bind_input(layout.image.name.as_str(), &picture)?;
        let mut outputs = Vec::new();
        for output in &layout.outputs {
            let fixed = (0..output.shape.len()).map(|axis| output.fixed(axis)).collect::<Option<Vec<_>>>();
            let fixed = fixed.ok_or_else(|| ort::Error::new(format!("the shape of {output} is not fixed")))?;
            let mut tensor = Tensor::<f32>::new(&allocator, fixed)?;
            binding.bind_output(output.name.as_str(), &mut tensor)?;
            outputs.push((output.name.clone(), tensor));
        }
        Ok(Graph { picture, outputs, binding })
    }

    fn run(
        &mut self,
        session: &mut Session,
        picture: &Tensor<f32>,
        device_id: i32,
    ) -> ort::Result<Vec<(String, DynValue)>> {
        picture.copy_into(&mut self.picture)?;
        session.run_binding(&self.binding)?;
        self.binding.synchronize_outputs()?;
        let copy = |(name, tensor): &(String, Tensor<f32>)| {
            Ok((name.clone(), tensor.to(AllocationDevice::CUDA, device_id)?.into_dyn()))
        };
        self.outputs.iter().map(copy).collect()
    }
}

/// One run whose output stays on the GPU; what is not there yet of its inputs is copied. They own their memory: of one that
/// is borrowed ort makes a copy first, and 2.0.0-rc.15 waits for itself there.
pub(super) fn run(
    session: &mut Session,
    inputs: &[(&'static str, &DynValue)],
    output: &str,
    device_id: i32,
) -> ort::Result<DynValue> {
    let memory = gpu_memory(device_id)?;
    let mut binding = session.create_binding()?;
    for (name, value) in inputs {
        binding.bind_input(*name, value)?;
    }
    binding.bind_output_to_device(output, &memory)?;
    let mut outputs = session.run_binding(&binding)?;
    binding.synchronize_outputs()?;
    outputs.remove(output).ok_or_else(|| ort::Error::new(format!("no output `{output}`")))
}

/// Whether a value lies where the processor cannot read it.
pub(super) fn is_on_device(value: &DynValue) -> bool {
    value.view().downcast::<ort::value::DynTensorValueType>().is_ok_and(|t| !t.memory_info().is_cpu_accessible())
}

/// A copy that the processor can read.
pub(super) fn to_host(value: &DynValue) -> ort::Result<DynValue> {
    Ok(value.view().downcast::<ort::value::DynTensorValueType>()?.to(AllocationDevice::CPU, 0)?.into_dyn())
}

/// A copy on a GPU.
pub(super) fn to_device(value: &Tensor<f32>, device_id: i32) -> ort::Result<DynValue> {
    Ok(value.to(AllocationDevice::CUDA, device_id)?.into_dyn())
}
