//! Tensors on a GPU: the picture in page-locked memory, which the GPU reads directly, and embeddings that stay on the GPU for
//! the decoder.

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{DynTensor, DynTensorRef, DynValue, Tensor, TensorElementType};

use crate::model::layout::{CONTENT, EncoderLayout, PictureForm, TensorSpec};
use crate::model::picture::{Picture, content_shapes};
use crate::native::onnxruntime::PageLocked;

/// Buffers of the encoder's session on a GPU.
pub struct DeviceBuffers {
    device_id: i32,
    picture: LockedPicture,
    memory: MemoryInfo<'static>,
    cuda_graph: Option<CudaGraph>,
}

/// The picture in page-locked memory.
enum LockedPicture {
    Values(PageLocked<f32>),
    Levels { levels: PageLocked<u8>, content: [PageLocked<f32>; CONTENT.len()] },
}

impl LockedPicture {
    fn new(session: &Session, device_id: i32, form: PictureForm, side: usize) -> ort::Result<Self> {
        if form != PictureForm::Bytes {
            return Ok(LockedPicture::Values(PageLocked::new(session, device_id, &[1, 3, side, side])?));
        }
        let levels = PageLocked::new(session, device_id, &[1, side, side, 3])?;
        let [rows, columns] = content_shapes(side);
        let content = [PageLocked::new(session, device_id, &rows)?, PageLocked::new(session, device_id, &columns)?];
        Ok(LockedPicture::Levels { levels, content })
    }

    /// Returns the inputs of the graph by name. `image` is the name of the picture.
    fn inputs<'a>(&'a self, image: &'a str) -> Vec<(&'a str, DynTensorRef<'a>)> {
        match self {
            LockedPicture::Values(values) => vec![(image, values.tensor().upcast_ref())],
            LockedPicture::Levels { levels, content } => {
                let content = CONTENT.into_iter().zip(content).map(|(name, part)| (name, part.tensor().upcast_ref()));
                std::iter::once((image, levels.tensor().upcast_ref())).chain(content).collect()
            }
        }
    }
}

/// Buffers of a CUDA graph, which reads and writes the same memory in every run.
struct CudaGraph {
    /// Inputs in the memory of the GPU, in the order of [`LockedPicture::inputs`].
    inputs: Vec<DynTensor>,
    outputs: Vec<(String, Tensor<f32>)>,
    binding: IoBinding,
}

impl DeviceBuffers {
    /// Allocates the buffers for square pictures of `side` pixels. `cuda_graph` says whether the session was opened with a CUDA graph.
    ///
    /// # Errors
    /// The error of ONNX Runtime, if memory is exhausted or the session does not run on a GPU.
    pub fn new(
        session: &Session,
        layout: &EncoderLayout,
        device_id: i32,
        side: usize,
        cuda_graph: bool,
    ) -> ort::Result<Self> {
        let picture = LockedPicture::new(session, device_id, layout.form, side)?;
        let memory = gpu_memory(device_id)?;
        let cuda_graph = match cuda_graph {
            true => Some(CudaGraph::new(session, layout, memory.clone(), &picture)?),
            false => None,
        };
        Ok(DeviceBuffers { device_id, picture, memory, cuda_graph })
    }

    /// Returns the buffers of the picture, in the order that the graph takes.
    pub fn picture(&mut self) -> Picture<'_> {
        match &mut self.picture {
            LockedPicture::Values(values) => Picture::Values(values.as_mut_slice()),
            LockedPicture::Levels { levels, content } => Picture::Levels {
                levels: levels.as_mut_slice(),
                content: content.each_mut().map(PageLocked::as_mut_slice),
            },
        }
    }

    /// Encodes [`Self::picture`]. The outputs stay on the GPU.
    ///
    /// # Errors
    /// The error of ONNX Runtime.
    pub fn run(&mut self, session: &mut Session, layout: &EncoderLayout) -> ort::Result<Vec<(String, DynValue)>> {
        if let Some(cuda_graph) = &mut self.cuda_graph {
            return cuda_graph.run(session, &self.picture.inputs(&layout.image.name), self.device_id);
        }
        // Each picture has its own binding: a shared one would overwrite embeddings that are still in use.
        let mut binding = session.create_binding()?;
        for (name, value) in self.picture.inputs(&layout.image.name) {
            binding.bind_input(name, &*value)?;
        }
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

impl CudaGraph {
    fn new(
        session: &Session,
        layout: &EncoderLayout,
        memory: MemoryInfo<'static>,
        picture: &LockedPicture,
    ) -> ort::Result<Self> {
        let allocator = Allocator::new(session, memory)?;
        let mut binding = session.create_binding()?;
        let mut inputs = Vec::new();
        for (name, value) in picture.inputs(&layout.image.name) {
            let kind = value.dtype().tensor_type().unwrap_or(TensorElementType::Float32);
            let fixed = DynTensor::new(&allocator, kind, value.shape().clone())?;
            binding.bind_input(name, &fixed)?;
            inputs.push(fixed);
        }
        let mut outputs = Vec::new();
        for output in &layout.outputs {
            let fixed = (0..output.shape.len()).map(|axis| output.fixed(axis)).collect::<Option<Vec<_>>>();
            let fixed = fixed.ok_or_else(|| ort::Error::new(format!("the shape of {output} is not fixed")))?;
            let mut tensor = Tensor::<f32>::new(&allocator, fixed)?;
            binding.bind_output(output.name.as_str(), &mut tensor)?;
            outputs.push((output.name.clone(), tensor));
        }
        Ok(CudaGraph { inputs, outputs, binding })
    }

    fn run(
        &mut self,
        session: &mut Session,
        inputs: &[(&str, DynTensorRef<'_>)],
        device_id: i32,
    ) -> ort::Result<Vec<(String, DynValue)>> {
        for ((_, value), fixed) in inputs.iter().zip(&mut self.inputs) {
            value.copy_into(fixed)?;
        }
        session.run_binding(&self.binding)?;
        self.binding.synchronize_outputs()?;
        let copy = |(name, tensor): &(String, Tensor<f32>)| {
            Ok((name.clone(), tensor.to(AllocationDevice::CUDA, device_id)?.into_dyn()))
        };
        self.outputs.iter().map(copy).collect()
    }
}

/// Runs a session; the output stays on the GPU, and inputs that are not on the GPU are copied to it. The inputs must own
/// their memory: ort copies a borrowed input first, and version 2.0.0-rc.15 deadlocks there.
///
/// # Errors
/// The error of ONNX Runtime.
pub fn run(
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

/// Returns whether a value lies in memory that the processor cannot read.
pub fn is_on_device(value: &DynValue) -> bool {
    value.view().downcast::<ort::value::DynTensorValueType>().is_ok_and(|t| !t.memory_info().is_cpu_accessible())
}

/// Copies a value to memory that the processor can read.
///
/// # Errors
/// The error of ONNX Runtime.
pub fn to_host(value: &DynValue) -> ort::Result<DynValue> {
    Ok(value.view().downcast::<ort::value::DynTensorValueType>()?.to(AllocationDevice::CPU, 0)?.into_dyn())
}

/// Copies a tensor to a GPU.
///
/// # Errors
/// The error of ONNX Runtime.
pub fn to_device(value: &Tensor<f32>, device_id: i32) -> ort::Result<DynValue> {
    Ok(value.to(AllocationDevice::CUDA, device_id)?.into_dyn())
}
