//! Opens the graphs of a text model: each on its fastest provider, with trial runs. Results in half precision are compared with
//! fp32.

use std::sync::Arc;
use std::time::Instant;

use super::description::TextBundle;
use super::detection::sigmoid;
use super::error::Error;
use super::fields::TEXT_TOWER;
use super::identity::iou;
use super::network::{Answers, Network};
use super::tower::TextTower;
use crate::model::SessionOptions;
use crate::model::graph::Graph;
use crate::model::opening::trials::Opening;
use crate::model::opening::tried::{RunFailure, Tried, apart, overlap, picture};
use crate::model::runtime::{OpenGraph, Requests};
use crate::model::timing::milliseconds;
use crate::prompt::BoxPrompt;

/// Largest accepted difference of logits, boxes and objectness of half precision and fp32, as a fraction of their range, and of the
/// presence of a phrase. OpenVINO's bf16 reaches 0.07 on models with random weights.
const OUTPUTS: f32 = 0.1;
/// Smallest accepted overlap (IoU) of the best boxes of a phrase. Boxes of a few patches move by a part of a pixel.
const BOX_OVERLAP: f32 = 0.8;
/// Smallest accepted overlap of the best masks of a phrase, as for masks of prompts.
const MASK_OVERLAP: f32 = 0.9;
/// Number of boxes and masks of a phrase, the best scores first, that must overlap.
const BEST: usize = 5;
/// Phrases of a trial run.
const PHRASES: u32 = 2;

/// Opens the graphs that look at images.
///
/// # Errors
/// The errors of files, graphs and execution providers.
pub fn open_network(bundle: &TextBundle, options: &SessionOptions) -> Result<Network, Error> {
    let [image_tower, head, ..] = bundle.fields.family.files();
    open(bundle, &[head, image_tower], options, &|requests| Network::open(bundle, requests))
}

/// Opens the text tower.
///
/// # Errors
/// The errors of files, graph, tokenizer and execution providers.
pub fn open_text_tower(bundle: &TextBundle, options: &SessionOptions) -> Result<TextTower, Error> {
    open(bundle, &[TEXT_TOWER], options, &|requests| TextTower::open(bundle, requests))
}

/// Verifies files, and opens their graphs.
fn open<M: Tried<Error = Error>>(
    bundle: &TextBundle,
    files: &[&str],
    options: &SessionOptions,
    open: &dyn Fn(&Requests<'_>) -> Result<M, Error>,
) -> Result<M, Error> {
    files.iter().try_for_each(|name| bundle.files.verify(name).map(drop))?;
    let opening = Opening {
        options,
        has_variants: false,
        int8_on_cpu: Vec::new(),
        hash: &|| Ok(bundle.files.hash(files)),
        open,
        progress: &|step| tracing::info!("{step}"),
    };
    opening.run()
}

impl Tried for TextTower {
    type Error = Error;
    /// The text tower runs in fp32.
    type Outputs = ();

    fn groups(&mut self) -> Vec<Vec<OpenGraph<'_>>> {
        vec![vec![self.graph_mut().opened()]]
    }

    fn run_group(&mut self, _group: usize) -> Result<(), RunFailure<Error>> {
        let graph = self.graph_mut();
        graph.run_once().map_err(|e| RunFailure { graph: Some(graph.name()), error: e.into() })
    }

    fn difference((): &(), (): &()) -> Option<String> {
        None
    }

    fn time(&mut self) -> Result<Vec<(&'static str, f64)>, Error> {
        let graph = self.graph_mut();
        let start = Instant::now();
        graph.run_once()?;
        Ok(vec![(graph.name(), milliseconds(start))])
    }
}

/// Outputs of a trial run.
pub struct Outputs {
    /// Outputs of the graphs that are compared as a whole, with their names.
    values: Vec<(&'static str, Vec<f32>)>,
    /// Probability of each phrase being in the image, if the model has it.
    presence: Vec<f32>,
    phrases: Vec<Objects>,
}

/// Objects of a phrase: scores, boxes, and the masks of a model that makes masks.
struct Objects {
    logits: Vec<f32>,
    boxes: Vec<BoxPrompt>,
    masks: Vec<Vec<f32>>,
}

impl Tried for Network {
    type Error = Error;
    type Outputs = Outputs;

    fn groups(&mut self) -> Vec<Vec<OpenGraph<'_>>> {
        vec![self.graphs_mut().into_iter().map(Graph::opened).collect()]
    }

    fn run_group(&mut self, _group: usize) -> Result<Outputs, RunFailure<Error>> {
        let [image_tower, head] = self.graphs().map(Graph::name);
        let sight = self.look(&picture()).map_err(RunFailure::of(image_tower))?;
        let features = (0..PHRASES).map(|seed| Arc::new(self.trial_features(seed))).collect::<Vec<_>>();
        let answers = self.answers(&sight, &features).map_err(RunFailure::of(head))?;
        outputs(answers).map_err(RunFailure::of(head))
    }

    fn difference(found: &Outputs, expected: &Outputs) -> Option<String> {
        difference(found, expected)
    }

    fn time(&mut self) -> Result<Vec<(&'static str, f64)>, Error> {
        let [image_tower, head] = self.graphs().map(Graph::name);
        let sight = self.look(&picture())?;
        let features = Arc::new(self.trial_features(0));
        let start = Instant::now();
        self.answers(&sight, &[features])?;
        Ok(vec![(image_tower, sight.timings.run_ms), (head, milliseconds(start))])
    }
}

/// Returns the compared outputs of the graphs.
fn outputs(answers: Answers) -> Result<Outputs, Error> {
    let corner = |[x_min, y_min, x_max, y_max]: &[f32; 4]| BoxPrompt {
        x_min: *x_min,
        y_min: *y_min,
        x_max: *x_max,
        y_max: *y_max,
    };
    let corners = |boxes: &[f32]| boxes.as_chunks().0.iter().map(corner).collect::<Vec<_>>();
    match answers {
        Answers::Owlv2 { logits, boxes, objectness } => {
            let objects = |phrase: u32| Objects {
                logits: logits.iter().copied().skip(phrase as usize).step_by(PHRASES as usize).collect(),
                boxes: corners(&boxes),
                masks: Vec::new(),
            };
            let phrases = (0..PHRASES).map(objects).collect();
            let values = vec![("logits", logits), ("boxes", boxes), ("objectness", objectness)];
            Ok(Outputs { values, presence: Vec::new(), phrases })
        }
        Answers::Sam3(answers) => {
            let (mut values, mut phrases) = (Vec::new(), Vec::new());
            let presence = answers.iter().map(|answer| sigmoid(answer.presence)).collect();
            for answer in answers {
                let masks = (0..answer.logits.len()).map(|query| answer.mask(query)).collect::<Result<_, _>>()?;
                let boxes = corners(&answer.boxes);
                values.extend([("logits", answer.logits.clone()), ("boxes", answer.boxes)]);
                phrases.push(Objects { logits: answer.logits, boxes, masks });
            }
            Ok(Outputs { values, presence, phrases })
        }
    }
}

/// Returns the difference in words if it is larger than accepted.
fn difference(found: &Outputs, expected: &Outputs) -> Option<String> {
    let mut differences = Vec::new();
    for ((name, found), (_, expected)) in found.values.iter().zip(&expected.values) {
        let Some(apart) = apart(found, expected) else { return Some(format!("{name} that are not finite")) };
        differences.push((format!("the {name} differ by {apart:.3} of their range"), apart, OUTPUTS));
    }
    for (found, expected) in found.presence.iter().zip(&expected.presence) {
        let apart = (found - expected).abs();
        differences.push((format!("the presence of a phrase differs by {apart:.3}"), apart, OUTPUTS));
    }
    for (found, expected) in found.phrases.iter().zip(&expected.phrases) {
        let mut best = (0..expected.logits.len()).collect::<Vec<_>>();
        best.sort_by(|a, b| expected.logits[*b].total_cmp(&expected.logits[*a]));
        for object in best.into_iter().take(BEST) {
            let (Some(moved), Some(bbox)) = (found.boxes.get(object), expected.boxes.get(object)) else {
                return Some("the numbers of boxes differ".to_owned());
            };
            let boxes = if bbox.x_min < bbox.x_max && bbox.y_min < bbox.y_max { iou(moved, bbox) } else { 1.0 };
            let masks = found.masks.get(object).zip(expected.masks.get(object)).map(|(a, b)| overlap(a, b));
            let overlaps = [("boxes", Some(boxes), BOX_OVERLAP), ("masks", masks, MASK_OVERLAP)];
            for (kind, overlap, least) in overlaps.into_iter().filter_map(|(k, o, least)| Some((k, o?, least))) {
                let words = format!("the best {kind} of a phrase overlap by {overlap:.3}");
                differences.push((words, 1.0 - overlap, 1.0 - least));
            }
        }
    }
    tracing::debug!(?differences, "self-check against fp32");
    // A difference that is not finite is too large.
    let large = differences.into_iter().find(|(_, apart, most)| apart.is_nan() || apart > most);
    large.map(|(words, _, most)| format!("{words}; a difference of {most:.1} is accepted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outputs of a phrase with two objects. The first has the mask `mask`, the second an empty mask.
    fn of(logits: [f32; 2], shift: f32, mask: &[f32]) -> Outputs {
        let bbox = |x: f32| BoxPrompt { x_min: x + shift, y_min: 0.0, x_max: x + 0.1 + shift, y_max: 1.0 };
        let masks = vec![mask.to_vec(), vec![-1.0; mask.len()]];
        let boxes = vec![0.0 + shift, 0.0, 0.1 + shift, 1.0];
        Outputs {
            values: vec![("logits", logits.to_vec()), ("boxes", boxes)],
            presence: vec![sigmoid(logits[0])],
            phrases: vec![Objects { logits: logits.to_vec(), boxes: vec![bbox(0.0), bbox(0.8)], masks }],
        }
    }

    #[test]
    fn half_precision_may_differ_by_a_small_amount() {
        let mask = [1.0, 1.0, 1.0, 1.0, -1.0];
        let fp32 = of([1.0, -3.0], 0.0, &mask);
        let why = |found: &Outputs| difference(found, &fp32).unwrap_or_default();
        assert_eq!(why(&of([1.1, -3.2], 0.005, &mask)), "");
        assert!(why(&of([1.0, -3.5], 0.0, &mask)).starts_with("the logits differ by 0.125 of their range"));
        assert!(why(&of([f32::NAN, -3.0], 0.0, &mask)).contains("logits that are not finite"));
        assert!(why(&of([1.0, -3.0], 0.02, &mask)).starts_with("the best boxes of a phrase overlap by 0.667"));
        let other = [1.0, 1.0, 1.0, -1.0, -1.0];
        assert!(why(&of([1.0, -3.0], 0.0, &other)).starts_with("the best masks of a phrase overlap by 0.750"));
        let absent = Outputs { presence: vec![0.5], ..of([1.0, -3.0], 0.0, &mask) };
        assert!(why(&absent).starts_with("the presence of a phrase differs by 0.231"));
    }
}
