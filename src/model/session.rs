//! Opening ONNX Runtime sessions on the first provider that can be had, and saying which one that was.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use memchr::memmem;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::bundle::{Bundle, DECODER, ENCODER, MEMORY_ATTENTION, MEMORY_ENCODER, hash_file, hash_of};
use super::engines::{Engines, Kept};
use super::execution::{Plan, ShapeProfile};
use super::layout::{Signature, TensorSpec};
use super::options::SessionOptions;
use super::provider::{Provider, ProviderReport, Refused};
use super::variant::{self, Precision, Variant};
use super::{Error, file, runtime};

/// Where a graph comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Graph<'a> {
    File(&'a Path),
    Bundled(&'a Bundle, &'a str),
}

impl Graph<'_> {
    pub fn label(&self) -> String {
        match self {
            Graph::File(path) => path.display().to_string(),
            Graph::Bundled(bundle, name) => bundle.label(name),
        }
    }

    /// SHA-256 of the file with its weights, in other files too; of a bundle as its description has them, which was
    /// checked.
    fn hash(&self) -> Result<String, Error> {
        match self {
            Graph::File(path) => {
                file::checked_size(path, file::MAX_GRAPH)?;
                let mut hashes = vec![hash_file(path)?];
                for weights in weights_beside(path)? {
                    hashes.push(hash_file(&weights)?);
                }
                Ok(hash_of(&hashes))
            }
            Graph::Bundled(bundle, name) => {
                let hashes = bundle.manifest.with_weights(name).map(|(_, entry)| entry.sha256.clone());
                Ok(hash_of(&hashes.collect::<Vec<_>>()))
            }
        }
    }

    /// Checks the file before ONNX Runtime sees it.
    fn check(&self) -> Result<(), Error> {
        match self {
            Graph::File(path) => file::check_graph(path),
            Graph::Bundled(bundle, name) => {
                bundle.verify(name)?;
                bundle.path(name).map_or(Ok(()), |path| file::check_graph(&path))
            }
        }
    }
}

/// Bytes of a graph's file with those of its weights beside it.
pub(super) fn bytes(path: &Path) -> Result<u64, Error> {
    let weights = weights_beside(path)?.into_iter().map(|weights| file::size(&weights)).sum::<Result<u64, Error>>()?;
    Ok(file::size(path)? + weights)
}

/// The files beside a graph that it has weights in.
fn weights_beside(graph: &Path) -> Result<Vec<PathBuf>, Error> {
    /// What is read at once: a graph with its weights inside has up to 2 GB.
    const PIECE: usize = 1 << 20;
    let failed = |source| Error::Read { path: graph.to_owned(), source };
    file::check_graph(graph)?;
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
    weights.iter().try_for_each(|weights| file::checked_size(weights, file::MAX_WEIGHTS).map(|_| ()))?;
    Ok(weights)
}

/// The key of an entry that names a file with weights, in a graph's protobuf (`external_data`).
const KEY: &[u8] = b"\x0a\x08location\x12";
/// Key, length and name.
const MAX_ENTRY: usize = KEY.len() + 2 + (1 << 14);

/// The files that a graph has weights in, as it names them.
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

/// Which of a model's graphs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Encoder,
    Decoder,
    MemoryAttention,
    MemoryEncoder,
}

impl Part {
    /// Its file in a variant.
    fn of(self, variant: &Variant) -> Option<&str> {
        match self {
            Part::Encoder => Some(&variant.encoder),
            Part::Decoder => Some(&variant.decoder),
            Part::MemoryAttention => variant.memory_attention.as_deref(),
            Part::MemoryEncoder => variant.memory_encoder.as_deref(),
        }
    }

    /// What its file is usually called.
    fn usual(self) -> &'static str {
        match self {
            Part::Encoder => ENCODER,
            Part::Decoder => DECODER,
            Part::MemoryAttention => MEMORY_ATTENTION,
            Part::MemoryEncoder => MEMORY_ENCODER,
        }
    }
}

/// A graph, or the same graph in several precisions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Graphs<'a> {
    File(&'a Path),
    Bundled(&'a Bundle, Part),
}

impl<'a> Graphs<'a> {
    /// The graphs to try on a provider, best first.
    fn on(self, provider: Provider, asked: Option<Precision>) -> Vec<(Graph<'a>, Option<Precision>)> {
        match self {
            Graphs::File(path) => vec![(Graph::File(path), None)],
            Graphs::Bundled(bundle, part) => {
                let order = variant::for_provider(&bundle.manifest.variants, asked, provider).into_iter();
                let graph = |name: &'a str| (Graph::Bundled(bundle, name), bundle.manifest.precision_of(name));
                let mut list: Vec<_> = order.filter_map(|variant| part.of(variant)).map(graph).collect();
                // Variants may share a graph.
                list.dedup_by_key(|(_, precision)| *precision);
                list
            }
        }
    }

    /// Whether each run has the same shapes: an encoder's, one picture at a time. Those of others may take any size.
    fn fixed_shapes(self) -> bool {
        matches!(self, Graphs::Bundled(_, Part::Encoder))
    }

    /// The one whose inputs and outputs stand for all.
    pub fn plain(self, asked: Option<Precision>) -> Graph<'a> {
        match (self, self.on(Provider::Cpu, asked).last()) {
            (_, Some((graph, _))) => *graph,
            (Graphs::File(path), None) => Graph::File(path),
            (Graphs::Bundled(bundle, part), None) => Graph::Bundled(bundle, part.usual()),
        }
    }
}

/// Inputs and outputs of a graph, read with the CPU provider and without optimising it.
pub(super) fn signature(graph: Graph<'_>) -> Result<Signature, Error> {
    graph.check()?;
    let failed = |reason: String| refusal(graph, reason);
    let builder = Session::builder(&runtime::environment()?).map_err(|e| failed(e.to_string()))?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::Disable);
    let session = commit(&mut builder.map_err(|e| failed(e.to_string()))?, graph).map_err(failed)?;
    Ok(signature_of(&session, graph.label()))
}

pub(super) fn signature_of(session: &Session, file: String) -> Signature {
    Signature {
        file,
        inputs: session.inputs().iter().map(TensorSpec::of).collect(),
        outputs: session.outputs().iter().map(TensorSpec::of).collect(),
    }
}

/// ONNX Runtime's words about a file that it cannot read at all, in ours.
fn refusal(graph: Graph<'_>, reason: String) -> Error {
    let file = graph.label();
    if reason.contains("Protobuf parsing failed") {
        let reason = "it does not parse; it is truncated, damaged, or of another kind".to_owned();
        return Error::NotOnnx { file, reason };
    }
    Error::Session { file, reason }
}

/// What opening a session is told besides the graph.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub options: &'a SessionOptions,
    pub profile: &'a ShapeProfile,
    /// What an earlier attempt was refused for: a provider, or a precision on it.
    pub skip: &'a [Refused],
    /// Progress, in sentences for people: building an engine takes minutes.
    pub say: &'a dyn Fn(&str),
}

/// A session, the file that it runs, and how that came about.
pub(super) struct Opened {
    pub session: Session,
    pub signature: Signature,
    pub report: ProviderReport,
    /// Where TensorRT keeps its engines.
    pub engines: Option<Kept>,
}

/// One way to run a graph on a provider.
struct Attempt<'a> {
    graph: Graph<'a>,
    /// What it computes in.
    precision: Option<Precision>,
    /// With the permission for TensorRT to compute in half precision.
    half: bool,
}

/// What to try on a provider, best first.
fn attempts<'a>(graphs: Graphs<'a>, provider: Provider, request: &Request<'_>) -> Vec<Attempt<'a>> {
    let fp16 = Some(Precision::Fp16);
    let skipped = |attempt: &Attempt<'_>| {
        let is = |r: &Refused| r.provider == provider && r.precision.is_some() && r.precision == attempt.precision;
        request.skip.iter().any(is)
    };
    let trt = provider == Provider::Tensorrt;
    let mut list = Vec::new();
    for (graph, precision) in graphs.on(provider, request.options.precision) {
        // Without the builder's permission TensorRT computes an fp16 graph in fp32.
        if trt && request.options.gpu.fp16 && matches!(precision, None | Some(Precision::Fp32)) {
            list.push(Attempt { graph, precision: fp16, half: true });
        }
        list.push(Attempt { graph, precision, half: trt && precision == fp16 });
    }
    list.retain(|attempt| !skipped(attempt));
    if list.is_empty() {
        // The precision that was asked for is not good enough here.
        let plain = graphs.on(provider, Some(Precision::Fp32)).into_iter();
        list.extend(plain.map(|(graph, precision)| Attempt { graph, precision, half: false }));
    }
    list
}

/// Opens a graph on the first provider that takes it, in the precision that suits the provider.
///
/// # Errors
/// [`Error::Session`] when the graph itself is refused, [`Error::NoProvider`] when the CPU is not in the list and
/// nothing that is could be had, what is wrong with the file.
pub(super) fn open(graphs: Graphs<'_>, request: &Request<'_>) -> Result<Opened, Error> {
    runtime::environment()?;
    let options = request.options;
    let asked: &[Provider] = if options.providers.is_empty() { &[Provider::Cpu] } else { &options.providers };
    let mut refused: Vec<Refused> = Vec::new();
    let mut label = graphs.plain(options.precision).label();
    for &provider in asked {
        let known = request.skip.iter().filter(|r| r.provider == provider);
        refused.extend(known.clone().cloned());
        if known.clone().any(|r| r.precision.is_none()) {
            continue;
        }
        if let Err(reason) = provider.available() {
            refused.push(Refused { provider, precision: None, reason });
            continue;
        }
        let list = attempts(graphs, provider, request);
        let last = list.len().saturating_sub(1);
        for (i, Attempt { graph, precision, half }) in list.into_iter().enumerate() {
            graph.check()?;
            let fixed_shapes = graphs.fixed_shapes();
            let plan = Plan { provider, half, options, profile: request.profile, fixed_shapes };
            let mut notes = Vec::new();
            match open_on(&plan, graph, request, &mut notes) {
                Ok((session, engines)) => {
                    let signature = signature_of(&session, graph.label());
                    let engines_kept = engines.is_some();
                    let report = ProviderReport { used: provider, precision, refused, notes, engines_kept };
                    return Ok(Opened { session, signature, report, engines });
                }
                // The CPU runs every valid graph, so its refusal is about the graph and nothing else would help.
                Err(reason) if provider == Provider::Cpu && i == last => return Err(refusal(graph, reason)),
                Err(reason) => {
                    tracing::debug!(%provider, ?precision, %reason, "refused");
                    label = graph.label();
                    refused.push(Refused { provider, precision, reason: explained(reason) });
                }
            }
        }
    }
    let refused = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Err(Error::NoProvider { file: label, refused })
}

type WithEngines = (Session, Option<Kept>);

fn open_on(
    plan: &Plan<'_>,
    graph: Graph<'_>,
    request: &Request<'_>,
    notes: &mut Vec<String>,
) -> Result<WithEngines, String> {
    let make = |engines: Option<&Engines>| {
        let mut builder = plan.builder(engines).map_err(|e| e.to_string())?;
        commit(&mut builder, graph)
    };
    if plan.provider != Provider::Tensorrt {
        return Ok((make(None)?, None));
    }
    let label = graph.label();
    // A disk that is full or cannot be written costs the next start its time, not this one its provider.
    let not_kept = |why: String| format!("the TensorRT engines of {label} are not kept on disk: {why}");
    let mut engines = None;
    if let Some(cache) = &request.options.gpu.engine_cache {
        let graph = graph.hash().map_err(|e| e.to_string())?;
        match Engines::open(cache, &graph, &label, plan, notes) {
            Ok(opened) => engines = Some(opened),
            Err(why) => notes.push(not_kept(why)),
        }
    }
    notes.iter().for_each(|note| (request.say)(note));
    if let Some(reason) = engines.as_ref().and_then(|engines| engines.refused.clone()) {
        return Err(reason);
    }
    let warm = engines.as_ref().is_some_and(Engines::warm);
    let building = format!(
        "TensorRT builds the engine of {label} in {}, which takes minutes",
        if plan.half { "fp16" } else { "fp32" }
    );
    if !warm {
        (request.say)(&building);
    }
    let start = Instant::now();
    let mut made = make(engines.as_ref());
    if let (Err(reason), true, Some(stale)) = (&made, warm, &mut engines) {
        let note = format!("the TensorRT engines of {label} are built again: {reason}");
        (request.say)(&note);
        (request.say)(&building);
        notes.push(note);
        if let Err(why) = stale.discard() {
            notes.push(not_kept(why));
            engines = None;
        }
        made = make(engines.as_ref());
    }
    let session = made?;
    if let Some(built) = engines.as_mut().filter(|engines| !engines.warm()) {
        (request.say)(&format!("the engine of {label} is built, in {:.0} s", start.elapsed().as_secs_f64()));
        if let Err(why) = built.seal() {
            notes.push(not_kept(why));
            // What there is of them would only take the room; if it stays, it is found to be incomplete.
            let _ = built.discard();
            engines = None;
        }
    }
    Ok((session, engines.as_ref().map(Engines::kept)))
}

/// A run that failed.
pub(super) fn failed(file: &str, provider: Provider, e: &ort::Error) -> Error {
    let (file, reason) = (file.to_owned(), e.to_string());
    if out_of_memory(&reason) { Error::OutOfMemory { file, provider, reason } } else { Error::Session { file, reason } }
}

/// Whether ONNX Runtime, CUDA or TensorRT ran out of memory.
pub(super) fn out_of_memory(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["out of memory", "failed to allocate memory", "bad_alloc", "bad allocation", "cudaerrormemoryallocation"]
        .iter()
        .any(|words| reason.contains(words))
}

/// A provider's own words, with what people can do about it.
fn explained(reason: String) -> String {
    let library = ["libcudnn", "libcublas", "libcudart", "libnvinfer", "libnvonnxparser"]
        .iter()
        .find(|library| reason.contains(*library) && reason.contains("cannot open"));
    if let Some(library) = library {
        return format!(
            "{reason} (install {library} in the version that this ONNX Runtime was built for, or add its folder to LD_LIBRARY_PATH)"
        );
    }
    if out_of_memory(&reason) {
        return format!(
            "{reason} (out of memory: precision fp16, a smaller tensorrt_workspace_mb or max_objects, or a smaller model)"
        );
    }
    reason
}

fn commit(builder: &mut SessionBuilder, graph: Graph<'_>) -> Result<Session, String> {
    let session = match graph {
        Graph::File(path) => builder.commit_from_file(path),
        Graph::Bundled(bundle, name) => match bundle.path(name) {
            Some(path) => builder.commit_from_file(path),
            None => builder.commit_from_memory(&bundle.read(name).map_err(|e| e.to_string())?),
        },
    };
    session.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_says_comes_with_what_helps() {
        let missing = "libcudnn.so.9: cannot open shared object file: No such file or directory";
        assert!(explained(missing.to_owned()).contains("install libcudnn"));
        let full = "CUDA failure 2: out of memory ; GPU=0";
        assert!(out_of_memory(full) && explained(full.to_owned()).contains("precision fp16"));
        assert_eq!(explained("no kernel for Foo".to_owned()), "no kernel for Foo");
    }

    #[test]
    fn engines_are_of_a_graph_with_the_weights_beside_it() {
        let folder = std::env::temp_dir().join(format!("promptseg-weights-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        for name in ["image_encoder.onnx", "image_encoder.onnx.data"] {
            std::fs::copy(golden.join("external").join(name), folder.join(name)).unwrap();
        }
        let path = folder.join("image_encoder.onnx");
        assert_eq!(
            locations(&std::fs::read(&path).unwrap()).into_iter().collect::<Vec<_>>(),
            ["image_encoder.onnx.data"]
        );
        let hash = || Graph::File(&path).hash();
        let before = hash().unwrap();
        std::fs::write(folder.join("image_encoder.onnx.data"), "other weights").unwrap();
        assert_ne!(hash().unwrap(), before);
        std::fs::remove_file(folder.join("image_encoder.onnx.data")).unwrap();
        assert!(hash().unwrap_err().to_string().contains("image_encoder.onnx.data"));
        std::fs::remove_dir_all(&folder).unwrap();

        let plain = golden.join("official/mask_decoder.onnx");
        assert_eq!(Graph::File(&plain).hash().unwrap(), hash_file(&plain).unwrap());
        assert!(locations(b"\x0a\x08location\x12\x05wei").is_empty() && locations(b"\x0a\x08location\x12").is_empty());
        // Of a bundle, by what it lists.
        let description = include_str!("../../tests/golden/variants/bundle.json");
        let hash = |weights: &str| {
            let mut manifest = super::super::Manifest::parse(description.as_bytes(), "").unwrap();
            let mut entry = manifest.files["prompt_encoder.safetensors"].clone();
            entry.sha256 = weights.repeat(64);
            manifest.files.insert("image_encoder.onnx_data".to_owned(), entry);
            let hashes =
                |graph| manifest.with_weights(graph).map(|(_, entry)| entry.sha256.clone()).collect::<Vec<_>>();
            [hash_of(&hashes("image_encoder.onnx")), hash_of(&hashes("mask_decoder.onnx"))]
        };
        let [a, b] = [hash("a"), hash("b")];
        assert!(a[0] != b[0] && a[1] == b[1]);
        assert!(description.contains(&a[1]), "a graph alone keeps its hash");
    }
}
