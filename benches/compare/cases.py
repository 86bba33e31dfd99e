"""The measured cases. A case is one request to promptseg and its peers; cases of a group share the running programs."""

from dataclasses import dataclass, field

CLICK, SECOND = (0.42, 0.45), (0.62, 0.3)
"""Clicks, relative to the width and height of the image."""
SIZES = ((640, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160))
OBJECTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CAMERAS = (1, 2, 4, 8, 16)
FRAMES = 60
"""Number of answered frames in a measurement with several cameras; at least four per camera."""
PIXELS = (
    "preprocess/letterbox/1024",
    "preprocess/letterbox/256",
    "preprocess/stretch/1024",
    "masks/letterbox/3x256",
    "masks/letterbox/3x128",
    "masks/stretch/3x256",
    "masks/noise/3x256",
)
"""Cases of benches/pixels.rs, on an image of 1280 x 720."""


@dataclass(frozen=True)
class Case:
    name: str
    request: str
    """The request line for promptseg, after `photo`."""
    peers: dict = field(default_factory=dict)
    """Request line of each peer."""
    size: tuple = (1280, 720)
    budget: float = 12.0
    """Seconds after which no turn is added to the minimum number of turns."""
    turns: int = 5
    """Minimum number of turns."""


@dataclass(frozen=True)
class Group:
    model: str
    precision: str
    cases: tuple
    ours: str = "ours"


def at(click: tuple, size: tuple) -> str:
    return " ".join(f"{part * length:.1f}" for part, length in zip(click, size))


def boxes(count: int, size: tuple = (1280, 720)) -> str:
    """Boxes of a sixth of the image's sides, spread over the image."""
    (width, height), corners = size, []
    for i in range(count):
        x, y = (i * 0.618034) % 1 * 0.8 * width, (i * 0.414214) % 1 * 0.8 * height
        corners += [x, y, x + width / 6, y + height / 6]
    return " ".join(f"{v:.1f}" for v in corners)


def clicks_on(model: str, precision: str, peers: tuple, clicks: tuple = ()) -> list:
    """Cases of a model: from image to mask, and a second click on the same image."""
    size = (1280, 720)
    name = model if precision == "fp32" else f"{model}-{precision}"
    picture, second = f"image_to_mask {at(CLICK, size)}", f"click {at(SECOND, size)}"
    listed = [Case(f"image_to_mask/{name}/1280x720", picture, {p: picture for p in peers})]
    if clicks:
        listed.append(Case(f"second_click/{name}/1280x720", second, {p: second for p in clicks}, budget=10))
    return listed


def many_boxes(model: str) -> list:
    boxes_64, boxes_16 = boxes(64), boxes(16)
    return [
        Case(f"boxes_64/{model}/1280x720", f"boxes {boxes_64}", {"one by one": f"one_by_one {boxes_64}"}),
        Case(f"boxes_16/{model}/1280x720", f"boxes {boxes_16}", {p: f"boxes {boxes_16}" for p in ("pytorch", "bare sessions")}),
    ]


def sizes(model: str, budget: float) -> list:
    return [
        Case(f"image_size/{model}/{w}x{h}", f"image_to_mask {at(CLICK, (w, h))}",
             {"bare sessions": f"image_to_mask {at(CLICK, (w, h))}"}, size=(w, h), budget=budget)
        for w, h in SIZES
    ]  # fmt: skip


def objects(model: str) -> list:
    lines = {n: f"boxes {boxes(n)}" for n in OBJECTS}
    return [Case(f"objects/{model}/{n}", line, {"bare sessions": line}, budget=4, turns=5 if n < 32 else 3 if n < 128 else 2)
            for n, line in lines.items()]  # fmt: skip


def cameras(model: str) -> list:
    bare = f"image_to_mask {at(CLICK, (1280, 720))}"
    return [Case(f"cameras/{model}/{n}", f"cameras {n} {max(FRAMES, 4 * n)}", {"bare sessions": bare}, budget=4, turns=3)
            for n in CAMERAS]  # fmt: skip


BARE = ("bare sessions", "bare, defaults")
EVERY = ("pytorch", "onnxruntime in python", *BARE)


PROVIDERS = {"openvino f32": "openvino:f32", "openvino bf16": "openvino:bf16", "auto": "auto"}
"""Contenders on the ONNX Runtime with OpenVINO, each with the name of its kind in benches/models. They are compared with the
CPU provider of the default ONNX Runtime."""
CPU_PROVIDER = "cpu provider"


def providers(model: str) -> list:
    click = f"click {at(SECOND, (1280, 720))}"

    def case(graph: str, request: str, name: str) -> Case:
        return Case(f"provider/{model}/{graph}/{name}", request, {CPU_PROVIDER: request}, budget=8)

    return [
        Group(model, "fp32", (case("encoder", "encode", name), case("decoder", click, name)), ours=name)
        for name in PROVIDERS
    ]


def auto(model: str) -> Group:
    """Cases of the default, `providers: [auto]`, beside PyTorch."""
    peers = ("pytorch", CPU_PROVIDER)
    requests = {"image_to_mask": f"image_to_mask {at(CLICK, (1280, 720))}"}
    if model == "mobilesam":
        requests["boxes_16"] = f"boxes {boxes(16)}"
    listed = (Case(f"auto/{model}/{name}/1280x720", request, {p: request for p in peers}) for name, request in requests.items())
    return Group(model, "fp32", tuple(listed), ours="auto")


def groups() -> list:
    with_usls = ("pytorch", "onnxruntime in python", "usls", *BARE)
    first = [*clicks_on("mobilesam", "fp32", with_usls, with_usls), *many_boxes("mobilesam")]
    return [
        Group("mobilesam", "fp32", (*first, *sizes("mobilesam", 5), *objects("mobilesam"))),
        Group("mobilesam", "int8", tuple(clicks_on("mobilesam", "int8", EVERY))),
        Group("sam2.1_tiny", "fp32", tuple(clicks_on("sam2.1_tiny", "fp32", EVERY, EVERY))),
        Group("sam2.1_tiny", "int8", tuple(clicks_on("sam2.1_tiny", "int8", EVERY))),
        Group("edgetam", "fp32", tuple(clicks_on("edgetam", "fp32", EVERY, EVERY))),
        Group("tiny", "fp32", (*clicks_on("tiny", "fp32", BARE, BARE), *sizes("tiny", 4))),
        Group("tiny", "fp32", tuple(cameras("tiny")), ours="cameras"),
        *(group for model in ("mobilesam", "sam2.1_tiny", "edgetam", "tiny") for group in providers(model)),
        *map(auto, ("mobilesam", "sam2.1_tiny", "edgetam")),
    ]


# Cases of tracking.py: objects tracked by memory.
TRACKED = "sam2.1_tiny"
MEMORIES = (0, 1, 2, 4, 6)
TRACKED_OBJECTS = (1, 2, 4, 8)
TRACKED_BESIDE = tuple(f"track/{model}/beside/{kind}" for model in (TRACKED, "edgetam") for kind in ("cpu", "auto"))
"""One object beside PyTorch's video predictor, on the CPU provider and with `providers: [auto]`."""
TRACKING = (
    *TRACKED_BESIDE,
    *(f"track/{TRACKED}/objects/{n}" for n in TRACKED_OBJECTS),
    *(f"track/{TRACKED}/memories/{n}" for n in MEMORIES),
)

# Cases of everything.py: automatic masks.
EVERYTHING_BESIDE = ("everything/mobilesam/32", "everything/sam2.1_tiny/32")
EVERYTHING_GRIDS = (8, 16, 32, 64)
EVERYTHING_MODES, PROPOSALS = "everything/modes", "everything/proposals"
EVERYTHING = (*EVERYTHING_BESIDE, *(f"everything/tiny/{n}" for n in EVERYTHING_GRIDS), EVERYTHING_MODES, PROPOSALS)

# Cases of label.py: the data engine.
LABEL = (
    "label/tiny/640x480",
    "label/tiny/1280x720",
    "label/mobilesam/640x480",
    "label/edgetam/640x480",
    "label/sam2.1_tiny/640x480",
)

# Cases of text.py: objects by phrases.
TEXT_STEPS = ("image", "phrase", "first", "second")
ON_REQUEST = "sam3"
"""Cases of this model are measured only if a part of `--only` names the model: its export takes 20 minutes and 12 GB of memory."""
TEXT = tuple(
    f"text/{model}/{kind}/{step}" for model in ("owlv2_base", "sam3") for kind in ("cpu", "auto") for step in TEXT_STEPS
)
"""The steps of each text model on the CPU provider in fp32, and with `providers: [auto]`."""

# Cases of levels.py: pictures in 8 bits.
LEVELS = ("levels/mobilesam/picture", "levels/mobilesam/encoder")

PARTS = {"tracking": TRACKING, "everything": EVERYTHING, "label": LABEL, "text": TEXT, "levels": LEVELS}
"""Cases of the modules that measure in their own way, by module."""
