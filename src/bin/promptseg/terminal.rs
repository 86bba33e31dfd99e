//! What a person sees: progress and colour on a terminal only, so that pipes and logs stay clean.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line on the standard output.
pub fn print(line: impl Display) {
    write(format!("{line}\n").as_bytes());
}

/// Bytes on the standard output. Whoever read it may have seen enough (`| head`), which is no error to speak of.
pub fn write(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if let Err(e) = out.write_all(bytes).and_then(|()| out.flush()) {
        if e.kind() != ErrorKind::BrokenPipe {
            eprintln!("promptseg: cannot write to the standard output: {e}");
            std::process::exit(1);
        }
        std::process::exit(0);
    }
}

/// Whether a person reads the standard output.
pub fn interactive() -> bool {
    std::io::stdout().is_terminal()
}

/// Bold, where the standard output shows colours.
pub fn bold(text: impl Display) -> String {
    if interactive() && colours() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
}

/// A complaint; the work goes on.
pub fn warn(text: impl Display) {
    let (red, plain) = if std::io::stderr().is_terminal() && colours() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    eprintln!("{red}promptseg:{plain} {text}");
}

/// Something worth knowing that is no failure; for people only.
pub fn note(text: impl Display) {
    if std::io::stderr().is_terminal() {
        eprintln!("{text}");
    }
}

/// <https://no-color.org>
fn colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// A bar on the standard error, invisible where that is no terminal.
pub fn progress(steps: usize, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    let template = format!("{{bar:30}} {{pos}} of {{len}} {unit}  {{msg}} {{eta}}");
    bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// The same where the number of steps may not be known: then they are counted.
pub fn progress_or_count(steps: Option<usize>, unit: &str) -> ProgressBar {
    let Some(steps) = steps else {
        let wheel = ProgressBar::new_spinner();
        let template = format!("{{spinner}} {{pos}} {unit}, {{per_sec}}");
        wheel.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner()));
        return wheel;
    };
    progress(steps, unit)
}

/// A wheel on the standard error while something takes its time, invisible where that is no terminal.
pub fn spinner(what: impl Display) -> ProgressBar {
    let wheel = ProgressBar::new_spinner().with_message(what.to_string());
    wheel.enable_steady_tick(Duration::from_millis(120));
    wheel
}
