//! `promptseg text-bank`: features of phrases in a file, for robots without a text tower.

use std::collections::HashSet;
use std::path::PathBuf;

use promptseg::text::bank::MAX_BANK;
use promptseg::text::{Bank, Phrase, TextEncoder, parse_phrases};

use crate::failure::Failure;
use crate::files::Writer;
use crate::model_arguments::ModelOptions;
use crate::pictures::read_file;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  promptseg text-bank owlv2/ \"red cup\" person -o bank.safetensors
  promptseg text-bank owlv2/ --phrases warehouse.txt -o bank.safetensors

The robot needs the bank and the bundle without text_tower.onnx and tokenizer.json. A bank of another model is refused.

Exit codes: 0 done, 1 failure (no file is written), 2 wrong usage.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Folder of a text model, as `promptseg-export owlv2` writes it.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Phrases; one argument may have several with commas between them.
    #[arg(value_name = "PHRASE", required_unless_present = "phrases")]
    phrase: Vec<String>,
    /// A text file with a phrase on each line.
    #[arg(long, value_name = "FILE")]
    phrases: Option<PathBuf>,
    /// File of the bank.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace an existing file.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    options: ModelOptions,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let phrases = phrases(arguments)?;
    let writer = Writer::new(arguments.phrases.iter(), arguments.overwrite);
    writer.check(&arguments.out)?;
    let options = arguments.options.session_options(false)?;
    let spinner = terminal::spinner("loading the text model");
    let encoder = TextEncoder::open(&arguments.model, &options, None);
    spinner.finish_and_clear();
    let mut encoder = encoder?;
    let bar = terminal::progress(phrases.len(), "phrases");
    let mut features = Vec::new();
    for phrase in &phrases {
        features.extend(encoder.understand(std::slice::from_ref(phrase))?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    writer.save(&arguments.out, &Bank::encode(&features, encoder.name())?)?;
    terminal::note(format!("{} phrases of {}", features.len(), encoder.name()));
    terminal::print(arguments.out.display());
    Ok(())
}

/// Returns the phrases of the arguments and of the file, each once.
fn phrases(arguments: &Arguments) -> Result<Vec<Phrase>, Failure> {
    let mut all = Vec::new();
    for argument in &arguments.phrase {
        all.extend(parse_phrases(argument).map_err(|e| Failure::Usage(format!("PHRASE: {e}")))?);
    }
    if let Some(file) = &arguments.phrases {
        let failed = |reason: String| Failure::Failed(format!("--phrases {}: {reason}", file.display()).into());
        let text = String::from_utf8(read_file(file)?).map_err(|e| failed(e.to_string()))?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            all.push(Phrase::new(line).map_err(|e| failed(format!("line {}: {e}", number + 1)))?);
        }
    }
    let mut seen = HashSet::new();
    all.retain(|phrase| seen.insert(phrase.text.to_lowercase()));
    match all.len() {
        0 => Err(Failure::Usage("no phrase, expected words such as \"red cup\"".to_owned())),
        found if found > MAX_BANK => Err(Failure::Usage(format!("{found} phrases, expected at most {MAX_BANK}"))),
        _ => Ok(all),
    }
}
