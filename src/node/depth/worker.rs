//! The depth thread of a camera.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use r2r::promptseg_msgs::srv::GetCloud;
use tracing::{debug_span, warn};

use super::messages;
use super::outputs::{DepthOutputs, Wanted};
use super::queue::{CloudRequest, Job, Matched};
use super::scene::{Scene, SceneCamera, has_transform};
use crate::depth::Rays;
use crate::engine::{FrameResult, Refusal, RefusalKind, Stage};
use crate::node::config::Config;
use crate::node::lock::lock;
use crate::node::slot::ActiveCamera;
use crate::pointing::Calibration;

/// What a refusal of depth is a refusal of, in the log.
const INPUT: &str = "depth";

type Request = CloudRequest<GetCloud::Response>;

/// Works on the camera's queue until it is stopped.
pub fn run(camera: &Arc<ActiveCamera>, outputs: &Arc<Mutex<DepthOutputs>>, log_prefix: &str) {
    let thread = format!("{log_prefix}the depth thread");
    let mut worker =
        Worker { camera, outputs, log_prefix, rays: None, latest: None, requests: Vec::new(), reason: None };
    let config = || camera.config().depth.clone();
    let has_transform = |result: &FrameResult, config: &_| has_transform(&camera.pointing, result, config);
    while let Some(job) = camera.depth.next(config, has_transform) {
        camera.engine.guard(&thread, || worker.work(job));
    }
}

struct Worker<'a> {
    camera: &'a ActiveCamera,
    outputs: &'a Mutex<DepthOutputs>,
    log_prefix: &'a str,
    /// Rays of the camera, with the calibration that they were computed from.
    rays: Option<(Arc<Calibration>, Rays)>,
    /// The newest scene; `None` while depth images are not wanted.
    latest: Option<Scene>,
    requests: Vec<Request>,
    /// Why the newest result, or one of its objects, has no position.
    reason: Option<String>,
}

impl Worker<'_> {
    fn work(&mut self, job: Job<GetCloud::Response>) {
        if !self.camera.depth.is_wanted() {
            self.latest = None;
        }
        match job {
            Job::Result(result, matched) => self.measure(*result, matched),
            Job::Request(request) => self.requests.push(request),
            Job::Idle => {}
        }
        self.answer();
    }

    /// Measures the objects of a result, and publishes them.
    fn measure(&mut self, result: FrameResult, matched: Matched) {
        let _span = debug_span!("depth", stamp = %result.header.stamp).entered();
        let since = Instant::now();
        let config = self.camera.config();
        self.reason = None;
        let scene = match self.scene(&result, matched, &config) {
            Ok(scene) => scene,
            Err(refusal) => {
                self.refuse(&result, &refusal);
                Scene::empty(result)
            }
        };
        self.publish(&scene, &config);
        self.camera.engine.record(Stage::Depth, since.elapsed().as_secs_f32() * 1e3);
        self.latest = Some(scene);
    }

    fn scene(&mut self, result: &FrameResult, matched: Matched, config: &Config) -> Result<Scene, Refusal> {
        if result.objects.iter().all(|o| o.mask.area == 0) {
            return Ok(Scene::empty(result.clone()));
        }
        let depth = matched.map_err(|reason| Refusal::new(RefusalKind::NoDepth, reason))?;
        let rectified = config.is_rectified(&self.camera.image_topic);
        let pointing = &self.camera.pointing;
        let calibration = pointing.calibration(&result.header, result.image.dimensions(), rectified)?;
        let (calibration, rays) = match self.rays.take() {
            Some((known, rays)) if Arc::ptr_eq(&known, &calibration) => (known, rays),
            _ => {
                let rays = Rays::new(&calibration.model);
                (calibration, rays)
            }
        };
        let (calibration, rays) = &*self.rays.insert((calibration, rays));
        let depth_info = self.camera.depth.info(depth.stamp());
        let camera = SceneCamera { pointing, calibration, rays, depth_info: depth_info.as_ref(), rectified };
        let (scene, missing) = Scene::new(result.clone(), &depth, &camera, &config.depth)?;
        for (id, reason) in missing {
            let message =
                format!("object {id} of image {}: {reason}; it has no position in metres", result.header.stamp);
            self.reason = Some(message.clone());
            let refusal = Refusal::new(RefusalKind::NoDepth, message);
            self.camera.engine.count_refusal(refusal.kind);
            self.camera.refusals.warn(INPUT, &refusal);
        }
        Ok(scene)
    }

    /// Counts the objects of a result that go out without a position.
    fn refuse(&mut self, result: &FrameResult, refusal: &Refusal) {
        let objects = result.objects.iter().filter(|o| o.mask.area > 0).count();
        (0..objects).for_each(|_| self.camera.engine.count_refusal(refusal.kind));
        let stamp = result.header.stamp;
        let message = format!("{}; the {objects} objects of image {stamp} have no position in metres", refusal.message);
        self.reason = Some(message.clone());
        self.camera.refusals.warn(INPUT, &Refusal::new(refusal.kind, message));
    }

    fn publish(&self, scene: &Scene, config: &Config) {
        let Wanted { detections, cloud, pose } = lock(self.outputs).wanted();
        // The messages are made without the lock: the thread that spins the node looks for subscribers.
        let detections = detections.then(|| messages::detections(scene, config.outputs.detections_score));
        let cloud = cloud.then(|| messages::cloud(scene, &config.depth));
        let pose = if pose { messages::current_pose(scene, config.depth.pose) } else { None };
        let outputs = lock(self.outputs);
        let published = [
            ("~/detections_3d", detections.map(|m| outputs.detections.publish(&m))),
            ("~/cloud", cloud.map(|m| outputs.cloud.publish(&m))),
            ("~/pose", pose.map(|m| outputs.pose.publish(&m))),
        ];
        drop(outputs);
        for (topic, outcome) in published {
            if let Some(Err(e)) = outcome {
                warn!("{}publishing on {topic}: {e}", self.log_prefix);
            }
        }
    }

    /// Answers the requests whose object is in the newest scene, and those that have waited for their time.
    fn answer(&mut self) {
        for request in std::mem::take(&mut self.requests) {
            let answer = self.latest.as_ref().and_then(|scene| messages::object_cloud(scene, request.object_id));
            let answer = match answer {
                Some(answer) => Ok(answer),
                None if request.is_expired() => Err(self.reason_of(request.object_id)),
                None => {
                    self.requests.push(request);
                    continue;
                }
            };
            // The client may have gone.
            let _ = request.reply.send(answer);
        }
    }

    fn reason_of(&self, object_id: u32) -> String {
        let object = if object_id == 0 { "no object".into() } else { format!("object {object_id} not") };
        let reason = self.reason.as_deref().unwrap_or("no image was segmented in the meantime");
        format!("{object} measured: {reason}")
    }
}
