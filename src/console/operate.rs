//! From a request of the page to the engine, and from the engine's answer to a reply.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;

use super::hub::Hub;
use super::reply::{Answer, CandidateView, FoundView, ProgressView};
use super::request::{Action, Ask, EverythingAction, PromptAction};
use super::runs::Runs;
use super::scene::Scene;
use crate::engine::{
    self, FrameRef, GenerationClient, GenerationEnd, GenerationRequest, GenerationResult, Interaction, ObjectPrompt,
    ObjectResult, OperatorRequest, Persistence, Refusal, SegmentOn, Stamp,
};
use crate::everything::Progress;
use crate::prompt::Prompt;

/// Answers a request. The future ends when the engine has answered; a search that is dropped is cancelled. `progress` gets the
/// progress of a search.
pub async fn answer(hub: Arc<Hub>, ask: Ask, progress: impl Fn(ProgressView)) -> Answer {
    let Ask { id, camera, shown, action } = ask;
    let outcome = match action {
        Action::Show { index } => show(&hub, camera, index).await,
        Action::Save {} => save(&hub, camera).await,
        Action::Text { text } => set_text(&hub, camera, &text).await,
        Action::Everything(action) => {
            everything(&hub, camera, &action, |p: Progress| {
                progress(ProgressView { id, decoded: p.decoded, points: p.points, masks: p.masks });
            })
            .await
        }
        action => match engine_action(&hub, camera, action) {
            Ok(action) => operate(&hub, camera, shown, action).await,
            Err(reason) => Err(reason),
        },
    };
    match outcome {
        Ok(answer) => Answer { id, ..answer },
        Err(reason) => Answer::refused(id, reason),
    }
}

/// Converts an action of the page to an action of the engine.
///
/// # Errors
/// The picture is stale or unknown, or the mask does not fit it.
fn engine_action(hub: &Hub, camera: usize, action: Action) -> Result<engine::Action, String> {
    use engine::Action as Engine;
    Ok(match action {
        Action::Prompt(prompt) => {
            let scene = shown_scene(hub, camera, prompt.stamp, prompt.held)?;
            let persistence = (prompt.object == 0).then(|| hub.owner.persistence(camera));
            prompt_action(&scene, prompt, persistence)?
        }
        Action::Candidates { object: id } => Engine::Candidates { id },
        Action::Choose { object: id, candidate: index } => Engine::Choose { id, index },
        Action::Rename { object: id, class: class_id } => Engine::Rename { id, class_id },
        Action::Persist { object: id, persistence } => Engine::Persist { id, persistence },
        Action::Remove { object: id } => Engine::Remove { id },
        Action::Clear {} => Engine::Clear,
        // Answered without the queue of prompts.
        Action::Everything(_) | Action::Cancel { .. } | Action::Show { .. } | Action::Save {} | Action::Text { .. } => {
            return Err("this request is no action on objects".to_owned());
        }
        Action::Undo {} => Engine::Undo,
        Action::Redo {} => Engine::Redo,
    })
}

/// Returns the scene of a stamp, on which prompts are allowed.
fn shown_scene(hub: &Hub, camera: usize, stamp: Stamp, is_held: bool) -> Result<Arc<Scene>, String> {
    let feed = hub.feeds.get(camera).ok_or_else(|| format!("there is no camera {camera}"))?;
    let scene = feed
        .find(stamp)
        .ok_or_else(|| format!("the console does not show the picture of stamp {stamp} any more: click again"))?;
    check_age(hub, &scene, is_held)?;
    Ok(scene)
}

/// Refuses a prompt on a stale picture, unless the operator holds the picture on purpose.
fn check_age(hub: &Hub, scene: &Scene, is_held: bool) -> Result<(), String> {
    let (age, Some(limit)) = (scene.age(), hub.settings.stale_after) else { return Ok(()) };
    if is_held || age <= limit {
        return Ok(());
    }
    Err(format!(
        "the picture is {:.1} s old, and clicks are refused after {:.1} s (console.stale_after): no newer picture came from \
         the camera or over the network",
        age.as_secs_f32(),
        limit.as_secs_f32()
    ))
}

/// `persistence`: that of a new object.
fn prompt_action(
    scene: &Scene,
    prompt: PromptAction,
    persistence: Option<Persistence>,
) -> Result<engine::Action, String> {
    let PromptAction { stamp, object: id, class: class_id, points, bbox, mask, .. } = prompt;
    let mask = mask.map(|runs| runs.to_input(scene.picture.image.dimensions())).transpose()?;
    let prompt = Prompt { points, bbox, mask: None };
    let object = Box::new(ObjectPrompt { id, class_id, prompt, mask, refine: id != 0, ..ObjectPrompt::default() });
    Ok(engine::Action::Prompt { at: FrameRef::At(stamp), object, persistence })
}

/// Hands an action to the engine and waits for the answer.
async fn operate(hub: &Hub, camera: usize, shown: Option<Stamp>, action: engine::Action) -> Result<Answer, String> {
    let (reply, answer) = oneshot::channel();
    let request = Interaction::Operator(OperatorRequest { action, shown, reply });
    hub.with_engine(camera, |engine| engine.interact(request))?.map_err(|refusal| refusal.message)?;
    // The engine drops the request if it stops.
    let answer = answer.await.map_err(|_| "no answer: the camera was stopped".to_owned())?;
    answer.map(engine_answer).map_err(|Refusal { message, .. }| message)
}

fn engine_answer(answer: engine::Answer) -> Answer {
    match answer {
        engine::Answer::Done { id, description } => Answer { object: id, ..Answer::done(0, description) },
        engine::Answer::Nothing(reason) => Answer::done(0, reason),
        engine::Answer::Candidates(candidates) => {
            Answer { candidates: candidates.iter().map(CandidateView::from).collect(), ..Answer::done(0, "") }
        }
    }
}

/// Finds the masks of everything in a picture.
async fn everything(
    hub: &Hub,
    camera: usize,
    action: &EverythingAction,
    notify: impl Fn(Progress),
) -> Result<Answer, String> {
    shown_scene(hub, camera, action.stamp, action.held)?;
    let (progress, mut changes) = watch::channel(Progress { decoded: 0, points: 0, masks: 0 });
    let (reply, mut answer) = oneshot::channel();
    hub.with_engine(camera, |engine| {
        let on = SegmentOn::Frame(FrameRef::At(action.stamp));
        let settings = engine.settings().everything.generation;
        engine.segment_everything(GenerationRequest {
            on,
            region: None,
            settings,
            client: GenerationClient { progress, reply },
        });
    })?;
    let outcome = loop {
        tokio::select! {
            outcome = &mut answer => break outcome,
            Ok(()) = changes.changed() => notify(*changes.borrow_and_update()),
        }
    };
    match outcome {
        Ok(Ok(GenerationResult { result, left_out })) => {
            let found = |object: &Arc<ObjectResult>| {
                let mask = Runs::new(&object.mask);
                FoundView { iou: object.iou, area: object.mask.area, mask }
            };
            let found: Vec<_> = result.objects.iter().map(found).collect();
            Ok(Answer { left_out, ..Answer { found, ..Answer::done(0, "") } })
        }
        Ok(Err(GenerationEnd::Refused(refusal))) => Err(refusal.message),
        Ok(Err(GenerationEnd::Superseded)) => Err("a newer search took the place of this one".to_owned()),
        Err(_) => Err("no answer: the camera was stopped".to_owned()),
    }
}

/// Shows another picture of the files.
async fn show(hub: &Hub, camera: usize, index: usize) -> Result<Answer, String> {
    let files = hub.owner.files().ok_or("a camera has no other pictures")?;
    if files.timeline().rate.is_none() {
        // Objects do not live on in another photograph.
        operate(hub, camera, None, engine::Action::Clear).await?;
    }
    let shown = Arc::clone(&files);
    spawn_blocking(move || shown.show(index)).await.map_err(|e| e.to_string())??;
    Ok(Answer { timeline: Some(files.timeline().into()), ..Answer::done(0, "") })
}

/// Searches for the objects of phrases, and returns what was understood in words.
async fn set_text(hub: &Hub, camera: usize, text: &str) -> Result<Answer, String> {
    if camera >= hub.cameras.len() {
        return Err(format!("there is no camera {camera}; there are {}", hub.cameras.len()));
    }
    let answer = hub.owner.set_text(camera, text)?;
    // The text thread drops the request if the camera stops.
    let understood = answer.await.map_err(|_| "no answer: the camera was stopped".to_owned())??;
    match understood.accepted.is_empty() && !understood.refused.is_empty() {
        true => Err(understood.refusals()),
        false => Ok(Answer { refused: understood.refused.len(), ..Answer::done(0, understood.to_string()) }),
    }
}

/// Saves the masks of the picture that is shown.
async fn save(hub: &Hub, camera: usize) -> Result<Answer, String> {
    let files = hub.owner.files().ok_or("masks of a camera are published, not saved")?;
    let scene = hub.feeds.get(camera).and_then(|feed| feed.newest()).ok_or("no picture is shown yet")?;
    let result = scene.revision().result;
    let saved = spawn_blocking(move || files.save(&result)).await.map_err(|e| e.to_string())??;
    let list = saved.files.join(", ");
    Ok(Answer::done(0, format!("saved {}: {list}", saved.content)))
}
