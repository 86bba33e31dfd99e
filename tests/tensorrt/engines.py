"""Compiles the graphs of a bundle with TensorRT for RTX, as the node would ask TensorRT for their engines.

`plans` runs `promptseg build-engines` on a stub of ONNX Runtime (tests/stub_onnxruntime), which writes down the graphs and the shape
profiles that the node passes to TensorRT. `compiled` compiles one graph ahead of time with the same profile, on a machine without a GPU.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import tensorrt_rtx as trt

ROOT = Path(__file__).resolve().parents[2]
# Ampere, Ada Lovelace and Blackwell. The compiler has none of the Jetsons (SM 87 of Orin, SM 110 of Thor).
CAPABILITIES = ("SM80", "SM86", "SM89", "SM120", "SM121")
PRODUCTS = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
SIZES = (16, 256, 4096)
"""Smallest, most common and largest side of an image, for graphs that take its size as values."""
HALF = (trt.DataType.HALF, trt.DataType.BF16)


@dataclass
class Plan:
    """A graph that the node opens on TensorRT. A shape of `profile`: smallest, most common and largest."""

    graph: Path
    profile: dict[str, tuple[tuple[int, ...], ...]]
    first_run: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes of the first run. For an input without a range TensorRT builds the engine for this shape."""


@dataclass
class Engine:
    """A compiled graph, or the errors of the compiler."""

    bytes: int = 0
    seconds: float = 0.0
    layers: int = 0
    products: int = 0
    """Number of convolutions and matrix products."""
    full: list[str] = field(default_factory=list)
    """Names of those that give 32 bits."""
    quantised: int = 0
    """Number of layers that quantise to 8 bits."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Types of the inputs by name."""
    errors: list[str] = field(default_factory=list)

    @property
    def half(self) -> float:
        """Part of the convolutions and matrix products that give 16 bits."""
        return 1 - len(self.full) / max(1, self.products)


def plans(*model: Path, precision: str = "auto") -> list[Plan]:
    """The graphs of a model with the shape profiles of the node's default options. `model`: a bundle, or encoder and decoder."""
    program, stub, library = (Path(os.environ[name]) for name in ("PROMPTSEG_CLI", "PROMPTSEG_STUB", "ORT_DYLIB_PATH"))
    # Graphs that the node cuts are written to this folder, and compiled after this function.
    folder = Path(tempfile.mkdtemp(prefix="promptseg-tensorrt-"))
    atexit.register(shutil.rmtree, folder)
    for name in ("libnvinfer.so.10", "libcuda.so.1"):
        (folder / name).symlink_to(stub)
    paths = os.pathsep.join(filter(None, (str(folder), os.environ.get("LD_LIBRARY_PATH"))))
    variables = {"STUB_REAL": str(library), "ORT_DYLIB_PATH": str(stub), "STUB_LOG": str(folder / "log"), "STUB": "",
                 "STUB_GRAPHS": str(folder),
                 "LD_LIBRARY_PATH": paths}  # fmt: skip
    files = [model[0]] if len(model) == 1 else [model[0], "--decoder", model[1]]
    command = [program, "build-engines", *files, "--precision", precision, "--engine-cache", folder / "engines"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"promptseg build-engines {model[0]} --precision {precision}: {done.stderr.strip()}")
    return read_plans((folder / "log").read_text().splitlines())


def read_plans(log: list[str]) -> list[Plan]:
    """Reads the stub's log: the options of TensorRT come before the session that they are for. A graph may be opened twice."""
    found, options, runs = {}, {}, {}
    for line in log:
        kind, provider, *words = line.split()
        if (kind, provider) == ("append", "tensorrt"):
            options = dict(word.split("=", 1) for word in words)
        elif (kind, provider) == ("session", "tensorrt"):
            sizes = [shapes(options.get(f"trt_profile_{bound}_shapes", "")) for bound in ("min", "opt", "max")]
            profile = {name: tuple(size[name] for size in sizes) for name in sizes[0]}
            graph = Path(" ".join(words))
            found[graph] = Plan(graph, profile, runs)
        elif kind in ("run", "bind-input"):
            for name, sizes in re.findall(r"([^\s@]+)(?:@\w+)?\[([\dx]+)\]", line.replace(", ", "x")):
                runs.setdefault(name, tuple(map(int, sizes.split("x"))))
    return list(found.values())


def shapes(text: str) -> dict[str, tuple[int, ...]]:
    """`a:1x2,b:3` as tuples by name."""
    entries = (entry.rsplit(":", 1) for entry in text.split(",") if entry)
    return {name: tuple(map(int, sizes.split("x"))) for name, sizes in entries}


class Errors(trt.ILogger):
    """Keeps the compiler's errors."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def log(self, severity: trt.ILogger.Severity, line: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.lines.append(line)


def compiled(plan: Plan, capabilities: tuple[str, ...] = CAPABILITIES) -> Engine:
    """Compiles a graph for GPUs of all these compute capabilities. The network is strongly typed: precision is the graph's."""
    logger = Errors()
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(plan.graph)):
        return Engine(errors=[str(parser.get_error(i)) for i in range(parser.num_errors)])
    config = builder.create_builder_config()
    config.num_compute_capabilities = len(capabilities)
    for i, name in enumerate(capabilities):
        config.set_compute_capability(getattr(trt.ComputeCapability, name), i)
    profile = builder.create_optimization_profile()
    for tensor in (network.get_input(i) for i in range(network.num_inputs)):
        if tensor.is_shape_tensor:
            profile.set_shape_input(tensor.name, *([side] * tensor.shape[0] for side in SIZES))
        elif -1 in tensor.shape:
            shape = plan.first_run.get(tensor.name)
            ranges = plan.profile.get(tensor.name) or (shape and (shape, shape, shape))
            if not ranges:
                return Engine(errors=[f"the input {tensor.name} has neither a shape profile nor a first run"])
            profile.set_shape(tensor.name, *ranges)
    config.add_optimization_profile(profile)
    started = time.monotonic()
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        return Engine(errors=logger.lines or ["the compiler gave no reason"])
    inputs = {tensor.name: tensor.dtype.name for tensor in (network.get_input(i) for i in range(network.num_inputs))}
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    products = [layer for layer in layers if layer.type in PRODUCTS]
    return Engine(
        bytes=engine.nbytes,
        seconds=time.monotonic() - started,
        layers=len(layers),
        products=len(products),
        full=[layer.name for layer in products if layer.get_output(0).dtype not in HALF],
        quantised=sum(layer.type == trt.LayerType.QUANTIZE for layer in layers),
        inputs=inputs,
    )
