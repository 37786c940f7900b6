"""Runs the regression program of docs/examples.md with several seeds: how well it fits, how unsure it is elsewhere.

Run by hand: `python benchmarks/readme_regression.py`. It prints a line for each seed and writes
docs/results/regression/readme.json.
"""

import json
import re
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import matplotlib as mpl
import numpy as np

import tfp_bnn as bnn
from scripts.common import reporting

ROOT = Path(__file__).parents[1]
SEEDS = (0, 1, 2, 3, 4)


def program() -> str:
    """Returns the first program of the page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "examples.md").read_text(), flags=re.DOTALL)[0]


def figures(names: Mapping[str, Any]) -> dict[str, float]:
    """Returns the mean square of y less its predicted mean, and the doubt outside the data beside that inside.

    Args:
        names: what the program left, by name.
    """
    of_data = bnn.predict(names["model"], names["x"], 100, seed=0, verbose=False)
    stddev, position = names["predictive"].epistemic_stddev()[:, 0], np.abs(names["x_test"][:, 0])
    inside, outside = (float(stddev[where].mean()) for where in (position <= 0.5, position >= 1.0))
    mse = float(np.square(of_data.mean() - names["y"]).mean())
    return {"mse": mse, "inside": inside, "outside": outside, "ratio": outside / inside}


def run(seed: int) -> dict[str, float]:
    """Returns the figures of the program with data, weights and noise of a seed, and the seconds that it took."""
    text = program()
    seeded = text.replace("default_rng(0)", f"default_rng({seed})")
    if text.count("default_rng(0)") != 1:
        raise ValueError("The program must seed its data once, by default_rng(0).")
    names: dict[str, Any] = {}
    keras.utils.set_random_seed(seed)
    started = time.perf_counter()
    exec(seeded, names)
    seconds = time.perf_counter() - started
    found = {"seed": seed, **figures(names), "seconds": seconds}
    print(", ".join(f"{name} {value:.3g}" for name, value in found.items()), flush=True)
    return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    """Runs all seeds and writes what came of them."""
    mpl.use("Agg")
    rows = [run(seed) for seed in SEEDS]
    medians = {name: statistics.median(row[name] for row in rows) for name in ("mse", "ratio", "seconds")}
    print("medians:", medians)
    path = ROOT / "docs" / "results" / "regression" / "readme.json"
    report = {"medians": medians, "rows": rows, "command": reporting.command(), "versions": reporting.versions()}
    path.write_text(json.dumps(report, indent=2) + "\n")
    print("wrote", path.relative_to(ROOT))


if __name__ == "__main__":
    main()
