//! ONNX sessions that the engines of several cameras share.

use std::sync::Arc;

use tokio::sync::Mutex;

/// An ONNX session that several engines may share. tokio's mutex is fair: whoever waits longest is next, so no camera
/// starves another.
pub type Session<S> = Arc<Turns<S>>;

/// A session, and the turn before it.
pub struct Turns<S: ?Sized> {
    /// Held by the camera that is next: it makes its image ready while another one encodes.
    pub(super) next: Mutex<()>,
    pub(super) session: Mutex<S>,
}

impl<S> Turns<S> {
    pub fn new(session: S) -> Self {
        Turns { next: Mutex::new(()), session: Mutex::new(session) }
    }

    /// A session to be shared. It becomes a `Session<dyn Encode>` or a `Session<dyn Decode>` where one is wanted.
    pub fn shared(session: S) -> Session<S> {
        Arc::new(Turns::new(session))
    }
}
