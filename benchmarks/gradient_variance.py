"""Measures how much the three estimators' noise makes the gradient of a minibatch vary.

Run by hand, on Keras's JAX backend: `KERAS_BACKEND=jax python benchmarks/gradient_variance.py`. It prints a table and
writes docs/results/gradient_variance.json.

The minibatch is held still and the weights' noise is drawn anew, so the variance is that of the noise alone. The loss
is the data's term, the mean cross-entropy of the minibatch; the KL term in closed form has no noise. Numbers are the
trace of the gradient's covariance, with regard to the posterior's means and to its rhos, averaged over minibatches of
random data. Each minibatch gives an unbiased estimate, and their scatter the standard error; the estimators see the
same minibatches.

Sources: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick", section 2;
Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches", figure 1.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import keras
import numpy as np

import tfp_bnn as bnn
from tfp_bnn._numerics.noise import counted

ESTIMATORS = ("Reparameterization", "LocalReparameterization", "Flipout")
BATCH_SIZES = (1, 8, 32, 128)
NUM_CLASSES = 10
POSTERIOR_STDDEV = 0.1

# Shape of an input; family of layers, arguments and name of the kernel.
NETWORKS = {
    "dense": ((20,), [("Dense", (32,), "hidden"), ("Dense", (NUM_CLASSES,), "output")]),
    "conv": ((8, 8, 2), [("Conv2D", (8, 3), "conv"), ("Dense", (NUM_CLASSES,), "output")]),
}

Array = Any
# Of each kernel: its posterior's means and rhos.
Parameters = Sequence[tuple[Array, Array]]


class Estimate(NamedTuple):
    """A mean over minibatches and its standard error."""

    value: float
    standard_error: float


def make_layers(network: str, estimator: str) -> list[bnn.layers.VariationalLayer]:
    """Returns the layers of a classifier, built."""
    shape, families = NETWORKS[network]
    shape, layers = (None, *shape), []
    posterior = bnn.posteriors.MeanFieldNormal(initial_stddev=POSTERIOR_STDDEV)
    for family, arguments, _ in families:
        layer = getattr(bnn.layers, family + estimator)(*arguments, posterior=posterior)
        shape = (None, int(np.prod(shape[1:]))) if family == "Dense" else shape
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
        layers.append(layer)
    return layers


def parameters_of(layers: Sequence[bnn.layers.VariationalLayer]) -> Parameters:
    """Returns means and rhos of the kernels."""
    kernels = [layer.random_weights["kernel"][0] for layer in layers]
    return [(kernel.mean.value, kernel.rho.value) for kernel in kernels]


def loss(
    parameters: Parameters, layers: Sequence[bnn.layers.VariationalLayer], x: Array, labels: Array, seed: Array
) -> Array:
    """Returns the mean cross-entropy of a minibatch at one draw of the noise."""
    noise = counted(seed)
    for i, (layer, (mean, rho)) in enumerate(zip(layers, parameters, strict=True)):
        x = keras.ops.reshape(x, (len(x), -1)) if mean.ndim == 2 else x  # flat for a dense layer
        kernel = bnn.posteriors.NormalWeights(mean, keras.ops.softplus(rho))
        x, _ = layer.noisy_outputs(keras.ops.relu(x) if i else x, {"kernel": kernel}, noise)
    return keras.ops.mean(keras.ops.sparse_categorical_crossentropy(labels, x, from_logits=True))


def gradient_variances(
    parameters: Parameters,
    layers: Sequence[bnn.layers.VariationalLayer],
    x: Array,
    labels: Array,
    num_draws: int,
    seed: int,
) -> np.ndarray:
    """Returns the trace of the gradient's covariance, [minibatches, kernels, means and rhos].

    Args:
        parameters: where the gradient is taken.
        layers: the network.
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
        gradient = jax.vmap(lambda s: jax.grad(loss)(parameters, layers, images, classes, s))(seeds)
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


def measure(network: str, num_minibatches: int, num_draws: int, seed: int) -> list[dict[str, Any]]:
    """Returns the variances of one network, one row for each batch size, kernel and kind of parameter."""
    shape, families = NETWORKS[network]
    keras.utils.set_random_seed(seed)
    networks = {estimator: make_layers(network, estimator) for estimator in ESTIMATORS}
    parameters = parameters_of(networks[ESTIMATORS[0]])  # the same for all
    rows = []
    for batch_size in BATCH_SIZES:
        rng = np.random.default_rng([seed, batch_size])
        x = rng.normal(size=(num_minibatches, batch_size, *shape)).astype("float32")
        labels = rng.integers(NUM_CLASSES, size=(num_minibatches, batch_size))
        variances = {
            estimator: gradient_variances(parameters, layers, x, labels, num_draws, seed)
            for estimator, layers in networks.items()
        }
        for k, (*_, kernel) in enumerate(families):
            for j, kind in enumerate(("means", "rhos")):
                columns = {estimator: values[:, k, j] for estimator, values in variances.items()}
                rows.append({"network": network, "kernel": kernel, "parameters": kind, "batch_size": batch_size})
                for estimator, values in columns.items():
                    to_reference = rounded(ratio(values, columns[ESTIMATORS[0]]))
                    rows[-1][estimator] = {**rounded(estimate(values)), "ratio": to_reference}
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table: the variance for reparameterization, and the others as ratios to it."""
    reference, *others = ESTIMATORS
    lines = [["network", "kernel", "gradient by", "batch", reference, *(f"{name}, ratio" for name in others)]]
    lines.append(["---"] * len(lines[0]))
    for row in sorted(rows, key=lambda row: (row["network"] == "conv", row["kernel"] == "output", row["parameters"])):
        cells = [row[name] for name in ("network", "kernel", "parameters", "batch_size")]
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
    parser.add_argument("--json", type=Path, default=Path("docs/results/gradient_variance.json"), help="the results")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, data and noise")
    args = parser.parse_args()
    if keras.backend.backend() != "jax":
        sys.exit("error: this script needs Keras's JAX backend; set KERAS_BACKEND=jax")
    start = time.perf_counter()
    rows = [row for network in NETWORKS for row in measure(network, args.num_minibatches, args.num_draws, args.seed)]
    packages = ("tfp-bnn", "keras", "jax", "numpy")
    content = {
        "command": f"KERAS_BACKEND=jax python benchmarks/gradient_variance.py --seed {args.seed}"
        f" --num-minibatches {args.num_minibatches} --num-draws {args.num_draws}",
        "seed": args.seed,
        "minibatches": args.num_minibatches,
        "draws_for_each_minibatch": args.num_draws,
        "posterior_stddev": POSTERIOR_STDDEV,
        "seconds": round(time.perf_counter() - start, 1),
        "versions": {"python": sys.version.split()[0], **{name: metadata.version(name) for name in packages}},
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(dumps(content, rows))
    print(f"{markdown(rows)}\n\nWrote {args.json}")


if __name__ == "__main__":
    main()
