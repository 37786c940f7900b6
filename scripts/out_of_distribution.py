"""Which network knows what it does not know? A Bayesian LeNet5 beside a plain one, MC dropout and a deep ensemble.

All are trained here, at about the same cost, and predict test images and images unlike them: of another data set,
noise, and test images rotated, blurred or inverted. Scores of unfamiliarity: one less the greatest class probability,
entropy, mutual information, energy. OUTPUT_DIR then holds out_of_distribution.json, the trained networks (those that
are there already are not trained again), and entropy.png, roc.png, reliability.png, accuracy_rejection.png, and
rotation.png and least_sure.png of the first network.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import scipy.special

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.kept_results import read_or_make, settings
from scripts.common.reporting import log
from scripts.data import unfamiliar_images
from scripts.learning import classifiers
from scripts.learning.classifiers import CLASSIFIERS, STEP_COST, Recipe

ANGLES = np.arange(0, 181, 10)
Scores = Callable[[bnn.Predictive], np.ndarray]


def energy(predictive: bnn.Predictive) -> np.ndarray:
    """Returns the mean over draws of `-log sum exp(logits)`, [n].

    Source: Liu et al. 2020, "Energy-based Out-of-distribution Detection", equation 4.
    """
    return -scipy.special.logsumexp(predictive.outputs, axis=-1).mean(axis=0)


SCORES: dict[str, Scores] = {
    "max probability": lambda predictive: 1 - predictive.class_probabilities().max(axis=-1),
    "entropy": lambda predictive: predictive.entropy(),
    "mutual information": lambda predictive: predictive.mutual_information(),
    "energy": energy,
}


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    reporting.add_data_arguments(parser)
    parser.add_argument("--networks", nargs="+", choices=tuple(CLASSIFIERS), default=tuple(CLASSIFIERS))
    parser.add_argument("--epochs", type=int, default=20, help="of the plain network; the others cost as much")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of Adam at the start; it falls to 0")
    parser.add_argument(
        "--estimator",
        choices=tuple(STEP_COST),
        default="reparameterization",
        help="of the Bayesian network; the cheapest leaves it the most epochs",
    )
    reporting.add_activation_arguments(parser)
    parser.add_argument("--prior-scale", type=float, default=0.3, help="standard deviation of the normal prior")
    parser.add_argument("--initial-stddev", type=float, default=0.01, help="posterior standard deviation at the start")
    parser.add_argument("--warmup-epochs", type=float, default=0, help="over which the KL weight rises to 1 / N")
    parser.add_argument("--num-validation", type=int, help="last training images to hold out; default: one in six")
    parser.add_argument(
        "--num-unfamiliar", type=int, default=1000, help="images of each kind that is not the data set's"
    )
    parser.add_argument("--num-draws", type=int, default=50, help="weight draws of a prediction, dropout masks too")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/out_of_distribution"))
    return parser.parse_args()


def trained(name: str, args: argparse.Namespace, dataset: bnn.datasets.Dataset) -> tuple[list[keras.Model], float]:
    """Returns a classifier's networks, those of an earlier run or newly trained ones, and how long that took."""
    start = name.lower().replace(" ", "-")
    paths = [args.output_dir / f"{start}-{member}.keras" for member in range(CLASSIFIERS[name].members)]

    def train() -> dict[str, float]:
        (x, y), _ = reporting.split_validation(dataset, args.num_validation)
        fields = (field.name for field in dataclasses.fields(Recipe))
        recipe = Recipe(**{field: getattr(args, field) for field in fields})
        log.info("training: %s", name)
        models, seconds = classifiers.timed(classifiers.train, name, recipe, dataset, x, y, args.seed)
        for model, path in zip(models, paths, strict=True):
            model.save(path)
        return {"seconds": seconds}

    of_predictions = ("networks", "num_unfamiliar", "num_draws")
    found = read_or_make(args.output_dir / f"{start}.json", settings(args, but=of_predictions), train)
    return [reporting.load_model(path) for path in paths], found["seconds"]


def detection(known: bnn.Predictive, unknown: bnn.Predictive) -> dict[str, dict[str, float]]:
    """Returns how well each score tells unknown images from known ones."""
    found = {}
    for name, score in SCORES.items():
        scores = score(known), score(unknown)
        found[name] = {
            "auroc": bnn.metrics.auroc(*scores),
            "aupr": bnn.metrics.aupr(*scores),
            "fpr_at_95_tpr": bnn.metrics.fpr_at_tpr(*scores, tpr=0.95),
        }
    return found


def evaluate(predictives: dict[str, bnn.Predictive], labels: np.ndarray) -> dict[str, Any]:
    """Returns a classifier's quality on the test images, and how it meets the others."""
    known = predictives["test"]
    probabilities = known.class_probabilities()
    correct = probabilities.argmax(axis=-1) == labels
    quality = {
        **reporting.quality(known, labels),
        "brier": bnn.metrics.brier_score(probabilities, labels),
        "accuracy_rejection_area": bnn.metrics.accuracy_rejection_area(probabilities.max(axis=-1), correct),
    }
    return {
        "test": quality,
        "entropy": {name: float(predictive.entropy().mean()) for name, predictive in predictives.items()},
        "detection": {name: detection(known, unknown) for name, unknown in predictives.items() if name != "test"},
    }


def draw(args: argparse.Namespace, everything: dict[str, dict[str, bnn.Predictive]], labels: np.ndarray) -> None:
    """Writes the pictures that compare the networks."""
    tests = {network: predictives["test"] for network, predictives in everything.items()}
    first, predictives = next(iter(everything.items()))
    unknown = {name: predictive for name, predictive in predictives.items() if name != "test"}
    other = next(iter(unknown))
    scores = {network: (found["test"].entropy(), found[other].entropy()) for network, found in everything.items()}
    figures = {
        "entropy": bnn.plots.entropy_histograms(predictives["test"], unknown),
        "roc": bnn.plots.roc(scores),
        "reliability": bnn.plots.reliability(tests, labels),
        "accuracy_rejection": bnn.plots.accuracy_rejection(tests, labels),
    }
    log.info("entropy.png is of %s; roc.png of %s against the test images", first, other)
    for name, figure in figures.items():
        reporting.save_figure(figure, args.output_dir, name)


def draw_first(args: argparse.Namespace, models: list[keras.Model], dataset: bnn.datasets.Dataset, test: Any) -> None:
    """Writes the pictures of the first network: a test image turned around, and the images that it is least sure of."""
    first, names = args.networks[0], dataset.class_names
    turned = np.concatenate([unfamiliar_images.rotated(dataset.x_test[:1], angle) for angle in ANGLES])
    predictive = classifiers.predict(first, models, turned, args.num_draws, args.seed)
    figures = {
        "rotation": bnn.plots.rotation(turned, ANGLES, predictive, dataset.y_test[0], names),
        "least_sure": bnn.plots.least_sure(dataset.x_test, test, dataset.y_test, names),
    }
    for name, figure in figures.items():
        reporting.save_figure(figure, args.output_dir, name)


def main() -> None:
    """Trains what has not been trained, predicts, and writes everything down."""
    args = parse_arguments()
    reporting.check_at_least_one(args, "epochs", "batch_size", "num_draws", "num_unfamiliar")
    reporting.check_positive(args, "learning_rate", "prior_scale", "initial_stddev")
    reporting.make_output_directory(args.output_dir)
    dataset = reporting.load_dataset(args.dataset, args.data_dir)
    images = unfamiliar_images.unfamiliar_images(dataset, args.data_dir, args.num_unfamiliar, args.seed)
    devices = reporting.log_devices()
    everything, results = {}, {}
    for name in args.networks:
        models, seconds_of_training = trained(name, args, dataset)
        predict = (name, models, dataset.x_test, args.num_draws, args.seed)
        test, seconds = classifiers.timed(classifiers.predict, *predict)
        everything[name] = {"test": test} | {
            kind: classifiers.predict(name, models, x, args.num_draws, args.seed) for kind, x in images.items()
        }
        if name == args.networks[0]:
            draw_first(args, models, dataset, test)
        results[name] = {
            "parameters": sum(model.count_params() for model in models),
            "seconds_of_training": seconds_of_training,
            "seconds_of_prediction": seconds,
            **evaluate(everything[name], dataset.y_test),
        }
        log.info("%s: error %.2f %%, %.4f nats, ECE %.4f", name, *list(results[name]["test"].values())[:3])
    draw(args, everything, dataset.y_test)
    report = {"dataset": dataset.name, "networks": results, **reporting.provenance(args, devices)}
    reporting.write_json(report, args.output_dir / "out_of_distribution.json")
    log.info("AUROC of the entropy:\n%s", auroc_table(results).round(3).to_string())


def auroc_table(results: dict[str, Any]) -> pd.DataFrame:
    """Returns the AUROC of the entropy: a row for each network, a column for each kind of image."""
    return pd.DataFrame(
        {
            network: {kind: scores["entropy"]["auroc"] for kind, scores in result["detection"].items()}
            for network, result in results.items()
        }
    ).T


if __name__ == "__main__":
    reporting.exit_on_error(main)
