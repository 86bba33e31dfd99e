//! A session of the mask decoder, with its buffers on one execution provider.

use std::ops::RangeInclusive;

use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, Tensor};

use super::inputs::{DENSE, Inputs};
use crate::model::error::Error;
use crate::model::prompt_encoder::PromptEncoder;
use crate::model::provider::Provider;
use crate::model::runtime::failure::run_failed;
use crate::model::runtime::shrinking::Shrinking;
use crate::model::runtime::{SessionOptions, binding};

/// Runs the decoder's graph on one execution provider.
pub struct Runner {
    session: Session,
    pub provider: Provider,
    /// Dense prompt embedding of objects without a mask, `[1, C, h, w]`, in the memory of the provider. None if the graph has
    /// the prompt encoder inside.
    no_mask: Option<DynValue>,
    shrinking: Shrinking,
    file: String,
}

/// Limit of the prompt tokens that TensorRT's engine was built for. Objects outside of the limit run on another provider,
/// because TensorRT would build the engine again, which takes minutes.
pub struct TokenLimit {
    /// Numbers of prompt tokens of an object that the engine takes.
    pub tokens: RangeInclusive<usize>,
    /// Runs all other objects. None if no other provider can run the graph.
    pub fallback: Option<Runner>,
    /// Whether the log has a line about the first object outside of the limit.
    pub logged: bool,
}

impl TokenLimit {
    /// Returns the runner for objects with `found` tokens, which is outside of the limit.
    ///
    /// # Errors
    /// [`Error::Tokens`] if there is no fallback.
    pub fn runner(&mut self, model: &str, found: usize) -> Result<&mut Runner, Error> {
        let (least, most) = (*self.tokens.start(), *self.tokens.end());
        let Some(runner) = &mut self.fallback else {
            return Err(Error::Tokens { model: model.to_owned(), found, least, most });
        };
        if !std::mem::replace(&mut self.logged, true) {
            let provider = runner.provider;
            tracing::warn!(
                model,
                "an object has {found} prompt tokens, the engine of TensorRT takes {least} to {most}: such objects are \
                 decoded on {provider}, which is slower; tensorrt.max_tokens raises the limit"
            );
        }
        Ok(runner)
    }
}

impl Runner {
    /// Makes the buffers of a session. `encoder` is the prompt encoder of a graph that takes prompt embeddings.
    ///
    /// # Errors
    /// [`Error::Session`] if ONNX Runtime fails.
    pub fn new(
        session: Session,
        provider: Provider,
        file: &str,
        encoder: Option<&PromptEncoder>,
        options: &SessionOptions,
    ) -> Result<Self, Error> {
        let failed = |e: ort::Error| run_failed(file, provider, &e);
        let no_mask = match encoder {
            Some(encoder) => {
                let [c, h, w] = encoder.dense_shape();
                let tensor = Tensor::from_array(([1, c, h, w], encoder.dense_without_mask())).map_err(failed)?;
                // The tensor stays on the GPU, so that a click does not copy it.
                let to_device = || binding::to_device(&tensor, options.gpu.device_id).ok();
                let on_device = if provider.on_gpu() { to_device() } else { None };
                Some(on_device.unwrap_or_else(|| tensor.into_dyn()))
            }
            None => None,
        };
        let shrinking = Shrinking::new(provider, options).map_err(failed)?;
        Ok(Runner { session, provider, no_mask, shrinking, file: file.to_owned() })
    }

    /// Makes the next run return memory, because the largest batch was a trial run.
    pub fn end_trial(&mut self) {
        self.shrinking.shrink_next();
    }

    /// Runs the graph for `objects` objects. Without a dense prompt in `inputs`, the one of objects without a mask is added.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] and [`Error::Session`] if ONNX Runtime fails.
    pub fn run<'a>(&'a mut self, mut inputs: Inputs<'a>, objects: usize) -> Result<SessionOutputs<'a>, Error> {
        if let Some(no_mask) = &self.no_mask
            && inputs.iter().all(|(name, _)| name != DENSE)
        {
            inputs.push((DENSE.into(), SessionInputValue::from(no_mask)));
        }
        let outputs = match self.shrinking.options(objects) {
            Some(shrink) => self.session.run_with_options(inputs, shrink),
            None => self.session.run(inputs),
        };
        outputs.map_err(|e| run_failed(&self.file, self.provider, &e))
    }
}
