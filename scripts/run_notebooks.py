"""Runs the notebooks from top to bottom and writes into them what they show.

Without names it runs all of `notebooks/`. It needs Jupyter's nbclient and ipykernel, which `pip install --editable
".[test]"` brings.
"""

import argparse
import time
from pathlib import Path

from scripts.common import notebooks, reporting
from scripts.common.reporting import ScriptError, log

FOLDER = Path(__file__).parents[1] / "notebooks"


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("notebooks", type=Path, nargs="*", help="files; none stands for all in notebooks/")
    parser.add_argument("--quick", action="store_true", help="only try whether they run: few epochs, nothing written")
    return parser.parse_args()


def main() -> None:
    """Runs the notebooks one after the other."""
    args = parse_arguments()
    for path in args.notebooks:
        if not path.is_file():
            raise ScriptError(f"There must be a notebook at the path. Received: {path}")
    for path in args.notebooks or sorted(FOLDER.glob("*.ipynb")):
        notebook, started = notebooks.read(path), time.perf_counter()
        notebooks.run(notebooks.quick(notebook) if args.quick else notebook, path.parent)
        if not args.quick:
            notebooks.write(notebook, path)
        log.info("%s: %.0f seconds", path.name, time.perf_counter() - started)


if __name__ == "__main__":
    reporting.exit_on_error(main)
