"""Seven tables of numbers, none of them tuned for: the five-line program beside what people use.

`tfp_bnn.models.tabular` with its defaults, a random forest, a Gaussian process, a plain network and an ensemble of
five learn from the same rows. OUTPUT_DIR then holds first_tables.json and a JSON file for each training: those that are
there already are not repeated.
"""

import argparse
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import auto as tqdm

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.kept_results import read_or_make
from scripts.common.reporting import ScriptError
from scripts.data import uci_data
from scripts.learning.table_contenders import CONTENDERS, Rows

TAIL = 0.05


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data-dir", help="directory with uci/NAME.npz; without it TFP_BNN_DATA")
    parser.add_argument("--sets", nargs="+", choices=uci_data.SETS, default=uci_data.SETS)
    parser.add_argument("--splits", type=int, nargs="+", default=(0, 1, 2, 3, 4), help="seeds too")
    parser.add_argument("--contenders", nargs="+", choices=tuple(CONTENDERS), default=tuple(CONTENDERS))
    parser.add_argument("--rows", choices=("test", "validation"), default="test", help="what the figures are of")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/first_tables"))
    return parser.parse_args()


def rows_of(data: uci_data.RegressionSet, number: int, validate: bool) -> Rows:
    """Returns a split's rows in their units; to validate, those to come are a fifth of its training rows."""
    train, test = data.rows(number, validate)
    return Rows(data.x[train], data.y[train], data.x[test], data.y[test])


def measure(contender: str, rows: Rows, seed: int) -> dict[str, float]:
    """Returns the figures of one training, in units of y and nats."""
    started = time.perf_counter()
    answer = CONTENDERS[contender](rows, TAIL, seed)
    return {
        "nll": -float(np.mean(answer.log_prob)),
        "rmse": float(np.sqrt(np.mean(np.square(answer.mean - rows.y_test)))),
        "coverage": bnn.metrics.coverage(rows.y_test, answer.low, answer.high),
        "width": float(np.mean(answer.high - answer.low)),
        "seconds": round(time.perf_counter() - started, 1),
    }


def summary(rows: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Returns the means over splits, by set and contender."""
    measures = ["nll", "rmse", "coverage", "width", "seconds"]
    means = rows.groupby(["set", "contender"], sort=False)[measures].mean().round(4)
    return {
        name: {contender: means.loc[name, contender].to_dict() for contender in means.loc[name].index}
        for name in rows["set"].unique()
    }


def main() -> None:
    """Trains what has not been trained, and writes the table."""
    args = parse_arguments()
    if not all(0 <= split < uci_data.SPLITS for split in args.splits):
        raise ScriptError(f"--splits must be from 0 to {uci_data.SPLITS - 1}. Received: {args.splits}")
    sets = {name: uci_data.load(name, args.data_dir) for name in args.sets}
    reporting.make_output_directory(args.output_dir)
    devices = reporting.log_devices()
    trainings = [(name, split, each) for split in args.splits for name in sets for each in args.contenders]
    rows: list[dict[str, Any]] = []
    for name, split, contender in tqdm.tqdm(trainings, unit="training"):
        wanted = {"set": name, "contender": contender, "split": split, "rows": args.rows}
        path = args.output_dir / f"{re.sub(r'[^a-z0-9]+', '-', f'{name} {contender} {split}'.lower())}.json"

        def make(name: str = name, split: int = split, contender: str = contender) -> dict[str, float]:
            return measure(contender, rows_of(sets[name], split, args.rows == "validation"), split)

        rows.append({"set": name, "contender": contender, "split": split, **read_or_make(path, wanted, make)})
    found = summary(pd.DataFrame(rows))
    for measure_, digits in (("nll", 3), ("coverage", 3)):
        table = pd.DataFrame({name: {each: of[measure_] for each, of in found[name].items()} for name in found})
        print(f"\n{measure_}, mean of {len(args.splits)} splits\n{table.round(digits).to_string()}")
    report = {"summary": found, "rows": rows, **reporting.provenance(args, devices)}
    reporting.write_json(report, args.output_dir / "first_tables.json")


if __name__ == "__main__":
    reporting.exit_on_error(main)
