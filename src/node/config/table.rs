//! The node's parameters: one table defines each with its type, default, bounds, the field of [`Config`] that holds the
//! value, and when a change takes effect.

use std::time::Duration;

use Kind::{Flag, Float, Integer, Text, Texts};
use TakesEffect::{Now, ReadOnly, WithConfigure};

use super::definition::{Definition, Items, Kind, TakesEffect};
use super::groups::{Config, HypothesisScore, ImageTransport, MaskEncoding};
use crate::engine::{EncodeMode, Settings};
use crate::model::network::MAX_CONDITIONING;
use crate::model::{Arena, Candidates, GpuOptions, MEGABYTE, Precision, SessionOptions};
use crate::prompt::Label;

/// Returns the defaults of the sessions, which the table repeats.
fn session() -> SessionOptions {
    SessionOptions::default()
}

/// Returns the defaults of the engine, which the table repeats.
fn engine() -> Settings {
    Settings::default()
}

const PERSISTENCE_OF_SOURCE: &[&str] = &["", "once", "hold", "track"];

/// All parameters, in the order of `config/promptseg.yaml`.
pub const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "model",
        description: "Bundle folder, folder with two ONNX files, or the image encoder's ONNX file; 'tiny' is built in.",
        takes_effect: WithConfigure,
        kind: Text { default: "tiny", choices: &[], store: |c, v| c.model.path = v.into() },
    },
    Definition {
        name: "decoder",
        description: "The mask decoder's ONNX file, when 'model' is an image encoder's file; empty otherwise.",
        takes_effect: WithConfigure,
        kind: Text { default: "", choices: &[], store: |c, v| c.model.decoder = (!v.is_empty()).then(|| v.into()) },
    },
    Definition {
        name: "providers",
        description: "ONNX Runtime execution providers, asked for in this order; the first that can be had runs.",
        takes_effect: WithConfigure,
        kind: Texts {
            default: &["tensorrt", "cuda", "cpu"],
            items: Items::OneOf(&["tensorrt", "cuda", "cpu"]),
            store: |c, v| c.model.session.providers = v.iter().filter_map(|name| name.parse().ok()).collect(),
        },
    },
    Definition {
        name: "device_id",
        description: "Number of the GPU for TensorRT and CUDA.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().gpu.device_id.into(),
            min: 0,
            max: 63,
            store: |c, v| c.model.session.gpu.device_id = v as i32,
        },
    },
    Definition {
        name: "threads",
        description: "Threads of one ONNX session on the CPU; 0 takes one for each physical core that the process may use.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().threads as i64,
            min: 0,
            max: 1024,
            store: |c, v| c.model.session.threads = v as usize,
        },
    },
    Definition {
        name: "spinning",
        description: "Threads wait busily for the next operator as long as a run takes, not for 20 microseconds: up to 10 % faster where nothing else runs; with a camera's driver and other nodes on the same cores up to twice as slow.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().spinning, store: |c, v| c.model.session.spinning = v },
    },
    Definition {
        name: "arena",
        description: "How memory of sessions grows: 'exact' (by what is asked for), 'doubling' (ONNX Runtime's own, about twice the memory), 'off' (nothing is kept between runs).",
        takes_effect: WithConfigure,
        kind: Text {
            default: "exact",
            choices: &Arena::CHOICES,
            store: |c, v| c.model.session.arena = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "max_objects",
        description: "Most objects in one run of the decoder: larger batches are cut. TensorRT's engine takes no more.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().max_objects as i64,
            min: 1,
            max: 1024,
            store: |c, v| c.model.session.max_objects = v as usize,
        },
    },
    Definition {
        name: "precision",
        description: "Which of a bundle's variants runs: 'auto' (what the bundle lists for the provider that opens: fp16 on a GPU, int8 on the CPU, else fp32), 'fp32', 'fp16', 'int8'.",
        takes_effect: WithConfigure,
        kind: Text {
            default: "auto",
            choices: &Precision::CHOICES,
            store: |c, v| c.model.session.precision = Precision::choice(v).unwrap_or_default(),
        },
    },
    Definition {
        name: "fp16",
        description: "TensorRT makes an fp32 graph half precision by itself; for models without an fp16 variant, which needs no such permission.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.fp16, store: |c, v| c.model.session.gpu.fp16 = v },
    },
    Definition {
        name: "int8",
        description: "TensorRT may compute the quantised operators of an int8 graph in 8 bits.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.int8, store: |c, v| c.model.session.gpu.int8 = v },
    },
    Definition {
        name: "engine_cache",
        description: "Folder of TensorRT's engines, which take minutes to build ('promptseg build-engines' does it ahead); empty: ~/.cache/promptseg/engines; 'none' builds them at each start.",
        takes_effect: WithConfigure,
        kind: Text {
            default: "",
            choices: &[],
            store: |c, v| c.model.session.gpu.engine_cache = GpuOptions::engine_cache_of(v),
        },
    },
    Definition {
        name: "timing_cache",
        description: "Keep the timings of TensorRT's operators there too: the next engine is built sooner.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.timing_cache, store: |c, v| c.model.session.gpu.timing_cache = v },
    },
    Definition {
        name: "tensorrt_workspace_mb",
        description: "Most scratch memory of TensorRT's operators, MB; 0: TensorRT's own choice.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || (session().gpu.workspace / MEGABYTE) as i64,
            min: 0,
            max: 1_000_000,
            store: |c, v| c.model.session.gpu.workspace = v as usize * MEGABYTE,
        },
    },
    Definition {
        name: "opt_objects",
        description: "Objects of one run that TensorRT's engine is the fastest for.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().opt_objects as i64,
            min: 1,
            max: 1024,
            store: |c, v| c.model.session.opt_objects = v as usize,
        },
    },
    Definition {
        name: "opt_tokens",
        description: "Prompt tokens of an object that TensorRT's engine is the fastest for: a click is 2, a box 2, each further click 1 more.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().opt_tokens as i64,
            min: 1,
            max: 1024,
            store: |c, v| c.model.session.opt_tokens = v as usize,
        },
    },
    Definition {
        name: "max_tokens",
        description: "Most prompt tokens of an object that TensorRT's engine takes.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().max_tokens as i64,
            min: 3,
            max: 1024,
            store: |c, v| c.model.session.max_tokens = v as usize,
        },
    },
    Definition {
        name: "gpu_memory_mb",
        description: "Most memory of CUDA's arena, MB; 0: all of the GPU's.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || (session().gpu.memory / MEGABYTE) as i64,
            min: 0,
            max: 1_000_000,
            store: |c, v| c.model.session.gpu.memory = v as usize * MEGABYTE,
        },
    },
    Definition {
        name: "cuda_graphs",
        description: "Replay the image encoder's launches on the GPU as one CUDA graph.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.cuda_graphs, store: |c, v| c.model.session.gpu.cuda_graphs = v },
    },
    Definition {
        name: "self_check",
        description: "Try a model on the GPU while it is loaded, a full batch too, and compare fp16 with fp32: what fails is not used.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.self_check, store: |c, v| c.model.session.gpu.self_check = v },
    },
    Definition {
        name: "cameras",
        description: "Names of cameras that share this node and its model: each has inputs below its name ('front/image') and outputs ('~/front/mask'). Empty: one camera, without a name.",
        takes_effect: ReadOnly,
        kind: Texts { default: &[], items: Items::Names, store: |c, v| c.cameras.names = v.to_vec() },
    },
    Definition {
        name: "image_transport",
        description: "'raw' subscribes to 'image', 'compressed' to 'image/compressed' (JPEG, PNG).",
        takes_effect: WithConfigure,
        kind: Text {
            default: "raw",
            choices: &["raw", "compressed"],
            store: |c, v| {
                c.cameras.image_transport =
                    if v == "compressed" { ImageTransport::Compressed } else { ImageTransport::Raw };
            },
        },
    },
    Definition {
        name: "encode",
        description: "Which frames are encoded before a prompt asks for them: 'auto' (while somebody subscribes to an output, an object lives on, or somebody pointed within 'encode_linger'; the first click after a pause waits for one encoding), 'always' (every one that the encoder has time for: a click is answered in the decoder's time), 'on_demand' (only while an object lives on; every other click waits for the encoder).",
        takes_effect: Now,
        kind: Text {
            default: "auto",
            choices: &EncodeMode::CHOICES,
            store: |c, v| c.engine.encode = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "encode_linger",
        description: "Seconds after a prompt during which 'encode: auto' encodes every frame, so that the next click is answered in the decoder's time.",
        takes_effect: Now,
        kind: Float {
            default: || engine().encode_linger.as_secs_f64(),
            min: 0.0,
            max: 86_400.0,
            store: |c, v| c.engine.encode_linger = Duration::from_secs_f64(v),
        },
    },
    Definition {
        name: "keep_frames",
        description: "Encoded frames that are kept by stamp for prompts that come later.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().keep.frames as i64,
            min: 1,
            max: 10_000,
            store: |c, v| c.engine.keep.frames = v as usize,
        },
    },
    Definition {
        name: "keep_megabytes",
        description: "Most memory of the kept encoded frames of all cameras, in MB, and as much again for images; the newest frame of each is always kept.",
        takes_effect: Now,
        kind: Integer {
            default: || (engine().keep.bytes / MEGABYTE) as i64,
            min: 1,
            max: 1_000_000,
            store: |c, v| c.engine.keep.bytes = v as usize * MEGABYTE,
        },
    },
    Definition {
        name: "keep_images",
        description: "Images that a newer one replaced before they were encoded, kept for prompts with their stamp.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().keep.images as i64,
            min: 0,
            max: 1000,
            store: |c, v| c.engine.keep.images = v as usize,
        },
    },
    Definition {
        name: "prompt_timeout",
        description: "Seconds that a prompt waits for the frame of its stamp.",
        takes_effect: Now,
        kind: Float {
            default: || engine().prompt_timeout.as_secs_f64(),
            min: 0.0,
            max: 60.0,
            store: |c, v| c.engine.prompt_timeout = Duration::from_secs_f64(v),
        },
    },
    Definition {
        name: "candidates",
        description: "Which mask answers: 'auto' (a lone click gets the best of three, clearer prompts the single mask), 'single', 'multi' (always the best of three).",
        takes_effect: Now,
        kind: Text {
            default: "auto",
            choices: &["auto", "single", "multi"],
            store: |c, v| {
                c.engine.candidates = match v {
                    "single" => Candidates::Single,
                    "multi" => Candidates::Multi,
                    _ => Candidates::Auto,
                };
            },
        },
    },
    Definition {
        name: "stability_offset",
        description: "Offset of the stability score, in logits: area above threshold + offset over area above threshold - offset.",
        takes_effect: Now,
        kind: Float {
            default: || engine().stability_offset.into(),
            min: 0.0,
            max: 100.0,
            store: |c, v| c.engine.stability_offset = v as f32,
        },
    },
    Definition {
        name: "persistence",
        description: "How long an object lives: 'once' (its own frame), 'hold' (same prompts on every frame), 'track' (follow the object: by SAM 2's memory where the model has it, else its mask prompts the next frame).",
        takes_effect: Now,
        kind: Text {
            default: "hold",
            choices: &["once", "hold", "track"],
            store: |c, v| c.persistence.default = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "persistence_point",
        description: "The same for clicks on 'point' and on the overlay only; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text { default: "", choices: PERSISTENCE_OF_SOURCE, store: |c, v| c.persistence.point = v.parse().ok() },
    },
    Definition {
        name: "persistence_pixel",
        description: "The same for clicks on 'pixel' only; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text { default: "", choices: PERSISTENCE_OF_SOURCE, store: |c, v| c.persistence.pixel = v.parse().ok() },
    },
    Definition {
        name: "persistence_clicked_point",
        description: "The same for 3-D clicks on 'clicked_point' only; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text {
            default: "",
            choices: PERSISTENCE_OF_SOURCE,
            store: |c, v| c.persistence.clicked_point = v.parse().ok(),
        },
    },
    Definition {
        name: "persistence_region",
        description: "The same for boxes on 'region' only; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text { default: "", choices: PERSISTENCE_OF_SOURCE, store: |c, v| c.persistence.region = v.parse().ok() },
    },
    Definition {
        name: "persistence_mask_prompt",
        description: "The same for masks on 'mask_prompt' only; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text {
            default: "",
            choices: PERSISTENCE_OF_SOURCE,
            store: |c, v| c.persistence.mask_prompt = v.parse().ok(),
        },
    },
    Definition {
        name: "persistence_prompts",
        description: "The same for objects of 'prompts' only; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text {
            default: "",
            choices: PERSISTENCE_OF_SOURCE,
            store: |c, v| c.persistence.prompts = v.parse().ok(),
        },
    },
    Definition {
        name: "click_label",
        description: "What clicks say: 'foreground' (the object is here) or 'background' (it is not); '~/set_click_label' sets it too.",
        takes_effect: Now,
        kind: Text {
            default: "foreground",
            choices: &["foreground", "background"],
            store: |c, v| {
                c.clicks.label = if v == "background" { Label::Background } else { Label::Foreground };
            },
        },
    },
    Definition {
        name: "projection",
        description: "How clicks in metres become pixels: 'raw' (R, K and D of camera_info), 'rectified' (P), 'auto' (rectified when the name of the image topic contains 'rect').",
        takes_effect: Now,
        kind: Text {
            default: "auto",
            choices: &["auto", "raw", "rectified"],
            store: |c, v| c.cameras.projection = v.to_owned(),
        },
    },
    Definition {
        name: "image_plane_rate",
        description: "Most image planes in a second on '~/image_plane'.",
        takes_effect: Now,
        kind: Float {
            default: || 5.0,
            min: 0.1,
            max: 100.0,
            store: |c, v| c.image_plane.period = Duration::from_secs_f64(1.0 / v),
        },
    },
    Definition {
        name: "image_plane_columns",
        description: "Points of a row of '~/image_plane', at most one for each pixel; the rows follow from the shape of the image.",
        takes_effect: Now,
        kind: Integer { default: || 320, min: 2, max: 4096, store: |c, v| c.image_plane.columns = v as u32 },
    },
    Definition {
        name: "image_plane_distance",
        description: "Metres from the camera to '~/image_plane'.",
        takes_effect: Now,
        kind: Float { default: || 1.0, min: 0.01, max: 1000.0, store: |c, v| c.image_plane.distance = v },
    },
    Definition {
        name: "click_mode",
        description: "What a foreground click is: 'point', or 'box' (a corner; two of them are a box). A background click is always a point.",
        takes_effect: Now,
        kind: Text {
            default: "point",
            choices: &["point", "box"],
            store: |c, v| c.clicks.mode = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "track_min_iou",
        description: "With persistence 'track' and a model without memory: below this predicted IoU an object is lost.",
        takes_effect: Now,
        kind: Float {
            default: || engine().track_min_iou.into(),
            min: 0.0,
            max: 1.0,
            store: |c, v| c.engine.track_min_iou = v as f32,
        },
    },
    Definition {
        name: "track_max_area_jump",
        description: "With persistence 'track' and a model without memory: an object whose area changes by more than this factor in one frame is lost.",
        takes_effect: Now,
        kind: Float {
            default: || engine().track_max_area_jump.into(),
            min: 1.0,
            max: 1000.0,
            store: |c, v| c.engine.track_max_area_jump = v as f32,
        },
    },
    Definition {
        name: "track_max_objects",
        description: "Most objects that a model with memory follows at a time; each holds about 6 MB and costs its time on every frame.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().track.max_objects as i64,
            min: 1,
            max: 256,
            store: |c, v| c.engine.track.max_objects = v as usize,
        },
    },
    Definition {
        name: "track_memory",
        description: "Whether the memory of a model that has one (SAM 2, EdgeTAM) is opened, which 'track' follows objects by; false saves its load time and RAM, and 'track' follows by masks as with any other model.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().memory, store: |c, v| c.model.session.memory = v },
    },
    Definition {
        name: "track_memories",
        description: "Earlier frames that a model with memory looks at for each object, beside those that were prompted; fewer are quicker and lose more.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().track.recent as i64,
            min: 0,
            max: 6,
            store: |c, v| c.engine.track.recent = v as usize,
        },
    },
    Definition {
        name: "track_prompted_frames",
        description: "Prompted frames that a model with memory keeps of each object and looks at: the first, and the last ones.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().track.conditioning as i64,
            min: 1,
            max: MAX_CONDITIONING as i64,
            store: |c, v| c.engine.track.conditioning = v as usize,
        },
    },
    Definition {
        name: "track_fill_holes",
        description: "Holes of at most so many cells of the low-resolution mask (256 a side) are filled in objects that a model with memory follows.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().track.fill_holes as i64,
            min: 0,
            max: 4096,
            store: |c, v| c.engine.track.fill_holes = v as usize,
        },
    },
    Definition {
        name: "track_no_overlap",
        description: "Whether each place belongs to one of the objects that a model with memory follows at most: the surest.",
        takes_effect: Now,
        kind: Flag { default: || engine().track.separate, store: |c, v| c.engine.track.separate = v },
    },
    Definition {
        name: "detection_min_score",
        description: "Detections of a lower score are not taken.",
        takes_effect: Now,
        kind: Float { default: || 0.0, min: 0.0, max: 1.0, store: |c, v| c.detections.min_score = v },
    },
    Definition {
        name: "detection_classes",
        description: "Classes of detections that are taken, by name (of yolo_ros also by number); empty: all.",
        takes_effect: Now,
        kind: Texts { default: &[], items: Items::Any, store: |c, v| c.detections.classes = v.to_vec() },
    },
    Definition {
        name: "max_detections",
        description: "Most detections of one message that are taken, those of the best scores.",
        takes_effect: Now,
        kind: Integer { default: || 300, min: 1, max: 10_000, store: |c, v| c.detections.most = v as usize },
    },
    Definition {
        name: "detections_score",
        description: "Score of the hypotheses on '~/detections': 'predicted_iou' (the model's, of the mask), 'detection_score' (the detector's own; the predicted IoU for an object without one).",
        takes_effect: Now,
        kind: Text {
            default: "predicted_iou",
            choices: &["predicted_iou", "detection_score"],
            store: |c, v| {
                c.outputs.detections_score = match v {
                    "detection_score" => HypothesisScore::Detection,
                    _ => HypothesisScore::PredictedIou,
                };
            },
        },
    },
    Definition {
        name: "mask_encoding",
        description: "How '~/masks' carries a mask: 'raw' (ObjectMask.mask, pixels of its box), 'rle' (ObjectMask.rle_counts, COCO run lengths: less bandwidth, smaller bags).",
        takes_effect: Now,
        kind: Text {
            default: "raw",
            choices: &["raw", "rle"],
            store: |c, v| {
                c.outputs.mask_encoding = if v == "rle" { MaskEncoding::Rle } else { MaskEncoding::Raw };
            },
        },
    },
    Definition {
        name: "publish_empty",
        description: "Publish empty '~/mask', '~/labels', '~/masks' and '~/detections' for each encoded frame without objects, so that no object differs from no node.",
        takes_effect: Now,
        kind: Flag { default: || false, store: |c, v| c.outputs.publish_empty = v },
    },
    Definition {
        name: "overlay_quality",
        description: "JPEG quality of '~/overlay/compressed'.",
        takes_effect: Now,
        kind: Integer { default: || 85, min: 1, max: 100, store: |c, v| c.outputs.overlay_quality = v as u8 },
    },
    Definition {
        name: "autostart",
        description: "true: the node configures and activates itself. false: it waits in 'unconfigured' for a lifecycle manager or `ros2 lifecycle set`.",
        takes_effect: ReadOnly,
        kind: Flag { default: || true, store: |c, v| c.process.autostart = v },
    },
    Definition {
        name: "log_level",
        description: "Least level of what is logged; empty: what '--log-level' says, or 'info'. RUST_LOG wins over it.",
        takes_effect: Now,
        kind: Text {
            default: "",
            choices: &["", "error", "warn", "info", "debug", "trace"],
            store: |c, v| c.process.log_level = v.to_owned(),
        },
    },
    Definition {
        name: "metrics_address",
        description: "Address and port where Prometheus may ask for '/metrics', such as '0.0.0.0:9090'; a port alone is for this machine only; empty: nowhere.",
        takes_effect: ReadOnly,
        kind: Text { default: "", choices: &[], store: |c, v| c.process.metrics_address = v.to_owned() },
    },
    Definition {
        name: "use_sim_time",
        description: "Time from '/clock' instead of the system's clock.",
        takes_effect: Now,
        kind: Flag { default: || false, store: |c, v| c.process.use_sim_time = v },
    },
];
