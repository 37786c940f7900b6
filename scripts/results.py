"""Runs the experiments whose results are committed, and fills the tables of docs/results/README.md from them.

    python scripts/results.py --quick             # the shortest ones, anew, into runs/results
    python scripts/results.py --only mlp/mnist    # those whose names begin so and that have no result yet
    python scripts/results.py                     # nothing but the page

Each experiment leaves docs/results/GROUP/NAME.json, with the command, versions and seed that made it, and its picture.
"""

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import reporting
import result_figures
from reporting import ScriptError, log

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
PAGE = RESULTS / "README.md"

WIDTHS = {"mnist": (400, 800, 1200), "fashion_mnist": (200, 400, 800)}
METHODS = {
    "mixture": "--preset blundell-mixture",
    # No narrow part: the weights that are not needed go on making noise.
    "wide-mixture": "--preset blundell-mixture --sigma-2 0.37",
    "learned-mixture": "--preset blundell-mixture --learn-prior",
    "gaussian": "--preset blundell-gaussian",
    "sgd": "--preset plain-sgd",
    "dropout": "--preset plain-dropout",
}
SEEDS = (0, 1, 2)
PRUNED = ((400, "mixture"), (400, "gaussian"), (1200, "mixture"))
QUICK_PRESETS = ("gluon-gaussian", "gluon-mixture")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A command of ours, and where the JSON file that it writes is kept."""

    group: str
    name: str
    command: str
    writes: str = "metrics.json"
    draws: str | None = None

    @property
    def result(self) -> Path:
        """The committed JSON file."""
        return RESULTS / self.group / f"{self.name}.json"

    def run(self, resume: bool) -> Path:
        """Runs the command, going on with what an earlier run left if asked; returns the directory that it wrote to."""
        directory = Path("runs") / "results" / self.group / self.name
        if not resume:
            shutil.rmtree(ROOT / directory, ignore_errors=True)
        script, *arguments = self.command.split()
        command = [f"scripts/{script}", *arguments, "--output-dir", str(directory)]
        if resume and script == "train_mlp.py":
            command.append("--resume")
        log.info("%s/%s: python %s", self.group, self.name, " ".join(command))
        if subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode:
            raise ScriptError(f"{self.name} failed; its messages are above.")
        return ROOT / directory

    def keep(self, directory: Path) -> None:
        """Copies JSON file and picture from where the command wrote them to where they are committed."""
        self.result.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(directory / self.writes, self.result)
        if self.draws:
            shutil.copy(directory / self.draws, self.result.with_suffix(".png"))
        log.info("wrote %s", self.result)


QUICK = tuple(
    Experiment("mlp", f"mnist-{preset}-seed{seed}", f"train_mlp.py --dataset mnist --preset {preset} --seed {seed}")
    for preset in QUICK_PRESETS
    for seed in SEEDS
)
EXPERIMENTS = (
    *QUICK,
    *(
        Experiment(
            "mlp",
            f"{dataset.replace('_', '-')}-{width}-{method}-seed{seed}",
            f"train_mlp.py --dataset {dataset} {arguments} --units {width} --seed {seed}",
        )
        for seed in SEEDS
        for dataset, widths in WIDTHS.items()
        for width in widths
        for method, arguments in METHODS.items()
    ),
    *(
        Experiment(
            "pruning",
            f"mnist-{width}-{method}",
            f"prune.py runs/results/mlp/mnist-{width}-{method}-seed0/model.keras --dataset mnist "
            f"--plain-model runs/results/mlp/mnist-{width}-sgd-seed0/model.keras",
            "pruning.json",
            "pruning.png",
        )
        for width, method in PRUNED
    ),
    Experiment("regression", "curve", "regression_curve.py", draws="curve.png"),
    Experiment("bandit", "mushrooms", "bandit.py --updates 16 --plays 10000", "regret.json", "regret.png"),
    Experiment(
        "small_data",
        "mnist",
        "small_data.py --dataset mnist --sizes 100 1000 10000",
        "small_data.json",
        "small_data.png",
    ),
)

# Test error in percent: of Blundell et al. 2015, table 1, and of the notebooks that followed it.
REFERENCES = {
    ("mnist", "mixture", 400): "paper 1.36",
    ("mnist", "mixture", 800): "paper 1.34",
    ("mnist", "mixture", 1200): "paper 1.32",
    ("mnist", "gaussian", 400): "paper 1.82, seminar notebook 1.63",
    ("mnist", "gaussian", 800): "paper 1.99",
    ("mnist", "gaussian", 1200): "paper 2.04",
    ("mnist", "sgd", 400): "paper 1.83",
    ("mnist", "sgd", 800): "paper 1.84",
    ("mnist", "sgd", 1200): "paper 1.88",
    ("mnist", "dropout", 400): "paper 1.51",
    ("mnist", "dropout", 800): "paper 1.33",
    ("mnist", "dropout", 1200): "paper 1.36",
    ("mnist", "gluon-gaussian", 400): "gluon notebook 2.25",
    ("mnist", "gluon-mixture", 400): "gluon notebook 2.64",
    ("fashion_mnist", "mixture", 200): "seminar notebook 12.63",
    ("fashion_mnist", "mixture", 400): "seminar notebook 13.2",
    ("fashion_mnist", "mixture", 800): "seminar notebook 12.81",
}


QUALITY_DIGITS = {"error_percent": 2, "nll": 3, "ece": 3}

# The tables.


def read(group: str) -> dict[str, dict[str, Any]]:
    """Returns the results of a group, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((RESULTS / group).glob("*.json"))}


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Returns a table in Markdown."""
    if not rows:
        return "Not run yet."
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def spread(values: Sequence[float], digits: int) -> str:
    """Returns the mean and, of several values, their standard deviation."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def mlp_table(dataset: str, methods: Sequence[str]) -> str:
    """Returns the table of the multilayer perceptrons of a data set, a row for each method and width."""
    results, rows = read("mlp"), []
    prefix = dataset.replace("_", "-")
    for method in methods:
        for width in WIDTHS[dataset]:
            middle = f"{prefix}-{method}" if method in QUICK_PRESETS else f"{prefix}-{width}-{method}"
            found = [results[name] for seed in SEEDS if (name := f"{middle}-seed{seed}") in results]
            if found and found[0]["arguments"]["units"] == width:
                rows.append(mlp_row(dataset, method, width, middle, found))
    header = ("network", "others", "mean weights", "one draw", "ensemble", "nll", "ECE", "seeds", "epochs")
    return table((*header, "minutes a run", "the first seed's command and results"), rows)


def mlp_row(dataset: str, method: str, width: int, middle: str, found: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the row of the runs that differ by their seeds alone."""
    tests = [run["test"] for run in found]

    def errors(kind: str) -> str:
        return spread([test[kind]["error_percent"] for test in tests], 2) if kind in tests[0] else ""

    best = "ensemble" if "ensemble" in tests[0] else "mean_weights"
    return [
        f"2x{width}, {method}",
        REFERENCES.get((dataset, method, width), ""),
        *map(errors, ("mean_weights", "one_draw", "ensemble")),
        spread([test[best]["nll"] for test in tests], 4),
        spread([test[best]["ece"] for test in tests], 4),
        str(len(found)),
        f"{found[0]['epochs']:g}",
        f"{np.mean([run['seconds'] for run in found]) / 60:.1f}, {' '.join(found[0]['devices'])}",
        f"`{command_of(found[0])}`; [{middle}](mlp/{middle}-seed0.json)",
    ]


def command_of(result: dict[str, Any]) -> str:
    """Returns the command of a result, without where it wrote and that it might have gone on."""
    words = result["command"].removesuffix(" --resume").split()
    at = words.index("--output-dir") if "--output-dir" in words else len(words)
    return " ".join(words[:at] + words[at + 2 :])


def pruning_table(name: str) -> str:
    """Returns test error against sparsity, a column for each network."""
    rows = [row for row in read("pruning").get(name, {"rows": []})["rows"] if row["images"] == "test"]
    networks = list(dict.fromkeys(row["network"] for row in rows))
    sparsities = list(dict.fromkeys(row["sparsity"] for row in rows))
    errors = {(row["sparsity"], row["network"]): row["error_percent"] for row in rows}
    kept = {row["sparsity"]: row["weights_kept"] for row in rows}
    lines = [
        (f"{100 * sparsity:g} %", f"{kept[sparsity]:,}", *(f"{errors[sparsity, network]:.2f}" for network in networks))
        for sparsity in sparsities
    ]
    return table(("pruned", "weights kept", *networks), lines)


def bandit_table() -> str:
    """Returns the regret of each agent at the end."""
    lines = [
        (agent, found["seeds"], f"{result['arguments']['plays']:,}", *(f"{value:,.0f}" for value in quartiles(found)))
        for result in read("bandit").values()
        for agent, found in result["regret"].items()
    ]
    return table(("agent", "seeds", "plays", "lower quartile", "median regret", "upper quartile"), lines)


def quartiles(found: dict[str, Any]) -> tuple[float, float, float]:
    """Returns lower quartile, median and upper quartile."""
    lower, upper = found["quartiles"]
    return lower, found["median"], upper


def small_data_table() -> str:
    """Returns error, nll and ECE against the number of training images, a row for each network and number."""
    lines = []
    for result in read("small_data").values():
        for (size, network), rows in grouped(result["rows"], "size", "network").items():
            figures = [spread([row[name] for row in rows], digits) for name, digits in QUALITY_DIGITS.items()]
            lines.append((f"{size:,}", network, *figures, len(rows)))
    return table(("training images", "network", "error", "nll", "ECE", "seeds"), lines)


def grouped(rows: Sequence[dict[str, Any]], *names: str) -> dict[tuple, list[dict[str, Any]]]:
    """Returns rows by their values of these names, in order."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row[names[0]]):
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


TABLES: dict[str, Callable[[], str]] = {
    "quick": lambda: mlp_table("mnist", QUICK_PRESETS),
    "mnist": lambda: mlp_table("mnist", tuple(METHODS)),
    "fashion_mnist": lambda: mlp_table("fashion_mnist", tuple(METHODS)),
    **{f"pruning-{width}-{method}": partial(pruning_table, f"mnist-{width}-{method}") for width, method in PRUNED},
    "bandit": bandit_table,
    "small_data": small_data_table,
}


def fill(page: str) -> str:
    """Returns the page with each table between its two marks made anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- table {name} -->", f"<!-- end {name} -->"
        before, found, rest = page.partition(begin)
        if not found or end not in rest:
            raise ScriptError(f"{PAGE} must have the marks {begin} and {end}. Received: a page without them")
        page = f"{before}{begin}\n\n{make()}\n\n{end}{rest.partition(end)[2]}"
    return page


def main() -> None:
    """Runs what was asked for, and fills the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="run the shortest experiments anew; results are not kept")
    parser.add_argument("--only", metavar="BEGINNING", help="run experiments whose names begin so, if not yet run")
    args = parser.parse_args()
    if args.quick:
        for experiment in QUICK:
            written = experiment.run(resume=False) / experiment.writes
            ours = json.loads(written.read_text())["test"]["ensemble"]["error_percent"]
            kept = json.loads(experiment.result.read_text())["test"]["ensemble"]["error_percent"]
            log.info("%s: test error %.2f %%, committed %.2f %%", experiment.name, ours, kept)
        return
    for experiment in EXPERIMENTS:
        name = f"{experiment.group}/{experiment.name}"
        if args.only and name.startswith(args.only) and not experiment.result.exists():
            experiment.keep(experiment.run(resume=True))
    result_figures.draw_all(ROOT / "runs" / "results" / "mlp", RESULTS)
    PAGE.write_text(fill(PAGE.read_text()))
    log.info("wrote %s", PAGE)


if __name__ == "__main__":
    reporting.exit_on_error(main)
