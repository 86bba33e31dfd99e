//! Results that wait for their depth images, depth images, and requests for clouds: what the depth thread of a camera works on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::message::DepthMessage;
use crate::camera::CameraInfo;
use crate::depth::{ByStamp, Miss, Nearest};
use crate::engine::{FrameResult, Stamp};
use crate::node::config::DepthConfig;
use crate::node::lock::lock;

/// Most results that wait. Another one replaces the oldest.
const MAX_RESULTS: usize = 8;
/// Most requests that wait.
const MAX_REQUESTS: usize = 64;
/// Most calibrations of depth images.
const MAX_INFOS: usize = 256;
/// Longest wait of a request: for the subscription to depth images, and for the next image.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Period at which transforms are looked for.
const POLL: Duration = Duration::from_millis(10);

/// A request for the cloud of an object; id 0: of all objects.
pub struct CloudRequest<T> {
    pub object_id: u32,
    pub reply: oneshot::Sender<Result<T, String>>,
    deadline: Instant,
}

impl<T> CloudRequest<T> {
    pub fn is_expired(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// Depth image of a result, or the reason that there is none.
pub type Matched = Result<Arc<DepthMessage>, String>;

/// Work of the depth thread.
pub enum Job<T> {
    /// A result, and its depth image.
    Result(Box<FrameResult>, Matched),
    Request(CloudRequest<T>),
    /// Nothing arrived: requests may have expired.
    Idle,
}

/// A result that waits for its depth image.
struct Waiting {
    result: FrameResult,
    deadline: Instant,
}

/// Work that the camera's other threads leave for its depth thread. `T`: answer of a request.
pub struct DepthQueue<T> {
    /// Full name of the topic, after remapping.
    topic: String,
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Whether depth images are received.
    is_wanted: AtomicBool,
}

struct State<T> {
    results: VecDeque<Waiting>,
    /// The newest result, for requests that come while depth images are not wanted.
    newest: Option<FrameResult>,
    /// The newest result was handed out without a depth image, so that a request tries it again.
    newest_missed: bool,
    images: ByStamp<DepthMessage>,
    /// Calibrations of the depth images, with the frames of their headers.
    infos: ByStamp<(String, CameraInfo)>,
    requests: VecDeque<CloudRequest<T>>,
    /// End of the demand by requests.
    requested_until: Option<Instant>,
    stop: bool,
}

impl<T> State<T> {
    /// Whether the calibration of a depth image is still expected: the camera sends one with each image, since that of the
    /// image before is the newest one. A later image ends the wait.
    fn awaits_info(&self, stamp: Stamp) -> bool {
        let (newest, before) = self.images.newest_stamps();
        let (newest_info, _) = self.infos.newest_stamps();
        newest == Some(stamp.nanoseconds()) && before.is_some() && newest_info == before
    }
}

impl<T> DepthQueue<T> {
    /// `topic`: full name of the depth images' topic.
    pub fn new(topic: &str) -> Self {
        let state = State {
            results: VecDeque::new(),
            newest: None,
            newest_missed: false,
            images: ByStamp::default(),
            infos: ByStamp::default(),
            requests: VecDeque::new(),
            requested_until: None,
            stop: false,
        };
        DepthQueue {
            topic: topic.to_owned(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            is_wanted: AtomicBool::new(false),
        }
    }

    /// Sets whether an output has a subscriber. Returns whether depth images are wanted: requests want them too.
    pub fn set_wanted(&self, has_subscriber: bool) -> bool {
        let requested = lock(&self.state).requested_until.is_some_and(|until| Instant::now() < until);
        let wanted = has_subscriber || requested;
        if self.is_wanted.swap(wanted, Ordering::Relaxed) && !wanted {
            let mut state = lock(&self.state);
            state.images.clear();
            state.results.clear();
        }
        wanted
    }

    /// Whether depth images are received.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Leaves a result. Returns false if it replaced an older one, because the depth thread is behind.
    pub fn push_result(&self, result: &FrameResult, timeout: Duration) -> bool {
        let mut state = lock(&self.state);
        state.newest = Some(result.clone());
        state.newest_missed = false;
        if !self.is_wanted() {
            return true;
        }
        let fits = state.results.len() < MAX_RESULTS;
        if !fits {
            state.results.pop_front();
        }
        state.results.push_back(Waiting { result: result.clone(), deadline: Instant::now() + timeout });
        self.changed.notify_all();
        fits
    }

    /// Leaves a depth image.
    pub fn push_image(&self, message: DepthMessage, limit: usize) {
        let (stamp, bytes) = (message.stamp().nanoseconds(), message.bytes());
        lock(&self.state).images.insert(stamp, message, bytes, limit);
        self.changed.notify_all();
    }

    /// Leaves a calibration of the depth images.
    pub fn push_info(&self, stamp: Stamp, frame_id: String, info: CameraInfo) {
        lock(&self.state).infos.insert(stamp.nanoseconds(), (frame_id, info), 1, MAX_INFOS);
        self.changed.notify_all();
    }

    /// Returns the calibration of a depth image, if depth images have one of their own: that of its stamp, or the newest one.
    pub fn info(&self, stamp: Stamp) -> Option<(String, CameraInfo)> {
        let infos = &lock(&self.state).infos;
        infos.at(stamp.nanoseconds()).or_else(|| infos.newest()).cloned()
    }

    /// Leaves a request for a cloud.
    ///
    /// # Errors
    /// There is no such object, or too many requests wait.
    pub fn request(&self, object_id: u32) -> Result<oneshot::Receiver<Result<T, String>>, String> {
        let mut state = lock(&self.state);
        let newest = state.newest.as_ref().ok_or("no image has been segmented")?;
        let ids: Vec<u32> = newest.objects.iter().filter(|o| o.mask.area > 0).map(|o| o.id).collect();
        if ids.is_empty() || (object_id != 0 && !ids.contains(&object_id)) {
            let stamp = newest.header.stamp;
            return Err(format!(
                "there is no object {object_id} on the newest image ({stamp}); its objects are {ids:?}"
            ));
        }
        if state.requests.len() >= MAX_REQUESTS {
            return Err(format!("{MAX_REQUESTS} requests are waiting already"));
        }
        let (reply, answer) = oneshot::channel();
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        if state.results.is_empty() && (state.newest_missed || !self.is_wanted()) {
            let result = newest.clone();
            state.results.push_back(Waiting { result, deadline });
            state.newest_missed = false;
        }
        state.requested_until = Some(deadline);
        state.requests.push_back(CloudRequest { object_id, reply, deadline });
        self.changed.notify_all();
        Ok(answer)
    }

    /// Ends the depth thread.
    pub fn stop(&self) {
        lock(&self.state).stop = true;
        self.changed.notify_all();
    }

    /// Waits for work. `has_transform`: whether the transform of a result is known. `None`: the thread ends.
    pub fn next(
        &self,
        config: impl Fn() -> DepthConfig,
        has_transform: impl Fn(&FrameResult, &DepthConfig) -> bool,
    ) -> Option<Job<T>> {
        let mut state = lock(&self.state);
        let since = Instant::now();
        loop {
            if state.stop {
                return None;
            }
            if let Some(request) = state.requests.pop_front() {
                return Some(Job::Request(request));
            }
            if !state.results.is_empty() {
                let config = config();
                if let Some((result, matched)) = self.take_ready(&mut state, &config, &has_transform) {
                    return Some(Job::Result(Box::new(result), matched));
                }
                state = self.wait(state, POLL);
            } else if since.elapsed() < REQUEST_TIMEOUT / 10 {
                state = self.wait(state, REQUEST_TIMEOUT / 10);
            } else {
                return Some(Job::Idle);
            }
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>, timeout: Duration) -> MutexGuard<'a, State<T>> {
        self.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes the oldest result if its depth image and its transform are there, or if it has waited for its time.
    fn take_ready(
        &self,
        state: &mut State<T>,
        config: &DepthConfig,
        has_transform: &impl Fn(&FrameResult, &DepthConfig) -> bool,
    ) -> Option<(FrameResult, Matched)> {
        let Waiting { result, deadline } = state.results.front()?;
        let is_last = Instant::now() >= *deadline;
        let tolerance = i64::try_from(config.tolerance.as_nanos()).unwrap_or(i64::MAX);
        let matched = match state.images.nearest(result.header.stamp.nanoseconds(), tolerance, is_last) {
            Nearest::NotYet => return None,
            Nearest::Found(image) if !is_last && state.awaits_info(image.stamp()) => return None,
            Nearest::Found(_) if !is_last && !has_transform(result, config) => return None,
            Nearest::Found(image) => Ok(image),
            Nearest::Missed(miss) => Err(self.reason(miss, config)),
        };
        let Waiting { result, .. } = state.results.pop_front()?;
        let is_newest = state.newest.as_ref().is_some_and(|newest| newest.header.stamp == result.header.stamp);
        state.newest_missed |= is_newest && matched.is_err();
        Some((result, matched))
    }

    /// Returns why a result has no depth image.
    fn reason(&self, miss: Option<Miss>, config: &DepthConfig) -> String {
        let topic = &self.topic;
        let Some(Miss { difference, is_before_all }) = miss else {
            return format!("no depth image has arrived on '{topic}'");
        };
        let (seconds, side) = (difference.abs(), if difference < 0.0 { "earlier" } else { "later" });
        let tolerance = config.tolerance.as_secs_f64();
        let kept = match is_before_all {
            true => "; earlier ones are not kept: depth.keep_megabytes may be too small",
            false => "",
        };
        format!("the nearest depth image on '{topic}' is {seconds:.3} s {side}, depth.tolerance is {tolerance} s{kept}")
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
