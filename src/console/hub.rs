//! State that all clients of the console share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::access::Access;
use super::feed::Feed;
use super::owner::Owner;
use super::settings::Settings;
use crate::engine::Engine;

/// State that all clients share.
pub struct Hub {
    pub owner: Arc<dyn Owner>,
    pub settings: Settings,
    pub access: Access,
    /// Feed of each camera.
    pub feeds: Vec<Arc<Feed>>,
    /// Names of the cameras.
    pub cameras: Vec<String>,
    /// Pictures that are encoded at a time: one, so that the console leaves the processors to the model.
    pub encoders: Semaphore,
    clients: AtomicUsize,
    started: Instant,
}

/// The place of a client. It is free again when this value is dropped.
pub struct Place(Arc<Hub>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hub {
    pub fn new(settings: Settings, port: u16, owner: Arc<dyn Owner>) -> Self {
        let cameras = owner.cameras();
        Hub {
            access: Access::new(&settings, port),
            feeds: cameras.iter().map(|_| Arc::default()).collect(),
            cameras,
            owner,
            settings,
            encoders: Semaphore::new(1),
            clients: AtomicUsize::new(0),
            started: Instant::now(),
        }
    }

    /// Takes a place for a client. Returns `None` if all places are taken.
    pub fn take_place(self: &Arc<Self>) -> Option<Place> {
        let most = self.settings.max_clients;
        let taken = self.clients.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < most).then_some(n + 1));
        taken.is_ok().then(|| Place(Arc::clone(self)))
    }

    /// Returns the number of clients.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Returns a time in milliseconds since the console started.
    pub fn clock(&self, at: Instant) -> f64 {
        match at.checked_duration_since(self.started) {
            Some(after) => after.as_secs_f64() * 1e3,
            None => -self.started.duration_since(at).as_secs_f64() * 1e3,
        }
    }

    /// Runs a closure with the engine of a camera.
    ///
    /// # Errors
    /// The camera is unknown or not active, in words.
    pub fn with_engine<T>(&self, camera: usize, run: impl FnOnce(&Engine) -> T) -> Result<T, String> {
        if camera >= self.cameras.len() {
            return Err(format!("there is no camera {camera}; there are {}", self.cameras.len()));
        }
        let (mut run, mut outcome) = (Some(run), None);
        self.owner.with_engine(camera, &mut |engine| {
            if let Some(run) = run.take() {
                outcome = Some(run(engine));
            }
        });
        outcome.ok_or_else(|| self.owner.inactivity(camera))
    }
}
