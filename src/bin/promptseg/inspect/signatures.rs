//! The inputs and outputs of a graph.

use promptseg::model::{Signature, TensorSpec};
use serde_json::{Value, json};

use crate::terminal;

/// Returns the inputs and outputs of a graph as JSON.
pub fn signature(graph: &Signature) -> Value {
    let list = |tensors: &[TensorSpec]| -> Vec<Value> {
        tensors.iter().map(|t| json!({ "name": t.name, "type": t.dtype, "shape": t.shape })).collect()
    };
    json!({ "file": graph.file, "inputs": list(&graph.inputs), "outputs": list(&graph.outputs) })
}

/// Prints the inputs and outputs of a graph.
pub fn print_tensors(name: &str, graph: &Signature) {
    terminal::print(format!("\n{}: {}", terminal::bold(name), graph.file));
    graph.inputs.iter().for_each(|input| terminal::print(format!("  in   {input}")));
    graph.outputs.iter().for_each(|output| terminal::print(format!("  out  {output}")));
}
