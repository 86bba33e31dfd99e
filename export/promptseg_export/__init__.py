"""Checkpoints of the Segment Anything family to promptseg bundles, one module per family."""
