//! A camera's way to the operator's console.

use std::sync::{Arc, OnceLock};

use crate::console::Console;
use crate::engine::{Engine, Event};

/// A camera's way to the console, if there is one.
#[derive(Default)]
pub struct ConsoleCamera(OnceLock<(Arc<Console>, usize)>);

impl ConsoleCamera {
    /// Connects the camera, once, when the node starts.
    pub fn connect(&self, console: Arc<Console>, camera: usize) {
        // A second call changes nothing.
        let _ = self.0.set((console, camera));
    }

    /// Passes an event on. Never blocks.
    pub fn event(&self, event: &Event, engine: &Engine) {
        if let Some((console, camera)) = self.0.get() {
            console.event(*camera, event, engine);
        }
    }

    /// Returns whether somebody views the camera.
    pub fn has_viewers(&self) -> bool {
        self.0.get().is_some_and(|(console, camera)| console.has_viewers(*camera))
    }

    /// Removes the pictures, because the engine was stopped.
    pub fn clear(&self) {
        if let Some((console, camera)) = self.0.get() {
            console.clear(*camera);
        }
    }
}
