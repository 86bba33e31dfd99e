//! Data that the inputs, services and outputs of one camera share.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use r2r::Node;
use r2r::promptseg_msgs::srv::GetCloud;
use tokio::sync::watch;

use super::config::{Config, Parameters};
use super::console_camera::ConsoleCamera;
use super::depth::{DepthDemand, DepthOutputs, DepthQueue};
use super::lock::lock;
use super::outputs::{ClassOutputs, ImagePlaneOutput, Outputs};
use super::refusal_log::RefusalLog;
use super::ros::topics::Offer;
use super::text::{SharedTextModel, TextControl};
use crate::engine::{Decode, Encode, Engine, Session, Turns};
use crate::model::Model;
use crate::monitor::ModelFacts;
use crate::pointing::Pointing;

/// The model that all cameras share.
pub struct SharedModel {
    pub name: String,
    /// Facts for diagnostics.
    pub facts: ModelFacts,
    pub encoder: Session<dyn Encode>,
    pub decoder: Session<dyn Decode>,
    /// Finds the objects of phrases; `None` without `text.model`.
    pub text: Option<SharedTextModel>,
}

impl SharedModel {
    pub fn new(model: Model, text: Option<SharedTextModel>) -> Self {
        SharedModel {
            name: model.info.name.clone(),
            facts: ModelFacts::from_model(&model),
            encoder: Turns::shared(model.encoder),
            decoder: Turns::shared(model.decoder),
            text,
        }
    }
}

/// A camera of an active node: its engine, and the data that inputs, services and outputs need beside it.
pub struct ActiveCamera {
    /// Name of the camera; empty for the only camera of a node.
    pub camera: String,
    pub engine: Engine,
    pub refusals: RefusalLog,
    pub pointing: Arc<Pointing>,
    /// Work of the depth thread.
    pub depth: DepthQueue<GetCloud::Response>,
    /// Phrases for the text thread.
    pub text: TextControl,
    pub model: Arc<SharedModel>,
    /// Full name, after remapping.
    pub image_topic: String,
    pub parameters: Arc<Mutex<Parameters>>,
}

impl ActiveCamera {
    /// The current parameters.
    pub fn config(&self) -> Arc<Config> {
        lock(&self.parameters).config()
    }
}

/// A camera's place in the node: its topics, made once, and its engine while the node is active.
pub struct CameraSlot {
    /// Name of the camera; empty for the only camera of a node.
    pub camera: String,
    /// Full names, after remapping, of the raw and the compressed images.
    pub image_topics: [String; 2],
    /// Full name, after remapping, of the calibration.
    pub info_topic: String,
    /// Full name, after remapping, of the depth images.
    pub depth_topic: String,
    pub depth_demand: DepthDemand,
    pub publishers: Arc<Mutex<Publishers>>,
    /// Of the depth thread: masks do not wait for it.
    pub depth_outputs: Arc<Mutex<DepthOutputs>>,
    pub console: Arc<ConsoleCamera>,
    activity: watch::Sender<Activity>,
}

/// Activity of a camera.
enum Activity {
    Inactive,
    /// The node is about to activate itself.
    Activating,
    Active(Arc<ActiveCamera>),
}

/// All that a camera publishes.
pub struct Publishers {
    pub outputs: Outputs,
    pub image_plane: ImagePlaneOutput,
    pub classes: ClassOutputs,
}

impl Publishers {
    fn for_each<E>(&mut self, mut apply: impl FnMut(&mut dyn Offer) -> Result<(), E>) -> Result<(), E> {
        self.outputs.all().into_iter().try_for_each(&mut apply)?;
        self.classes.all().into_iter().try_for_each(&mut apply)?;
        apply(&mut self.image_plane.output)
    }
}

impl CameraSlot {
    /// `autostart`: the node activates itself soon, so that [`CameraSlot::wait`] waits for it.
    pub fn new(
        camera: &str,
        image_topics: [String; 2],
        (info_topic, depth_topic): (String, String),
        (publishers, depth_outputs): (Publishers, DepthOutputs),
        autostart: bool,
    ) -> Self {
        CameraSlot {
            camera: camera.to_owned(),
            image_topics,
            info_topic,
            depth_topic,
            depth_demand: DepthDemand::default(),
            publishers: Arc::new(Mutex::new(publishers)),
            depth_outputs: Arc::new(Mutex::new(depth_outputs)),
            console: Arc::default(),
            activity: watch::Sender::new(if autostart { Activity::Activating } else { Activity::Inactive }),
        }
    }

    /// Offers the topics that the camera publishes.
    ///
    /// # Errors
    /// The middleware refuses a topic.
    pub fn offer(&self, node: &mut Node) -> r2r::Result<()> {
        lock(&self.publishers).for_each(|output| output.offer(node))?;
        lock(&self.depth_outputs).all().into_iter().try_for_each(|output| output.offer(node))
    }

    /// Withdraws the topics that the camera publishes.
    pub fn withdraw(&self, node: &mut Node) {
        let withdraw = |output: &mut dyn Offer| -> Result<(), Infallible> {
            output.withdraw(node);
            Ok(())
        };
        let Ok(()) = lock(&self.publishers).for_each(withdraw);
        lock(&self.depth_outputs).all().into_iter().for_each(|output| output.withdraw(node));
    }

    /// Reports to the engine whether somebody subscribes to an output, and to the depth thread whether somebody subscribes to
    /// an output in metres. Called by the thread that spins the node.
    pub fn report_listeners(&self) {
        let Some(camera) = self.get() else { return };
        // A camera publishes a result otherwise: the next call reports.
        let Some(mut publishers) = try_lock(&self.publishers) else { return };
        let Some(mut depth_outputs) = try_lock(&self.depth_outputs) else { return };
        let mut has_listeners = false;
        let look = |output: &mut dyn Offer| -> Result<(), Infallible> {
            has_listeners |= output.has_listeners();
            Ok(())
        };
        let Ok(()) = publishers.for_each(look);
        let of_depth = depth_outputs.all().into_iter().any(|output| output.has_listeners());
        drop((publishers, depth_outputs));
        camera.engine.set_listeners(has_listeners || of_depth);
        let config = &camera.config().depth;
        let is_wanted = camera.depth.set_wanted(of_depth || config.always);
        camera.engine.set_certain_masks(is_wanted);
        self.depth_demand.set(is_wanted, config.transport);
        camera.engine.set_listeners(has_listeners || self.console.has_viewers());
    }

    /// Returns the camera if the node is active. The caller drops it soon: `deactivate` waits for that.
    pub fn get(&self) -> Option<Arc<ActiveCamera>> {
        match &*self.activity.borrow() {
            Activity::Active(camera) => Some(Arc::clone(camera)),
            Activity::Inactive | Activity::Activating => None,
        }
    }

    /// Returns the same as [`CameraSlot::get`], but waits for a node that is about to activate itself.
    pub async fn wait(&self) -> Option<Arc<ActiveCamera>> {
        let mut activity = self.activity.subscribe();
        // Fails only if the sender is gone, which `self` owns.
        let _ = activity.wait_for(|a| !matches!(a, Activity::Activating)).await;
        self.get()
    }

    /// Sets the camera of a node that was activated; `None` when the node is deactivated.
    pub fn set(&self, camera: Option<Arc<ActiveCamera>>) {
        if camera.is_none() {
            self.console.clear();
        }
        self.activity.send_replace(camera.map_or(Activity::Inactive, Activity::Active));
    }
}

/// Locks a mutex unless another thread holds it.
fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
