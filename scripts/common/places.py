"""Where the checkout lies, and in it the committed results."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
