//! Weights of a graph that lie in files beside the graph (`external_data` of its protobuf).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use memchr::memmem;

use crate::model::bundle::file_checks;
use crate::model::error::Error;

/// The key of an entry that names a file with weights, in a graph's protobuf (`external_data`).
const KEY: &[u8] = b"\x0a\x08location\x12";
/// Key, length and name.
const MAX_ENTRY: usize = KEY.len() + 2 + (1 << 14);

/// Returns the paths of the files beside a graph that hold its weights.
///
/// # Errors
/// [`Error::Read`] and the errors of [`file_checks`] for a file that cannot be read.
pub fn weights_beside(graph: &Path) -> Result<Vec<PathBuf>, Error> {
    /// What is read at once: a graph with its weights inside has up to 2 GB.
    const PIECE: usize = 1 << 20;
    let failed = |source| Error::Read { path: graph.to_owned(), source };
    file_checks::check_graph(graph)?;
    let mut file = File::open(graph).map_err(failed)?;
    let (mut names, mut piece) = (BTreeSet::new(), Vec::new());
    loop {
        let kept = piece.len();
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut piece).map_err(failed)?;
        names.extend(locations(&piece));
        if read == 0 {
            break;
        }
        // A name may go on in the next piece.
        piece.drain(..(kept + read).saturating_sub(MAX_ENTRY));
    }
    let weights = names.into_iter().map(|name| graph.with_file_name(name)).collect::<Vec<_>>();
    for weights in &weights {
        file_checks::checked_size(weights, file_checks::MAX_WEIGHTS)?;
    }
    Ok(weights)
}

/// Returns the files that a graph has weights in, as the graph names them.
fn locations(graph: &[u8]) -> BTreeSet<String> {
    let starts = memmem::find_iter(graph, KEY);
    let name = |at: usize| {
        // Its length, seven bits a byte.
        let (length, rest) = match &graph[at + KEY.len()..] {
            [length @ ..128, rest @ ..] => (usize::from(*length), rest),
            [low, high @ ..128, rest @ ..] => (usize::from(low & 127) | usize::from(*high) << 7, rest),
            _ => return None,
        };
        std::str::from_utf8(rest.get(..length)?).ok().map(ToOwned::to_owned)
    };
    starts.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_weights_are_named_by_the_graph() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let path = golden.join("external/image_encoder.onnx");
        assert_eq!(
            locations(&std::fs::read(&path).unwrap()).into_iter().collect::<Vec<_>>(),
            ["image_encoder.onnx.data"]
        );
        assert!(locations(b"\x0a\x08location\x12\x05wei").is_empty() && locations(b"\x0a\x08location\x12").is_empty());
    }
}
