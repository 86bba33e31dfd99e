//! What the stub keeps about the objects of the real library.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

pub type Options = BTreeMap<String, String>;
pub type Providers = Vec<(&'static str, Options)>;

/// State of the real library's objects, by address.
#[derive(Default)]
pub struct State {
    pub options: HashMap<usize, Providers>,
    pub sessions: HashMap<usize, (String, Providers)>,
    pub bindings: HashMap<usize, usize>,
    /// Memory infos of allocators whose memory is reported as GPU memory.
    pub allocators: HashMap<usize, usize>,
    pub bound_to_gpu: HashMap<usize, usize>,
    pub values: HashMap<usize, usize>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

unsafe impl Send for State {}

pub fn state<T>(access: impl FnOnce(&mut State) -> T) -> T {
    access(STATE.lock().unwrap().get_or_insert_default())
}
