//! The operator's console: a page for any browser that shows the camera, takes clicks and draws the masks.
//!
//! Every prompt of the page names the stamp of the picture that was shown, and is answered on exactly that frame. The console
//! uses the engine and the monitor; the owner of the engines passes their events on ([`Console::event`]) and answers a few
//! questions ([`Owner`]).
//!
//! ```text
//! engine ──event──> feed ──scene──> client ──JPEG, masks──> browser
//! engine <──operator request── operate <── client <──request── browser
//! ```
//!
//! * [`settings`]: address, tokens, certificates, limits, and their check.
//! * `access`: who may see and who may prompt: tokens, cookies, `Host` and `Origin`.
//! * `server`, `routes`: connections, TLS, page files and the log-in.
//! * `client`, `view`, `pace`: one browser, from its first message to its last; what it shows; how fast it may ask.
//! * [`request`], `reply`: messages of the page, and messages to it.
//! * `feed`, `scene`, `jpeg`, `runs`: the pictures and masks of one camera as the page gets them.
//! * `operate`: from a request to the engine, and from its answer to a reply.
//! * `hub`: what all clients share.
//! * `page_files`: the files of the page, from the folder `page`.

mod access;
mod client;
mod feed;
mod hub;
mod jpeg;
mod operate;
mod owner;
mod pace;
mod page_files;
mod reply;
pub mod request;
mod routes;
mod runs;
mod scene;
mod server;
pub mod settings;
mod view;

pub use owner::{Files, Owner, Saved, Timeline};
pub use server::Console;
pub use settings::{Settings, SettingsError, TlsFiles};
