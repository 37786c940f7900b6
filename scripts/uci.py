"""Regression on the UCI sets, 20 splits each: Bayes by Backprop beside MC dropout, both of the same size.

Networks of both methods predict mean and scale of y and take as many steps of Adam. OUTPUT_DIR then holds uci.json,
uci.png and a JSON file for each set, method and split: those that are there already are not repeated.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import auto as tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from scripts.common import reporting
from scripts.common.kept_results import read_or_make, settings
from scripts.common.reporting import ScriptError, log
from scripts.data import uci_data
from scripts.learning.uci_learning import (
    CALLS,
    INTERVAL,
    LIKELIHOODS,
    NETWORKS,
    Learner,
    measure,
    measure_log_likelihood,
)
from tfp_bnn.plots.style import BLUE, DARK, ORANGE, panels, themed

METHODS = {"bayes": "Bayes by Backprop", "dropout": "MC dropout"}
MEASURES = ("rmse", "log_likelihood", "coverage", "width")
COLORS = {METHODS["bayes"]: BLUE, METHODS["dropout"]: ORANGE}
# Which part of the arguments one method alone depends on.
ONLY_OF = {"bayes": ("initial_stddev",), "dropout": ("dropout_rates", "weight_scale")}
# Splits on whose validation rows the likelihood and the dropout rate of a set are chosen.
CHOICE_SPLITS = 3
# Mean test log-likelihood in nats, as others report it.
LITERATURE = {
    "bayes": {
        "boston": -2.64,
        "concrete": -3.26,
        "energy": -1.56,
        "kin8nm": 0.98,
        "power": -2.94,
        "wine": -0.97,
        "yacht": -1.45,
    },
    "dropout": {
        "boston": -2.40,
        "concrete": -2.93,
        "energy": -1.21,
        "kin8nm": 1.14,
        "power": -2.80,
        "wine": -0.93,
        "yacht": -1.25,
    },
}


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments: those of `words`, or of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data-dir", help="directory with uci/NAME.npz; without it TFP_BNN_DATA")
    parser.add_argument("--sets", nargs="+", choices=uci_data.SETS, default=uci_data.SETS)
    parser.add_argument("--splits", type=int, nargs="+", default=tuple(range(uci_data.SPLITS)))
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=tuple(METHODS))
    parser.add_argument("--rows", choices=("test", "validation"), default="test", help="what the figures are of")
    parser.add_argument("--units", type=int, default=50, help="width of each hidden layer")
    parser.add_argument("--layers", type=int, default=1, help="hidden layers")
    parser.add_argument("--steps", type=int, default=10_000, help=f"training steps, rounded up to {CALLS}s")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=0.01, help="of Adam at the start; it falls to 0")
    parser.add_argument(
        "--warmup", type=float, default=0.75, help="share of the steps over which KL term and varying noise come in"
    )
    parser.add_argument("--initial-stddev", type=float, default=0.02, help="posterior standard deviation at the start")
    parser.add_argument(
        "--likelihoods",
        nargs="+",
        choices=tuple(LIKELIHOODS),
        default=tuple(LIKELIHOODS),
        help="each set takes the best of them",
    )
    parser.add_argument(
        "--dropout-rates", type=float, nargs="+", default=(0.02, 0.05, 0.1, 0.2), help="each set takes the best of them"
    )
    parser.add_argument("--weight-scale", type=float, default=0.5, help="of MC dropout: prior behind its weight decay")
    parser.add_argument("--num-draws", type=int, default=200, help="draws of a prediction")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random; splits add their numbers")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/uci"))
    return parser.parse_args(words)


def check_arguments(args: argparse.Namespace) -> None:
    """Raises ScriptError if an argument is out of range."""
    reporting.check_at_least_one(args, "units", "layers", "steps", "batch_size", "num_draws")
    if not all(0 <= split < uci_data.SPLITS for split in args.splits):
        raise ScriptError(f"--splits must be from 0 to {uci_data.SPLITS - 1}. Received: {args.splits}")
    if not all(0 < rate < 1 for rate in args.dropout_rates):
        raise ScriptError(f"--dropout-rates must be between 0 and 1. Received: {args.dropout_rates}")
    if not 0 < args.warmup <= 1:
        raise ScriptError(f"--warmup must be above 0 and at most 1. Received: {args.warmup}")


# What is learned.


def kept(name: str, method: str, args: argparse.Namespace, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns what was found before under this name, with the arguments that count for the method, or is found now."""
    of_others = {name for other, names in ONLY_OF.items() if other != method for name in names}
    wanted = settings(args, but={"sets", "splits", "methods", *of_others})
    return read_or_make(args.output_dir / f"{name}.json", wanted, make)


def learner_of(method: str, args: argparse.Namespace, likelihood: str, **chosen: Any) -> Learner:
    """Returns the learner of a method, with what a set has chosen."""
    return Learner(partial(NETWORKS[method], **chosen), args, likelihood)


def choices(method: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Returns among what a set chooses."""
    rates = [{"dropout_rate": rate} for rate in args.dropout_rates] if method == "dropout" else [{}]
    return [{"likelihood": likelihood, **rate} for likelihood in args.likelihoods for rate in rates]


def choose(name: str, method: str, data: uci_data.RegressionSet, args: argparse.Namespace) -> dict[str, Any]:
    """Returns a set's choice: the best by mean log-likelihood on the validation rows of the first splits."""

    def log_likelihood(choice: dict[str, Any]) -> float:
        learner = learner_of(method, args, **choice)
        splits = [data.split(number, validate=True) for number in range(CHOICE_SPLITS)]
        return float(
            np.mean([measure_log_likelihood(learner, split, args.seed + number) for number, split in enumerate(splits)])
        )

    def make() -> dict[str, Any]:
        candidates = choices(method, args)
        if len(candidates) == 1:
            return {"choice": candidates[0]}
        bar = tqdm.tqdm(candidates, f"{name}, {METHODS[method]}, choices", leave=False)
        tried = [{**choice, "validation_log_likelihood": log_likelihood(choice)} for choice in bar]
        if np.isnan([choice["validation_log_likelihood"] for choice in tried]).all():
            raise ScriptError(f"Every training diverged; try a lower --learning-rate. Received: {args.learning_rate}")
        # Not of one whose training diverged.
        best = int(np.nanargmax([choice["validation_log_likelihood"] for choice in tried]))
        return {"choice": candidates[best], "tried": tried}

    return kept(f"{name}-{method}-choice", method, args, make)["choice"]


def rows_of(
    name: str, method: str, data: uci_data.RegressionSet, args: argparse.Namespace, bar: tqdm.tqdm
) -> list[dict[str, Any]]:
    """Returns a row for each split of a set by one method; trains for those that are not there yet."""
    chosen = choose(name, method, data, args)
    learner, rows = learner_of(method, args, **chosen), []
    for number in args.splits:

        def make(number: int = number) -> dict[str, Any]:
            found = measure(learner, data.split(number, args.rows == "validation"), args.seed + number)
            return {"set": name, "method": method, "split": number, **found, **chosen}

        rows.append(kept(f"{name}-{method}-split{number}", method, args, make))
        bar.update()
    return rows


# What comes of it.


def summary(rows: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns mean and standard error over splits of each measure, by set and method."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for (name, method), group in rows.groupby(["set", "method"], sort=False):
        means, errors = group[list(MEASURES)].mean(), group[list(MEASURES)].sem(ddof=1)
        measures = {
            measure: {"mean": means[measure], "standard_error": errors[measure] if len(group) > 1 else None}
            for measure in MEASURES
        }
        literature = {"log_likelihood_in_literature": LITERATURE[method][name]}
        found.setdefault(name, {})[method] = {**measures, **literature, "splits": len(group)}
    return found


@themed
def draw(rows: pd.DataFrame) -> Figure:
    """Returns a panel for each set, its log-likelihood beside the literature's, and one of the coverage of all sets."""
    rows = rows.assign(label=rows["method"].map(METHODS))
    names = list(rows["set"].unique())
    figure, axes = panels(math.ceil((len(names) + 1) / 4), 4, (13, 3.2 * math.ceil((len(names) + 1) / 4)))
    for name, panel in zip(names, axes, strict=False):
        draw_set(panel, rows[rows["set"] == name], name)
    # Elsewhere it would lie over a line.
    axes[0].legend(handles=axes[0].get_legend_handles_labels()[0][-1:])
    draw_coverage(axes[len(names)], rows)
    for panel in axes[len(names) + 1 :]:
        panel.set_axis_off()
    return figure


def draw_set(panel: Axes, rows: pd.DataFrame, name: str) -> None:
    """Draws the splits' log-likelihoods, their mean with its standard error, and the mean in the literature."""
    looks = {"x": "label", "y": "log_likelihood", "hue": "label", "palette": COLORS, "legend": False, "ax": panel}
    seaborn.stripplot(rows, alpha=0.25, size=4, jitter=0.2, **looks)
    seaborn.pointplot(rows, errorbar=("se", 1), linestyle="none", capsize=0.15, **looks)
    for at, method in enumerate(rows["method"].unique()):
        panel.hlines(LITERATURE[method][name], at - 0.35, at + 0.35, color=DARK, ls="--", lw=1.2, label="literature")
    panel.set(title=name, xlabel="", ylabel="Log-likelihood (nats)", xlim=(-0.6, rows["method"].nunique() - 0.4))


def draw_coverage(panel: Axes, rows: pd.DataFrame) -> None:
    """Draws the share of targets in their 95 % intervals: the mean over splits, with its standard error."""
    looks = {"hue": "label", "palette": COLORS, "errorbar": ("se", 1), "linestyle": "none", "ax": panel}
    # Seaborn cannot set one alone aside.
    dodge = 0.3 if rows["method"].nunique() > 1 else False
    seaborn.pointplot(rows, x="set", y="coverage", dodge=dodge, markersize=4, **looks)
    panel.axhline(INTERVAL[1] - INTERVAL[0], color=DARK, ls="--", lw=1)
    panel.set(title="Targets in 95 % intervals", xlabel="", ylabel="Coverage")
    panel.tick_params(axis="x", rotation=45)
    panel.legend(title=None)


def log_table(found: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Logs the means over splits."""
    for name, methods in found.items():
        for method, of_method in methods.items():
            log.info(
                "%-8s %-17s log-likelihood %6.3f (literature %5.2f), RMSE %7.4f, coverage %.3f",
                name,
                METHODS[method],
                of_method["log_likelihood"]["mean"],
                of_method["log_likelihood_in_literature"],
                of_method["rmse"]["mean"],
                of_method["coverage"]["mean"],
            )


def main() -> None:
    """Trains what has not been trained, and draws all."""
    args = parse_arguments()
    check_arguments(args)
    sets = {name: uci_data.load(name, args.data_dir) for name in args.sets}
    reporting.make_output_directory(args.output_dir)
    devices = reporting.log_devices()
    rows: list[dict[str, Any]] = []
    with (
        logging_redirect_tqdm(),
        tqdm.tqdm(total=len(sets) * len(args.methods) * len(args.splits), unit="network") as bar,
    ):
        for name, data in sets.items():
            for method in args.methods:
                bar.set_description(f"{name}, {METHODS[method]}")
                rows += rows_of(name, method, data, args, bar)
    table = pd.DataFrame(rows)
    found = summary(table)
    reporting.save_figure(draw(table), args.output_dir, "uci")
    report = {"summary": found, "rows": rows, **reporting.provenance(args, devices)}
    reporting.write_json(report, args.output_dir / "uci.json")
    log_table(found)


if __name__ == "__main__":
    reporting.exit_on_error(main)
