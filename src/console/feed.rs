//! The pictures and notices of one camera, for any number of clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};

use super::reply::Notice;
use super::scene::Scene;
use crate::engine::{Event, FrameResult, Persistence, Refusal, RefusalKind, ResultSource, Stamp};

/// Number of scenes that are kept for clients that show an earlier picture.
const KEPT_SCENES: usize = 4;

/// Number of notices that wait for a slow client. It is told how many it missed.
const NOTICES: usize = 32;

/// Shortest time between two notices of refusals of a kind.
const REFUSAL_PERIOD: Duration = Duration::from_secs(1);

/// The pictures and notices of one camera. A client that does not take them costs nothing: it skips pictures.
#[derive(Debug)]
pub struct Feed {
    scenes: Mutex<Scenes>,
    /// Counts the changes of the scenes.
    changes: watch::Sender<u64>,
    notices: broadcast::Sender<Notice>,
    /// Time of the last notice of each kind of refusal, and the refusals that were left out since.
    refusals: Mutex<BTreeMap<RefusalKind, (Instant, u64)>>,
    viewers: AtomicUsize,
}

#[derive(Debug, Default)]
struct Scenes {
    /// Number of scenes so far.
    count: u64,
    /// The newest scenes, the newest at the back.
    kept: VecDeque<Arc<Scene>>,
    /// All scenes that somebody holds: the kept scenes, and those that a client shows.
    held: Vec<Weak<Scene>>,
}

/// A client that views a camera. It counts until it is dropped.
#[derive(Debug)]
pub struct Viewer(Arc<Feed>);

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Feed {
    fn default() -> Self {
        Feed {
            scenes: Mutex::default(),
            changes: watch::Sender::new(0),
            notices: broadcast::Sender::new(NOTICES),
            refusals: Mutex::default(),
            viewers: AtomicUsize::new(0),
        }
    }
}

impl Feed {
    /// Counts a client that views the camera.
    pub fn view(self: &Arc<Self>) -> Viewer {
        self.viewers.fetch_add(1, Ordering::Relaxed);
        Viewer(Arc::clone(self))
    }

    pub fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }

    /// Returns a receiver that is notified of every change of the scenes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Takes an event of the engine. `arrived`: arrival of the image of a result.
    pub fn event(&self, event: &Event, arrived: impl FnOnce(Stamp) -> Option<Instant>) {
        match event {
            // Masks of a search are no objects: they are answers to the pages that asked.
            Event::Result(FrameResult { source: ResultSource::Everything | ResultSource::Segment, .. }) => {}
            Event::Result(result) => self.result(result, arrived),
            Event::Refused(refusal) => self.refused(refusal),
            Event::Tracking { id, lost: true, reason } => {
                self.notify(Notice::warning(format!("object {id} is lost: {reason}")));
            }
            Event::Tracking { id, lost: false, .. } => self.notify(Notice::info(format!("object {id} is found again"))),
            Event::Note(note) => self.notify(Notice::info(note.clone())),
        }
    }

    /// Notifies of a refusal, unless one of its kind was shown within the period.
    fn refused(&self, refusal: &Refusal) {
        let (now, mut refusals) = (Instant::now(), self.refusals.lock().unwrap_or_else(PoisonError::into_inner));
        let left_out = match refusals.get_mut(&refusal.kind) {
            Some((shown, left_out)) if now.duration_since(*shown) < REFUSAL_PERIOD => {
                *left_out += 1;
                return;
            }
            Some((_, left_out)) => *left_out,
            None => 0,
        };
        refusals.insert(refusal.kind, (now, 0));
        drop(refusals);
        self.notify(Notice::refusal(refusal, left_out));
    }

    fn notify(&self, notice: Notice) {
        // Fails only if nobody views the camera.
        let _ = self.notices.send(notice);
    }

    /// Stores a result: on the scene of its stamp if somebody shows it, otherwise as a new scene if it is newer.
    fn result(&self, result: &FrameResult, arrived: impl FnOnce(Stamp) -> Option<Instant>) {
        let stamp = result.header.stamp;
        let mut scenes = self.lock();
        let is_new = |newest: &Arc<Scene>| result.source == ResultSource::Camera || newest.stamp < stamp;
        match scenes.find(stamp) {
            // A camera without stamps sends zero, so that the image decides.
            Some(scene) if Arc::ptr_eq(&scene.picture.image, &result.image) => {
                let tracked = scenes.tracked_after(scene.number);
                scene.replace(result.clone(), &tracked);
            }
            _ if scenes.kept.back().is_none_or(is_new) => {
                let arrived = arrived(stamp).unwrap_or_else(Instant::now);
                scenes.push(result.clone(), arrived);
            }
            _ => return,
        }
        drop(scenes);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Returns the newest scene.
    pub fn newest(&self) -> Option<Arc<Scene>> {
        self.lock().kept.back().cloned()
    }

    /// Returns the scene of that stamp, if it is kept or a client shows it.
    pub fn find(&self, stamp: Stamp) -> Option<Arc<Scene>> {
        self.lock().find(stamp)
    }

    /// Removes all scenes: the camera is not active any more.
    pub fn clear(&self) {
        self.lock().kept.clear();
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Scenes> {
        self.scenes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scenes {
    fn find(&self, stamp: Stamp) -> Option<Arc<Scene>> {
        self.held.iter().rev().filter_map(Weak::upgrade).find(|scene| scene.stamp == stamp)
    }

    /// Returns the ids of the objects that are tracked on the newest scene, if it is newer than the scene of that number.
    fn tracked_after(&self, number: u64) -> BTreeSet<u32> {
        let newest = self.kept.back().filter(|newest| newest.number > number).map(|newest| newest.revision().result);
        let objects = newest.iter().flat_map(|result| &result.objects);
        objects.filter(|object| object.persistence == Some(Persistence::Track)).map(|object| object.id).collect()
    }

    fn push(&mut self, result: FrameResult, arrived: Instant) {
        self.count += 1;
        let scene = Arc::new(Scene::new(self.count, arrived, result));
        self.held.retain(|held| held.strong_count() > 0);
        self.held.push(Arc::downgrade(&scene));
        self.kept.push_back(scene);
        while self.kept.len() > KEPT_SCENES {
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::engine::{Header, ObjectResult, StageMs};
    use crate::pixels::Mask;

    fn result(sec: i32, source: ResultSource, image: &Arc<RgbImage>) -> FrameResult {
        FrameResult {
            header: Header { stamp: Stamp { sec, nanosec: 0 }, frame_id: "camera".into() },
            source,
            image: Arc::clone(image),
            objects: Vec::new(),
            corner: None,
            current: None,
            prompted: false,
            ms: StageMs::default(),
        }
    }

    fn send(feed: &Feed, sec: i32, source: ResultSource, image: &Arc<RgbImage>) {
        feed.event(&Event::Result(result(sec, source, image)), |_| None);
    }

    fn image() -> Arc<RgbImage> {
        Arc::new(RgbImage::new(2, 2))
    }

    #[test]
    fn a_result_on_an_older_frame_never_replaces_the_picture() {
        let feed = Arc::new(Feed::default());
        let images: Vec<_> = (0..4).map(|_| image()).collect();
        for (sec, image) in (1..).zip(&images[..3]) {
            send(&feed, sec, ResultSource::Camera, image);
        }
        send(&feed, 1, ResultSource::Prompt, &images[0]);
        let newest = feed.newest().unwrap();
        assert_eq!((newest.number, newest.stamp.sec, newest.revision().number), (3, 3, 1));
        let older = feed.find(Stamp { sec: 1, nanosec: 0 }).unwrap();
        assert_eq!(older.revision().number, 2, "the answer is on the picture of its stamp");
        // The answer to a prompt on the newest frame replaces the camera's result.
        send(&feed, 4, ResultSource::Prompt, &images[3]);
        assert_eq!(feed.newest().unwrap().stamp.sec, 4);
    }

    #[test]
    fn a_client_holds_the_picture_that_it_shows() {
        let feed = Arc::new(Feed::default());
        let shown_image = image();
        send(&feed, 1, ResultSource::Camera, &shown_image);
        let shown = feed.newest().unwrap();
        (2..40).for_each(|sec| send(&feed, sec, ResultSource::Camera, &image()));
        send(&feed, 1, ResultSource::Prompt, &shown_image);
        assert_eq!(shown.revision().number, 2);
        let stamp = shown.stamp;
        drop(shown);
        assert!(feed.find(stamp).is_none());
        send(&feed, 40, ResultSource::Camera, &image());
        assert_eq!(feed.lock().held.len(), KEPT_SCENES + 1, "memory is bounded");
    }

    fn object(id: u32, persistence: Persistence) -> Arc<ObjectResult> {
        Arc::new(ObjectResult {
            id,
            class_id: String::new(),
            tag: String::new(),
            detection_score: None,
            persistence: Some(persistence),
            iou: 0.9,
            object_score: None,
            candidate_ious: Vec::new(),
            mask: Mask::empty(2, 2),
            certain: None,
            points: Vec::new(),
            bbox: None,
            lost: None,
        })
    }

    /// The engine forgets the masks of tracked objects on all frames but the last few.
    #[test]
    fn tracked_objects_stay_on_an_earlier_picture_until_they_are_removed() {
        let feed = Arc::new(Feed::default());
        let (held_image, newer_image) = (image(), image());
        let send = |sec: i32, image: &Arc<RgbImage>, objects: &[Arc<ObjectResult>]| {
            let result = FrameResult { objects: objects.to_vec(), ..result(sec, ResultSource::Camera, image) };
            feed.event(&Event::Result(result), |_| None);
        };
        let tracked = [1, 2].map(|id| object(id, Persistence::Track));
        let [once, new] = [object(3, Persistence::Once), object(4, Persistence::Once)];
        send(1, &held_image, &[&tracked[..], std::slice::from_ref(&once)].concat());
        let held = feed.newest().unwrap();
        let ids = || held.revision().result.objects.iter().map(|object| object.id).collect::<Vec<_>>();
        send(2, &newer_image, &tracked);
        send(1, &held_image, std::slice::from_ref(&new));
        assert_eq!(ids(), [1, 2, 4], "without the object that lives on its frame only");
        // Object 1 is removed: from the newest frame, and then from the held one.
        send(2, &newer_image, &tracked[1..]);
        send(1, &held_image, &[new]);
        assert_eq!(ids(), [2, 4]);
        // A result on the newest picture is complete.
        send(2, &newer_image, &[]);
        assert_eq!(feed.newest().unwrap().revision().result.objects.len(), 0);
    }

    #[test]
    fn after_the_clock_was_set_back_the_camera_goes_on() {
        let feed = Arc::new(Feed::default());
        send(&feed, 100, ResultSource::Camera, &image());
        send(&feed, 3, ResultSource::Prompt, &image());
        assert_eq!(feed.newest().unwrap().stamp.sec, 100);
        send(&feed, 4, ResultSource::Camera, &image());
        assert_eq!(feed.newest().unwrap().stamp.sec, 4);
    }

    #[test]
    fn frames_without_stamps_are_distinguished_by_their_images() {
        let feed = Arc::new(Feed::default());
        let images = [image(), image()];
        images.iter().for_each(|image| send(&feed, 0, ResultSource::Camera, image));
        assert_eq!(feed.newest().unwrap().number, 2);
    }

    #[test]
    fn masks_of_a_search_do_not_replace_the_objects() {
        let feed = Arc::new(Feed::default());
        let image = image();
        send(&feed, 1, ResultSource::Camera, &image);
        send(&feed, 1, ResultSource::Everything, &image);
        send(&feed, 2, ResultSource::Everything, &image);
        let newest = feed.newest().unwrap();
        assert_eq!((newest.stamp.sec, newest.revision().number), (1, 1));
    }

    #[test]
    fn refusals_of_a_kind_are_shown_once_in_a_while() {
        let feed = Feed::default();
        let mut notices = feed.notices();
        for kind in [RefusalKind::BadImage, RefusalKind::BadImage, RefusalKind::BadPrompt] {
            feed.event(&Event::Refused(Refusal::new(kind, "a reason")), |_| None);
        }
        let mut texts = Vec::new();
        while let Ok(notice) = notices.try_recv() {
            texts.push(notice.text);
        }
        assert_eq!(texts, ["refused: a reason", "refused: a reason"]);
    }

    #[test]
    fn viewers_count_until_they_leave() {
        let feed = Arc::new(Feed::default());
        let viewers = [feed.view(), feed.view()];
        assert_eq!(feed.viewers(), 2);
        drop(viewers);
        assert_eq!(feed.viewers(), 0);
    }
}
