"""Makes the last layer of a trained image network Bayesian, trains it on, and shows what that brings.

The images are the 1,797 digits of 8 x 8 pixels that scikit-learn ships; digits turned on their side stand for
unfamiliar ones. Beside it stands the plain network, trained on as long. OUTPUT_DIR then holds reliability.png,
entropy.png, model.keras and metrics.json.
"""

import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import tfp_bnn as bnn
from scripts.common import examples, reporting
from scripts.common.reporting import ScriptError, log

NUM_DIGITS = 1797
LAST = "Bayesian last layer"


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = examples.make_parser(__doc__, "last_layer", epochs=20, learning_rate=0.003)
    parser.add_argument("--num-images", type=int, default=300, help="digits of the training; the others are the test")
    return examples.parse(parser, quick_epochs=10)


def load_images(num_images: int, seed: int) -> list[np.ndarray]:
    """Returns images to train on and to test, then the labels of both; pixels are from 0 to 1."""
    digits = load_digits()
    images = (digits.images[..., np.newaxis] / 16).astype("float32")
    labels = digits.target.astype("int32")
    return train_test_split(images, labels, train_size=num_images, random_state=seed, stratify=labels)


def make_model() -> keras.Model:
    """Returns the plain network, not compiled."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, name="last"),
        ]
    )


def figures(predictive: bnn.Predictive, labels: np.ndarray, turned: bnn.Predictive) -> dict[str, float]:
    """Returns how good the predictions are, and how well the doubt tells turned digits from the others."""
    return {
        **examples.quality(predictive, labels),
        "entropy": float(predictive.entropy().mean()),
        "entropy, turned": float(turned.entropy().mean()),
        "auroc, turned": bnn.metrics.auroc(predictive.entropy(), turned.entropy()),
    }


def main() -> None:
    """Trains the networks, predicts, and writes everything down."""
    args = parse_arguments()
    if not 10 <= args.num_images <= NUM_DIGITS - 10:
        raise ScriptError(f"--num-images must be from 10 to {NUM_DIGITS - 10}. Received: {args.num_images}")
    devices = examples.start(args)
    x, x_test, y, y_test = load_images(args.num_images, args.seed)
    turned = np.rot90(x_test, axes=(1, 2)).copy()
    plain = make_model()
    log.info("training the plain network on %d digits", len(x))
    examples.train(plain, x, y, bnn.likelihoods.Categorical(), args)
    networks = {"plain": plain, "plain, trained on": examples.copy_of(plain)}
    networks[LAST] = bnn.to_bayesian(plain, layers="last", prior=bnn.priors.Normal(scale=0.5))
    for name in ("plain, trained on", LAST):
        log.info("%s, from the plain one's weights", name)
        examples.train(networks[name], x, y, bnn.likelihoods.Categorical(), args)
    log.info("wrote %s", reporting.save_model(networks[LAST], args.output_dir))
    tests = {name: examples.predict(network, x_test, args) for name, network in networks.items()}
    turns = {name: examples.predict(network, turned, args) for name, network in networks.items()}
    reporting.save_figure(bnn.plots.reliability(tests, y_test), args.output_dir, "reliability")
    picture = bnn.plots.entropy_histograms(tests[LAST], {"turned": turns[LAST]})
    reporting.save_figure(picture, args.output_dir, "entropy")
    rows = {name: figures(tests[name], y_test, turns[name]) for name in networks}
    examples.finish(args, devices, f"{len(x_test)} digits, and the same turned", rows)


if __name__ == "__main__":
    reporting.exit_on_error(main)
