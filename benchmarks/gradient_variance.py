"""Measures how much the estimators' noise makes the gradient of a minibatch vary.

Run by hand, on Keras's JAX backend: `KERAS_BACKEND=jax python benchmarks/gradient_variance.py`. It prints a table and
writes docs/results/gradient_variance.json.

The minibatch is held still and the weights' noise is drawn anew, so the variance is that of the noise alone. The loss
is the data's term, the mean cross-entropy of the minibatch; the KL term in closed form has no noise. Numbers are the
trace of the gradient's covariance, with regard to the posterior's means and to its rhos, averaged over minibatches: of
random data for two small networks, of the digits of mnist_sample for a perceptron and for LeNet5, where the kernels are
also taken together ("all"). Each minibatch gives an unbiased estimate, and their scatter the standard error; the
estimators see the same minibatches.

Sources: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick", section 2;
Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches", figure 1.
"""

import argparse
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import keras
import numpy as np

import tfp_bnn as bnn
from tfp_bnn._numerics.noise import counted

ESTIMATORS = ("reparameterization", "antithetic", "flipout", "local_reparameterization")
BATCH_SIZES = (1, 8, 32, 128)
NUM_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Network:
    """A classifier to measure: how it is made, on which data, and where.

    Args:
        make: the function of an estimator and a posterior that returns the model.
        batch_sizes: sizes of minibatches.
        stddevs: standard deviations of the posterior.
        digits: whether the data are digits; else they are random.
    """

    make: Callable[[str, bnn.posteriors.Posterior], keras.Sequential]
    batch_sizes: Sequence[int]
    stddevs: Sequence[float]
    digits: bool


def small(shape: tuple[int, ...], first: type[keras.layers.Layer], *arguments: int) -> Callable[..., keras.Sequential]:
    """Returns the function that makes a network of two Bayesian layers, ReLU between them."""

    def make(estimator: str, posterior: bnn.posteriors.Posterior) -> keras.Sequential:
        layers = [first(*arguments, activation="relu", estimator=estimator, posterior=posterior)]
        layers += [keras.layers.Flatten(), bnn.layers.Dense(NUM_CLASSES, estimator=estimator, posterior=posterior)]
        return keras.Sequential([keras.Input(shape), *layers])

    return make


IMAGES = {"batch_sizes": (128,), "stddevs": (0.01, 0.05, 0.15), "digits": True}
SMALL = {"batch_sizes": BATCH_SIZES, "stddevs": (0.1,), "digits": False}
NETWORKS = {
    "dense": Network(small((20,), bnn.layers.Dense, 32), **SMALL),
    "conv": Network(small((8, 8, 2), bnn.layers.Conv2D, 8, 3), **SMALL),
    "784-100-10": Network(
        lambda estimator, posterior: bnn.models.mlp((28, 28, 1), (100,), estimator=estimator, posterior=posterior),
        **IMAGES,
    ),
    "lenet5": Network(
        lambda estimator, posterior: bnn.models.lenet5(estimator=estimator, posterior=posterior), **IMAGES
    ),
}

Array = Any
# Of each kernel: its posterior's means and rhos.
Parameters = Sequence[tuple[Array, Array]]


class Estimate(NamedTuple):
    """A mean over minibatches and its standard error."""

    value: float
    standard_error: float


def kernels_of(model: keras.Sequential) -> list[Any]:
    """Returns the variables of the kernels' posteriors."""
    return [layer.random_weights["kernel"][0] for layer in bnn.layers.variational_layers(model)]


def parameters_of(model: keras.Sequential) -> Parameters:
    """Returns means and rhos of the kernels."""
    return [(kernel.mean.value, kernel.rho.value) for kernel in kernels_of(model)]


def loss(parameters: Parameters, model: keras.Sequential, x: Array, labels: Array, seed: Array) -> Array:
    """Returns the mean cross-entropy of a minibatch at one draw of the noise."""
    noise, kernels = counted(seed), iter(parameters)
    for layer in model.layers:
        if isinstance(layer, bnn.layers.VariationalLayer):
            mean, rho = next(kernels)
            x, _ = layer.noisy_outputs(
                x, {"kernel": bnn.posteriors.NormalWeights(mean, keras.ops.softplus(rho))}, noise
            )
        else:
            x = layer(x)
    return keras.ops.mean(keras.ops.sparse_categorical_crossentropy(labels, x, from_logits=True))


def gradient_variances(
    parameters: Parameters,
    model: keras.Sequential,
    x: Array,
    labels: Array,
    num_draws: int,
    seed: int,
) -> np.ndarray:
    """Returns the trace of the gradient's covariance, [minibatches, kernels, means and rhos].

    Args:
        parameters: where the gradient is taken.
        model: the network.
        x: minibatches, [minibatches, examples, ...].
        labels: their labels.
        num_draws: draws of the noise for each minibatch.
        seed: of the noise.
    """

    def trace(gradient: Array) -> Array:
        return keras.ops.sum(keras.ops.var(gradient, axis=0)) * num_draws / (num_draws - 1)

    def of_minibatch(minibatch: tuple[Array, Array, Array]) -> Array:
        images, classes, number = minibatch
        seeds = jax.numpy.stack([jax.numpy.full(num_draws, seed) + number, 100 * jax.numpy.arange(num_draws)], axis=1)
        gradient = jax.lax.map(lambda s: jax.grad(loss)(parameters, model, images, classes, s), seeds)
        return jax.numpy.array([[trace(mean), trace(rho)] for mean, rho in gradient])

    return np.asarray(jax.jit(lambda *data: jax.lax.map(of_minibatch, data))(x, labels, jax.numpy.arange(len(x))))


def estimate(values: np.ndarray) -> Estimate:
    """Returns the mean of independent values."""
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


def ratio(values: np.ndarray, reference: np.ndarray) -> Estimate:
    """Returns the ratio of two means over the same minibatches, its standard error by the delta method."""
    quotient = values.mean() / reference.mean()
    return Estimate(float(quotient), estimate((values - quotient * reference) / reference.mean()).standard_error)


def rounded(result: Estimate) -> dict[str, float]:
    """Returns it for the JSON file."""
    return {name: float(f"{value:.4g}") for name, value in result._asdict().items()}


def minibatches_of(network: Network, shape: tuple[int, ...], number: int, size: int, seed: int) -> tuple[Array, Array]:
    """Returns inputs [number, size, ...] and labels [number, size]."""
    rng = np.random.default_rng([seed, size])
    if network.digits:
        digits = bnn.datasets.load("mnist_sample")
        rows = np.stack([rng.choice(len(digits.x_train), size, replace=False) for _ in range(number)])
        return digits.x_train[rows], digits.y_train[rows]
    x = rng.normal(size=(number, size, *shape)).astype("float32")
    return x, rng.integers(NUM_CLASSES, size=(number, size))


def measure(name: str, num_minibatches: int, num_draws: int, seed: int) -> list[dict[str, Any]]:
    """Returns the variances of one network, a row for each standard deviation, batch size, kernel and kind."""
    network, rows = NETWORKS[name], []
    for stddev in network.stddevs:
        keras.utils.set_random_seed(seed)
        posterior = bnn.posteriors.MeanFieldNormal(initial_stddev=stddev)
        models = {estimator: network.make(estimator, posterior) for estimator in ESTIMATORS}
        first = models[ESTIMATORS[0]]
        parameters = parameters_of(first)  # the same for all
        for size in network.batch_sizes:
            x, labels = minibatches_of(network, first.input_shape[1:], num_minibatches, size, seed)
            variances = {
                estimator: gradient_variances(parameters, model, x, labels, num_draws, seed)
                for estimator, model in models.items()
            }
            place = {"network": name, "posterior_stddev": stddev, "batch_size": size}
            rows += rows_of(place, variances, together=network.digits)
    return rows


def rows_of(place: Mapping[str, Any], variances: Mapping[str, np.ndarray], together: bool) -> list[dict[str, Any]]:
    """Returns a row for each kernel and kind of parameter; if asked, for all kernels together too."""
    rows = []
    num_kernels = variances[ESTIMATORS[0]].shape[1]
    kernels = {f"kernel {k + 1}": slice(k, k + 1) for k in range(num_kernels)}
    if together:
        kernels["all"] = slice(None)
    for kernel, part in kernels.items():
        for j, kind in enumerate(("means", "rhos")):
            columns = {estimator: values[:, part, j].sum(axis=1) for estimator, values in variances.items()}
            rows.append({**place, "kernel": kernel, "parameters": kind})
            for estimator, values in columns.items():
                to_reference = rounded(ratio(values, columns[ESTIMATORS[0]]))
                to_flipout = rounded(ratio(values, columns["flipout"]))
                rows[-1][estimator] = {**rounded(estimate(values)), "ratio": to_reference, "to_flipout": to_flipout}
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table: the variance for reparameterization, and the others as ratios to it."""
    reference, *others = ESTIMATORS
    lines = [["network", "stddev", "kernel", "gradient by", "batch", reference, *(f"{name}, ratio" for name in others)]]
    lines.append(["---"] * len(lines[0]))
    for row in rows:
        cells = [row[name] for name in ("network", "posterior_stddev", "kernel", "parameters", "batch_size")]
        cells.append(f"{row[reference]['value']:.3g} ± {row[reference]['standard_error']:.1g}")
        cells += ["{value:.3f} ± {standard_error:.3f}".format(**row[name]["ratio"]) for name in others]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def dumps(content: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns JSON with each row in a line of its own."""
    lines = ",\n".join(f"    {json.dumps(row)}" for row in rows)
    return f'{json.dumps(content, indent=2)[:-2]},\n  "rows": [\n{lines}\n  ]\n}}\n'


def main() -> None:
    """Measures, prints the table and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-minibatches", type=int, default=100, help="minibatches of each size")
    parser.add_argument("--num-draws", type=int, default=10, help="draws of the noise for each minibatch")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="which to measure")
    parser.add_argument("--image-minibatches", type=int, default=8, help="minibatches of digits")
    parser.add_argument("--json", type=Path, default=Path("docs/results/gradient_variance.json"), help="the results")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, data and noise")
    args = parser.parse_args()
    if keras.backend.backend() != "jax":
        sys.exit("error: this script needs Keras's JAX backend; set KERAS_BACKEND=jax")
    start = time.perf_counter()
    rows = []
    for name in args.networks:
        number = args.image_minibatches if NETWORKS[name].digits else args.num_minibatches
        rows += measure(name, number, args.num_draws, args.seed)
        print(f"{name}: done after {time.perf_counter() - start:.0f} s", flush=True)
    packages = ("tfp-bnn", "keras", "jax", "numpy")
    content = {
        "command": shlex.join(["KERAS_BACKEND=jax", "python", "benchmarks/gradient_variance.py", *sys.argv[1:]]),
        "seed": args.seed,
        "minibatches": args.num_minibatches,
        "minibatches_of_digits": args.image_minibatches,
        "draws_for_each_minibatch": args.num_draws,
        "seconds": round(time.perf_counter() - start, 1),
        "versions": {"python": sys.version.split()[0], **{name: metadata.version(name) for name in packages}},
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(dumps(content, rows))
    print(f"{markdown(rows)}\n\nWrote {args.json}")


if __name__ == "__main__":
    main()
