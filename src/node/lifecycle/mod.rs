//! The managed node: its state machine, the services that drive it, and the work of each transition.

#[cfg(bond)]
mod bond;
mod load;
mod machine;
mod progress;
mod server;
mod transitions;

#[cfg(bond)]
pub use bond::Bond;
pub use machine::State;
pub use progress::Progress;
pub use server::Lifecycle;
pub use transitions::Transitions;
