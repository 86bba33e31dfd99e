//! Layouts of mask decoders: recognised by the names of their tensors, then checked for types and shapes.

use super::known::{FUSED, Family, KNOWN_LAYOUTS, KnownLayout};
use super::signature::FLOATS;
use super::signature::{Signature, TensorSpec};
use crate::model::error::Error;

const EXTERNAL: &str = "promptseg external";
const SPARSE: &str = "sparse_prompt_embeddings";
const DENSE: &str = "dense_prompt_embeddings";
const WANTED: &str = "wanted_masks";
const POINTERS: &str = "object_pointers";

/// Place of the prompt encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptInput {
    /// In Rust ([`crate::model::prompt_encoder`]): the graph takes sparse and dense prompt embeddings.
    External,
    /// In the graph, which takes points and labels: [`FusedInputs`].
    Fused,
}

/// Inputs of a graph with the prompt encoder inside. f32 may be f16.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FusedInputs {
    /// Coordinates of the points, f32 `[B, N, 2]` or `[1, B, N, 2]`.
    pub points: TensorSpec,
    /// Labels of the points, `[B, N]` or `[1, B, N]`: -1 pad, 0 background, 1 foreground, 2 and 3 the corners of a box.
    pub labels: TensorSpec,
    /// Mask prompt, f32 `[B, 1, L, L]`, and the flag for its presence, `[1]` or `[B]`.
    pub mask: Option<[TensorSpec; 2]>,
    /// Whether each object has a flag of its own; otherwise one flag is for all objects.
    pub flag_per_object: bool,
    /// Size of the full-size masks, `[2]`, height before width. These masks are not used; a small size makes them cheap.
    pub size: Option<TensorSpec>,
    /// Whether coordinates are in pixels of that size.
    pub points_in_size: bool,
    /// Boxes, f32 `[1, B, 4]`.
    pub boxes: Option<TensorSpec>,
    /// Whether boxes go into the input for boxes; otherwise their corners are points and that input is empty.
    pub separate_boxes: bool,
    /// Whether the caller adds the pad point; otherwise the graph adds it.
    pub pad: bool,
    /// Whether the graph can run without points, `[1, 0, 2]`, for a mask as the only prompt. Tried when the model is opened.
    pub without_points: bool,
}

/// Inputs and outputs of a mask decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderLayout {
    /// Name of the layout.
    pub name: &'static str,
    pub family: Family,
    /// Inputs that are outputs of the encoder with the same names. The first has the cells on which prompts lie.
    pub embeddings: Vec<TensorSpec>,
    /// Inputs of the prompt encoder. None for [`PromptInput::External`].
    pub fused: Option<FusedInputs>,
    /// Name of the low-resolution logits.
    pub low_res: String,
    /// Name of the predicted IoU.
    pub iou: String,
    /// Name of the object score.
    pub object_score: Option<String>,
    /// Name of the object pointers of the masks, f32 `[B, M, C]`, which a memory needs.
    pub pointers: Option<String>,
    /// Whether the graph computes only the masks that `wanted_masks`, f32 `[B, M, masks + 1]`, selects.
    pub selects: bool,
    /// Whether the shapes allow several objects in one run.
    pub batched: bool,
    pub takes_mask: bool,
    pub takes_boxes: bool,
    pub takes_background: bool,
    /// Most points and box corners of an object.
    pub max_tokens: Option<usize>,
    /// Number of masks of an object, if the graph fixes it: 4 are one mask for clear prompts and three candidates, 3 are
    /// candidates only.
    pub masks: Option<usize>,
    /// Side of the square of low-resolution logits, if the graph fixes it.
    pub low_res_side: Option<usize>,
}

impl DecoderLayout {
    /// Recognises the layout of a graph.
    ///
    /// # Errors
    /// [`Error::UnknownLayout`] with the tensors of the graph and the nearest known layout.
    pub fn recognise(graph: &Signature) -> Result<DecoderLayout, Error> {
        if graph.input(SPARSE).is_some() {
            return Self::external(graph).ok_or_else(|| unknown(graph, EXTERNAL_SHAPES.to_owned()));
        }
        let fits = KNOWN_LAYOUTS.iter().map(|known| (known, LayoutMatch::new(known, graph)));
        match fits.clone().find(|(_, fit)| fit.is_exact()) {
            Some((known, fit)) => Ok(Self::fused(known, fit, graph)),
            None => {
                // The nearest layout has the most names in common with the graph, then the fewest differences.
                let nearest = fits.max_by_key(|(_, fit)| (fit.common * 2 - fit.faults.len() as i64, -fit.extra));
                let nearest = nearest.filter(|(_, fit)| fit.common > 0).map(|(known, fit)| fit.describe(known));
                Err(unknown(graph, nearest.unwrap_or_else(|| format!("none of {}", names().join(", ")))))
            }
        }
    }

    /// Returns the place of the prompt encoder.
    pub fn prompts(&self) -> PromptInput {
        if self.fused.is_some() { PromptInput::Fused } else { PromptInput::External }
    }

    /// Returns whether the layout is one of promptseg's own bundles, whose description is complete.
    pub fn ours(&self) -> bool {
        [EXTERNAL, FUSED].contains(&self.name)
    }

    /// Returns the names of the outputs that are read.
    pub fn outputs(&self) -> Vec<String> {
        let optional = self.object_score.iter().chain(&self.pointers);
        [&self.low_res, &self.iou].into_iter().chain(optional).cloned().collect()
    }

    /// Matches the layout with the prompt encoder outside of the graph.
    fn external(graph: &Signature) -> Option<DecoderLayout> {
        let sparse = graph.input(SPARSE).filter(|t| t.is_f32(3))?;
        let dense = graph.input(DENSE).filter(|t| t.is_f32(4))?;
        let low_res = graph.output("low_res_masks").filter(|t| t.is_f32(4) || t.is_f32(0))?;
        let iou = graph.output("iou_predictions").filter(|t| t.dtype == "f32")?;
        let prompts = [SPARSE, DENSE, WANTED];
        let embeddings: Vec<_> = graph.inputs.iter().filter(|t| !prompts.contains(&t.name.as_str())).cloned().collect();
        let embedded = !embeddings.is_empty() && embeddings.iter().all(|t| t.is_f32(4));
        (sparse.fixed(2) == dense.fixed(1) && embedded).then_some(())?;
        let masks = low_res.fixed(1).or(iou.fixed(1));
        let wanted = graph.input(WANTED);
        let rows = |t: &TensorSpec| t.is_f32(3) && t.fixed(2).is_some() && t.fixed(2) == masks.map(|n| n + 1);
        wanted.is_none_or(rows).then_some(())?;
        Some(DecoderLayout {
            name: EXTERNAL,
            family: Family::Sam,
            embeddings,
            fused: None,
            low_res: low_res.name.clone(),
            iou: iou.name.clone(),
            object_score: graph.output("object_score_logits").map(|t| t.name.clone()),
            pointers: graph.output(POINTERS).filter(|t| t.is_f32(3) || t.is_f32(0)).map(|t| t.name.clone()),
            selects: wanted.is_some(),
            batched: sparse.dynamic(0),
            takes_mask: true,
            takes_boxes: true,
            takes_background: true,
            max_tokens: None,
            masks,
            low_res_side: low_res.fixed(2),
        })
    }

    /// Makes the layout of a graph that matches a known layout.
    fn fused(known: &KnownLayout, fit: LayoutMatch, graph: &Signature) -> DecoderLayout {
        let LayoutMatch { points, labels, mask, size, boxes, embeddings, .. } = fit;
        let (low_res, iou, score) = known.outputs;
        let (low_res, iou) = (graph.output(low_res), graph.output(iou));
        let object_axis = known.points.1 - 3;
        // Axes are counted from the end, because a dimension of the objects may be in front, and the shape may be unknown.
        let from_end = |t: Option<&TensorSpec>, n: usize| t.and_then(|t| t.fixed(t.shape.len().checked_sub(n)?));
        // Masks of a requested size have no fixed size.
        let low_res_side =
            if known.size.is_some() && known.outputs.0 != "low_res_masks" { None } else { from_end(low_res, 1) };
        DecoderLayout {
            name: known.name,
            family: known.family,
            embeddings: embeddings.into_iter().cloned().collect(),
            batched: points.is_some_and(|t| t.dynamic(object_axis))
                && mask.is_none_or(|[mask, flag]| mask.dynamic(0) && (flag.dynamic(0) || !known.flag_per_object)),
            takes_mask: mask.is_some(),
            takes_boxes: known.takes_boxes,
            takes_background: known.takes_background,
            max_tokens: known.max_tokens,
            masks: from_end(low_res, 3).or(from_end(iou, 1)),
            low_res_side: mask.and_then(|[mask, _]| mask.fixed(2)).or(low_res_side),
            low_res: known.outputs.0.to_owned(),
            iou: known.outputs.1.to_owned(),
            selects: false,
            pointers: None,
            object_score: score.filter(|name| graph.output(name).is_some()).map(ToOwned::to_owned),
            fused: points.zip(labels).map(|(points, labels)| FusedInputs {
                points: points.clone(),
                labels: labels.clone(),
                mask: mask.map(|pair| pair.map(Clone::clone)),
                flag_per_object: known.flag_per_object,
                size: size.cloned(),
                points_in_size: known.points_in_size,
                boxes: boxes.cloned(),
                separate_boxes: boxes.is_some(),
                pad: known.pad,
                without_points: false,
            }),
        }
    }
}

const EXTERNAL_SHAPES: &str = "promptseg external: image_embeddings f32[1,C,h,w], sparse_prompt_embeddings f32[?,?,C], \
                               dense_prompt_embeddings f32[?,C,h,w], with or without wanted_masks f32[?,?,M+1] -> \
                               low_res_masks f32[?,M,4h,4w], iou_predictions f32[?,M]";

fn unknown(graph: &Signature, nearest: String) -> Error {
    Error::UnknownLayout { file: graph.file.clone(), what: "a mask decoder", found: graph.to_string(), nearest }
}

fn names() -> Vec<&'static str> {
    std::iter::once(EXTERNAL).chain(KNOWN_LAYOUTS.iter().map(|known| known.name)).collect()
}

/// Comparison of a graph with a known layout.
#[derive(Debug, Clone, Default)]
struct LayoutMatch<'a> {
    points: Option<&'a TensorSpec>,
    labels: Option<&'a TensorSpec>,
    mask: Option<[&'a TensorSpec; 2]>,
    size: Option<&'a TensorSpec>,
    boxes: Option<&'a TensorSpec>,
    embeddings: Vec<&'a TensorSpec>,
    /// Number of names that both have.
    common: i64,
    /// Number of inputs that only the graph has.
    extra: i64,
    /// Differences in words.
    faults: Vec<String>,
}

impl<'a> LayoutMatch<'a> {
    fn new(known: &KnownLayout, graph: &'a Signature) -> LayoutMatch<'a> {
        let mut fit = LayoutMatch::default();
        let (points, rank) = known.points;
        fit.points = fit.input(graph, points, &FLOATS, rank);
        fit.labels = fit.input(graph, known.labels, &["f32", "f16", "i64", "i32"], rank - 1);
        if let Some([mask, flag]) = known.mask
            && (graph.input(mask).is_some() || graph.input(flag).is_some())
        {
            let mask = fit.input(graph, mask, &FLOATS, 4);
            let flag = fit.input(graph, flag, &["f32", "f16", "bool", "i32", "i64"], 1);
            fit.mask = mask.zip(flag).map(|(mask, flag)| [mask, flag]);
        }
        fit.size = known.size.and_then(|name| fit.input(graph, name, &["f32", "f16", "i32", "i64"], 1));
        fit.boxes = known.boxes.and_then(|name| fit.input(graph, name, &FLOATS, 3));
        for &(name, rank) in known.embeddings {
            let found = fit.input(graph, name, &FLOATS, rank);
            fit.embeddings.extend(found);
        }
        fit.match_others(known, graph);
        for name in [known.outputs.0, known.outputs.1] {
            match graph.output(name) {
                Some(t) if FLOATS.contains(&t.dtype.as_str()) => fit.common += 1,
                Some(t) => fit.faults.push(format!("output {t} is not f32 or f16")),
                None => fit.faults.push(format!("no output `{name}`")),
            }
        }
        if fit.points.is_some_and(|t| t.fixed(rank - 1).is_some_and(|n| n != 2)) {
            fit.faults.push(format!("`{points}` does not end in 2"));
        }
        if fit.mask.is_some_and(|[mask, _]| mask.fixed(2) != mask.fixed(3)) {
            fit.faults.push("the mask prompt is not square".to_owned());
        }
        let dynamic = fit.points.is_some_and(|t| t.dynamic(rank - 3));
        if known.dynamic_batch.is_some_and(|expected| expected != dynamic) {
            fit.faults.push(format!("the objects of `{points}` are {}", if dynamic { "dynamic" } else { "fixed" }));
        }
        fit
    }

    /// Returns whether the graph has the layout.
    fn is_exact(&self) -> bool {
        self.faults.is_empty()
    }

    /// Finds an input and notes what differs.
    fn input(&mut self, graph: &'a Signature, name: &str, types: &[&str], rank: usize) -> Option<&'a TensorSpec> {
        let Some(found) = graph.input(name) else {
            self.faults.push(format!("no input `{name}`"));
            return None;
        };
        self.common += 1;
        if !types.contains(&found.dtype.as_str()) || found.shape.len() != rank {
            self.faults.push(format!("input {found} is not {} of rank {rank}", types.join(" or ")));
        }
        Some(found)
    }

    /// Sorts the inputs without a meaning: they are embeddings if the layout takes any embedding, otherwise too many.
    fn match_others(&mut self, known: &KnownLayout, graph: &'a Signature) {
        let [mask, flag] = known.mask.unwrap_or_default();
        let embedding = |name: &str| known.embeddings.iter().any(|(known, _)| *known == name);
        let has_meaning = |name: &str| [known.points.0, known.labels, mask, flag].contains(&name) || embedding(name);
        let others = |t: &&TensorSpec| {
            let name = Some(t.name.as_str());
            !has_meaning(&t.name) && name != known.size && name != known.boxes
        };
        for other in graph.inputs.iter().filter(others) {
            if known.embeddings.is_empty() && other.is_float(4) {
                self.embeddings.push(other);
            } else {
                self.extra += 1;
                self.faults.push(format!("input {other} is too many"));
            }
        }
        if known.embeddings.is_empty() {
            // The embedding with the usual name comes first, because prompts lie on its cells.
            self.embeddings.sort_by_key(|t| t.name != "image_embeddings");
            if self.embeddings.is_empty() {
                self.faults.push("no embedding".to_owned());
            }
        }
    }

    /// Returns the layout and the differences in words.
    fn describe(&self, known: &KnownLayout) -> String {
        format!("{}, but {}", known.name, self.faults.join(", "))
    }
}
