"""Runs pytest in forks of a process that has imported what tests import: that takes longer than most tests do."""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SLOW_TO_IMPORT = (
    "keras",
    "matplotlib.pyplot",
    "pandas",
    "pytest",
    "scipy.stats",
    "seaborn",
    "sklearn.metrics",
    "tensorflow_probability",
)
# What each fork imports from the folder that it tests.
OURS = ("benchmarks", "scripts", "tests", "tfp_bnn")

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(list(SLOW_TO_IMPORT))


class Result(NamedTuple):
    """How pytest ended: its exit status and all that it printed."""

    returncode: int
    output: str


def run_pytest(root: Path, arguments: Sequence[str], limit_seconds: float) -> Result:
    """Runs pytest in a folder, whose package and tests come before all others.

    Raises:
        TimeoutError: if it has not ended in time.
    """
    with tempfile.NamedTemporaryFile("r", errors="replace") as output:
        process = _FORKS.Process(target=_run, args=(str(root), tuple(arguments), output.name))
        process.start()
        process.join(limit_seconds)
        if process.is_alive():
            process.kill()
            process.join()
            raise TimeoutError
        return Result(process.exitcode, output.read())


def _run(root: str, arguments: tuple[str, ...], output: str) -> None:
    with open(output, "w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]
    checkout = str(Path(__file__).parents[2])
    sys.path[:] = [root, *(path for path in sys.path if os.path.abspath(path) != checkout)]
    os.environ["PYTHONPATH"] = root
    os.chdir(root)
    import pytest

    import tfp_bnn

    if not tfp_bnn.__file__.startswith(root):
        raise RuntimeError(f"The copy's files are not those that are imported: {tfp_bnn.__file__}")
    sys.exit(pytest.main(list(arguments)))
