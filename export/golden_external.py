"""Writes a graph with external weights, as graphs above 2 GB need them: golden_external.py GRAPH FOLDER."""

import sys
from pathlib import Path

import onnx

if __name__ == "__main__":
    graph, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    (folder / f"{graph.name}.data").unlink(missing_ok=True)
    onnx.save(
        onnx.load(graph),
        folder / graph.name,
        save_as_external_data=True,
        location=f"{graph.name}.data",
        size_threshold=1024,
    )
