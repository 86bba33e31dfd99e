//! Graphs without the outputs that nobody reads.
//!
//! Decoders of other exporters also resize the masks to the size of an image, which promptseg does itself. TensorRT refuses that part if
//! the size is an input of floats, and with it the whole graph.

use std::collections::HashSet;

use prost::Message;

/// Returns a graph that has only the outputs `wanted`, and the nodes that they need. Inputs, weights and the remaining nodes stay
/// as they are, byte for byte. None if no node is left out.
///
/// # Errors
/// The content is not an ONNX model.
pub fn cut(content: &[u8], wanted: &[String]) -> Result<Option<Vec<u8>>, prost::DecodeError> {
    let mut model = ModelProto::decode(content)?;
    let Some(graph) = &mut model.graph else { return Ok(None) };
    let mut needed: HashSet<String> = wanted.iter().cloned().collect();
    let mut kept = Vec::with_capacity(graph.node.len());
    // A node comes after the nodes that it reads.
    for node in graph.node.iter().rev() {
        let names = NodeProto::decode(node.as_slice())?;
        if names.output.iter().any(|output| needed.contains(output)) {
            names.reads(&mut needed);
            kept.push(node.clone());
        }
    }
    if kept.len() == graph.node.len() {
        return Ok(None);
    }
    kept.reverse();
    graph.node = kept;
    let mut outputs = Vec::with_capacity(wanted.len());
    for output in &graph.output {
        if wanted.contains(&ValueInfoProto::decode(output.as_slice())?.name) {
            outputs.push(output.clone());
        }
    }
    graph.output = outputs;
    Ok(Some(model.encode_to_vec()))
}

// The messages of onnx.proto3, as far as they are read. What is only passed on is bytes. Both have all fields of onnx 1.19:
// encoding leaves out what is not declared.

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, optional, tag = "1")]
    ir_version: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "2")]
    producer_name: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    producer_version: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "4")]
    domain: Option<Vec<u8>>,
    #[prost(int64, optional, tag = "5")]
    model_version: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "6")]
    doc_string: Option<Vec<u8>>,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    opset_import: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "14")]
    metadata_props: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "20")]
    training_info: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "25")]
    functions: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "26")]
    configuration: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(bytes = "vec", repeated, tag = "1")]
    node: Vec<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    name: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    initializer: Vec<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "10")]
    doc_string: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "11")]
    input: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "12")]
    output: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "13")]
    value_info: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "14")]
    quantization_annotation: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "15")]
    sparse_initializer: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "16")]
    metadata_props: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(message, optional, tag = "6")]
    g: Option<SubgraphProto>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<SubgraphProto>,
}

/// A branch or a loop's body, which may read values of the graph around it.
#[derive(Clone, PartialEq, Message)]
struct SubgraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

impl NodeProto {
    /// Adds the names of all values that the node reads.
    fn reads(&self, names: &mut HashSet<String>) {
        names.extend(self.input.iter().cloned());
        for graph in self.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)) {
            names.extend(graph.output.iter().map(|output| output.name.clone()));
            graph.node.iter().for_each(|node| node.reads(names));
        }
    }
}

#[cfg(test)]
mod tests {
    use ort::session::Session;

    use super::*;
    use crate::model::layout::TensorSpec;
    use crate::model::runtime::library;
    use crate::model::runtime::tensor::{float_values, typed_tensor};

    fn node(input: &[&str], output: &str, branches: Vec<SubgraphProto>) -> NodeProto {
        let attribute = AttributeProto { g: None, graphs: branches };
        let input = input.iter().map(|name| (*name).to_owned()).collect();
        NodeProto { input, output: vec![output.to_owned()], attribute: vec![attribute] }
    }

    fn named(names: &[&str]) -> Vec<Vec<u8>> {
        names.iter().map(|name| ValueInfoProto { name: (*name).to_owned() }.encode_to_vec()).collect()
    }

    fn model(nodes: &[NodeProto], outputs: &[&str]) -> Vec<u8> {
        let node = nodes.iter().map(Message::encode_to_vec).collect();
        let graph = GraphProto { node, input: named(&["image", "size"]), output: named(outputs), ..Default::default() };
        ModelProto { ir_version: Some(8), graph: Some(graph), ..Default::default() }.encode_to_vec()
    }

    fn outputs_of_nodes(content: &[u8]) -> Vec<String> {
        let graph = ModelProto::decode(content).unwrap().graph.unwrap();
        graph.node.iter().flat_map(|node| NodeProto::decode(node.as_slice()).unwrap().output).collect()
    }

    #[test]
    fn nodes_that_no_wanted_output_needs_are_left_out() {
        let captured = SubgraphProto { node: vec![node(&["in_branch"], "then", Vec::new())], output: Vec::new() };
        let nodes = [
            node(&["image"], "features", Vec::new()),
            node(&["image"], "in_branch", Vec::new()),
            node(&["features"], "logits", vec![captured]),
            node(&["logits", "size"], "masks", Vec::new()),
        ];
        let content = model(&nodes, &["masks", "logits"]);
        let cut_graph = cut(&content, &["logits".to_owned()]).unwrap().unwrap();
        assert_eq!(outputs_of_nodes(&cut_graph), ["features", "in_branch", "logits"]);
        let graph = ModelProto::decode(cut_graph.as_slice()).unwrap().graph.unwrap();
        assert_eq!((graph.output, graph.input), (named(&["logits"]), named(&["image", "size"])));
        assert_eq!(cut(&content, &["masks".to_owned(), "logits".to_owned()]).unwrap(), None, "all are needed");
        assert!(cut(b"no graph", &[]).is_err());
    }

    #[test]
    fn every_field_of_a_real_graph_is_passed_on() {
        for file in ["samexporter_sam/decoder.onnx", "sam_hq/decoder.onnx", "efficientsam/decoder.onnx"] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
            let content = std::fs::read(path).unwrap();
            let model = ModelProto::decode(content.as_slice()).unwrap();
            assert_eq!(model.encoded_len(), content.len(), "{file}");
        }
    }

    #[test]
    fn the_values_of_a_cut_graph_are_the_same_to_the_bit() {
        let wanted = ["low_res_masks", "iou_predictions"].map(ToOwned::to_owned);
        for folder in ["samexporter_sam", "sam_hq", "rectlabel_sam2"] {
            let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
            let whole = std::fs::read(fixtures.join(folder).join("decoder.onnx")).unwrap();
            let without_masks = cut(&whole, &wanted).unwrap().unwrap();
            assert_eq!(values(&whole, &wanted), values(&without_masks, &wanted), "{folder}");
        }
    }

    /// Returns the bits of outputs of a graph for made-up inputs.
    fn values(graph: &[u8], outputs: &[String]) -> Vec<Vec<u32>> {
        let mut session =
            Session::builder(&library::environment().unwrap()).unwrap().commit_from_memory(graph).unwrap();
        let specs: Vec<_> = session.inputs().iter().map(TensorSpec::from_outlet).collect();
        let inputs = specs.iter().map(|spec| {
            let shape: Vec<usize> = (0..spec.shape.len()).map(|axis| spec.fixed(axis).unwrap_or(1)).collect();
            let value = |i: usize| if spec.name == "orig_im_size" { 32.0 } else { (i * 37 % 101) as f32 / 101.0 };
            let values = (0..shape.iter().product()).map(value).collect();
            (spec.name.clone(), typed_tensor(spec, &shape, values).unwrap())
        });
        let inputs: Vec<_> = inputs.collect();
        let results = session.run(inputs).unwrap();
        let bits =
            |name: &String| float_values(&results[name.as_str()]).unwrap().1.iter().map(|v| v.to_bits()).collect();
        outputs.iter().map(bits).collect()
    }
}
