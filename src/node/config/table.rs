//! The node's parameters: one table defines them, with type, default, bounds and when a change takes effect.

use r2r::ParameterValue;

use TakesEffect::{Now, ReadOnly, WithConfigure};

use crate::engine::EncodeMode;
use crate::model::network::MAX_CONDITIONING;
use crate::model::{Arena, Precision};

/// What a value must satisfy.
#[derive(Debug, Clone, Copy)]
pub enum Bounds {
    Any,
    Integer(i64, i64),
    Float(f64, f64),
    OneOf(&'static [&'static str]),
    /// Every element of a list.
    EachOneOf(&'static [&'static str]),
    /// A list of different ROS names, each without a slash.
    Names,
}

/// When a value that is set counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakesEffect {
    Now,
    /// With the next transition `configure`, which reads them together: the model and how it runs.
    WithConfigure,
    /// It belongs to the parameter file or the command line, and is read-only after that.
    ReadOnly,
}

/// One parameter.
pub struct Definition {
    pub name: &'static str,
    pub description: &'static str,
    pub bounds: Bounds,
    pub takes_effect: TakesEffect,
    default: fn() -> ParameterValue,
}

impl Definition {
    pub fn default(&self) -> ParameterValue {
        (self.default)()
    }
}

fn text(s: &str) -> ParameterValue {
    ParameterValue::String(s.to_owned())
}

const PERSISTENCE_OF_SOURCE: &[&str] = &["", "once", "hold", "track"];

/// All parameters, in the order of `config/promptseg.yaml`.
pub const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "model",
        description: "Bundle folder, folder with two ONNX files, or the image encoder's ONNX file; 'tiny' is built in.",
        bounds: Bounds::Any,
        takes_effect: WithConfigure,
        default: || text("tiny"),
    },
    Definition {
        name: "decoder",
        description: "The mask decoder's ONNX file, when 'model' is an image encoder's file; empty otherwise.",
        bounds: Bounds::Any,
        takes_effect: WithConfigure,
        default: || text(""),
    },
    Definition {
        name: "providers",
        description: "ONNX Runtime execution providers, asked for in this order; the first that can be had runs.",
        bounds: Bounds::EachOneOf(&["tensorrt", "cuda", "cpu"]),
        takes_effect: WithConfigure,
        default: || ParameterValue::StringArray(["tensorrt", "cuda", "cpu"].map(str::to_owned).to_vec()),
    },
    Definition {
        name: "device_id",
        description: "Number of the GPU for TensorRT and CUDA.",
        bounds: Bounds::Integer(0, 63),
        takes_effect: WithConfigure,
        default: || ParameterValue::Integer(0),
    },
    Definition {
        name: "threads",
        description: "Threads of one ONNX session on the CPU; 0 takes one for each physical core that the process may use.",
        bounds: Bounds::Integer(0, 1024),
        takes_effect: WithConfigure,
        default: || ParameterValue::Integer(0),
    },
    Definition {
        name: "spinning",
        description: "Threads wait busily for the next operator as long as a run takes, not for 20 microseconds: up to 10 % faster where nothing else runs; with a camera's driver and other nodes on the same cores up to twice as slow.",
        bounds: Bounds::Any,
        takes_effect: WithConfigure,
        default: || ParameterValue::Bool(false),
    },
    Definition {
        name: "arena",
        description: "How memory of sessions grows: 'exact' (by what is asked for), 'doubling' (ONNX Runtime's own, about twice the memory), 'off' (nothing is kept between runs).",
        bounds: Bounds::OneOf(&Arena::CHOICES),
        takes_effect: WithConfigure,
        default: || text("exact"),
    },
    Definition {
        name: "max_objects",
        description: "Most objects in one run of the decoder: larger batches are cut. TensorRT's engine takes no more.",
        bounds: Bounds::Integer(1, 1024),
        takes_effect: WithConfigure,
        default: || ParameterValue::Integer(64),
    },
    Definition {
        name: "precision",
        description: "Which of a bundle's variants runs: 'auto' (what the bundle lists for the provider that opens: fp16 on a GPU, int8 on the CPU, else fp32), 'fp32', 'fp16', 'int8'.",
        bounds: Bounds::OneOf(&Precision::CHOICES),
        takes_effect: WithConfigure,
        default: || text("auto"),
    },
    Definition {
        name: "fp16",
        description: "TensorRT makes an fp32 graph half precision by itself; for models without an fp16 variant, which needs no such permission.",
        bounds: Bounds::Any,
        takes_effect: WithConfigure,
        default: || ParameterValue::Bool(false),
    },
    Definition {
        name: "int8",
        description: "TensorRT may compute the quantised operators of an int8 graph in 8 bits.",
        bounds: Bounds::Any,
        takes_effect: WithConfigure,
        default: || ParameterValue::Bool(false),
    },
    Definition {
        name: "engine_cache",
        description: "Folder of TensorRT's engines, which take minutes to build ('promptseg build-engines' does it ahead); empty: ~/.cache/promptseg/engines; 'none' builds them at each start.",
        bounds: Bounds::Any,
        takes_effect: WithConfigure,
        default: || text(""),
    },
    Definition {
        name: "timing_cache",
        description: "Keep the timings of TensorRT's operators there too: the next engine is built sooner.",
        bounds: Bounds::Any,
        takes_effect: WithConfigure,
        default: || ParameterValue::Bool(true),
    },
    Definition {
        name: "tensorrt_workspace_mb",
        description: "Most scratch memory of TensorRT's operators, MB; 0: TensorRT's own choice.",
        bounds: Bounds::Integer(0, 1_000_000),
        takes_effect: WithConfigure,
        default: || ParameterValue::Integer(0),
    },
    Definition {
        name: "opt_objects",
        description: "Objects of one run that TensorRT's engine is the fastest for.",
        bounds: Bounds::Integer(1, 1024),
        takes_effect: WithConfigure,
        default: || ParameterValue::Integer(1),
    },
    Definition {
        name: "opt_tokens",
        description: "Prompt tokens of an object that TensorRT's engine is the fastest for: a click is 2, a box 2, each further click 1 more.",
        bounds: Bounds::Integer(1, 1024),
        takes_effect: WithConfigure,
        default: || ParameterValue::Integer(2),
    },
    Definition {
        name: "max_tokens",
        description: "Most prompt tokens of an object that TensorRT's engine takes.",
        bounds: Bounds::Integer(3, 1024),
        takes_effect: WithConfigure,
        default: || ParameterValue::Integer(16),
    },
    Definition {
        name: "gpu_memory_mb",
        description: "Most memory of CUDA's arena, MB; 0: all of the GPU's.",
        bounds: Bounds::Integer(0, 1_000_000),
        takes_effect: WithConfigure,
        default: || ParameterValue::Integer(0),
    },
    Definition {
        name: "cuda_graphs",
        description: "Replay the image encoder's launches on the GPU as one CUDA graph.",
        bounds: Bounds::Any,
        takes_effect: WithConfigure,
        default: || ParameterValue::Bool(false),
    },
    Definition {
        name: "self_check",
        description: "Try a model on the GPU while it is loaded, a full batch too, and compare fp16 with fp32: what fails is not used.",
        bounds: Bounds::Any,
        takes_effect: WithConfigure,
        default: || ParameterValue::Bool(true),
    },
    Definition {
        name: "cameras",
        description: "Names of cameras that share this node and its model: each has inputs below its name ('front/image') and outputs ('~/front/mask'). Empty: one camera, without a name.",
        bounds: Bounds::Names,
        takes_effect: ReadOnly,
        default: || ParameterValue::StringArray(Vec::new()),
    },
    Definition {
        name: "image_transport",
        description: "'raw' subscribes to 'image', 'compressed' to 'image/compressed' (JPEG, PNG).",
        bounds: Bounds::OneOf(&["raw", "compressed"]),
        takes_effect: WithConfigure,
        default: || text("raw"),
    },
    Definition {
        name: "encode",
        description: "Which frames are encoded before a prompt asks for them: 'auto' (while somebody subscribes to an output, an object lives on, or somebody pointed within 'encode_linger'; the first click after a pause waits for one encoding), 'always' (every one that the encoder has time for: a click is answered in the decoder's time), 'on_demand' (only while an object lives on; every other click waits for the encoder).",
        bounds: Bounds::OneOf(&EncodeMode::CHOICES),
        takes_effect: Now,
        default: || text("auto"),
    },
    Definition {
        name: "encode_linger",
        description: "Seconds after a prompt during which 'encode: auto' encodes every frame, so that the next click is answered in the decoder's time.",
        bounds: Bounds::Float(0.0, 86_400.0),
        takes_effect: Now,
        default: || ParameterValue::Double(10.0),
    },
    Definition {
        name: "keep_frames",
        description: "Encoded frames that are kept by stamp for prompts that come later.",
        bounds: Bounds::Integer(1, 10_000),
        takes_effect: Now,
        default: || ParameterValue::Integer(30),
    },
    Definition {
        name: "keep_megabytes",
        description: "Most memory of the kept encoded frames of all cameras, in MB, and as much again for images; the newest frame of each is always kept.",
        bounds: Bounds::Integer(1, 1_000_000),
        takes_effect: Now,
        default: || ParameterValue::Integer(512),
    },
    Definition {
        name: "keep_images",
        description: "Images that a newer one replaced before they were encoded, kept for prompts with their stamp.",
        bounds: Bounds::Integer(0, 1000),
        takes_effect: Now,
        default: || ParameterValue::Integer(30),
    },
    Definition {
        name: "prompt_timeout",
        description: "Seconds that a prompt waits for the frame of its stamp.",
        bounds: Bounds::Float(0.0, 60.0),
        takes_effect: Now,
        default: || ParameterValue::Double(1.0),
    },
    Definition {
        name: "candidates",
        description: "Which mask answers: 'auto' (a lone click gets the best of three, clearer prompts the single mask), 'single', 'multi' (always the best of three).",
        bounds: Bounds::OneOf(&["auto", "single", "multi"]),
        takes_effect: Now,
        default: || text("auto"),
    },
    Definition {
        name: "stability_offset",
        description: "Offset of the stability score, in logits: area above threshold + offset over area above threshold - offset.",
        bounds: Bounds::Float(0.0, 100.0),
        takes_effect: Now,
        default: || ParameterValue::Double(1.0),
    },
    Definition {
        name: "persistence",
        description: "How long an object lives: 'once' (its own frame), 'hold' (same prompts on every frame), 'track' (follow the object: by SAM 2's memory where the model has it, else its mask prompts the next frame).",
        bounds: Bounds::OneOf(&["once", "hold", "track"]),
        takes_effect: Now,
        default: || text("hold"),
    },
    Definition {
        name: "persistence_point",
        description: "The same for clicks on 'point' and on the overlay only; empty: as 'persistence'.",
        bounds: Bounds::OneOf(PERSISTENCE_OF_SOURCE),
        takes_effect: Now,
        default: || text(""),
    },
    Definition {
        name: "persistence_pixel",
        description: "The same for clicks on 'pixel' only; empty: as 'persistence'.",
        bounds: Bounds::OneOf(PERSISTENCE_OF_SOURCE),
        takes_effect: Now,
        default: || text(""),
    },
    Definition {
        name: "persistence_clicked_point",
        description: "The same for 3-D clicks on 'clicked_point' only; empty: as 'persistence'.",
        bounds: Bounds::OneOf(PERSISTENCE_OF_SOURCE),
        takes_effect: Now,
        default: || text(""),
    },
    Definition {
        name: "persistence_region",
        description: "The same for boxes on 'region' only; empty: as 'persistence'.",
        bounds: Bounds::OneOf(PERSISTENCE_OF_SOURCE),
        takes_effect: Now,
        default: || text(""),
    },
    Definition {
        name: "persistence_mask_prompt",
        description: "The same for masks on 'mask_prompt' only; empty: as 'persistence'.",
        bounds: Bounds::OneOf(PERSISTENCE_OF_SOURCE),
        takes_effect: Now,
        default: || text(""),
    },
    Definition {
        name: "persistence_prompts",
        description: "The same for objects of 'prompts' only; empty: as 'persistence'.",
        bounds: Bounds::OneOf(PERSISTENCE_OF_SOURCE),
        takes_effect: Now,
        default: || text(""),
    },
    Definition {
        name: "click_label",
        description: "What clicks say: 'foreground' (the object is here) or 'background' (it is not); '~/set_click_label' sets it too.",
        bounds: Bounds::OneOf(&["foreground", "background"]),
        takes_effect: Now,
        default: || text("foreground"),
    },
    Definition {
        name: "projection",
        description: "How clicks in metres become pixels: 'raw' (R, K and D of camera_info), 'rectified' (P), 'auto' (rectified when the name of the image topic contains 'rect').",
        bounds: Bounds::OneOf(&["auto", "raw", "rectified"]),
        takes_effect: Now,
        default: || text("auto"),
    },
    Definition {
        name: "image_plane_rate",
        description: "Most image planes in a second on '~/image_plane'.",
        bounds: Bounds::Float(0.1, 100.0),
        takes_effect: Now,
        default: || ParameterValue::Double(5.0),
    },
    Definition {
        name: "image_plane_columns",
        description: "Points of a row of '~/image_plane', at most one for each pixel; the rows follow from the shape of the image.",
        bounds: Bounds::Integer(2, 4096),
        takes_effect: Now,
        default: || ParameterValue::Integer(320),
    },
    Definition {
        name: "image_plane_distance",
        description: "Metres from the camera to '~/image_plane'.",
        bounds: Bounds::Float(0.01, 1000.0),
        takes_effect: Now,
        default: || ParameterValue::Double(1.0),
    },
    Definition {
        name: "click_mode",
        description: "What a foreground click is: 'point', or 'box' (a corner; two of them are a box). A background click is always a point.",
        bounds: Bounds::OneOf(&["point", "box"]),
        takes_effect: Now,
        default: || text("point"),
    },
    Definition {
        name: "track_min_iou",
        description: "With persistence 'track' and a model without memory: below this predicted IoU an object is lost.",
        bounds: Bounds::Float(0.0, 1.0),
        takes_effect: Now,
        default: || ParameterValue::Double(0.5),
    },
    Definition {
        name: "track_max_area_jump",
        description: "With persistence 'track' and a model without memory: an object whose area changes by more than this factor in one frame is lost.",
        bounds: Bounds::Float(1.0, 1000.0),
        takes_effect: Now,
        default: || ParameterValue::Double(3.0),
    },
    Definition {
        name: "track_max_objects",
        description: "Most objects that a model with memory follows at a time; each holds about 6 MB and costs its time on every frame.",
        bounds: Bounds::Integer(1, 256),
        takes_effect: Now,
        default: || ParameterValue::Integer(16),
    },
    Definition {
        name: "track_memory",
        description: "Whether the memory of a model that has one (SAM 2, EdgeTAM) is opened, which 'track' follows objects by; false saves its load time and RAM, and 'track' follows by masks as with any other model.",
        bounds: Bounds::Any,
        takes_effect: WithConfigure,
        default: || ParameterValue::Bool(true),
    },
    Definition {
        name: "track_memories",
        description: "Earlier frames that a model with memory looks at for each object, beside those that were prompted; fewer are quicker and lose more.",
        bounds: Bounds::Integer(0, 6),
        takes_effect: Now,
        default: || ParameterValue::Integer(6),
    },
    Definition {
        name: "track_prompted_frames",
        description: "Prompted frames that a model with memory keeps of each object and looks at: the first, and the last ones.",
        bounds: Bounds::Integer(1, MAX_CONDITIONING as i64),
        takes_effect: Now,
        default: || ParameterValue::Integer(4),
    },
    Definition {
        name: "track_fill_holes",
        description: "Holes of at most so many cells of the low-resolution mask (256 a side) are filled in objects that a model with memory follows.",
        bounds: Bounds::Integer(0, 4096),
        takes_effect: Now,
        default: || ParameterValue::Integer(8),
    },
    Definition {
        name: "track_no_overlap",
        description: "Whether each place belongs to one of the objects that a model with memory follows at most: the surest.",
        bounds: Bounds::Any,
        takes_effect: Now,
        default: || ParameterValue::Bool(false),
    },
    Definition {
        name: "detection_min_score",
        description: "Detections of a lower score are not taken.",
        bounds: Bounds::Float(0.0, 1.0),
        takes_effect: Now,
        default: || ParameterValue::Double(0.0),
    },
    Definition {
        name: "detection_classes",
        description: "Classes of detections that are taken, by name (of yolo_ros also by number); empty: all.",
        bounds: Bounds::Any,
        takes_effect: Now,
        default: || ParameterValue::StringArray(Vec::new()),
    },
    Definition {
        name: "max_detections",
        description: "Most detections of one message that are taken, those of the best scores.",
        bounds: Bounds::Integer(1, 10_000),
        takes_effect: Now,
        default: || ParameterValue::Integer(300),
    },
    Definition {
        name: "detections_score",
        description: "Score of the hypotheses on '~/detections': 'predicted_iou' (the model's, of the mask), 'detection_score' (the detector's own; the predicted IoU for an object without one).",
        bounds: Bounds::OneOf(&["predicted_iou", "detection_score"]),
        takes_effect: Now,
        default: || text("predicted_iou"),
    },
    Definition {
        name: "mask_encoding",
        description: "How '~/masks' carries a mask: 'raw' (ObjectMask.mask, pixels of its box), 'rle' (ObjectMask.rle_counts, COCO run lengths: less bandwidth, smaller bags).",
        bounds: Bounds::OneOf(&["raw", "rle"]),
        takes_effect: Now,
        default: || text("raw"),
    },
    Definition {
        name: "publish_empty",
        description: "Publish empty '~/mask', '~/labels', '~/masks' and '~/detections' for each encoded frame without objects, so that no object differs from no node.",
        bounds: Bounds::Any,
        takes_effect: Now,
        default: || ParameterValue::Bool(false),
    },
    Definition {
        name: "overlay_quality",
        description: "JPEG quality of '~/overlay/compressed'.",
        bounds: Bounds::Integer(1, 100),
        takes_effect: Now,
        default: || ParameterValue::Integer(85),
    },
    Definition {
        name: "autostart",
        description: "true: the node configures and activates itself. false: it waits in 'unconfigured' for a lifecycle manager or `ros2 lifecycle set`.",
        bounds: Bounds::Any,
        takes_effect: ReadOnly,
        default: || ParameterValue::Bool(true),
    },
    Definition {
        name: "log_level",
        description: "Least level of what is logged; empty: what '--log-level' says, or 'info'. RUST_LOG wins over it.",
        bounds: Bounds::OneOf(&["", "error", "warn", "info", "debug", "trace"]),
        takes_effect: Now,
        default: || text(""),
    },
    Definition {
        name: "metrics_address",
        description: "Address and port where Prometheus may ask for '/metrics', such as '0.0.0.0:9090'; a port alone is for this machine only; empty: nowhere.",
        bounds: Bounds::Any,
        takes_effect: ReadOnly,
        default: || text(""),
    },
    Definition {
        name: "use_sim_time",
        description: "Time from '/clock' instead of the system's clock.",
        bounds: Bounds::Any,
        takes_effect: Now,
        default: || ParameterValue::Bool(false),
    },
];
