//! A session of the mask decoder on one provider, with what belongs to that provider.

use std::ops::RangeInclusive;

use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, Tensor};

use super::inputs::{DENSE, Inputs};
use super::shrinking::Shrinking;
use super::{Error, Provider, SessionOptions, binding, session};
use crate::model::prompt_encoder::PromptEncoder;

/// Runs the decoder's graph on one execution provider.
pub(super) struct Runner {
    session: Session,
    pub provider: Provider,
    /// The dense prompt of objects without a mask, `[1, C, h, w]`, in the memory of the provider. Only for graphs that
    /// take prompt embeddings.
    no_mask: Option<DynValue>,
    shrinking: Shrinking,
    file: String,
}

/// Runs the objects whose number of prompt tokens TensorRT's engine was not built for: TensorRT would build the engine
/// again, for minutes, in the middle of work.
pub(super) struct Beyond {
    /// Prompt tokens of an object that the engine takes.
    pub tokens: RangeInclusive<usize>,
    /// None where no provider after TensorRT can be had.
    pub runner: Option<Runner>,
    /// Whether the log has a line about the first of these objects.
    pub logged: bool,
}

impl Beyond {
    /// What runs objects of so many tokens.
    ///
    /// # Errors
    /// [`Error::Tokens`] where nothing does.
    pub fn runner(&mut self, model: &str, found: usize) -> Result<&mut Runner, Error> {
        let (least, most) = (*self.tokens.start(), *self.tokens.end());
        let Some(runner) = &mut self.runner else {
            return Err(Error::Tokens { model: model.to_owned(), found, least, most });
        };
        if !std::mem::replace(&mut self.logged, true) {
            let provider = runner.provider;
            tracing::warn!(
                model,
                "an object has {found} prompt tokens, the engine of TensorRT takes {least} to {most}: such objects are \
                 decoded on {provider}, which is slower; max_tokens raises the limit"
            );
        }
        Ok(runner)
    }
}

impl Runner {
    /// # Errors
    /// [`Error::Session`] when ONNX Runtime fails.
    pub fn new(
        session: Session,
        provider: Provider,
        file: &str,
        encoder: Option<&PromptEncoder>,
        options: &SessionOptions,
    ) -> Result<Self, Error> {
        let failed = |e: ort::Error| session::failed(file, provider, &e);
        let no_mask = match encoder {
            Some(encoder) => {
                let [c, h, w] = encoder.dense_shape();
                let tensor = Tensor::from_array(([1, c, h, w], encoder.dense_without_mask())).map_err(failed)?;
                // Not carried to a GPU for each click.
                let there = || binding::to_device(&tensor, options.gpu.device_id).ok();
                let on_device = if provider.on_gpu() { there() } else { None };
                Some(on_device.unwrap_or_else(|| tensor.into_dyn()))
            }
            None => None,
        };
        let shrinking = Shrinking::new(provider, options).map_err(failed)?;
        Ok(Runner { session, provider, no_mask, shrinking, file: file.to_owned() })
    }

    /// The next run gives memory back: the largest batch was a trial.
    pub fn settle(&mut self) {
        self.shrinking.soon();
    }

    /// Runs the graph for `objects` objects. The runner adds the dense prompt where `inputs` has none of its own.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] and [`Error::Session`] when ONNX Runtime fails.
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
        outputs.map_err(|e| session::failed(&self.file, self.provider, &e))
    }
}
