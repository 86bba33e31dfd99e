"""Sessions of ONNX Runtime for comparisons."""

from pathlib import Path

import onnxruntime


def session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """Opens a graph on the CPU. `threads`: 0 is one for each core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Halves the memory, which the PyTorch model needs too.
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
