//! The parameters as typed values: one struct for each group. The table stores every value in its field, and the rest of
//! the node reads fields.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::console::{self, TlsFiles};
use crate::depth::DepthSettings;
use crate::engine::detections::DetectionFilter;
use crate::engine::{ClickMode, KeepLimits, Persistence, Settings};
use crate::model::SessionOptions;
use crate::monitor::parse_address;
use crate::pointing::is_rectified;
use crate::prompt::Label;

/// All parameters of the node.
#[derive(Debug, Clone)]
pub struct Config {
    pub process: ProcessConfig,
    pub model: ModelConfig,
    pub cameras: CameraConfig,
    /// Settings of the engines of all cameras together: without the image topic, and with the memory that the cameras
    /// share. [`Config::engine_settings`] has those of one camera.
    pub engine: Settings,
    pub clicks: ClickConfig,
    pub persistence: PersistenceConfig,
    pub detections: DetectionFilter,
    pub text: TextConfig,
    pub outputs: OutputConfig,
    pub image_plane: ImagePlaneConfig,
    pub classes: ClassConfig,
    pub depth: DepthConfig,
    pub console: ConsoleConfig,
}

/// Start, clock and log of the process.
#[derive(Debug, Clone, Default)]
pub struct ProcessConfig {
    /// Whether the node configures and activates itself.
    pub autostart: bool,
    /// Whether the time comes from `/clock`.
    pub use_sim_time: bool,
    /// Least level that is logged; empty for the level of the command line.
    pub log_level: String,
    /// Address of the metrics endpoint; empty for none.
    pub metrics_address: String,
}

/// The operator's console.
#[derive(Debug, Clone, Default)]
pub struct ConsoleConfig {
    pub enabled: bool,
    /// Address as text; [`ConsoleConfig::settings`] parses it.
    pub address: String,
    /// File with the tokens; empty for none.
    pub token_file: String,
    /// Files of the certificate and its key; empty for none.
    pub tls_certificate: String,
    pub tls_key: String,
    /// All other settings.
    pub settings: console::Settings,
}

impl ConsoleConfig {
    /// Returns the settings of the console. Reads the file of the tokens.
    ///
    /// # Errors
    /// The address is no address, only one file of the certificate is set, or the tokens are set twice or cannot be read.
    pub fn settings(&self) -> Result<console::Settings, String> {
        let address = parse_address(&self.address).map_err(|e| format!("console.address: {e}"))?;
        let (certificate, key) = (PathBuf::from(&self.tls_certificate), PathBuf::from(&self.tls_key));
        let tls = match (self.tls_certificate.is_empty(), self.tls_key.is_empty()) {
            (true, true) => None,
            (false, false) => Some(TlsFiles { certificate, key }),
            _ => {
                return Err("console.tls_certificate and console.tls_key belong together: set both, or none".to_owned());
            }
        };
        let mut settings = console::Settings { address, tls, ..self.settings.clone() };
        if !self.token_file.is_empty() {
            if !settings.token.is_empty() || !settings.spectator_token.is_empty() {
                return Err(
                    "console.token_file has both tokens: leave console.token and console.spectator_token empty".into(),
                );
            }
            let tokens = console::settings::read_tokens(Path::new(&self.token_file)).map_err(|e| e.to_string())?;
            (settings.token, settings.spectator_token) = (tokens.operator, tokens.spectator);
        }
        Ok(settings)
    }
}

/// The model, and how it runs.
#[derive(Debug, Clone, Default)]
pub struct ModelConfig {
    /// Bundle, folder, file of an image encoder, or `tiny`.
    pub path: PathBuf,
    /// File of the mask decoder, if `path` is the file of an image encoder.
    pub decoder: Option<PathBuf>,
    pub session: SessionOptions,
}

/// Objects that phrases name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextConfig {
    /// Folder of the text model; `None` for no text prompts.
    pub model: Option<PathBuf>,
    /// File with the features of phrases; `None` for a text tower.
    pub bank: Option<PathBuf>,
    /// Phrases as the parameter has them.
    pub phrases: Vec<String>,
    /// Shortest time between the starts of two searches; `None` for one search after each change of the phrases.
    pub period: Option<Duration>,
    /// Least score of objects, for phrases without a least score of their own; `None`: that of the text model.
    pub min_score: Option<f32>,
    /// Most objects of one search.
    pub max_objects: usize,
}

/// Topic type that images arrive in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImageTransport {
    /// `sensor_msgs/Image` on `image`.
    #[default]
    Raw,
    /// `sensor_msgs/CompressedImage` on `image/compressed`.
    Compressed,
}

/// Cameras and their images.
#[derive(Debug, Clone, Default)]
pub struct CameraConfig {
    /// Names of the cameras; empty for one camera without a name.
    pub names: Vec<String>,
    pub image_transport: ImageTransport,
    /// `raw`, `rectified` or `auto`.
    pub projection: String,
}

/// Meaning of clicks.
#[derive(Debug, Clone)]
pub struct ClickConfig {
    pub label: Label,
    pub mode: ClickMode,
}

/// Lifetime of prompted objects: the default, and the exceptions of single inputs.
#[derive(Debug, Clone, Default)]
pub struct PersistenceConfig {
    pub default: Persistence,
    pub point: Option<Persistence>,
    pub pixel: Option<Persistence>,
    pub clicked_point: Option<Persistence>,
    pub region: Option<Persistence>,
    pub mask_prompt: Option<Persistence>,
    pub prompts: Option<Persistence>,
    pub prompts_3d: Option<Persistence>,
}

/// Input topic with a persistence of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptInput {
    /// `point` and clicks on the overlay.
    Point,
    Pixel,
    ClickedPoint,
    Region,
    MaskPrompt,
    Prompts,
    Prompts3d,
}

/// Form of the masks in a MaskArray.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaskEncoding {
    /// In `mask`: pixels of the mask's box.
    #[default]
    Raw,
    /// In `rle_counts`: run lengths of the whole image.
    Rle,
}

/// Score of the hypotheses on `~/detections`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HypothesisScore {
    /// IoU that the model predicts for the mask.
    #[default]
    PredictedIou,
    /// Score of the detector; the predicted IoU for an object without one.
    Detection,
}

/// Form of the published results.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutputConfig {
    /// JPEG quality, 1 to 100.
    pub overlay_quality: u8,
    pub mask_encoding: MaskEncoding,
    pub detections_score: HypothesisScore,
    /// Whether a frame without objects is published as empty masks and detections.
    pub publish_empty: bool,
}

/// Form of `~/image_plane`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImagePlaneConfig {
    /// Shortest time between two image planes.
    pub period: Duration,
    /// Points of a row.
    pub columns: u32,
    /// Distance from the camera, metres.
    pub distance: f64,
}

/// Most classes: a pixel of mono8 has 255 values beside the background's.
pub const MAX_CLASSES: usize = 255;

/// Which object gets a pixel of `~/classes` that several objects claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnTop {
    /// The smaller object, as on `~/labels`.
    #[default]
    Smaller,
    /// The object with the higher confidence.
    Certain,
}

/// Numbers of the classes, for `~/classes`.
#[derive(Debug, Clone, Default)]
pub struct ClassConfig {
    /// Classes with the numbers from 1; empty: in order of appearance.
    pub names: Vec<String>,
    /// Class of the objects without a class.
    pub unnamed: String,
    pub on_top: OnTop,
}

/// Topic type that depth images arrive in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DepthTransport {
    /// `sensor_msgs/Image` on `depth`.
    #[default]
    Raw,
    /// `sensor_msgs/CompressedImage` on `depth/compressedDepth`.
    CompressedDepth,
}

/// Form of `~/cloud`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CloudForm {
    /// Points of the objects only.
    #[default]
    Dense,
    /// One point for each pixel of the image; NaN outside the objects.
    Organised,
}

/// Point of an object on `~/pose`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PosePoint {
    /// Centroid of the visible surface.
    #[default]
    Centroid,
    /// Highest point of the object.
    Top,
}

/// Depth images, and the outputs in metres.
#[derive(Debug, Clone, Default)]
pub struct DepthConfig {
    pub transport: DepthTransport,
    /// Whether depth images are received without a subscriber of an output in metres.
    pub always: bool,
    /// Largest difference of the stamps of an image and its depth image.
    pub tolerance: Duration,
    /// Longest wait of a result for its depth image and its transform.
    pub timeout: Duration,
    /// Most bytes of depth images that wait for results.
    pub keep_bytes: usize,
    /// TF frame of the outputs; empty for the optical frame of the image.
    pub frame: String,
    pub cloud: CloudForm,
    /// Edge of the cubes that a dense cloud has one point of, metres; 0 for all points.
    pub voxel_size: f64,
    pub pose: PosePoint,
    pub measurement: DepthSettings,
}

impl Config {
    /// Returns a configuration for the table to store its defaults in. Groups of the node are blank.
    pub(super) fn blank() -> Self {
        Config {
            process: ProcessConfig::default(),
            model: ModelConfig::default(),
            cameras: CameraConfig::default(),
            engine: Settings::default(),
            clicks: ClickConfig { label: Label::Foreground, mode: ClickMode::default() },
            persistence: PersistenceConfig::default(),
            detections: DetectionFilter::default(),
            text: TextConfig::default(),
            outputs: OutputConfig::default(),
            image_plane: ImagePlaneConfig::default(),
            classes: ClassConfig::default(),
            depth: DepthConfig::default(),
            console: ConsoleConfig::default(),
        }
    }

    /// Settings of the engine of one camera. `image_topic`: full name, after remapping.
    pub fn engine_settings(&self, image_topic: &str) -> Settings {
        Settings { image_topic: image_topic.to_owned(), keep: self.keep_limits(), ..self.engine.clone() }
    }

    /// Frames, images and bytes that one camera keeps: the cameras share the memory evenly.
    pub fn keep_limits(&self) -> KeepLimits {
        let cameras = self.cameras.names.len().max(1);
        KeepLimits { bytes: self.engine.keep.bytes / cameras, ..self.engine.keep }
    }

    /// Whether the images of a topic are rectified.
    pub fn is_rectified(&self, image_topic: &str) -> bool {
        is_rectified(&self.cameras.projection, image_topic)
    }
}

impl PersistenceConfig {
    /// Lifetime of the objects that an input prompts.
    pub fn of(&self, input: PromptInput) -> Persistence {
        let own = match input {
            PromptInput::Point => self.point,
            PromptInput::Pixel => self.pixel,
            PromptInput::ClickedPoint => self.clicked_point,
            PromptInput::Region => self.region,
            PromptInput::MaskPrompt => self.mask_prompt,
            PromptInput::Prompts => self.prompts,
            PromptInput::Prompts3d => self.prompts_3d,
        };
        own.unwrap_or(self.default)
    }
}
