"""Converts checkpoints of the Segment Anything family to promptseg bundles, with one module per family."""
