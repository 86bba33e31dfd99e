//! The console from the outside: HTTP and WebSocket clients, and an engine with fake sessions.

mod access;
mod bench;
mod client;
mod faults;
mod pictures;
mod prompts;
