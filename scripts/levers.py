"""Measures levers for image networks: what makes the Bayesian small CNN predict better, each alone and together?

Every setting differs from the first one in what its name says. The figures are of the predictive of many draws on the
last training images, which no network has seen, as it is and at the temperature that is best for them. `--images test`
is for the settings chosen so, once, at the end; temperatures are then of 2,000 validation images. OUTPUT_DIR then holds
NAME.json, and a JSON file for each training: those that are there already are not repeated.
"""

import argparse
import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.kept_results import read_or_make, settings
from scripts.common.reporting import log
from scripts.learning import image_settings
from scripts.learning.image_settings import SETTINGS, Schedule

IMAGES_OF_TEMPERATURE = 2000
"""Of the validation images, where others are judged: enough for one number, and many draws of all take long."""
FIGURES = ("accuracy_percent", "nll", "ece")


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    reporting.add_data_arguments(parser)
    parser.add_argument("--settings", nargs="+", choices=tuple(SETTINGS), default=tuple(SETTINGS), metavar="SETTING")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,), help="of weights, noise and order")
    parser.add_argument("--num-images", type=int, help="training images; default: all but those of validation")
    parser.add_argument("--num-validation", type=int, help="last training images to hold out; default: one in six")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.003, help="of Adam, at the start if it decays")
    parser.add_argument("--num-draws", type=int, default=50, help="weight draws of a prediction, dropout masks too")
    parser.add_argument("--images", choices=("validation", "test"), default="validation", help="what figures are of")
    parser.add_argument("--name", default="levers", help="of the JSON file")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/levers"))
    return parser.parse_args()


def quality(predictive: bnn.Predictive, labels: np.ndarray) -> dict[str, float]:
    """Returns accuracy in percent, negative log-likelihood in nats, and calibration error."""
    found = reporting.quality(predictive, labels)
    return {"accuracy_percent": 100 - found["error_percent"], "nll": found["nll"], "ece": found["ece"]}


def run(name: str, seed: int, args: argparse.Namespace, dataset: bnn.datasets.Dataset) -> dict[str, Any]:
    """Returns the figures of one training."""
    keras.utils.set_random_seed(seed)
    setting = SETTINGS[name]
    (x, y), (x_validation, y_validation) = reporting.split_validation(dataset, args.num_validation)
    x, y = x[: args.num_images], y[: args.num_images]
    model = image_settings.make_model(setting, dataset)
    started = time.perf_counter(), time.process_time()
    schedule = Schedule(args.epochs, args.batch_size, args.learning_rate)
    image_settings.fit(model, setting, schedule, x, y, seed)
    seconds = time.perf_counter() - started[0], time.process_time() - started[1]
    few = slice(0, IMAGES_OF_TEMPERATURE if args.images == "test" else None)
    validation = image_settings.predict(model, setting, x_validation[few], args.num_draws, seed)
    temperature = bnn.calibrate_temperature(validation, y_validation[few])
    predictive, labels = validation, y_validation
    if args.images == "test":
        predictive = image_settings.predict(model, setting, dataset.x_test, args.num_draws, seed)
        labels = dataset.y_test
    row = {
        **quality(predictive, labels),
        "temperature": temperature,
        "at_temperature": quality(predictive.at_temperature(temperature), labels),
        "seconds": round(seconds[0], 1),
        "cpu_seconds": round(seconds[1], 1),
        "levers": dataclasses.asdict(setting),
    }
    log.info("%s, seed %d: %.2f %%, nll %.4f, ECE %.4f in %.0f s", name, seed, *(row[f] for f in FIGURES), seconds[0])
    return row


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the means over seeds: a row for each setting, a column for each figure."""
    return rows.groupby("setting", sort=False)[[*FIGURES, "nll, scaled", "ece, scaled", "cpu_seconds"]].mean()


def main() -> None:
    """Trains what has not been trained, and writes the table."""
    args = parse_arguments()
    reporting.check_at_least_one(args, "num_images", "num_validation", "epochs", "batch_size", "num_draws")
    reporting.check_positive(args, "learning_rate")
    reporting.make_output_directory(args.output_dir)
    dataset = reporting.load_dataset(args.dataset, args.data_dir)
    devices = reporting.log_devices()
    rows = []
    for seed in args.seeds:
        for name in args.settings:
            path = args.output_dir / f"{args.name}-{re.sub(r'[^a-z0-9]+', '-', name.lower())}-{seed}.json"
            wanted = settings(args, but=("settings", "seeds", "name"))
            row = read_or_make(path, wanted, lambda name=name, seed=seed: run(name, seed, args, dataset))
            rows.append({"setting": name, "seed": seed, **row})
    scaled = [{f"{figure}, scaled": row["at_temperature"][figure] for figure in ("nll", "ece")} for row in rows]
    found = table(pd.DataFrame([row | more for row, more in zip(rows, scaled, strict=True)]))
    print(f"\nMeans over seeds, {args.images} images\n{found.round(4).to_string()}\n")
    report = {"dataset": dataset.name, "images": args.images, "trainings": rows}
    reporting.write_json({**report, **reporting.provenance(args, devices)}, args.output_dir / f"{args.name}.json")


if __name__ == "__main__":
    reporting.exit_on_error(main)
