"""Exports a family to a bundle and checks its parity with PyTorch."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from . import bundle, calibration, checks, graphs, parity, qdq, u8_encoder, variants, video_proof
from .family import Family
from .parity import Mismatch, Parity, Proof

PROVIDERS = {"fp32": ["tensorrt", "cuda", "cpu"], "fp16": ["tensorrt", "cuda"], "int8": ["cpu"]}
"""The execution providers for each precision, fastest first."""


class Unfit(Exception):
    """TensorRT cannot build the graph."""


def export(
    family: Family, name: str, source: str, out: Path, precisions=("fp32",), log=print, calibrate=None, levels=False
) -> dict[str, Parity]:
    """Writes the bundle to `out` after its parity check; returns the measured parity of each precision.

    `calibrate`: folder of pictures for an int8 variant with fixed scales; None: its scales are computed in each run.
    `levels`: whether the variants for GPUs get image encoders that take levels in 8 bits.

    Raises `Mismatch` and leaves `out` unchanged if fp32 differs from PyTorch. Other precisions beyond their limits are
    left out.
    """
    with bundle.staged(out) as staging:
        measured = write(family, name, source, staging, precisions, log, calibrate, levels)
    return measured


def write(
    family: Family, name: str, source: str, folder: Path, precisions, log, calibrate: Path | None, levels: bool
) -> dict[str, Parity]:
    encoder, decoder = folder / bundle.ENCODER, folder / bundle.DECODER
    log(f"image encoder, {family.side} x {family.side} ...")
    graphs.export_encoder(family.encoder, family.side, family.encoder_outputs, encoder)
    check(encoder)
    log("mask decoder ...")
    write_decoder(family, graphs.output_shapes(encoder), decoder)
    check(decoder)
    weights = {k: v.detach().float().contiguous() for k, v in family.prompt_weights().items()}
    save_file(weights, folder / bundle.PROMPT_ENCODER)
    if family.memory is not None:
        write_memory(family, folder, log)
    log(f"{family.family} in PyTorch on a photo ...")
    proof = Proof(family)
    log("fp32 in ONNX Runtime ...")
    feeds = proof.feeds(encoder)
    measured = {"fp32": proof.compare(feeds, decoder, log)}
    if problem := measured["fp32"].problem("fp32"):
        raise Mismatch(problem)
    listed = [variant("fp32", bundle.ENCODER, bundle.DECODER, measured["fp32"])]
    for precision in ("fp16", "int8"):
        if precision not in precisions:
            continue
        if precision == "int8" and not variants.has_weight_products(encoder):
            log("int8 is left out: the image encoder has no matrix products with weights")
            continue
        log(f"{precision} ...")
        more = {}
        if precision == "fp16":
            files = write_half(folder, proof.image, feeds, log)
        elif calibrate is None:
            files = write_int8(folder)
        else:
            files, more = write_calibrated(folder, family.description(), calibrate, log)
        for file in files:
            if file != bundle.DECODER:
                check(folder / file)
        variant_feeds = proof.feeds(folder / files[0])
        measured[precision] = proof.compare(variant_feeds, folder / files[1], log)
        if problem := measured[precision].problem(precision):
            log(f"{precision} is left out: {problem}")
            for file in files:
                if file != bundle.DECODER:
                    bundle.remove(folder / file)
        else:
            listed.append({**variant(precision, *files, measured[precision]), **more})
    if levels:
        write_levels(family, proof.image, folder, listed, log)
    fields = {"name": name, "source": source, **family.description(), "variants": listed}
    if family.memory is not None:
        add_memory(family, folder, fields, log)
    bundle.write_description(folder, fields)
    return measured


def add_memory(family: Family, folder: Path, fields: dict, log) -> None:
    """Proves the memory, and adds its description and its graphs to the fields of bundle.json."""
    listed = fields["variants"]
    parities = video_proof.prove(family, folder, any(v["precision"] == "fp16" for v in listed), log)
    fields["memory"] = {**family.memory.description(), "parity": parities}
    for entry in listed:
        # The memory has no int8 graphs.
        precision = entry["precision"] if entry["precision"] in parities else "fp32"
        entry["memory_attention"] = bundle.variant_of(bundle.MEMORY_ATTENTION, precision)
        entry["memory_encoder"] = bundle.variant_of(bundle.MEMORY_ENCODER, precision)
        check(folder / entry["memory_attention"])
        check(folder / entry["memory_encoder"])


def write_levels(family: Family, image: np.ndarray, folder: Path, listed: list[dict], log) -> None:
    """Writes encoders that take levels in 8 bits, for the variants that are meant for GPUs. An encoder whose features differ
    from those of normalised values is left out. `image`: the input of the network for the photo of the parity check."""
    description = family.description()
    sample = calibration.sample(Image.fromarray(parity.photo()), description)
    if not u8_encoder.is_whole_levels(sample, image):
        log("encoders that take levels are left out: the family does not resize to whole levels")
        return
    for entry in listed:
        if not {"tensorrt", "cuda"}.intersection(entry["providers"]):
            continue
        plain, levels = folder / entry["encoder"], folder / bundle.levels_of(entry["encoder"])
        u8_encoder.write(plain, levels, description)
        check(levels)
        apart = u8_encoder.difference(plain, levels, sample)
        log(f"{levels.name}: {apart:.1e} of the range from {plain.name}")
        if apart <= u8_encoder.LIMIT:
            entry["u8_encoder"] = levels.name
            continue
        log(f"{levels.name} is left out: limit {u8_encoder.LIMIT:.0e}")
        levels.unlink()


def variant(precision: str, encoder: str, decoder: str, parity: Parity) -> dict:
    return {
        "precision": precision,
        "encoder": encoder,
        "decoder": decoder,
        "providers": PROVIDERS[precision],
        "parity": parity.fields(),
    }


def write_decoder(family: Family, features: dict, path: Path) -> None:
    """Writes the mask decoder. Its dynamic axes are the numbers of objects, sparse tokens and returned masks."""
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


def write_memory(family: Family, folder: Path, log) -> None:
    """Writes the memory graphs. Their dynamic axes are the numbers of memories and object pointers."""
    memory = family.memory
    log("memory attention ...")
    inputs = memory.attention_inputs(family.embedding_shape)
    dynamic = {name: {0: "pointers" if "pointer" in name else "memories"} for name in inputs if name != "image_embeddings"}
    path, output = folder / bundle.MEMORY_ATTENTION, "conditioned_embeddings"
    graphs.export_decoder(memory.attention, inputs, (output,), dynamic, path)
    graphs.declare(path, output, list(family.embedding_shape))
    check(path)
    log("memory encoder ...")
    inputs = memory.encoder_inputs(family.embedding_shape, family.low_res)
    path, output = folder / bundle.MEMORY_ENCODER, "memory_features"
    graphs.export_decoder(memory.encoder, inputs, (output,), {}, path)
    graphs.declare(path, output, [1, *memory.shape])
    check(path)
    weights = {k: v.detach().float().contiguous() for k, v in memory.weights.items()}
    save_file(weights, folder / bundle.MEMORY)


def write_half(folder: Path, image: np.ndarray, feeds: list[dict], log) -> tuple[str, str]:
    for graph, inputs in ((bundle.ENCODER, [{"image": image}]), (bundle.DECODER, feeds)):
        kept = variants.half(folder / graph, folder / bundle.variant_of(graph, "fp16"), inputs)
        if kept:
            log(f"  {graph}: {len(kept)} operators stay in fp32, because their values are too large for half precision")
    return bundle.variant_of(bundle.ENCODER, "fp16"), bundle.variant_of(bundle.DECODER, "fp16")


def write_int8(folder: Path) -> tuple[str, str]:
    """Writes the int8 encoder. The decoder stays in fp32: it is small, and its error would add to that of the encoder."""
    target = bundle.variant_of(bundle.ENCODER, "int8")
    variants.int8(folder / bundle.ENCODER, folder / target)
    return target, bundle.DECODER


def write_calibrated(folder: Path, description: dict, pictures: Path, log) -> tuple[tuple[str, str], dict]:
    """Writes an int8 encoder with fixed scales. Also returns the fields of bundle.json that describe the calibration."""
    target = bundle.variant_of(bundle.ENCODER, "int8")
    samples = calibration.read(pictures, description, log)
    count = qdq.int8(folder / bundle.ENCODER, folder / target, [sample.image for sample in samples])
    return (target, bundle.DECODER), calibration.measured(folder, description, target, samples, count, log)


def check(path: Path) -> None:
    violations = checks.file_violations(path)
    if violations:
        more = f" and {len(violations) - 3} more" if len(violations) > 3 else ""
        raise Unfit(f"{path.name}: {'; '.join(violations[:3])}{more}")
