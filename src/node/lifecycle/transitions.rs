//! Work of the transitions: `configure` loads the model and warms it up, `activate` starts an engine for each camera and
//! subscribes, `deactivate` stops the engines and keeps the model, `cleanup` frees the model.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use super::load;
use super::machine::{Outcome, State};
use super::progress::Progress;
use super::server::OnTransition;
use crate::camera::Transforms;
use crate::model::{Model, ProviderRefusal, runtime};
use crate::native::process::give_memory_back;
use crate::node::camera::{self, RunningCamera};
use crate::node::config::{Config, ImageTransport, Parameters};
use crate::node::error::NodeError;
use crate::node::lock::lock;
use crate::node::ros::topics::SpinningNode;
use crate::node::slot::{CameraSlot, SharedModel};
use crate::node::text::{self, SharedTextModel};

/// Time that `cleanup` waits for a decoding that still uses the model.
const MODEL_RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Parts of the node that transitions start and stop.
pub struct Transitions {
    pub node_name: String,
    pub node: SpinningNode,
    pub parameters: Arc<Mutex<Parameters>>,
    pub transforms: Arc<Mutex<Transforms>>,
    pub slots: Vec<Arc<CameraSlot>>,
    pub progress: Arc<Progress>,
    /// Present from `configure` to `cleanup`.
    configured: Mutex<Option<Configured>>,
    /// Present from `activate` to `deactivate`.
    cameras: Mutex<Vec<RunningCamera>>,
}

struct Configured {
    model: Arc<SharedModel>,
    image_transport: ImageTransport,
}

impl Transitions {
    pub fn new(
        node_name: String,
        node: SpinningNode,
        (parameters, transforms): (Arc<Mutex<Parameters>>, Arc<Mutex<Transforms>>),
        slots: Vec<Arc<CameraSlot>>,
    ) -> Arc<Self> {
        let (progress, configured, cameras) = Default::default();
        Arc::new(Transitions { node_name, node, parameters, transforms, slots, progress, configured, cameras })
    }

    /// Returns the work of each transition, for the lifecycle.
    pub fn on_transition(self: &Arc<Self>) -> OnTransition {
        let transitions = Arc::clone(self);
        Box::new(move |during, from| {
            let t = Arc::clone(&transitions);
            Box::pin(async move {
                t.progress.begin(during);
                let outcome = t.work(during, from).await;
                t.progress.end(during, outcome.as_ref().err().map(|e| e.reason.as_str()));
                match outcome {
                    Ok(()) => Outcome::Success,
                    Err(error) => {
                        error!("{}: {during}: {}", t.node_name, error.reason);
                        error.outcome
                    }
                }
            })
        })
    }

    async fn work(self: &Arc<Self>, during: State, from: State) -> Result<(), TransitionError> {
        match during {
            State::Configuring => self.configure().await,
            State::Activating => self.activate().await,
            State::Deactivating => self.deactivate().await,
            State::CleaningUp => self.cleanup().await,
            State::ShuttingDown | State::ErrorProcessing => {
                if from != State::Unconfigured || during == State::ErrorProcessing {
                    self.deactivate().await?;
                    self.cleanup().await?;
                }
                Ok(())
            }
            State::Unknown | State::Unconfigured | State::Inactive | State::Active | State::Finalized => Ok(()),
        }
    }

    async fn configure(self: &Arc<Self>) -> Result<(), TransitionError> {
        let config = lock(&self.parameters).config();
        let image_transport = config.cameras.image_transport;
        let transitions = Arc::clone(self);
        let loaded = spawn_blocking(move || transitions.load(&config)).await;
        // A panic is passed to the lifecycle, which counts it as an error.
        let model =
            loaded.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())).map_err(TransitionError::failure)?;
        *lock(&self.configured) = Some(Configured { model: Arc::new(model), image_transport });
        let slots = self.slots.clone();
        let offered = self.node.with_node(move |node| slots.iter().try_for_each(|slot| slot.offer(node)));
        offered.await.map_err(TransitionError::error)
    }

    /// Loads the model, logs how it runs, and warms it up.
    fn load(&self, config: &Config) -> Result<SharedModel, NodeError> {
        let (node, path) = (&self.node_name, config.model.path.display());
        info!("{node}: loading model '{path}'");
        self.progress.set_step(format!("loading model '{path}'"));
        let since = Instant::now();
        let mut model = load::open(&config.model)?;
        let took = since.elapsed().as_secs_f32();
        let reports = model.reports();
        let runs = reports.iter().map(|(part, report)| format!("{part} on {}", report.runs()));
        info!("{node}: model '{}' in {took:.1} s; {}", model.info.name, runs.collect::<Vec<_>>().join(", "));
        // A missing provider is missing for all parts of the model; a variant may be refused for one part alone.
        let mut logged: Vec<&ProviderRefusal> = Vec::new();
        for refused in reports.iter().flat_map(|(_, report)| &report.refused) {
            if !logged.contains(&refused) {
                info!("{node}: not on {refused}");
                logged.push(refused);
            }
        }
        for note in reports.iter().flat_map(|(_, report)| &report.notes) {
            warn!("{node}: {note}");
        }
        self.progress.set_step(format!("warming up model '{path}'"));
        let since = Instant::now();
        load::warm_up(&mut model)?;
        info!("{node}: warmed up in {:.2} s", since.elapsed().as_secs_f32());
        let text = self.load_text(config, &model)?;
        Ok(SharedModel::new(model, text))
    }

    /// Loads the text model, if the parameters name one.
    fn load_text(&self, config: &Config, model: &Model) -> Result<Option<SharedTextModel>, NodeError> {
        let Some(path) = &config.text.model else { return Ok(None) };
        let node = &self.node_name;
        self.progress.set_step(format!("loading text model '{}'", path.display()));
        let since = Instant::now();
        let text = text::open(path, &config.text, &config.model.session, &model.info)?;
        let took = since.elapsed().as_secs_f32();
        let sessions = &text.sessions;
        info!("{node}: text model '{}' in {took:.1} s; {}", text.name, sessions.runs);
        sessions.refused.iter().for_each(|refused| info!("{node}: {refused}"));
        sessions.notes.iter().for_each(|note| warn!("{node}: {note}"));
        Ok(Some(text))
    }

    async fn activate(&self) -> Result<(), TransitionError> {
        let (model, image_transport) = match &*lock(&self.configured) {
            Some(configured) => (Arc::clone(&configured.model), configured.image_transport),
            None => return Err(TransitionError::error("no model is loaded: configure the node first")),
        };
        for slot in &self.slots {
            let camera = camera::start(slot, &model, image_transport, &self.parameters, &self.transforms);
            let camera = camera.map_err(TransitionError::error)?;
            slot.set(Some(Arc::clone(&camera.active)));
            lock(&self.cameras).push(camera);
        }
        // The parameters may have changed since an engine read them.
        self.apply_settings(&lock(&self.parameters).config());
        self.node.open(image_transport).await.map_err(TransitionError::error)
    }

    /// Hands changed parameters to the engines.
    pub fn apply_settings(&self, config: &Config) {
        for camera in self.slots.iter().filter_map(|slot| slot.get()) {
            camera.engine.configure(|current| *current = config.engine_settings(&camera.image_topic));
            text::apply_parameter(&camera, &config.text.phrases);
        }
    }

    async fn deactivate(&self) -> Result<(), TransitionError> {
        for slot in &self.slots {
            slot.set(None);
        }
        let closed = self.node.close().await;
        let cameras = std::mem::take(&mut *lock(&self.cameras));
        cameras.iter().for_each(|camera| camera.active.engine.stop());
        let stopped = spawn_blocking(move || cameras.into_iter().for_each(RunningCamera::finish)).await;
        closed.map_err(TransitionError::error)?;
        stopped.map_err(TransitionError::error)
    }

    async fn cleanup(&self) -> Result<(), TransitionError> {
        let configured = lock(&self.configured).take();
        let Some(Configured { model, .. }) = configured else { return Ok(()) };
        let since = Instant::now();
        while Arc::strong_count(&model) > 1 && since.elapsed() < MODEL_RELEASE_TIMEOUT {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if Arc::strong_count(&model) > 1 {
            warn!("{}: a decoding still uses the model: its memory is freed afterwards", self.node_name);
        }
        let slots = self.slots.clone();
        let withdrawn = self.node.with_node(move |node| {
            slots.iter().for_each(|slot| slot.withdraw(node));
            Ok(())
        });
        withdrawn.await.map_err(TransitionError::error)?;
        let freed = spawn_blocking(move || {
            drop(model);
            let renewed = runtime::renew_arena();
            give_memory_back();
            renewed
        });
        if let Err(e) = freed.await.map_err(TransitionError::error)? {
            warn!("{}: not all of the model's memory is freed: {e}", self.node_name);
        }
        Ok(())
    }

    /// Stops all engines at the end of the process, in any state. Returns false if a thread still runs after `limit`.
    pub fn stop(&self, limit: Duration) -> bool {
        let since = Instant::now();
        let cameras = std::mem::take(&mut *lock(&self.cameras));
        cameras.iter().for_each(|camera| camera.active.engine.stop());
        let stopped = cameras.iter().all(|camera| camera.is_finished_within(limit.saturating_sub(since.elapsed())));
        if stopped {
            self.slots.iter().for_each(|slot| slot.set(None));
            cameras.into_iter().for_each(RunningCamera::finish);
            lock(&self.configured).take();
        } else {
            // The destructor would wait for the thread.
            std::mem::forget(cameras);
        }
        stopped
    }
}

/// Reason that a transition did not succeed.
#[derive(Debug)]
pub struct TransitionError {
    pub reason: String,
    outcome: Outcome,
}

impl TransitionError {
    fn failure(reason: impl ToString) -> Self {
        TransitionError { reason: reason.to_string(), outcome: Outcome::Failure }
    }

    fn error(reason: impl ToString) -> Self {
        TransitionError { reason: reason.to_string(), outcome: Outcome::Error }
    }
}
