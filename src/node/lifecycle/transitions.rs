//! What the transitions of the managed node do: `configure` loads the model and warms it up, `activate` starts an engine for
//! each camera and subscribes, `deactivate` stops them and keeps the model, `cleanup` frees it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use super::load;
use super::machine::{Outcome, State};
use super::progress::Progress;
use super::server::OnTransition;
use crate::camera::Transforms;
use crate::model::{ProviderRefusal, runtime};
use crate::native::process::give_memory_back;
use crate::node::camera::{self, Camera, SharedModel, Slot};
use crate::node::config::values::Parameters;
use crate::node::error::NodeError;
use crate::node::lock::lock;
use crate::node::ros::topics::SpinningNode;

/// How long `cleanup` waits for an answer that is still on its way out of the model.
const MODEL_IS_LEFT_WITHIN: Duration = Duration::from_secs(2);

/// What the node consists of beside its topics, and what there is of it in the state that it is in.
pub struct Transitions {
    pub node_name: String,
    pub node: SpinningNode,
    pub parameters: Arc<Mutex<Parameters>>,
    pub transforms: Arc<Mutex<Transforms>>,
    pub slots: Vec<Arc<Slot>>,
    pub progress: Arc<Progress>,
    /// From `configure` to `cleanup`.
    configured: Mutex<Option<Configured>>,
    /// From `activate` to `deactivate`.
    cameras: Mutex<Vec<Camera>>,
}

struct Configured {
    model: Arc<SharedModel>,
    image_transport: String,
}

impl Transitions {
    pub fn new(
        node_name: String,
        node: SpinningNode,
        (parameters, transforms): (Arc<Mutex<Parameters>>, Arc<Mutex<Transforms>>),
        slots: Vec<Arc<Slot>>,
    ) -> Arc<Self> {
        let (progress, configured, cameras) = Default::default();
        Arc::new(Transitions { node_name, node, parameters, transforms, slots, progress, configured, cameras })
    }

    /// The work of each transition, for the lifecycle.
    pub fn on_transition(self: &Arc<Self>) -> OnTransition {
        let transitions = Arc::clone(self);
        Box::new(move |during, from| {
            let t = Arc::clone(&transitions);
            Box::pin(async move {
                t.progress.begin(during);
                let outcome = t.work(during, from).await;
                t.progress.end(during, &outcome);
                match outcome {
                    Ok(()) => Outcome::Success,
                    Err(failed) => {
                        error!("{}: {during}: {}", t.node_name, failed.reason);
                        failed.outcome
                    }
                }
            })
        })
    }

    async fn work(self: &Arc<Self>, during: State, from: State) -> Result<(), Failed> {
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

    async fn configure(self: &Arc<Self>) -> Result<(), Failed> {
        let parameters = lock(&self.parameters).clone();
        let image_transport = parameters.text("image_transport").to_owned();
        let transitions = Arc::clone(self);
        let loaded = spawn_blocking(move || transitions.load(&parameters)).await;
        // A panic goes on to the lifecycle, which takes it for an error.
        let model = loaded.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())).map_err(Failed::failure)?;
        *lock(&self.configured) = Some(Configured { model: Arc::new(model), image_transport });
        let slots = self.slots.clone();
        let offered = self.node.with_node(move |node| slots.iter().try_for_each(|slot| slot.offer(node)));
        offered.await.map_err(Failed::error)
    }

    fn load(&self, parameters: &Parameters) -> Result<SharedModel, NodeError> {
        let (node, what) = (&self.node_name, parameters.text("model"));
        info!("{node}: loading model '{what}'");
        self.progress.say(format!("loading model '{what}'"));
        let since = Instant::now();
        let mut model = load::load(parameters)?;
        let took = since.elapsed().as_secs_f32();
        let reports = model.reports();
        let runs = reports.iter().map(|(part, report)| format!("{part} on {}", report.runs()));
        info!("{node}: model '{}' in {took:.1} s; {}", model.info.name, runs.collect::<Vec<_>>().join(", "));
        // A missing provider is missing for all; a variant may be refused for one part alone.
        let mut said: Vec<&ProviderRefusal> = Vec::new();
        for refused in reports.iter().flat_map(|(_, report)| &report.refused) {
            if !said.contains(&refused) {
                info!("{node}: not on {refused}");
                said.push(refused);
            }
        }
        for note in reports.iter().flat_map(|(_, report)| &report.notes) {
            warn!("{node}: {note}");
        }
        self.progress.say(format!("warming up model '{what}'"));
        let since = Instant::now();
        load::warm_up(&mut model)?;
        info!("{node}: warmed up in {:.2} s", since.elapsed().as_secs_f32());
        Ok(SharedModel::new(model))
    }

    async fn activate(&self) -> Result<(), Failed> {
        let (model, image_transport) = match &*lock(&self.configured) {
            Some(configured) => (Arc::clone(&configured.model), configured.image_transport.clone()),
            None => return Err(Failed::error("there is no model: it was not configured")),
        };
        for slot in &self.slots {
            let camera = camera::start(slot, &model, &image_transport, &self.parameters, &self.transforms);
            let camera = camera.map_err(Failed::error)?;
            slot.set(Some(Arc::clone(&camera.shared)));
            lock(&self.cameras).push(camera);
        }
        // What was set since an engine read it.
        self.settings_changed(&lock(&self.parameters).clone());
        self.node.open(&image_transport).await.map_err(Failed::error)
    }

    /// Hands the live parameters to the engines.
    pub fn settings_changed(&self, parameters: &Parameters) {
        for camera in self.slots.iter().filter_map(|slot| slot.get()) {
            camera.engine.configure(|current| *current = camera::settings(parameters, &camera.image_topic));
        }
    }

    async fn deactivate(&self) -> Result<(), Failed> {
        for slot in &self.slots {
            slot.set(None);
        }
        let closed = self.node.close().await;
        let cameras = std::mem::take(&mut *lock(&self.cameras));
        cameras.iter().for_each(|camera| camera.shared.engine.stop());
        let stopped = spawn_blocking(move || cameras.into_iter().for_each(Camera::finish)).await;
        closed.map_err(Failed::error)?;
        stopped.map_err(Failed::error)
    }

    async fn cleanup(&self) -> Result<(), Failed> {
        let configured = lock(&self.configured).take();
        let Some(Configured { model, .. }) = configured else { return Ok(()) };
        let since = Instant::now();
        while Arc::strong_count(&model) > 1 && since.elapsed() < MODEL_IS_LEFT_WITHIN {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if Arc::strong_count(&model) > 1 {
            warn!("{}: an answer is still under way: the model's memory is freed after it", self.node_name);
        }
        let slots = self.slots.clone();
        let withdrawn = self.node.with_node(move |node| {
            slots.iter().for_each(|slot| slot.withdraw(node));
            Ok(())
        });
        withdrawn.await.map_err(Failed::error)?;
        let freed = spawn_blocking(move || {
            drop(model);
            let renewed = runtime::renew_arena();
            give_memory_back();
            renewed
        });
        if let Err(e) = freed.await.map_err(Failed::error)? {
            warn!("{}: not all of the model's memory is freed: {e}", self.node_name);
        }
        Ok(())
    }

    /// Stops at once, whatever state the node is in, for the end of the process; false when something still runs.
    pub fn stop(&self, within: Duration) -> bool {
        let since = Instant::now();
        let cameras = std::mem::take(&mut *lock(&self.cameras));
        cameras.iter().for_each(|camera| camera.shared.engine.stop());
        let stopped = cameras.iter().all(|camera| camera.is_finished_within(within.saturating_sub(since.elapsed())));
        if stopped {
            self.slots.iter().for_each(|slot| slot.set(None));
            cameras.into_iter().for_each(Camera::finish);
            lock(&self.configured).take();
        } else {
            // Its destructor would wait for it.
            std::mem::forget(cameras);
        }
        stopped
    }
}

/// Why a transition did not succeed.
#[derive(Debug)]
pub struct Failed {
    pub reason: String,
    outcome: Outcome,
}

impl Failed {
    fn failure(reason: impl ToString) -> Self {
        Failed { reason: reason.to_string(), outcome: Outcome::Failure }
    }

    fn error(reason: impl ToString) -> Self {
        Failed { reason: reason.to_string(), outcome: Outcome::Error }
    }
}
