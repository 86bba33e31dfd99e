"""Finds the package under test, and the helpers of the end-to-end tests that make bags."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "cluster"), str(ROOT / "tests" / "e2e")]
