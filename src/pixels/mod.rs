//! Image encodings in, resize and normalise, masks out, overlays.
