//! The managed node: its state machine, the services that drive it, and the work of each transition.

#[cfg(bond)]
pub mod bond;
mod load;
mod machine;
pub mod progress;
mod server;
pub mod transitions;

pub use machine::State;
pub use server::Lifecycle;
