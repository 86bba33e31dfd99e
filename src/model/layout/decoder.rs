//! Mask decoders: recognised by what their tensors are called, then checked for types and shapes.

use super::known::{FUSED, Family, KNOWN, Known};
use super::signature::FLOATS;
use super::{Signature, TensorSpec};
use crate::model::Error;

const EXTERNAL: &str = "promptseg external";
const SPARSE: &str = "sparse_prompt_embeddings";
const DENSE: &str = "dense_prompt_embeddings";
const WANTED: &str = "wanted_masks";
const POINTERS: &str = "object_pointers";

/// Where the prompts are turned into embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptInput {
    /// In Rust, by [`crate::model::prompt_encoder`]: the graph takes sparse and dense prompt embeddings.
    External,
    /// In the graph, which takes points, labels and more: [`FusedInputs`].
    Fused,
}

/// The inputs of a graph that has the prompt encoder inside, as it calls and types them; f16 in the place of f32 too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FusedInputs {
    /// f32 `[B, N, 2]` or `[1, B, N, 2]`.
    pub points: TensorSpec,
    /// `[B, N]` or `[1, B, N]`: -1 pad, 0 background, 1 foreground, 2 and 3 the corners of a box.
    pub labels: TensorSpec,
    /// f32 `[B, 1, L, L]`, and whether it is there, `[1]` or `[B]`.
    pub mask: Option<[TensorSpec; 2]>,
    pub flag_per_object: bool,
    /// `[2]`, height before width, of masks that are not used: they are made as small as the graph can.
    pub size: Option<TensorSpec>,
    pub points_in_size: bool,
    /// f32 `[1, B, 4]`.
    pub boxes: Option<TensorSpec>,
    /// Whether boxes go there; else their corners are points and that input is empty.
    pub corners_apart: bool,
    /// Whether the pad point comes from the caller.
    pub pad: bool,
    /// Whether the graph can be given no point at all, `[1, 0, 2]`: a mask alone as the prompt. Tried while it is opened.
    pub without_points: bool,
}

/// How a mask decoder is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderLayout {
    /// How people call it.
    pub name: &'static str,
    pub family: Family,
    /// Inputs that are outputs of the encoder of the same name; first the one whose cells the prompts lie on.
    pub embeddings: Vec<TensorSpec>,
    /// `None` for [`PromptInput::External`].
    pub fused: Option<FusedInputs>,
    /// Names of the low-resolution logits, the predicted IoU and the object score.
    pub low_res: String,
    pub iou: String,
    pub object_score: Option<String>,
    /// Of what each mask shows, for a memory: f32 `[B, M, C]`.
    pub pointers: Option<String>,
    /// The graph makes only the masks that `wanted_masks` f32 `[B, M, masks + 1]` asks for.
    pub selects: bool,
    /// Several objects in one run, as far as the shapes tell.
    pub batched: bool,
    pub takes_mask: bool,
    pub takes_boxes: bool,
    pub takes_background: bool,
    /// Most points and corners of an object.
    pub max_tokens: Option<usize>,
    /// Masks per object where the graph fixes it: 4 is one for clear prompts and three candidates, 3 only candidates.
    pub masks: Option<usize>,
    /// Side of the low-resolution logits, where the graph fixes it.
    pub low_res_side: Option<usize>,
}

impl DecoderLayout {
    /// # Errors
    /// [`Error::UnknownLayout`] with the tensors found and the nearest known layout.
    pub fn recognise(graph: &Signature) -> Result<DecoderLayout, Error> {
        if graph.input(SPARSE).is_some() {
            return Self::external(graph).ok_or_else(|| unknown(graph, EXTERNAL_SHAPES.to_owned()));
        }
        let fits = KNOWN.iter().map(|known| (known, Fit::of(known, graph)));
        match fits.clone().find(|(_, fit)| fit.whole()) {
            Some((known, fit)) => Ok(Self::fused(known, fit, graph)),
            None => {
                // The most names in common; of equals the one with the fewest differences.
                let nearest = fits.max_by_key(|(_, fit)| (fit.common * 2 - fit.faults.len() as i64, -fit.extra));
                let nearest = nearest.filter(|(_, fit)| fit.common > 0).map(|(known, fit)| fit.describe(known));
                Err(unknown(graph, nearest.unwrap_or_else(|| format!("none of {}", names().join(", ")))))
            }
        }
    }

    pub fn prompts(&self) -> PromptInput {
        if self.fused.is_some() { PromptInput::Fused } else { PromptInput::External }
    }

    /// Whether it is made for our bundles, whose description says all that there is to know.
    pub fn ours(&self) -> bool {
        [EXTERNAL, FUSED].contains(&self.name)
    }

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

    fn fused(known: &Known, fit: Fit, graph: &Signature) -> DecoderLayout {
        let Fit { points, labels, mask, size, boxes, embeddings, .. } = fit;
        let (low_res, iou, score) = known.outputs;
        let (low_res, iou) = (graph.output(low_res), graph.output(iou));
        let object_axis = known.points.1 - 3;
        // Counted from the end: an object's dimension may come before, and shapes may be unknown.
        let from_end = |t: Option<&TensorSpec>, n: usize| t.and_then(|t| t.fixed(t.shape.len().checked_sub(n)?));
        // Masks at a size that is asked for have no size of their own.
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
                corners_apart: boxes.is_some(),
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
    std::iter::once(EXTERNAL).chain(KNOWN.iter().map(|known| known.name)).collect()
}

/// How far a graph is from a known layout.
#[derive(Debug, Clone, Default)]
struct Fit<'a> {
    points: Option<&'a TensorSpec>,
    labels: Option<&'a TensorSpec>,
    mask: Option<[&'a TensorSpec; 2]>,
    size: Option<&'a TensorSpec>,
    boxes: Option<&'a TensorSpec>,
    embeddings: Vec<&'a TensorSpec>,
    /// Names that both have.
    common: i64,
    /// Inputs that only the graph has.
    extra: i64,
    /// In words.
    faults: Vec<String>,
}

impl<'a> Fit<'a> {
    fn of(known: &Known, graph: &'a Signature) -> Fit<'a> {
        let mut fit = Fit::default();
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
        fit.others(known, graph);
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

    fn whole(&self) -> bool {
        self.faults.is_empty()
    }

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

    /// Inputs without a meaning: embeddings where the layout takes any, else too many.
    fn others(&mut self, known: &Known, graph: &'a Signature) {
        let [mask, flag] = known.mask.unwrap_or_default();
        let embedding = |name: &str| known.embeddings.iter().any(|(known, _)| *known == name);
        let meant = |name: &str| [known.points.0, known.labels, mask, flag].contains(&name) || embedding(name);
        let others = |t: &&TensorSpec| {
            let name = Some(t.name.as_str());
            !meant(&t.name) && name != known.size && name != known.boxes
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
            // The usual name first: the prompts lie on its cells.
            self.embeddings.sort_by_key(|t| t.name != "image_embeddings");
            if self.embeddings.is_empty() {
                self.faults.push("no embedding".to_owned());
            }
        }
    }

    fn describe(&self, known: &Known) -> String {
        format!("{}, but {}", known.name, self.faults.join(", "))
    }
}
