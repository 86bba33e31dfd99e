//! Requests for everything on their way to the generator's thread.
//!
//! A generation waits like a query for its frame or its image ([`Query`]), and then for the generator's thread, which runs one
//! at a time. The generator asks the decoder's thread for a turn before each batch of clicks: prompts and frames go first
//! (`schedule`).

use std::sync::Arc;

use super::client_request::ClientRequest;
use super::engine_state::EngineState;
use super::generations::MAX_WAITING_GENERATIONS;
use super::query::Query;
use crate::engine::generation::{Generation, GenerationEnd, GenerationRequest};
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::{FrameRef, SegmentOn};
use crate::engine::settings::{EncodeMode, WhenBusy};
use crate::model::GridDefaults;

impl EngineState {
    /// Queues a request for everything. It replaces a generation of the running mode, and with [`WhenBusy::Supersede`] all
    /// others.
    pub fn queue_generation(&mut self, request: GenerationRequest) {
        self.demand.last_prompt = Some(self.clock.now());
        self.metrics.generations.requested += 1;
        let GenerationRequest { on, region, settings, client } = request;
        let number = self.generations.next_number();
        // The values of the model, which the generator's thread takes in place of these defaults, are valid.
        let checked = settings.of_generator(GridDefaults::default(), region);
        let mut refusal = checked.check().err().map(|e| Refusal::new(RefusalKind::BadSettings, e.to_string()));
        if refusal.is_none() {
            self.generations.running_mode_from = number;
            if self.settings.everything.when_busy == WhenBusy::Supersede {
                self.generations.clients_from = number;
            }
            self.end_stale_generations();
            let is_full = self.generations.count() > MAX_WAITING_GENERATIONS;
            refusal = is_full.then(|| Refusal::new(RefusalKind::QueueFull, too_many_waiting()));
        }
        let at = match &on {
            SegmentOn::Frame(at) => Some(*at),
            SegmentOn::Image(_) => None,
        };
        let place = Arc::clone(&self.generations.places);
        let generation = Generation { number, at, region, settings, client: Some(client), _place: place };
        let request = ClientRequest::Generation(Box::new(generation));
        match refusal {
            Some(refusal) => drop(self.refuse_request(request, refusal)),
            None => self.queue_request(on, request),
        }
    }

    /// Asks for a generation of the running mode if one is due: nothing else runs, somebody may see the masks, and there is a
    /// frame that it has not segmented. Returns whether it asked.
    pub fn start_running_mode(&mut self) -> bool {
        let Some(period) = self.settings.everything.period else { return false };
        let (now, newest) = (self.clock.now(), self.newest_stamp);
        let last = self.generations.running_mode;
        let is_due = last.is_none_or(|(started, _)| now.saturating_duration_since(started) >= period);
        let has_new_frame = self.kept.newest().is_some_and(|frame| !self.generations.has_segmented(frame));
        // An image that nobody needs is encoded for this request.
        let has_new_image = self.settings.encode == EncodeMode::OnDemand
            && newest.is_some()
            && last.is_none_or(|(_, stamp)| stamp != newest);
        let is_wanted = self.demand.has_subscribers || self.settings.encode == EncodeMode::Always;
        if !is_due || !is_wanted || !(has_new_frame || has_new_image) || self.generations.count() > 0 {
            return false;
        }
        self.generations.running_mode = Some((now, newest));
        self.metrics.generations.requested += 1;
        let (number, place) = (self.generations.next_number(), Arc::clone(&self.generations.places));
        let settings = self.settings.everything.generation.clone();
        let generation =
            Generation { number, at: Some(FrameRef::Newest), region: None, settings, client: None, _place: place };
        self.add_query(Query::Request(ClientRequest::Generation(Box::new(generation))), now);
        true
    }

    /// Ends the waiting generations that a newer request superseded, or whose client is gone.
    pub fn end_stale_generations(&mut self) {
        let generations = &self.generations;
        if generations.count() == 0 {
            return;
        }
        let is_stale = |request: &ClientRequest| match request {
            ClientRequest::Generation(generation) => generations.is_stale(generation),
            ClientRequest::Segment(_) => false,
        };
        let queries = self.queries.take_where(|query| match query {
            Query::Request(request) | Query::EncodedImage(_, request) => is_stale(request),
            Query::Detections(_) | Query::FrameDetections(..) => false,
        });
        let images = self.request_images.take_where(|(_, request)| is_stale(request));
        let waiting = std::mem::take(&mut self.generations.ready);
        let (stale, ready): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|ready| self.generations.is_stale(&ready.generation));
        self.generations.ready = ready.into();
        let requests = queries.into_iter().filter_map(|query| match query {
            Query::Request(request) | Query::EncodedImage(_, request) => Some(request),
            Query::Detections(_) | Query::FrameDetections(..) => None,
        });
        let waiting = requests.chain(images.into_iter().map(|(_, request)| request));
        let generations = waiting.filter_map(|request| match request {
            ClientRequest::Generation(generation) => Some(generation),
            ClientRequest::Segment(_) => None,
        });
        for generation in generations.chain(stale.into_iter().map(|ready| ready.generation)).collect::<Vec<_>>() {
            self.end_stale_generation(generation);
        }
    }

    /// Counts a generation that was superseded or whose client is gone, and tells its client.
    pub fn end_stale_generation(&mut self, generation: Box<Generation>) {
        if generation.is_abandoned() {
            self.metrics.generations.cancelled += 1;
            return;
        }
        self.metrics.generations.superseded += 1;
        // The running mode has no client.
        let _ = generation.reply(Err(GenerationEnd::Superseded));
    }

    /// Returns whether the running generation ends with its next batch of clicks.
    pub fn is_generation_over(&self, generation: &Generation) -> bool {
        self.stop || self.generations.is_stale(generation)
    }
}

fn too_many_waiting() -> String {
    format!(
        "{MAX_WAITING_GENERATIONS} requests for everything are waiting already; with everything.when_busy 'supersede' the \
         newest request replaces the others"
    )
}
