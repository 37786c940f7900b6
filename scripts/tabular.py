"""Predicts how a disease goes on, with intervals, by a Bayesian network with two inputs: scikit-learn's diabetes data.

Four numbers of the person and six of the blood go in apart; the network is a plain functional one, made Bayesian. It
predicts the noise too. OUTPUT_DIR then holds observed.png, model.keras and metrics.json.
"""

import argparse

import keras
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

import tfp_bnn as bnn
from scripts.common import examples, reporting
from scripts.common.reporting import ScriptError, log

PERSON, BLOOD = slice(0, 4), slice(4, 10)
LEVELS = (0.5, 0.9)


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = examples.make_parser(__doc__, "tabular", epochs=60, learning_rate=0.01)
    parser.add_argument("--test-share", type=float, default=0.4, help="share of the patients that are held out")
    return examples.parse(parser, quick_epochs=30)


class Standardizer:
    """Values less the mean of those of the training, in units of their standard deviation."""

    def __init__(self, training: np.ndarray):
        self.mean, self.stddev = training.mean(axis=0), training.std(axis=0)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Returns the values standardized."""
        return ((values - self.mean) / self.stddev).astype("float32")


def inputs(features: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the network's inputs, by name."""
    return {"person": features[:, PERSON], "blood": features[:, BLOOD]}


def make_model() -> keras.Model:
    """Returns the plain network, not compiled: location, and what the scale comes from."""
    layers = keras.layers
    person, blood = keras.Input((4,), name="person"), keras.Input((6,), name="blood")
    of_person = layers.Dense(16, activation="relu", name="of_person")(person)
    of_blood = layers.Dense(16, activation="relu", name="of_blood")(blood)
    both = layers.Dense(16, activation="relu", name="both")(layers.Concatenate()([of_person, of_blood]))
    outputs = layers.Dense(2, name="location_and_scale")(both)
    return keras.Model({"person": person, "blood": blood}, outputs, name="diabetes")


def figures(predictive: bnn.Predictive, y: np.ndarray, standard: Standardizer) -> dict[str, float]:
    """Returns error, log-likelihood, and the share of targets in each interval, in the units of the targets.

    Args:
        predictive: of the standardized targets.
        y: the standardized targets, [n, 1].
        standard: what standardized them.
    """
    unit = float(standard.stddev[0])
    found = {
        "rmse": unit * float(np.sqrt(np.mean((predictive.mean() - y) ** 2))),
        "nats": float(predictive.log_prob(y).mean()) - float(np.log(unit)),
    }
    for level in LEVELS:
        low, high = predictive.quantiles(((1 - level) / 2, (1 + level) / 2))
        found[f"in {100 * level:g} % interval"] = bnn.metrics.coverage(y, low, high)
        found[f"width of {100 * level:g} %"] = unit * float((high - low).mean())
    return found


def main() -> None:
    """Trains, predicts, and writes everything down."""
    args = parse_arguments()
    if not 0 < args.test_share < 1:
        raise ScriptError(f"--test-share must lie between 0 and 1. Received: {args.test_share}")
    devices = examples.start(args)
    features, targets = load_diabetes(return_X_y=True, scaled=False)
    split = train_test_split(features, targets[:, np.newaxis], test_size=args.test_share, random_state=args.seed)
    of_features, of_targets = Standardizer(split[0]), Standardizer(split[2])
    x, x_test = (of_features.apply(values) for values in split[:2])
    y, y_test = (of_targets.apply(values) for values in split[2:])
    model = bnn.to_bayesian(make_model(), init="random", prior=bnn.priors.Normal(scale=0.5))
    log.info("training on %d patients; %d are held out", len(x), len(x_test))
    history = examples.train(model, inputs(x), y, bnn.likelihoods.Normal(), args)
    log.info("wrote %s", reporting.save_model(model, args.output_dir))
    predictive = examples.predict(model, inputs(x_test), args)
    picture = bnn.plots.observed(predictive, y_test, level=0.9)
    picture.axes[0].set(xlabel="Observed progression, standardized", ylabel="Predicted progression, standardized")
    reporting.save_figure(picture, args.output_dir, "observed")
    # The same for everyone: the mean and the standard deviation of the training.
    same = bnn.Predictive(np.zeros((1, len(y_test), 1)), bnn.likelihoods.Normal(scale=1.0))
    rows = {
        "Bayesian network": figures(predictive, y_test, of_targets),
        "the same for everyone": figures(same, y_test, of_targets),
    }
    title = f"{len(y_test)} patients held out, in units of the disease's progression"
    examples.finish(args, devices, title, rows, loss=history.history["loss"][-1])


if __name__ == "__main__":
    reporting.exit_on_error(main)
