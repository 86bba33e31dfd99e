//! Weights of a graph that lie in files beside the graph.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use prost::Message;

use crate::model::bundle::file_checks;
use crate::model::error::Error;

/// Returns the paths of the files beside a graph that hold its weights. A graph that does not parse has none here: ONNX Runtime
/// refuses it with a reason.
///
/// # Errors
/// [`Error::Read`] and the errors of [`file_checks`] for a file that cannot be read.
pub fn weights_beside(graph: &Path) -> Result<Vec<PathBuf>, Error> {
    file_checks::check_graph(graph)?;
    let locations = locations(&file_checks::read(graph, file_checks::MAX_GRAPH)?).unwrap_or_else(|e| {
        tracing::debug!(graph = %graph.display(), "not an ONNX graph: {e}");
        BTreeSet::new()
    });
    let weights = locations.into_iter().map(|name| graph.with_file_name(name)).collect::<Vec<_>>();
    for weights in &weights {
        file_checks::checked_size(weights, file_checks::MAX_WEIGHTS)?;
    }
    Ok(weights)
}

/// Returns the names of the files in which a graph has weights.
pub fn locations(content: &[u8]) -> Result<BTreeSet<String>, prost::DecodeError> {
    let model = ModelProto::decode(content)?;
    let mut locations = BTreeSet::new();
    if let Some(graph) = &model.graph {
        graph.collect(&mut locations);
    }
    model.functions.iter().flat_map(|function| &function.node).for_each(|node| node.collect(&mut locations));
    Ok(locations)
}

// The messages of onnx.proto3 that lead to tensors, with the fields that do. Decoding skips all other fields.

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionProto>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializer: Vec<SparseTensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionProto {
    #[prost(message, repeated, tag = "7")]
    node: Vec<NodeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(message, optional, tag = "5")]
    t: Option<TensorProto>,
    #[prost(message, optional, tag = "6")]
    g: Option<GraphProto>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<GraphProto>,
    #[prost(message, optional, tag = "22")]
    sparse_tensor: Option<SparseTensorProto>,
    #[prost(message, repeated, tag = "23")]
    sparse_tensors: Vec<SparseTensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct SparseTensorProto {
    #[prost(message, optional, tag = "1")]
    values: Option<TensorProto>,
    #[prost(message, optional, tag = "2")]
    indices: Option<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<StringStringEntryProto>,
}

#[derive(Clone, PartialEq, Message)]
struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

impl GraphProto {
    /// Adds the locations of all tensors in the graph.
    fn collect(&self, locations: &mut BTreeSet<String>) {
        self.node.iter().for_each(|node| node.collect(locations));
        self.initializer.iter().for_each(|tensor| tensor.collect(locations));
        self.sparse_initializer.iter().for_each(|tensor| tensor.collect(locations));
    }
}

impl NodeProto {
    fn collect(&self, locations: &mut BTreeSet<String>) {
        for attribute in &self.attribute {
            attribute.t.iter().chain(&attribute.tensors).for_each(|tensor| tensor.collect(locations));
            attribute.g.iter().chain(&attribute.graphs).for_each(|graph| graph.collect(locations));
            let sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors);
            sparse.for_each(|tensor| tensor.collect(locations));
        }
    }
}

impl SparseTensorProto {
    fn collect(&self, locations: &mut BTreeSet<String>) {
        self.values.iter().chain(&self.indices).for_each(|tensor| tensor.collect(locations));
    }
}

impl TensorProto {
    fn collect(&self, locations: &mut BTreeSet<String>) {
        let entries = self.external_data.iter().filter(|entry| entry.key == "location");
        locations.extend(entries.map(|entry| entry.value.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor_in(file: &str) -> TensorProto {
        let entry = |key: &str, value: &str| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
        TensorProto { external_data: vec![entry("offset", "64"), entry("location", file)] }
    }

    #[test]
    fn files_with_weights_are_named_by_the_graph() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let content = std::fs::read(golden.join("external/image_encoder.onnx")).unwrap();
        assert_eq!(locations(&content).unwrap().into_iter().collect::<Vec<_>>(), ["image_encoder.onnx.data"]);
        assert!(locations(&content[..content.len() / 2]).is_err(), "half a graph does not parse");
        assert!(locations(b"\x0a\x08location\x12\x05wei").is_err() && locations(b"\x0a\x08location\x12").is_err());
    }

    #[test]
    fn tensors_are_found_in_subgraphs_attributes_and_functions() {
        let sparse = |file: &str| SparseTensorProto { values: Some(tensor_in(file)), indices: None };
        let node = |attribute: AttributeProto| NodeProto { attribute: vec![attribute] };
        let constant = |file: &str| node(AttributeProto { t: Some(tensor_in(file)), ..AttributeProto::default() });
        let branch = GraphProto { initializer: vec![tensor_in("branch")], ..GraphProto::default() };
        let condition = AttributeProto { graphs: vec![branch], ..AttributeProto::default() };
        let graph = GraphProto {
            node: vec![constant("constant"), node(condition)],
            initializer: vec![tensor_in("weights"), tensor_in("weights")],
            sparse_initializer: vec![sparse("sparse")],
        };
        let functions = vec![FunctionProto { node: vec![constant("function")] }];
        let content = ModelProto { graph: Some(graph), functions }.encode_to_vec();
        let expected = ["branch", "constant", "function", "sparse", "weights"];
        assert_eq!(locations(&content).unwrap().into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_entry_outside_of_a_tensor_is_no_file() {
        // `metadata_props` of the model, tag 14, with the key `location`.
        let entry = StringStringEntryProto { key: "location".to_owned(), value: "Zurich".to_owned() }.encode_to_vec();
        let content = [&[14 << 3 | 2, entry.len() as u8], entry.as_slice()].concat();
        assert!(locations(&content).unwrap().is_empty());
    }
}
