"""Fits a sinusoid with a Bayesian network whose scale-mixture prior is learned, and shows where it is unsure.

32 noisy points of `10 sin(2 pi x)` on [-0.5, 0.5]; the picture goes to [-1.5, 1.5]. OUTPUT_DIR then holds
regression.png, curves.png, model.keras and metrics.json with the learned prior's parameters.
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

NOISE_STDDEV = 1.0
NUM_POINTS = 32
# Keras spends more on the start of an epoch than on a step with all the points, so an epoch has many such steps.
STEPS_PER_EPOCH = 50


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000, help="training steps, each with all points")
    parser.add_argument("--learning-rate", type=float, default=0.03, help="of Adam at the start; it falls to 0")
    parser.add_argument("--num-draws", type=int, default=500, help="weight draws of the prediction")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/regression"))
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    args = parser.parse_args()
    reporting.check_at_least_one(args, "steps", "num_draws")
    return args


def sinusoid(x: np.ndarray) -> np.ndarray:
    """Returns the curve without noise."""
    return 10 * np.sin(2 * np.pi * x)


def make_data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the noisy points, [32, 1] each."""
    x = np.linspace(-0.5, 0.5, NUM_POINTS).reshape(-1, 1)
    noise = np.random.default_rng(seed).normal(0, NOISE_STDDEV, x.shape)
    return x.astype("float32"), (sinusoid(x) + noise).astype("float32")


def make_model(prior: bnn.priors.Prior, args: argparse.Namespace) -> keras.Model:
    """Returns the network, compiled; its three layers share the prior."""
    decay = keras.optimizers.schedules.CosineDecay(args.learning_rate, args.steps)
    posterior = bnn.posteriors.MeanFieldNormal(initial_stddev=0.02, mean_initializer="glorot_normal")
    model = keras.Sequential(
        [
            keras.Input((1,)),
            bnn.layers.DenseVariational(20, posterior, prior, activation="relu"),
            bnn.layers.DenseVariational(20, posterior, prior, activation="relu"),
            bnn.layers.DenseVariational(1, posterior, prior),
        ]
    )
    model.compile(keras.optimizers.Adam(decay), loss=bnn.likelihoods.Normal(scale=NOISE_STDDEV))
    return model


def figures(x_test: np.ndarray, predictive: bnn.Predictive) -> dict[str, float]:
    """Returns the epistemic standard deviation inside and outside the data, and the error inside."""
    position, stddev = np.abs(x_test[:, 0]), predictive.epistemic_stddev()[:, 0]
    inside, outside = position <= 0.5, position >= 1.0
    error = predictive.mean()[inside, 0] - sinusoid(x_test[inside, 0])
    return {
        "epistemic_stddev_inside": float(stddev[inside].mean()),
        "epistemic_stddev_outside": float(stddev[outside].mean()),
        "ratio": float(stddev[outside].mean() / stddev[inside].mean()),
        "rmse_inside": float(np.sqrt(np.mean(error**2))),
    }


def main() -> None:
    """Trains, predicts, and writes everything down."""
    args = parse_arguments()
    reporting.make_output_directory(args.output_dir)
    keras.utils.set_random_seed(args.seed)
    x, y = make_data(args.seed)
    prior = bnn.priors.ScaleMixture(sigma_1=1.0, sigma_2=0.1, pi=0.2, trainable=True)
    model = make_model(prior, args)
    epochs = math.ceil(args.steps / STEPS_PER_EPOCH)
    log.info("training on %d points for %d steps", len(x), epochs * STEPS_PER_EPOCH)
    started = time.perf_counter()
    reporting.repeats_data()
    history = model.fit(
        np.tile(x, (STEPS_PER_EPOCH, 1)),
        np.tile(y, (STEPS_PER_EPOCH, 1)),
        batch_size=NUM_POINTS,
        shuffle=False,
        epochs=epochs,
        verbose=0,
        callbacks=[
            # Fit first, then pay for it: without the warm-up the prior shrinks and most units die.
            bnn.callbacks.KLWeight(num_examples=NUM_POINTS, warmup_epochs=epochs / 2),
            bnn.callbacks.EverySteps(500, lambda step: log.info("step %d", step)),
        ],
    )
    seconds = time.perf_counter() - started

    x_test = np.linspace(-1.5, 1.5, 301, dtype="float32").reshape(-1, 1)
    predictive = bnn.predict(model, x_test, args.num_draws, seed=args.seed)
    picture = bnn.plots.regression(x, y, x_test, predictive, truth=sinusoid(x_test[:, 0]))
    reporting.save_figure(picture, args.output_dir, "regression")
    reporting.save_figure(bnn.plots.training_curves(history), args.output_dir, "curves")
    log.info("wrote %s", reporting.save_model(model, args.output_dir))
    learned = {name: float(getattr(prior, name)) for name in ("sigma_1", "sigma_2", "pi")}
    metrics = {
        "prior": learned,
        **figures(x_test, predictive),
        "loss": history.history["loss"][-1],
        "nll": history.history["nll"][-1],
        "kl": history.history["kl"][-1],
        "steps": epochs * STEPS_PER_EPOCH,
        "seconds": round(seconds, 1),
        "seed": args.seed,
        "command": reporting.command(),
        "versions": reporting.versions(),
    }
    reporting.write_json(metrics, args.output_dir / "metrics.json")
    log.info("learned prior: sigma_1 %.3f, sigma_2 %.3f, pi %.3f", *learned.values())
    log.info("epistemic standard deviation outside the data: %.1f times that inside", metrics["ratio"])


if __name__ == "__main__":
    reporting.exit_on_error(main)
