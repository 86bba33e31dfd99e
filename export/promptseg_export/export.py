"""From a family to a proven bundle."""

import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from . import bundle, checks, graphs, variants, video_proof
from .family import Family
from .parity import Mismatch, Parity, Proof

PROVIDERS = {"fp32": ["tensorrt", "cuda", "cpu"], "fp16": ["tensorrt", "cuda"], "int8": ["cpu"]}
"""Which execution providers a precision is for, the quickest first."""


class Unfit(Exception):
    """A graph that TensorRT would not build."""


def export(family: Family, name: str, source: str, out: Path, precisions=("fp32",), say=print) -> dict[str, Parity]:
    """Writes the bundle to `out` once it is proven; returns what was measured, by precision.

    Raises `Mismatch` when fp32 is not equal to PyTorch, and leaves `out` as it was. Other precisions that are beyond
    their limits are left out.
    """
    out = out.resolve()
    new = not out.exists()
    # On the file system of `out`, which may be a mount point or a link to one.
    made = out / ".partial"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    try:
        measured = write(family, name, source, made, precisions, say)
    except BaseException:
        shutil.rmtree(out if new else made, ignore_errors=True)
        raise
    # What is proven stays there when this fails.
    bundle.move(made, out)
    return measured


def write(family: Family, name: str, source: str, folder: Path, precisions, say) -> dict[str, Parity]:
    encoder, decoder = folder / bundle.ENCODER, folder / bundle.DECODER
    say(f"image encoder, {family.side} x {family.side} ...")
    graphs.export_encoder(family.encoder, family.side, family.encoder_outputs, encoder)
    check(encoder)
    say("mask decoder ...")
    write_decoder(family, graphs.output_shapes(encoder), decoder)
    check(decoder)
    weights = {k: v.detach().float().contiguous() for k, v in family.prompt_weights().items()}
    save_file(weights, folder / bundle.PROMPT_ENCODER)
    if family.memory is not None:
        write_memory(family, folder, say)
    say(f"{family.family} in PyTorch, on a photo ...")
    proof = Proof(family)
    say("fp32 in ONNX Runtime ...")
    feeds = proof.feeds(encoder)
    measured = {"fp32": proof.compare(feeds, decoder, say)}
    if problem := measured["fp32"].problem("fp32"):
        raise Mismatch(problem)
    listed = [variant("fp32", bundle.ENCODER, bundle.DECODER, measured["fp32"])]
    for precision in ("fp16", "int8"):
        if precision not in precisions:
            continue
        if precision == "int8" and not variants.multiplies(encoder):
            say("int8 is left out: the image encoder has no matrix product by weights")
            continue
        say(f"{precision} ...")
        files = write_half(folder, proof.image, feeds, say) if precision == "fp16" else write_int8(folder)
        for file in files:
            if file != bundle.DECODER:
                check(folder / file)
        made = proof.feeds(folder / files[0])
        measured[precision] = proof.compare(made, folder / files[1], say)
        if problem := measured[precision].problem(precision):
            say(f"{precision} is left out: {problem}")
            for file in files:
                if file != bundle.DECODER:
                    (folder / file).unlink()
        else:
            listed.append(variant(precision, *files, measured[precision]))
    fields = {"name": name, "source": source, **family.description(), "variants": listed}
    if family.memory is not None:
        parities = video_proof.prove(family, folder, any(v["precision"] == "fp16" for v in listed), say)
        fields["memory"] = {**family.memory.description(), "parity": parities}
        for entry in listed:
            # The memory's graphs are none that int8 is for.
            precision = entry["precision"] if entry["precision"] in parities else "fp32"
            entry["memory_attention"] = bundle.variant_of(bundle.MEMORY_ATTENTION, precision)
            entry["memory_encoder"] = bundle.variant_of(bundle.MEMORY_ENCODER, precision)
            check(folder / entry["memory_attention"])
            check(folder / entry["memory_encoder"])
    bundle.write_description(folder, fields)
    return measured


def variant(precision: str, encoder: str, decoder: str, parity: Parity) -> dict:
    return {
        "precision": precision,
        "encoder": encoder,
        "decoder": decoder,
        "providers": PROVIDERS[precision],
        "parity": parity.fields(),
    }


def write_decoder(family: Family, features: dict, path: Path) -> None:
    """Objects, sparse tokens and the masks that come back are the only dynamic axes."""
    _, c, h, w = family.embedding_shape
    inputs = {name: torch.zeros(features[name]) for name in family.decoder_features}
    inputs["sparse_prompt_embeddings"] = torch.zeros(2, 3, c)
    inputs["dense_prompt_embeddings"] = torch.zeros(2, c, h, w)
    inputs["wanted_masks"] = torch.zeros(2, 3, 5)
    dynamic = {
        "sparse_prompt_embeddings": {0: "objects", 1: "tokens"},
        "dense_prompt_embeddings": {0: "dense_objects"},
        "wanted_masks": {0: "objects", 1: "masks"},
        **{name: {0: "objects"} for name in family.decoder_outputs},
    }
    graphs.export_decoder(family.decoder, inputs, family.decoder_outputs, dynamic, path)
    with torch.no_grad():
        shapes = [tuple(t.shape) for t in family.decoder(*inputs.values())]
    for output, shape in zip(family.decoder_outputs, shapes):
        shape = ("masks", *shape[2:]) if output in ("low_res_masks", "object_pointers") else shape[1:]
        graphs.declare(path, output, ["objects", *shape])


def write_memory(family: Family, folder: Path, say) -> None:
    """Frames and pointers that are remembered are the only dynamic axes."""
    memory = family.memory
    say("memory attention ...")
    inputs = memory.attention_inputs(family.embedding_shape)
    dynamic = {name: {0: "pointers" if "pointer" in name else "memories"} for name in inputs if name != "image_embeddings"}
    path, output = folder / bundle.MEMORY_ATTENTION, "conditioned_embeddings"
    graphs.export_decoder(memory.attention, inputs, (output,), dynamic, path)
    graphs.declare(path, output, list(family.embedding_shape))
    check(path)
    say("memory encoder ...")
    inputs = memory.encoder_inputs(family.embedding_shape, family.low_res)
    path, output = folder / bundle.MEMORY_ENCODER, "memory_features"
    graphs.export_decoder(memory.encoder, inputs, (output,), {}, path)
    graphs.declare(path, output, [1, *memory.shape])
    check(path)
    weights = {k: v.detach().float().contiguous() for k, v in memory.weights.items()}
    save_file(weights, folder / bundle.MEMORY)


def write_half(folder: Path, image: np.ndarray, feeds: list[dict], say) -> tuple[str, str]:
    for graph, given in ((bundle.ENCODER, [{"image": image}]), (bundle.DECODER, feeds)):
        kept = variants.half(folder / graph, folder / bundle.variant_of(graph, "fp16"), given)
        if kept:
            say(f"  {graph}: {len(kept)} operators stay in fp32, their values are too large for half precision")
    return bundle.variant_of(bundle.ENCODER, "fp16"), bundle.variant_of(bundle.DECODER, "fp16")


def write_int8(folder: Path) -> tuple[str, str]:
    """The encoder only: the decoder is small, and its error would come on top."""
    target = bundle.variant_of(bundle.ENCODER, "int8")
    variants.int8(folder / bundle.ENCODER, folder / target)
    return target, bundle.DECODER


def check(path: Path) -> None:
    found = checks.of_file(path)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise Unfit(f"{path.name}: {'; '.join(found[:3])}{more}")
