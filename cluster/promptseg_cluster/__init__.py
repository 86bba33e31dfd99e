"""Runs `promptseg label` on a Ray cluster: many bags, or slices of a bag."""
