"""Runs the same statistical checks on the layers of tfp_bnn, TFP, bayesian-torch and BLiTZ.

Run by hand, where the libraries are installed: `python benchmarks/conformance_peers.py`. Each library runs in a process
of its own. The results, what was seen and nothing else, go to docs/results/conformance_peers.json. A verdict is
"agrees" or "differs" (with the closed form or with what the check expects), or "not applicable: " and the reason.

Peers: tensorflow-probability with tf_keras, bayesian-torch, blitz-bayesian-pytorch; one that is missing is left out.
"""

import argparse
import contextlib
import io
import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.conformance.checks import CHECKS, NUM_DRAWS, STANDARD_ERRORS, check_layer
from benchmarks.conformance.keras_layers import Tfp, TfpBnn
from benchmarks.conformance.layer_under_test import LayerUnderTest
from benchmarks.conformance.torch_layers import BayesianTorch, Blitz

ROOT = Path(__file__).parents[1]
LIBRARIES: dict[str, type[LayerUnderTest]] = {
    "tfp_bnn": TfpBnn,
    "tfp.layers": Tfp,
    "bayesian-torch": BayesianTorch,
    "BLiTZ": Blitz,
}


def check_library(name: str, seed: int) -> dict[str, Any]:
    """Runs all checks on one library; returns why not if it is not installed."""
    adapter, versions = LIBRARIES[name], {"python": sys.version.split()[0]}
    for package in adapter.PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            return {"not installed": package}
    adapter.set_seed(seed)
    if adapter is TfpBnn:
        backend = TfpBnn.keras.backend.backend()
        versions |= {"backend": backend, backend: metadata.version(backend)}
    return {"versions": versions, "layers": {layer: check_layer(adapter, layer) for layer in adapter.NAMES}}


def run_apart(name: str, seed: int) -> dict[str, Any]:
    """Runs the checks on one library in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.conformance_peers", "--only", name, "--seed", str(seed)]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


def dumps(content: Mapping[str, Any]) -> str:
    """Returns JSON with each innermost object in a line of its own."""
    text = json.dumps(content, indent=2)
    return re.sub(r"\{[^{}]*\}", lambda match: re.sub(r"\s*\n\s*", " ", match[0]), text) + "\n"


def markdown(libraries: Mapping[str, Any]) -> str:
    """Returns a table of all verdicts."""
    rows = [
        (library, layer, check, result["verdict"])
        for library, results in libraries.items()
        for layer, checks in results.get("layers", {}).items()
        for check, result in checks.items()
    ]
    lines = [("library", "layer", "check", "verdict"), ("---",) * 4, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Runs one library and prints its results, or all of them and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=LIBRARIES, help="check this one only, and print a JSON object")
    parser.add_argument("--json", type=Path, default=Path("docs/results/conformance_peers.json"), help="the results")
    parser.add_argument("--seed", type=int, default=0, help="seed of the libraries' random numbers")
    args = parser.parse_args()
    if args.only:
        # What libraries print while they run is not part of the JSON object.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            logging.disable(logging.WARNING)
            results = check_library(args.only, args.seed)
        print(dumps(results), end="")
        return
    command = f"python benchmarks/conformance_peers.py --seed {args.seed}"
    content = {"command": command, "seed": args.seed, "draws": NUM_DRAWS, "limit_in_standard_errors": STANDARD_ERRORS}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    libraries: dict[str, Any] = {}
    for name in LIBRARIES:
        libraries[name] = run_apart(name, args.seed)
        args.json.write_text(dumps({**content, "checks": CHECKS, "libraries": libraries}))
    print(f"{markdown(libraries)}\n\nWrote {args.json}")


if __name__ == "__main__":
    main()
