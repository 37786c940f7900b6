"""The statistical checks of one layer, whatever its library.

A verdict is "agrees" or "differs" (with the closed form or with what the check expects), or "not applicable: " and the
reason.
"""

import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.conformance.layer_under_test import (
    DEFAULT,
    PRIORS,
    Kl,
    LayerUnderTest,
    Prior,
    Weights,
    inputs_of,
    random_weights,
)

NUM_DRAWS = 10_000
# Of a KL divergence where its dtype or a factor of two is the question.
NUM_FEW_DRAWS = 1_000
STANDARD_ERRORS = 5
# Relative error of a KL divergence in closed form, computed in float32.
KL_TOLERANCE = 1e-4

CHECKS = {
    "output mean": "the outputs' mean against the closed form, in standard errors; the largest of all outputs",
    "output variance": "the outputs' variance, with the standard error from the fourth moment of the draws",
    "noise in a batch": "correlation of the outputs of two identical examples of one batch: 1 for reparameterization, "
    "0 for Flipout and local reparameterization; the output that is farthest from it",
    "kl": "the KL divergence that the library gives for the layer against that in float64, the sum over all weights; "
    "`seen_as` names the formula that it matches; Monte Carlo ones by the mean of their draws",
    "kl, called twice": "KL divergence of a model that calls the layer twice, over that of one that calls it once",
    "kl in half precision": "the dtype of the KL divergence must be float32",
    "saving": "the posterior's variables after the model was saved and loaded",
}


def linear(inputs: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Returns the product, or the convolution without padding, in float64."""
    inputs, kernel = inputs.astype("float64"), kernel.astype("float64")
    if kernel.ndim == 2:
        return inputs @ kernel + bias
    windows = np.lib.stride_tricks.sliding_window_view(inputs, kernel.shape[:2], axis=(1, 2))
    return np.einsum("bhwixy,xyio->bhwo", windows, kernel) + bias


def verdict(agrees: bool | np.bool_, **seen: Any) -> dict[str, Any]:
    """Returns the result of a check."""
    return {"verdict": "agrees" if agrees else "differs", **seen}


def deviation(errors: np.ndarray, standard_errors: np.ndarray) -> dict[str, Any]:
    """Returns the result for the largest of these errors."""
    largest = float(np.max(np.abs(errors) / standard_errors))
    return verdict(largest <= STANDARD_ERRORS, standard_errors=round(largest, 2), comparisons=int(errors.size))


def check_moments(layer: LayerUnderTest, weights: Weights) -> dict[str, Any]:
    """Compares mean and variance of the outputs with the closed form."""
    inputs = inputs_of(layer)
    draws = layer.draws(inputs, NUM_DRAWS).astype("float64")
    expected_mean = linear(inputs, weights.kernel_mean, weights.bias_mean)
    expected = linear(inputs**2, weights.kernel_stddev**2, weights.bias_stddev**2)
    centred = draws - draws.mean(axis=0)
    variance, fourth = (centred**2).mean(axis=0), (centred**4).mean(axis=0)
    return {
        "output mean": deviation(draws.mean(axis=0) - expected_mean, np.sqrt(variance / NUM_DRAWS)),
        # Given its signs an output is Gaussian; over the signs its tails are heavier, and so is the standard error.
        "output variance": deviation(variance - expected, np.sqrt((fourth - variance**2) / NUM_DRAWS)),
    }


def check_noise(layer: LayerUnderTest) -> dict[str, Any]:
    """Compares the noise of two identical examples."""
    draws = layer.draws(np.repeat(inputs_of(layer)[:1], 2, axis=0), NUM_DRAWS).astype("float64")
    noise = (draws - draws.mean(axis=0)) / draws.std(axis=0)
    products = noise[:, 0] * noise[:, 1]
    correlations, standard_errors = products.mean(axis=0).ravel(), products.std(axis=0).ravel() / math.sqrt(NUM_DRAWS)
    errors = np.abs(correlations - layer.correlation)
    limits = STANDARD_ERRORS * (1 / math.sqrt(NUM_DRAWS) if layer.correlation else standard_errors)
    return verdict(
        np.all(errors <= limits),
        expected=layer.correlation,
        farthest=round(float(correlations[errors.argmax()]), 4),
        comparisons=errors.size,
    )


def kl_formulas(weights: Weights, prior: Prior) -> dict[str, float]:
    """Returns what a library may mean by the KL divergence, the usual first."""

    def reduced(reduce: Callable[[np.ndarray], Any], prior: Prior) -> float:
        return float(sum(reduce(prior.kl(*tensor)) for tensor in weights.random()))

    variance_as_stddev = prior._replace(sigma_1=prior.sigma_1**2)
    return {
        "sum over weights": reduced(np.sum, prior),
        "mean over the weights of each tensor": reduced(np.mean, prior),
        "sum, prior's variance in place of its standard deviation": reduced(np.sum, variance_as_stddev),
        "mean, prior's variance in place of its standard deviation": reduced(np.mean, variance_as_stddev),
        "sum, 1e-6 added to the prior's density": reduced(np.sum, prior._replace(floor=1e-6)),
    }


def draw_kl(layer: LayerUnderTest, num_draws: int = NUM_FEW_DRAWS, num_calls: int = 1) -> Kl:
    """Returns one KL divergence if it is the same each time, otherwise many."""
    few = layer.kl(10, num_calls)
    return Kl(few.draws[:1], few.dtype) if np.ptp(few.draws) == 0 else layer.kl(num_draws, num_calls)


def check_kl(layer: LayerUnderTest, weights: Weights, prior: Prior) -> dict[str, Any]:
    """Compares the KL divergence with the formulas."""
    draws, formulas = draw_kl(layer, NUM_DRAWS).draws, kl_formulas(weights, prior)
    expected = formulas["sum over weights"]
    tolerances = {name: KL_TOLERANCE * abs(value) for name, value in formulas.items()}
    seen: dict[str, Any] = {"library": draws.mean(), "float64": expected}
    if len(draws) > 1:
        standard_error = draws.std() / math.sqrt(len(draws))
        tolerances = dict.fromkeys(formulas, STANDARD_ERRORS * standard_error)
        seen["standard_errors"] = abs(draws.mean() - expected) / standard_error
    matches = [name for name, value in formulas.items() if abs(draws.mean() - value) <= tolerances[name]]
    seen = {name: round(float(value), 4) for name, value in seen.items()}
    seen_as = matches[0] if matches else "none of the formulas"
    return verdict(seen_as == "sum over weights", **seen, monte_carlo=len(draws) > 1, seen_as=seen_as)


def check_kl_called_twice(once: LayerUnderTest, twice: LayerUnderTest) -> dict[str, Any]:
    """Compares a model that calls a layer twice with one that calls it once."""
    ratio = draw_kl(twice, num_calls=2).draws.mean() / draw_kl(once).draws.mean()
    return verdict(abs(ratio - 1) < 0.1, ratio=round(float(ratio), 3))


def check_half_precision(layer: LayerUnderTest, expected: float) -> dict[str, Any]:
    """Looks at the dtype of the KL divergence."""
    kl = draw_kl(layer)
    return verdict(
        kl.dtype == "float32", dtype=kl.dtype, relative_to_float32=float(f"{kl.draws.mean() / expected - 1:.1e}")
    )


def check_saving(layer: LayerUnderTest, file_format: str) -> dict[str, Any]:
    """Compares the posterior's variables before and after."""
    with tempfile.TemporaryDirectory() as directory:
        before, after = layer.reloaded(file_format, Path(directory))
    return verdict(all(np.array_equal(*pair) for pair in zip(before, after, strict=True)))


def message_of(error: Exception) -> str:
    """Returns what an error says, in one line and without what Keras puts around it."""
    lines = [line for line in str(error).splitlines() if not line.startswith("Exception encountered")]
    message = re.split(r": <tf\.Tensor|Call arguments received", " ".join(" ".join(lines).split()))[0]
    return f"{type(error).__name__}: {message.strip()[:120]}"


def check_layer(adapter: type[LayerUnderTest], name: str) -> dict[str, Any]:
    """Runs all checks on one layer."""
    layer = adapter(name)
    weights = random_weights(layer)

    def make(prior: str = DEFAULT, dtype: str | None = None) -> LayerUnderTest:
        made = adapter(name, prior, dtype)
        made.assign(weights)
        return made

    layer.assign(weights)
    results = {**check_moments(layer, weights), "noise in a batch": check_noise(layer)}
    priors = {prior: PRIORS.get(prior, adapter.DEFAULT_PRIOR) for prior in adapter.PRIOR_NAMES}
    for prior, value in priors.items():
        results[f"kl, {prior}"] = check_kl(make(prior), weights, value)
    results["kl, called twice"] = check_kl_called_twice(make(), make())
    expected = results[f"kl, {DEFAULT}"]["library"]
    for precision in adapter.PRECISIONS:
        try:
            result = check_half_precision(make(dtype=precision), expected)
        except Exception as error:
            result = {"verdict": f"not applicable: {message_of(error)}"}
        results[f"kl in half precision, {precision}"] = result
    for file_format in adapter.FORMATS:
        try:
            result = check_saving(make(), file_format)
        except Exception as error:
            result = verdict(False, error=message_of(error))
        results[f"saving, {file_format}"] = result
    return results
