//! Requests for everything: their start, and the turns that the decoder's thread leaves to the generator's thread.

use std::sync::Arc;

use super::decoder::Worker;
use crate::engine::generation::Generation;
use crate::engine::kept::KeptFrame;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::state::{ClientRequest, ReadyGeneration, Turn};

impl Worker<'_> {
    /// Hands a generation whose frame is encoded to the generator's thread, unless the model takes no grid of clicks.
    pub(super) fn start_generation(&mut self, frame: Arc<KeptFrame>, generation: Box<Generation>) {
        if let Some(reason) = &self.grid_refusal {
            let refusal = Refusal::new(RefusalKind::UnsupportedModel, reason.clone());
            return self.refuse_request(ClientRequest::Generation(generation), refusal);
        }
        self.shared.lock().generations.push_ready(ReadyGeneration { generation, frame });
        self.shared.generate.notify_all();
    }

    /// Refuses a request: its client gets the reason, or the owner if there is no client.
    pub(super) fn refuse_request(&self, request: ClientRequest, refusal: Refusal) {
        let without_client = self.shared.lock().refuse_request(request, refusal);
        if let Some(refusal) = without_client {
            self.refuse(refusal);
        }
    }
}

/// Leaves the decoder to the generator's thread until that thread has decoded a batch of clicks.
pub(super) fn leave_decoder(turn: Turn) {
    if turn.grant.send(()).is_ok() {
        // Nothing is ever sent: the turn ends when the generator drops its end.
        let _ = turn.done.recv();
    }
}
