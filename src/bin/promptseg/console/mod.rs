//! `promptseg console`: the operator's console on files and bags, without ROS.

mod arguments;
mod owner;
mod save;
mod sequence;
mod session_prompts;

use std::sync::Arc;

pub use arguments::Arguments;
use arguments::Format;
use owner::FileOwner;
use promptseg::console::{Console, Owner, Settings};
use promptseg::monitor::parse_address;
use save::Saver;
use sequence::Sequence;

use crate::failure::Failure;
use crate::terminal;

/// Environment variable with the token of the page.
const TOKEN: &str = "PROMPTSEG_CONSOLE_TOKEN";

/// Serves the console until the process is interrupted.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = Settings {
        address: parse_address(&arguments.address).map_err(|e| Failure::Usage(format!("--address: {e}")))?,
        token: arguments.token.clone().or_else(|| std::env::var(TOKEN).ok()).unwrap_or_default(),
        // A picture of a file does not grow old.
        stale_after: None,
        ..Settings::default()
    };
    settings.check().map_err(|e| Failure::Usage(e.to_string()))?;
    let is_recording = arguments.format == Format::Prompts;
    let sequence = Sequence::find(&arguments.files, arguments.image.as_deref(), is_recording)?;
    let saver = Saver::new(arguments, sequence.inputs());
    let model = arguments.model.open(true).map_err(|e| Failure::Failed(e.into()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Failed(e.into()))?;
    let (owner, events) = FileOwner::start(model, sequence, saver).map_err(|e| Failure::Failed(e.into()))?;
    let console = Console::start(settings, Arc::clone(&owner) as Arc<dyn Owner>, runtime.handle());
    let console = console.map_err(|e| Failure::Failed(e.into()))?;
    owner.show(0)?;
    terminal::print(format!("{}  (Ctrl+C ends it)", console.url()));
    // Ends with the engine, which lives as long as the owner.
    for event in events {
        owner.note_prompts(&event);
        owner.with_engine(0, &mut |engine| console.event(0, &event, engine));
    }
    Ok(())
}
