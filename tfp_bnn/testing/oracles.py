"""What must come out: moments and divergences of layers, in closed form or integrated, and how near draws must be."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from scipy.stats import norm

from tfp_bnn import priors
from tfp_bnn._numerics.noise import counted
from tfp_bnn.layers import VariationalLayer, variational_layers
from tfp_bnn.testing.case import Case
from tfp_bnn.testing.on_backends import TENSORFLOW, compiled, numpy

STANDARD_ERRORS = 4


def read(layer: VariationalLayer) -> dict[str, Any]:
    """Returns the posteriors of a layer's random weights by name."""
    return {name: variables.read() for name, (variables, _) in layer.random_weights.items()}


def keras_weights(layer: VariationalLayer, weights: Mapping[str, Any]) -> list[np.ndarray]:
    """Returns the weights of the Keras layer from the random ones by name."""
    return [numpy(each) for each in layer.keras_weights(weights)]


def closed_form_moments(layer: VariationalLayer, inputs: Any) -> tuple[Any, Any]:
    """Returns mean and variance of the outputs of a layer without activation that is linear in independent weights."""
    inputs, posteriors = keras.ops.convert_to_tensor(inputs), read(layer)
    mean = layer.outputs_at(inputs, {name: q.mean for name, q in posteriors.items()})
    variances = {name: keras.ops.square(q.stddev) for name, q in posteriors.items()}
    return mean, layer.outputs_at(keras.ops.square(inputs), variances)


def keras_moments(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and variance of the outputs, from the Keras layer at the means and at the variances."""
    layer, inputs = case.make(), case.inputs()
    reference = case.make_keras(dtype="float64" if TENSORFLOW else None)
    moments = []
    for power, weights in ((1, lambda q: q.mean), (2, lambda q: q.stddev**2)):
        reference.set_weights(keras_weights(layer, {name: weights(q) for name, q in read(layer).items()}))
        moments.append(numpy(reference(inputs.astype("float64") ** power)))
    return moments[0], moments[1]


def outputs_of_drawn_weights(layer: VariationalLayer, inputs: Any) -> Callable[[Any], Any]:
    """Returns the function of a seed that gives the outputs at one draw of all weights: what noise must look like."""
    inputs = keras.ops.convert_to_tensor(inputs)

    def at(seed: Any) -> Any:
        noise = counted(seed)
        return layer.outputs_at(inputs, {name: q.sample(noise).value for name, q in read(layer).items()})

    return at


def responses(layer: VariationalLayer, inputs: Any, name: str) -> np.ndarray:
    """Returns the outputs, [weights, batch, ...], where one of the named weights is 1 and all other weights are 0."""
    inputs = keras.ops.convert_to_tensor(inputs)
    zeros = {other: keras.ops.zeros_like(posterior.mean) for other, posterior in read(layer).items()}
    shape = tuple(zeros[name].shape)
    ones = np.eye(math.prod(shape), dtype="float32").reshape(-1, *shape)
    outputs = compiled(lambda ones: keras.ops.map(lambda one: layer.outputs_at(inputs, {**zeros, name: one}), ones))
    return numpy(outputs(keras.ops.convert_to_tensor(ones)))


def integrated_divergence(layer: VariationalLayer, log_prior: Callable[[np.ndarray], np.ndarray]) -> float:
    """Returns KL[q || p] of all random weights in nats, integrated in float64."""
    z = np.linspace(-12, 12, 4001)
    shares = norm.pdf(z) * (z[1] - z[0])
    total = 0.0
    for posterior in read(layer).values():
        mean, stddev = numpy(posterior.mean)[..., np.newaxis], numpy(posterior.stddev)[..., np.newaxis]
        log_posterior = norm.logpdf(z) - np.log(stddev)
        total += float(((log_posterior - log_prior(mean + stddev * z)) * shares).sum())
    return total


def divergence_from_standard_normals(model: keras.Model) -> float:
    """Returns KL[q || N(0, 1)] of all random weights of a model in nats, in closed form, in float64."""
    total = 0.0
    for layer in variational_layers(model):
        for variables, _ in layer.random_weights.values():
            mean, stddev = numpy(variables.mean), np.logaddexp(0, numpy(variables.rho))
            total += np.sum(0.5 * (stddev**2 + mean**2 - 1) - np.log(stddev))
    return total


def slopes_of_divergence(layer: VariationalLayer, prior: priors.ScaleMixture) -> np.ndarray:
    """Returns the derivatives of KL[q || p] in log sigma_1, log sigma_2 and logit pi, by central differences."""
    start = np.array([float(variable.value) for variable in prior.trainable_variables])

    def at(parameters: np.ndarray) -> float:
        sigma_1, sigma_2 = np.exp(parameters[:2])
        return integrated_divergence(layer, mixture_log_density(sigma_1, sigma_2, 1 / (1 + math.exp(-parameters[2]))))

    steps = 1e-4 * np.eye(3)
    return np.array([(at(start + step) - at(start - step)) / 2e-4 for step in steps])


def log_density(prior: priors.Prior) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function of weights that gives log p(w) in float64."""
    if isinstance(prior, priors.Normal):
        return lambda w: norm.logpdf(w, prior.loc, prior.scale)
    return mixture_log_density(*(float(value) for value in (prior.sigma_1, prior.sigma_2, prior.pi)))


def mixture_log_density(sigma_1: float, sigma_2: float, pi: float) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function of weights that gives the log-density of a scale mixture in float64."""
    return lambda w: np.logaddexp(
        math.log(pi) + norm.logpdf(w, scale=sigma_1), math.log1p(-pi) + norm.logpdf(w, scale=sigma_2)
    )


def assert_mean(draws: np.ndarray, expected: Any, what: str) -> None:
    """Asserts that the mean over draws is what was expected, within its own standard error."""
    error = np.abs(draws.mean(axis=0) - expected)
    bound = STANDARD_ERRORS * draws.std(axis=0) / math.sqrt(len(draws)) + 1e-5 * (1 + np.abs(expected))
    worst = np.max(error / bound) * STANDARD_ERRORS
    assert np.all(error <= bound), f"{what}: {worst:.1f} standard errors off, over {len(draws)} draws"


def assert_equal_means(draws: np.ndarray, others: np.ndarray, what: str) -> None:
    """Asserts that the means of two sets of draws are equal, within their standard errors."""
    errors = draws.var(axis=0) / len(draws) + others.var(axis=0) / len(others)
    mean = others.mean(axis=0)
    bound = STANDARD_ERRORS * np.sqrt(errors) + 1e-5 * (1 + np.abs(mean))
    difference = np.abs(draws.mean(axis=0) - mean)
    worst = np.max(difference / bound) * STANDARD_ERRORS
    assert np.all(difference <= bound), f"{what}: {worst:.1f} standard errors off, over {len(draws)} draws"
