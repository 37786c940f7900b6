"""The regression of Blundell et al. 2015, section 5.2: quartiles of a Bayesian network beside a plain one.

`y = x + 0.3 sin(2 pi (x + e)) + 0.3 sin(4 pi (x + e)) + e` with e from N(0, 0.02^2), x from 0 to 0.5 in training and
from -0.2 to 1.2 in the picture. OUTPUT_DIR then holds curve.png, model.keras and metrics.json.
"""

import argparse
import math
import time
from pathlib import Path

import keras
import numpy as np

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.reporting import log

NOISE_STDDEV = 0.02
# Of y about the curve: the slope carries the noise of x into y.
SCALE = 0.06
STEPS_PER_EPOCH = 50
WIDTHS = (100, 100)


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--num-points", type=int, default=256, help="points of training")
    parser.add_argument("--steps", type=int, default=10_000, help="training steps, each with all points")
    parser.add_argument("--learning-rate", type=float, default=0.01, help="of Adam at the start; it falls to 0")
    parser.add_argument("--num-draws", type=int, default=500, help="weight draws of the prediction")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/regression_curve"))
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    return parser.parse_args()


def curve(x: np.ndarray, noise: np.ndarray | float = 0.0) -> np.ndarray:
    """Returns y."""
    return x + 0.3 * np.sin(2 * np.pi * (x + noise)) + 0.3 * np.sin(4 * np.pi * (x + noise)) + noise


def make_data(num_points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the noisy points, [n, 1] each."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.0, 0.5, (num_points, 1))
    return x.astype("float32"), curve(x, rng.normal(0, NOISE_STDDEV, x.shape)).astype("float32")


def bayesian_layers() -> list[keras.layers.Layer]:
    """Returns the layers of the Bayesian network; they share the prior."""
    prior = bnn.priors.ScaleMixture(sigma_1=1.5, sigma_2=0.1, pi=0.5)
    posterior = bnn.posteriors.MeanFieldNormal(initial_stddev=0.02)
    hidden = [bnn.layers.DenseVariational(width, posterior, prior, activation="relu") for width in WIDTHS]
    return [*hidden, bnn.layers.DenseVariational(1, posterior, prior)]


def plain_layers() -> list[keras.layers.Layer]:
    """Returns the layers of the plain network."""
    return [
        *(keras.layers.Dense(width, "relu", kernel_initializer="he_normal") for width in WIDTHS),
        keras.layers.Dense(1),
    ]


def train(
    layers: list[keras.layers.Layer], x: np.ndarray, y: np.ndarray, args: argparse.Namespace
) -> tuple[keras.Model, float]:
    """Returns the trained network, and the seconds that it took."""
    epochs = math.ceil(args.steps / STEPS_PER_EPOCH)
    # The inputs are stretched, or the first layer's kinks would all lie at 0.
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(4.0, offset=-1.0), *layers])
    decay = keras.optimizers.schedules.CosineDecay(args.learning_rate, epochs * STEPS_PER_EPOCH)
    model.compile(keras.optimizers.Adam(decay), loss=bnn.likelihoods.Normal(scale=SCALE))
    callbacks = [bnn.callbacks.EverySteps(2000, lambda step: log.info("step %d", step))]
    if bnn.layers.variational_layers(model):
        callbacks.append(bnn.callbacks.KLWeight(len(x), warmup_epochs=epochs / 2))
    started = time.perf_counter()
    reporting.repeats_data()
    many = [np.tile(values, (STEPS_PER_EPOCH, 1)) for values in (x, y)]
    model.fit(*many, batch_size=len(x), shuffle=False, epochs=epochs, verbose=0, callbacks=callbacks)
    return model, time.perf_counter() - started


def interquartile_range(x_test: np.ndarray, predictive: bnn.Predictive) -> dict[str, float]:
    """Returns the mean interquartile range of the network's curve where there are data and where there are none."""
    low, high = np.quantile(predictive.draws[..., 0], (0.25, 0.75), axis=0)
    inside, outside = (x_test[:, 0] >= 0) & (x_test[:, 0] <= 0.5), x_test[:, 0] >= 0.7
    return {"inside": float((high - low)[inside].mean()), "outside": float((high - low)[outside].mean())}


def main() -> None:
    """Trains both networks, predicts, and writes everything down."""
    args = parse_arguments()
    reporting.check_at_least_one(args, "num_points", "steps", "num_draws")
    reporting.make_output_directory(args.output_dir)
    keras.utils.set_random_seed(args.seed)
    x, y = make_data(args.num_points, args.seed)
    devices = reporting.log_devices()
    model, seconds = train(bayesian_layers(), x, y, args)
    plain, _ = train(plain_layers(), x, y, args)
    x_test = np.linspace(-0.2, 1.2, 281, dtype="float32").reshape(-1, 1)
    predictive = bnn.predict(model, x_test, args.num_draws, seed=args.seed)
    networks = {
        "Bayes by Backprop": predictive,
        "Plain network": bnn.Predictive(plain.predict(x_test, verbose=0)[np.newaxis], model.loss),
    }
    picture = bnn.plots.quartiles(x, y, x_test, networks, truth=curve(x_test[:, 0]))
    reporting.save_figure(picture, args.output_dir, "curve")
    log.info("wrote %s", reporting.save_model(model, args.output_dir))
    ranges = interquartile_range(x_test, predictive)
    inside = (x_test[:, 0] >= 0) & (x_test[:, 0] <= 0.5)
    errors = {
        name: float(np.sqrt(np.mean((p.mean()[inside, 0] - curve(x_test[inside, 0])) ** 2)))
        for name, p in networks.items()
    }
    report = {
        "interquartile_range": ranges,
        "ratio": ranges["outside"] / ranges["inside"],
        "rmse_inside": errors,
        "seconds": round(seconds, 1),
        **reporting.provenance(args, devices),
    }
    reporting.write_json(report, args.output_dir / "metrics.json")
    log.info("interquartile range: %.3f where there are data, %.3f beyond", *ranges.values())


if __name__ == "__main__":
    reporting.exit_on_error(main)
