//! A graph with fixed names of inputs and outputs, and its session: for models whose graphs only promptseg's exporter writes.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use ort::session::{Session, SessionInputValue};
use ort::value::DynValue;

use super::error::Error;
use super::layout::{Signature, TensorSpec};
use super::runtime::engine_cache::EngineRecord;
use super::runtime::failure::run_failed;
use super::runtime::graph_file::GraphVariants;
use super::runtime::requests::Requests;
use super::runtime::session::{self, OpenedSession};
use super::runtime::shape_profile::ShapeProfile;
use super::runtime::tensor::{float_values, typed_tensor};
use super::runtime::{OpenGraph, ProviderReport};

/// Inputs and outputs that a graph must have.
#[derive(Debug, Clone)]
pub struct GraphTensors {
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
    /// Largest size of dynamic dimensions, for engines that are built for a range of sizes.
    pub most: usize,
}

impl GraphTensors {
    /// Describes a tensor; -1 is a dynamic dimension.
    pub fn tensor(name: &str, dtype: &str, shape: &[i64]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), dtype: dtype.to_owned(), shape: shape.to_vec() }
    }

    fn check(&self, graph: &Signature) -> Result<(), Error> {
        for (expected, found) in [(&self.inputs, &graph.inputs), (&self.outputs, &graph.outputs)] {
            let list = || found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            for tensor in expected {
                let same_name = found.iter().find(|other| other.name == tensor.name);
                let (file, name) = (graph.file.clone(), tensor.name.clone());
                let Some(other) = same_name else {
                    return Err(Error::MissingTensor {
                        file,
                        tensor: name,
                        expected: tensor.to_string(),
                        found: list(),
                    });
                };
                if other != tensor {
                    let (found, expected) = (other.to_string(), tensor.to_string());
                    return Err(Error::Tensor { file, tensor: name, found, expected });
                }
            }
            if let Some(other) = found.iter().find(|other| expected.iter().all(|tensor| tensor.name != other.name)) {
                let expected = expected.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let (file, tensor, found) = (graph.file.clone(), other.name.clone(), other.to_string());
                return Err(Error::Tensor { file, tensor, found, expected });
            }
        }
        Ok(())
    }

    /// Returns the range of shapes of the inputs, if one of them is dynamic.
    fn profile(&self) -> ShapeProfile {
        let mut profile = ShapeProfile::default();
        if self.inputs.iter().any(|input| input.shape.contains(&-1)) {
            for input in &self.inputs {
                let sizes = |dynamic: usize| {
                    input.shape.iter().map(|size| usize::try_from(*size).unwrap_or(dynamic)).collect::<Vec<_>>()
                };
                profile.add(&input.name, &sizes(1), &sizes(1), &sizes(self.most.max(1)));
            }
        }
        profile
    }
}

/// A graph and its session. It belongs to one thread.
pub struct Graph {
    /// Name of the graph in requests, timings and refusals.
    name: &'static str,
    session: Session,
    signature: Signature,
    report: ProviderReport,
    engines: Option<EngineRecord>,
}

impl Graph {
    /// Opens the graph of a file on the first provider of its request that can run it.
    ///
    /// # Errors
    /// [`Error::Tensor`] and [`Error::MissingTensor`] for a graph with other inputs or outputs, and the errors of files, execution
    /// providers and the runtime.
    pub(crate) fn open(
        name: &'static str,
        path: &Path,
        tensors: &GraphTensors,
        requests: &Requests<'_>,
    ) -> Result<Self, Error> {
        let profile = tensors.profile();
        let OpenedSession { session, signature, report, engines } =
            session::open(GraphVariants::Path(path), &requests.of(name, &profile))?;
        tensors.check(&signature)?;
        Ok(Graph { name, session, signature, report, engines })
    }

    /// Returns the name of the graph.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the graph as trial runs see it.
    pub(crate) fn opened(&mut self) -> OpenGraph<'_> {
        OpenGraph { name: self.name, report: &mut self.report, engines: self.engines.as_ref() }
    }

    /// Returns which execution provider runs the graph.
    pub fn report(&self) -> &ProviderReport {
        &self.report
    }

    /// Returns the inputs and outputs.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Returns the name of the file in messages.
    pub fn file(&self) -> &str {
        &self.signature.file
    }

    /// Runs the graph on zeros.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_once(&mut self) -> Result<(), Error> {
        let mut values = Vec::new();
        for input in &self.signature.inputs {
            let shape = input.shape.iter().map(|size| usize::try_from(*size).unwrap_or(1)).collect::<Vec<_>>();
            let zeros = vec![0.0; shape.iter().product()];
            values.push((input.name.clone(), typed_tensor(input, &shape, zeros).map_err(|e| self.failed(&e))?));
        }
        self.run(values.into_iter().map(|(name, value)| (name, SessionInputValue::from(value))).collect())?;
        Ok(())
    }

    /// Runs the graph. Returns its outputs in memory that the processor can read, in the order of the graph.
    ///
    /// # Errors
    /// [`Error::Session`] or [`Error::OutOfMemory`] if ONNX Runtime fails.
    pub fn run(&mut self, inputs: Vec<(String, SessionInputValue<'_>)>) -> Result<Outputs, Error> {
        let inputs = inputs.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect::<Vec<_>>();
        let outputs = self.session.run(inputs).and_then(|mut outputs| {
            let take = |spec: &TensorSpec| {
                let value = outputs.remove(&spec.name);
                value
                    .ok_or_else(|| ort::Error::new(format!("no output `{}`", spec.name)))
                    .map(|v| (spec.name.clone(), v))
            };
            self.signature.outputs.iter().map(take).collect::<ort::Result<Vec<_>>>()
        });
        match outputs {
            Ok(values) => Ok(Outputs { file: self.signature.file.clone(), values }),
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn failed(&self, e: &ort::Error) -> Error {
        run_failed(&self.signature.file, self.report.used, e)
    }
}

/// The outputs of a run, by name.
pub struct Outputs {
    file: String,
    values: Vec<(String, DynValue)>,
}

impl Outputs {
    /// Takes an output.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] if no output has the name, or it was taken before.
    pub fn take(&mut self, name: &str) -> Result<DynValue, Error> {
        let position = self.values.iter().position(|(other, _)| other == name);
        match position {
            Some(index) => Ok(self.values.swap_remove(index).1),
            None => Err(self.missing(name)),
        }
    }

    /// Takes the values of an output.
    ///
    /// # Errors
    /// As [`Self::take`]; [`Error::Session`] for a value that is not finite.
    pub fn numbers(&mut self, name: &str) -> Result<Vec<f32>, Error> {
        let value = self.take(name)?;
        let (_, numbers) = float_values(&value).map_err(|e| self.failed(e.to_string()))?;
        self.check_finite(name, &numbers)?;
        Ok(numbers.into_owned())
    }

    /// Returns some values of an output. The output is not taken, so that other values of it can be read later.
    ///
    /// # Errors
    /// As [`Self::numbers`]; [`Error::Session`] if the output has fewer values.
    pub fn part(&self, name: &str, range: Range<usize>) -> Result<Vec<f32>, Error> {
        let value = self.values.iter().find(|(other, _)| other == name).ok_or_else(|| self.missing(name))?;
        let (_, numbers) = float_values(&value.1).map_err(|e| self.failed(e.to_string()))?;
        let part = numbers.get(range.clone());
        let part = part.ok_or_else(|| self.failed(format!("`{name}` has {} values, not {range:?}", numbers.len())))?;
        self.check_finite(name, part)?;
        Ok(part.to_vec())
    }

    fn check_finite(&self, name: &str, numbers: &[f32]) -> Result<(), Error> {
        match numbers.iter().position(|number| !number.is_finite()) {
            Some(index) => {
                let found = numbers[index];
                Err(self.failed(format!("the value {index} of `{name}` is {found}, expected a finite number")))
            }
            None => Ok(()),
        }
    }

    fn failed(&self, reason: String) -> Error {
        Error::Session { file: self.file.clone(), reason }
    }

    fn missing(&self, name: &str) -> Error {
        Error::MissingTensor {
            file: self.file.clone(),
            tensor: name.to_owned(),
            expected: "output".to_owned(),
            found: self.values.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
        }
    }
}
