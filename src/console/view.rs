//! The camera that a page shows, and the pictures that it got.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{broadcast, watch};

use super::feed::{Feed, Viewer};
use super::hub::Hub;
use super::jpeg::fit;
use super::reply::Notice;
use super::scene::Scene;

/// Number of pictures whose masks are sent again when they change: the one that the browser shows, the one in flight, and one
/// more for a click that is under way.
const SENT_PICTURES: usize = 3;

/// A picture that was sent.
pub struct Sent {
    pub scene: Arc<Scene>,
    /// Number of the result that was sent with the picture or after it.
    pub revision: u64,
    /// Width of the JPEG in pixels.
    pub width: u32,
}

/// The camera that the browser shows.
pub struct View {
    pub camera: usize,
    pub feed: Arc<Feed>,
    /// Size of the rectangle in device pixels; zero before the page told it, and behind another tab.
    pub size: (u32, u32),
    pub details: bool,
    pub changes: watch::Receiver<u64>,
    pub notices: broadcast::Receiver<Notice>,
    /// The pictures that were sent last, the newest at the back. The browser shows one of them.
    pub sent: VecDeque<Sent>,
    /// Number of the picture that the operator holds: no other one is sent.
    pub held: Option<u64>,
    /// Time at which a picture was sent that is not drawn yet.
    pub in_flight: Option<Instant>,
    /// Present while the page shows pictures.
    viewer: Option<Viewer>,
}

impl View {
    /// Returns `None` if there is no such camera.
    pub fn new(hub: &Hub, camera: usize) -> Option<Self> {
        let feed = Arc::clone(hub.feeds.get(camera)?);
        let mut changes = feed.changes();
        changes.mark_changed();
        Some(View {
            camera,
            size: (0, 0),
            details: false,
            changes,
            notices: feed.notices(),
            sent: VecDeque::new(),
            held: None,
            in_flight: None,
            viewer: None,
            feed,
        })
    }

    /// Returns whether the page shows pictures: its tab is in front, and it has told its size.
    pub fn is_visible(&self) -> bool {
        self.size.0 > 0 && self.size.1 > 0
    }

    /// Counts the page as a viewer of the camera while it shows pictures.
    pub fn count_viewer(&mut self) {
        match self.is_visible() {
            true if self.viewer.is_none() => self.viewer = Some(self.feed.view()),
            true => {}
            false => self.viewer = None,
        }
    }

    /// Notes a picture that is sent.
    pub fn add_sent(&mut self, sent: Sent) {
        self.in_flight = Some(Instant::now());
        self.sent.retain(|earlier| earlier.scene.number != sent.scene.number);
        self.sent.push_back(sent);
        if self.sent.len() > SENT_PICTURES {
            self.sent.pop_front();
        }
    }

    /// Returns the scene to send: a newer one, or the one on the page again if the page zoomed in and can use more pixels.
    pub fn due(&self) -> Option<Arc<Scene>> {
        let shown = match self.held {
            Some(number) => self.sent.iter().find(|sent| sent.scene.number == number),
            None => self.sent.back(),
        };
        let newest = self.feed.newest().filter(|_| self.held.is_none());
        if let Some(newest) = newest
            && shown.is_none_or(|shown| shown.scene.number < newest.number)
        {
            return Some(newest);
        }
        let is_small = |sent: &&Sent| fit(sent.scene.picture.image.dimensions(), self.size).0 > sent.width;
        shown.filter(is_small).map(|sent| Arc::clone(&sent.scene))
    }
}
