//! One browser, from its first message to its last.
//!
//! A client has its own task, which alone reads and writes its connection. The task takes the newest scene when the browser has
//! drawn the one before, so that a slow browser gets fewer pictures and never older ones. A browser that does not read blocks its
//! own task until the time-out; a browser that sends too much is read more slowly.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use super::access::Role;
use super::hub::{Hub, Place};
use super::jpeg::Jpeg;
use super::operate;
use super::pace::Pace;
use super::reply::{Answer, Hello, Masks, Notice, PictureHeader, Reply, Status, picture};
use super::request::{Action, Ask, Request, parse};
use super::scene::Scene;
use super::view::{Sent, View};

/// Time after which a browser that does not take a message is disconnected.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Time after which a silent browser is disconnected. The page sends a ping every second, and every minute behind another tab.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(150);
/// Time after which the next picture is sent although the browser did not say that it drew the one before.
const DRAW_TIMEOUT: Duration = Duration::from_secs(20);
/// Most requests of a client that wait for the engine.
const MAX_WAITING: usize = 32;
/// Messages that are not understood after which a client is disconnected.
const MAX_FAULTS: u32 = 20;

/// Why a connection ends.
enum End {
    /// The browser closed the connection, or the network did.
    Gone,
    /// The console closes the connection with a reason for the page.
    Closed(String),
}

/// Serves a browser until it leaves.
pub async fn serve(mut socket: WebSocket, hub: Arc<Hub>, role: Role, place: Place) {
    let Some(mut client) = Client::new(&hub, role) else { return };
    let end = client.run(&mut socket).await;
    if let End::Closed(reason) = end {
        tracing::debug!("console: a client is disconnected: {reason}");
        let reason = reason.chars().take(100).collect::<String>();
        let frame = CloseFrame { code: close_code::POLICY, reason: reason.into() };
        // The browser may be gone.
        let _ = timeout(SEND_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
    }
    drop(place);
}

/// Ends the requests of a client that is gone, so that a search does not go on for nobody.
impl Drop for Client {
    fn drop(&mut self) {
        self.waiting.values().for_each(AbortHandle::abort);
    }
}

struct Client {
    hub: Arc<Hub>,
    role: Role,
    view: View,
    /// The picture that is being encoded. Requests are read and masks are sent in the meantime.
    encoding: Option<JoinHandle<Encoded>>,
    answers: (mpsc::Sender<Reply>, mpsc::Receiver<Reply>),
    /// Requests that wait for the engine, by their numbers. Aborting a search cancels it.
    waiting: HashMap<u32, AbortHandle>,
    faults: u32,
    pace: Pace,
    last_message: Instant,
}

/// A scene of a camera, and its picture or the reason why it cannot be encoded.
struct Encoded {
    camera: usize,
    scene: Arc<Scene>,
    jpeg: Result<Jpeg, String>,
}

impl Client {
    /// Returns `None` for a console without cameras.
    fn new(hub: &Arc<Hub>, role: Role) -> Option<Self> {
        let now = Instant::now();
        Some(Client {
            hub: Arc::clone(hub),
            role,
            view: View::new(hub, 0)?,
            encoding: None,
            answers: mpsc::channel(MAX_WAITING),
            waiting: HashMap::new(),
            faults: 0,
            pace: Pace::new(now),
            last_message: now,
        })
    }

    async fn run(&mut self, socket: &mut WebSocket) -> End {
        match self.talk(socket).await {
            Ok(()) => End::Gone,
            Err(end) => end,
        }
    }

    async fn talk(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        send(socket, &self.hello()).await?;
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let read_at = tokio::time::Instant::from_std(self.pace.next());
            tokio::select! {
                message = async { sleep_until(read_at).await; socket.recv().await } => {
                    let Some(Ok(message)) = message else { return Ok(()) };
                    self.pace.count(Instant::now());
                    self.last_message = Instant::now();
                    self.receive(socket, message).await?;
                }
                Some(reply) = self.answers.1.recv() => {
                    if let Reply::Answer(Answer { id, .. }) = &reply {
                        self.waiting.remove(id);
                    }
                    send(socket, &reply).await?;
                }
                notice = self.view.notices.recv() => match notice {
                    Ok(notice) => send(socket, &Reply::Notice(notice)).await?,
                    Err(RecvError::Lagged(count)) => {
                        let text = format!("{count} more messages were left out: they came faster than this page takes them");
                        send(socket, &Reply::Notice(Notice::warning(text))).await?;
                    }
                    // The feed lives as long as the hub.
                    Err(RecvError::Closed) => return Ok(()),
                },
                _ = self.view.changes.changed() => {}
                encoded = finished(&mut self.encoding) => {
                    self.encoding = None;
                    self.send_picture(socket, encoded).await?;
                }
                _ = second.tick() => {
                    if self.last_message.elapsed() > SILENCE_TIMEOUT {
                        return Err(End::Closed(format!("no message for {SILENCE_TIMEOUT:?}")));
                    }
                    send(socket, &self.status()).await?;
                }
            }
            self.show(socket).await?;
        }
    }

    fn hello(&self) -> Reply {
        let stale_after = self.hub.settings.stale_after.map(|limit| limit.as_millis() as u64);
        Reply::Hello(Hello {
            version: env!("CARGO_PKG_VERSION"),
            operator: self.role == Role::Operator,
            cameras: self.hub.cameras.clone(),
            stale_after,
            timeline: self.hub.owner.files().map(|files| files.timeline().into()),
        })
    }

    fn status(&self) -> Reply {
        let View { camera, details, .. } = self.view;
        let clients = self.hub.clients();
        let timeline = self.hub.owner.files().map(|files| files.timeline().into());
        let phrases = self.hub.owner.phrases(camera);
        let status = match self.hub.owner.snapshot(camera) {
            Some(snapshot) => {
                let (level, text) = snapshot.health();
                let values = if details { snapshot.values() } else { Vec::new() };
                Status { camera, level: level as u8, text, clients, values, phrases, timeline }
            }
            None => {
                let text = self.hub.owner.inactivity(camera);
                Status { camera, level: 1, text, clients, values: Vec::new(), phrases, timeline }
            }
        };
        Reply::Status(status)
    }

    async fn receive(&mut self, socket: &mut WebSocket, message: Message) -> Result<(), End> {
        let fault = match message {
            Message::Text(text) => match parse(&text) {
                Ok(request) => return self.perform(socket, request).await,
                Err(reason) => reason,
            },
            Message::Binary(bytes) => format!("{} bytes that are no text", bytes.len()),
            // The library answers pings, and a close ends the connection.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Ok(()),
        };
        self.faults += 1;
        if self.faults > MAX_FAULTS {
            return Err(End::Closed(format!("{} messages were not understood; the last one: {fault}", self.faults)));
        }
        send(socket, &Reply::Notice(Notice::warning(format!("the console did not understand a message: {fault}"))))
            .await
    }

    async fn perform(&mut self, socket: &mut WebSocket, request: Request) -> Result<(), End> {
        match request {
            Request::View { camera, width, height, details, held } => {
                if camera != self.view.camera {
                    match View::new(&self.hub, camera) {
                        Some(view) => self.view = view,
                        None => {
                            let text = format!("there is no camera {camera}; there are {}", self.hub.cameras.len());
                            return send(socket, &Reply::Notice(Notice::warning(text))).await;
                        }
                    }
                }
                if details && !self.view.details {
                    self.view.details = true;
                    send(socket, &self.status()).await?;
                }
                let view = &mut self.view;
                (view.size, view.details, view.held) = ((width, height), details, held);
                view.count_viewer();
                Ok(())
            }
            Request::Drawn { picture } => {
                if self.view.sent.back().is_some_and(|sent| sent.scene.number == picture) {
                    self.view.in_flight = None;
                }
                Ok(())
            }
            Request::Ping { sent } => send(socket, &Reply::Pong { sent, clock: self.hub.clock(Instant::now()) }).await,
            Request::Ask(ask) => self.ask(socket, ask).await,
        }
    }

    /// Starts a request. Its answer arrives in `answers`.
    async fn ask(&mut self, socket: &mut WebSocket, ask: Ask) -> Result<(), End> {
        let refusal = if self.role == Role::Spectator {
            Some("this page may only watch: it was opened with the token of spectators".to_owned())
        } else if self.waiting.len() >= MAX_WAITING {
            Some(format!("{MAX_WAITING} requests of this page are waiting already"))
        } else {
            None
        };
        if let Some(reason) = refusal {
            return send(socket, &Reply::Answer(Answer::refused(ask.id, reason))).await;
        }
        if let Action::Cancel { request } = ask.action {
            let cancelled = self.waiting.remove(&request);
            if let Some(running) = &cancelled {
                running.abort();
                send(socket, &Reply::Answer(Answer::refused(request, "cancelled"))).await?;
            }
            let text = if cancelled.is_some() { "cancelled" } else { "there is nothing to cancel" };
            return send(socket, &Reply::Answer(Answer::done(ask.id, text))).await;
        }
        let (id, hub, answers) = (ask.id, Arc::clone(&self.hub), self.answers.0.clone());
        let running = tokio::spawn(async move {
            // A client that does not read misses progress; an answer is lost only with the client.
            let progress = |progress| drop(answers.try_send(Reply::Progress(progress)));
            let answer = operate::answer(hub, ask, progress).await;
            let _ = answers.send(Reply::Answer(answer)).await;
        });
        self.waiting.insert(id, running.abort_handle());
        Ok(())
    }

    /// Sends what the browser lacks: new masks on the picture that it shows, or the newest picture.
    async fn show(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        let view = &mut self.view;
        view.changes.mark_unchanged();
        if view.in_flight.is_some_and(|since| since.elapsed() > DRAW_TIMEOUT) {
            view.in_flight = None;
        }
        for Sent { scene, revision: sent, .. } in &mut view.sent {
            let revision = scene.revision();
            if revision.number > *sent {
                *sent = revision.number;
                send(socket, &Reply::Masks(Masks::new(view.camera, &revision.result))).await?;
            }
        }
        if self.encoding.is_some() || view.in_flight.is_some() || !view.is_visible() {
            return Ok(());
        }
        let Some(scene) = view.due() else { return Ok(()) };
        let (hub, camera, size) = (Arc::clone(&self.hub), view.camera, view.size);
        self.encoding = Some(tokio::spawn(async move {
            let jpeg = scene.picture.jpeg(size, hub.settings.quality, &hub.encoders).await;
            Encoded { camera, scene, jpeg }
        }));
        Ok(())
    }

    async fn send_picture(&mut self, socket: &mut WebSocket, encoded: Result<Encoded, JoinError>) -> Result<(), End> {
        let view = &mut self.view;
        let (scene, jpeg) = match encoded {
            // Another camera is shown in the meantime.
            Ok(Encoded { camera, .. }) if camera != view.camera => return Ok(()),
            Ok(Encoded { scene, jpeg: Ok(jpeg), .. }) => (scene, jpeg),
            failed => {
                // The next scene is tried after the time for drawing.
                view.in_flight = Some(Instant::now());
                let reason = failed.map_or_else(|e| e.to_string(), |encoded| encoded.jpeg.err().unwrap_or_default());
                let text = format!("the picture cannot be shown: {reason}");
                return send(socket, &Reply::Notice(Notice::warning(text))).await;
            }
        };
        let revision = scene.revision();
        let header = PictureHeader {
            picture: scene.number,
            arrived: self.hub.clock(scene.arrived),
            size: scene.picture.image.dimensions(),
            masks: Masks::new(view.camera, &revision.result),
        };
        let message = Message::Binary(picture(&header, &jpeg));
        view.add_sent(Sent { scene, revision: revision.number, width: jpeg.size.0 });
        send_message(socket, message).await
    }
}

/// Waits for a picture that is being encoded; for ever if there is none.
async fn finished(encoding: &mut Option<JoinHandle<Encoded>>) -> Result<Encoded, JoinError> {
    match encoding {
        Some(encoding) => encoding.await,
        None => std::future::pending().await,
    }
}

async fn send(socket: &mut WebSocket, reply: &Reply) -> Result<(), End> {
    send_message(socket, Message::Text(reply.to_text().into())).await
}

async fn send_message(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match timeout(SEND_TIMEOUT, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::Closed(format!("the browser took no message for {SEND_TIMEOUT:?}"))),
    }
}
