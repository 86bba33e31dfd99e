//! Output for the user. Progress and colours appear on a terminal only, so that pipes and logs hold results alone.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Prints a line on standard output.
pub fn print(line: impl Display) {
    write(format!("{line}\n").as_bytes());
}

/// Writes bytes to standard output. The process ends with code 0 if the reader closed the pipe (`| head`).
pub fn write(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if let Err(e) = out.write_all(bytes).and_then(|()| out.flush()) {
        if e.kind() != ErrorKind::BrokenPipe {
            eprintln!("promptseg: cannot write to standard output: {e}");
            std::process::exit(1);
        }
        std::process::exit(0);
    }
}

/// Returns whether standard output is a terminal.
pub fn interactive() -> bool {
    std::io::stdout().is_terminal()
}

/// Makes a text bold if standard output shows colours.
pub fn bold(text: impl Display) -> String {
    if interactive() && colours() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
}

/// Prints a warning or an error on standard error.
pub fn warn(text: impl Display) {
    let (red, plain) = if std::io::stderr().is_terminal() && colours() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    eprintln!("{red}promptseg:{plain} {text}");
}

/// Prints a remark on standard error if it is a terminal.
pub fn note(text: impl Display) {
    if std::io::stderr().is_terminal() {
        eprintln!("{text}");
    }
}

/// Returns whether the user allows colours (<https://no-color.org>).
fn colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Shows a progress bar on standard error if it is a terminal.
pub fn progress(steps: usize, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    let template = format!("{{bar:30}} {{pos}} of {{len}} {unit}, {{per_sec}}  {{msg}} {{eta}}");
    bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Shows a progress bar, or a counter if the number of steps is unknown.
pub fn progress_or_count(steps: Option<usize>, unit: &str) -> ProgressBar {
    let Some(steps) = steps else {
        let counter = ProgressBar::new_spinner();
        let template = format!("{{spinner}} {{pos}} {unit}, {{per_sec}}");
        counter.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner()));
        return counter;
    };
    progress(steps, unit)
}

/// Shows a spinner with a message on standard error if it is a terminal.
pub fn spinner(message: impl Display) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(message.to_string());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}
