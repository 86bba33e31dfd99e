//! The ONNX Runtime sessions of a bundle alone, as the lower limit of the time. The inputs are created once, and the
//! outputs are ignored.

use std::path::Path;

use image::RgbImage;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputs, SessionOutputs};
use ort::value::{DynTensor, Tensor, TensorElementType};
use promptseg::pixels::{InputSpec, Preprocessor, Resize};
use serde_json::Value;

use super::{Contender, Outcome};

/// The batch limit of promptseg's decoder, so that both split a large batch in the same way.
const MAX_OBJECTS: usize = 64;

pub struct Bare {
    encoder: Session,
    decoder: Session,
    spec: InputSpec,
    /// Number of tokens of a click and of a box.
    tokens: [usize; 2],
    picture: Option<Tensor<f32>>,
    embedding: Vec<(String, Tensor<f32>)>,
    /// The other inputs of the decoder, with the numbers of objects and tokens that they were created for.
    prompts: Prompts,
}

type Prompts = ((usize, usize), Vec<(String, DynTensor)>);

impl Bare {
    /// Opens the sessions, with promptseg's session options if `lean`, else with ONNX Runtime's defaults.
    pub fn new(bundle: &Path, precision: &str, threads: usize, lean: bool) -> Outcome<Self> {
        let description: Value = serde_json::from_slice(&std::fs::read(bundle.join("bundle.json"))?)?;
        let variants = description["variants"].as_array().into_iter().flatten();
        let variant = variants.clone().find(|v| v["precision"] == precision);
        let file = |part: &str, usual: &str| bundle.join(variant.and_then(|v| v[part].as_str()).unwrap_or(usual));
        let environment = promptseg::model::runtime::environment()?;
        let open = |path: std::path::PathBuf| -> Outcome<Session> {
            let mut builder = Session::builder(&environment)?.with_optimization_level(GraphOptimizationLevel::All)?;
            if lean {
                builder = builder
                    .with_memory_pattern(false)?
                    .with_env_allocators()?
                    .with_config_entry("session.force_spinning_stop", "1")?
                    .with_config_entry("session.intra_op.spin_duration_us", "20")?
                    .with_config_entry("session.intra_op.spin_backoff_max", "8")?;
            }
            Ok(builder.with_intra_threads(threads)?.commit_from_file(path)?)
        };
        let triple = |name: &str| -> Outcome<[f32; 3]> { Ok(serde_json::from_value(description[name].clone())?) };
        let resize = if description["resize"] == "stretch" { Resize::Stretch } else { Resize::Letterbox };
        let side = description["image_size"].as_u64().ok_or("no image_size")? as u32;
        // A click and a padding token; two corners, and a padding token if a box is passed as two points.
        let tokens = [2, if description["box_as_points"] == true { 3 } else { 2 }];
        Ok(Bare {
            encoder: open(file("encoder", "image_encoder.onnx"))?,
            decoder: open(file("decoder", "mask_decoder.onnx"))?,
            spec: InputSpec { side, resize, mean: triple("mean")?, std: triple("std")? },
            tokens,
            picture: None,
            embedding: Vec::new(),
            prompts: Prompts::default(),
        })
    }

    fn encode(&mut self) -> Outcome<()> {
        let picture = self.picture.as_ref().ok_or("no photo yet")?;
        let mut outputs = self.encoder.run(ort::inputs![picture])?;
        let names: Vec<String> = outputs.keys().map(str::to_owned).collect();
        self.embedding.clear();
        for name in names {
            let value = outputs.remove(&name).ok_or("an output is missing")?;
            self.embedding.push((name, value.downcast()?));
        }
        Ok(())
    }

    fn prompts(&self, objects: usize, tokens: usize) -> Outcome<Prompts> {
        let mut made = Vec::new();
        for input in self.decoder.inputs() {
            if self.embedding.iter().all(|(name, _)| name != input.name()) {
                let shape = input.dtype().tensor_shape().ok_or("an input that is no tensor")?;
                // Objects without a mask share one dense prompt.
                let batch = if input.name() == "dense_prompt_embeddings" { 1 } else { objects };
                // One mask per object.
                let second = if input.name() == "wanted_masks" { 1 } else { tokens };
                let dimension = |(axis, size): (usize, &i64)| match size {
                    -1 => [batch, second][axis.min(1)],
                    size => *size as usize,
                };
                let shape: Vec<usize> = shape.iter().enumerate().map(dimension).collect();
                made.push((input.name().to_owned(), filled(&shape, input.dtype().tensor_type())?));
            }
        }
        Ok(((objects, tokens), made))
    }

    fn decode(&mut self, objects: usize, tokens: usize) -> Outcome<()> {
        if self.embedding.is_empty() {
            self.encode()?;
        }
        if self.prompts.0 != (objects, tokens) {
            self.prompts = self.prompts(objects, tokens)?;
        }
        let mut inputs: Vec<(&str, ort::session::SessionInputValue<'_>)> = Vec::new();
        for (name, value) in &self.embedding {
            if self.decoder.inputs().iter().any(|input| input.name() == name) {
                inputs.push((name, value.into()));
            }
        }
        inputs.extend(self.prompts.1.iter().map(|(name, value)| (name.as_str(), value.into())));
        let _: SessionOutputs<'_> = self.decoder.run(SessionInputs::from(inputs))?;
        Ok(())
    }
}

/// Creates a tensor of small numbers, or of zeros for integer types.
fn filled(shape: &[usize], kind: Option<TensorElementType>) -> Outcome<DynTensor> {
    let count = shape.iter().product();
    Ok(match kind {
        Some(TensorElementType::Float32) => {
            let wave = |i: usize| (i as f32 * 0.37).sin();
            Tensor::from_array((shape.to_vec(), (0..count).map(wave).collect::<Vec<f32>>()))?.upcast()
        }
        Some(TensorElementType::Int64) => Tensor::from_array((shape.to_vec(), vec![0_i64; count]))?.upcast(),
        Some(TensorElementType::Int32) => Tensor::from_array((shape.to_vec(), vec![0_i32; count]))?.upcast(),
        other => return Err(format!("no value for an input of {other:?}").into()),
    })
}

impl Contender for Bare {
    fn photo(&mut self, image: RgbImage) -> Outcome<()> {
        let side = self.spec.side as usize;
        let mut values = vec![0.0; 3 * side * side];
        Preprocessor::new(self.spec).run(&image, &mut values)?;
        self.picture = Some(Tensor::from_array(([1, 3, side, side], values))?);
        Ok(())
    }

    fn encode(&mut self) -> Outcome<()> {
        Bare::encode(self)
    }

    fn image_to_mask(&mut self, _: [f32; 2]) -> Outcome<()> {
        self.encode()?;
        self.decode(1, self.tokens[0])
    }

    fn click(&mut self, _: [f32; 2]) -> Outcome<()> {
        self.decode(1, self.tokens[0])
    }

    fn boxes(&mut self, boxes: &[[f32; 4]]) -> Outcome<()> {
        boxes.chunks(MAX_OBJECTS).try_for_each(|part| self.decode(part.len(), self.tokens[1]))
    }

    fn mask(&self) -> Outcome<Vec<u8>> {
        Err("bare sessions make no mask".into())
    }
}
