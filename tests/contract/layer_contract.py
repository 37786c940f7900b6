"""The contract that every Bayesian layer keeps, and the cases that it is checked on.

Final layer classes are found, not listed: a new one is checked as soon as it is imported. A new family of layers adds
its geometries to `GEOMETRIES`. Each `check_...` takes a case and raises AssertionError; statistical ones compare
moments over many draws with closed forms, within `STANDARD_ERRORS` of them.
"""

import dataclasses
import functools
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from scipy.stats import norm

import tfp_bnn as bnn
from tests.support.on_backends import (
    TENSORFLOW,
    compiled,
    convolves_empty_batches,
    double_precision,
    numpy,
    over_seeds,
    seeds,
    with_gradient,
    with_variables,
)
from tfp_bnn._numerics.noise import counted
from tfp_bnn.estimators import LocalReparameterization, Reparameterization
from tfp_bnn.layers import VariationalLayer

STANDARD_ERRORS = 4
NUM_DRAWS = 5_000
EVERY_CHECK_ON_EVERY_GEOMETRY = False
KL_WEIGHT = 0.25

# By the name of the Keras layer whose weights are random: arguments and the shape of the inputs.
DENSE = {"matrix": ((3,), {}, (4, 5)), "sequences": ((3,), {}, (3, 3, 4))}
GEOMETRIES: dict[str, dict[str, tuple[tuple, dict[str, Any], tuple[int, ...]]]] = {
    "Dense": DENSE,
    "DenseVariational": DENSE,
    "Conv1D": {
        "strides, same": ((4, 3), {"strides": 2, "padding": "same"}, (3, 7, 2)),
        "dilation, causal": ((4, 2), {"dilation_rate": 2, "padding": "causal"}, (3, 6, 3)),
        "groups, valid": ((4, 2), {"groups": 2}, (3, 4, 4)),
        "channels first": ((2, 3), {"data_format": "channels_first"}, (3, 2, 5)),
    },
    "Conv2D": {
        "valid": ((3, 3), {}, (3, 5, 4, 2)),
        "groups, same": ((4, (2, 3)), {"groups": 2, "padding": "same"}, (3, 3, 4, 4)),
        "strides": ((2, 2), {"strides": (2, 1), "padding": "same"}, (3, 5, 3, 1)),
        "dilation": ((2, (2, 1)), {"dilation_rate": (2, 1)}, (3, 4, 3, 2)),
        "channels first": ((2, 3), {"data_format": "channels_first", "padding": "same"}, (3, 2, 4, 3)),
    },
    "Conv3D": {
        "strides": ((2, 2), {"strides": 2}, (3, 4, 4, 4, 1)),
        "groups, same": ((2, (1, 2, 2)), {"groups": 2, "padding": "same"}, (3, 2, 3, 2, 2)),
        "dilation": ((1, 2), {"dilation_rate": 2}, (3, 3, 4, 3, 1)),
        "channels first": ((2, 2), {"data_format": "channels_first"}, (3, 2, 2, 3, 3)),
    },
}
PRIORS: dict[str, Callable[[], bnn.priors.Prior]] = {
    "normal": lambda: bnn.priors.Normal(scale=0.7, loc=0.2),
    "fixed mixture": lambda: bnn.priors.ScaleMixture(1.5, 0.1, 0.3),
    "learned mixture": lambda: bnn.priors.ScaleMixture(1.5, 0.1, 0.3, trainable=True),
}


# The cases.


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A layer class and how to make one: its arguments, and the shape of its inputs."""

    layer_class: type[VariationalLayer]
    geometry: str
    arguments: tuple
    keywords: Mapping[str, Any]
    input_shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.layer_class.__name__}-{self.geometry}"

    def make(self, **keywords: Any) -> VariationalLayer:
        """Returns a built layer, its bias random, its means from N(0, 1), its standard deviations from U(0.2, 1.5)."""
        if "bias_posterior" in inspect.signature(self.layer_class).parameters:
            keywords = {"bias_posterior": bnn.posteriors.MeanFieldNormal(), **keywords}
        layer = self.layer_class(*self.arguments, **self.keywords, **keywords)
        layer.build((None, *self.input_shape[1:]))
        rng = np.random.default_rng(1)
        set_posterior(layer, lambda shape: (rng.normal(size=shape), rng.uniform(0.2, 1.5, shape)))
        return layer

    def make_keras(self, **keywords: Any) -> keras.layers.Layer:
        """Returns the built Keras layer of the same arguments."""
        layer = getattr(keras.layers, family(self.layer_class))(*self.arguments, **self.keywords, **keywords)
        layer.build((None, *self.input_shape[1:]))
        return layer

    def inputs(self) -> np.ndarray:
        """Returns inputs from N(0, 1); the last two examples of the batch are the same."""
        inputs = np.random.default_rng(0).normal(size=self.input_shape).astype("float32")
        inputs[-1] = inputs[-2]
        return inputs


def final_layers() -> list[type[VariationalLayer]]:
    """Returns the classes below `VariationalLayer` that have no subclass, in order of their names."""

    def leaves(layer_class: type) -> list[type]:
        return [leaf for child in layer_class.__subclasses__() for leaf in leaves(child)] or [layer_class]

    found = [leaf for leaf in leaves(VariationalLayer) if leaf.__module__.startswith("tfp_bnn.")]
    return sorted(found, key=lambda layer_class: layer_class.__name__)


def family(layer_class: type[VariationalLayer]) -> str:
    """Returns the name of the Keras layer that a class makes Bayesian: its own without the estimator's."""
    name = layer_class.__name__.removesuffix("Variational")
    return name.removesuffix(type(getattr(layer_class, "estimator", None)).__name__)


def set_thorough(thorough: bool) -> None:
    """Sets how much is checked; thorough is twenty times the draws, and each check on each geometry."""
    global NUM_DRAWS, EVERY_CHECK_ON_EVERY_GEOMETRY
    NUM_DRAWS = 100_000 if thorough else 5_000
    EVERY_CHECK_ON_EVERY_GEOMETRY = thorough


def cases(every_geometry: bool = True) -> list[Case]:
    """Returns the cases of all final layers: every geometry, or the first one of each class unless it is thorough."""
    every_geometry = every_geometry or EVERY_CHECK_ON_EVERY_GEOMETRY
    found = []
    for layer_class in final_layers():
        geometries = GEOMETRIES[family(layer_class)]
        for geometry, (arguments, keywords, shape) in list(geometries.items())[: None if every_geometry else 1]:
            # TensorFlow's CPU kernels have no channels-first convolutions.
            if not (TENSORFLOW and geometry == "channels first"):
                found.append(Case(layer_class, geometry, arguments, keywords, shape))
    return found


def set_posterior(layer: VariationalLayer, values: Callable[[tuple[int, ...]], tuple[Any, Any]]) -> None:
    """Sets the means and standard deviations of a layer's random weights to what a function of their shape gives."""
    for variables, _ in layer.random_weights.values():
        variables.assign(*values(tuple(variables.mean.shape)))


# What a layer computes, seen from outside.


def kernel_and_bias(weights: Mapping[str, Any]) -> list[np.ndarray]:
    """Returns kernel and bias from the weights by name; `DenseVariational` has both in one matrix."""
    if "weights" in weights:
        return [numpy(weights["weights"])[:-1], numpy(weights["weights"])[-1]]
    return [numpy(weights["kernel"]), numpy(weights["bias"])]


def read(layer: VariationalLayer) -> dict[str, Any]:
    """Returns the posteriors of a layer's random weights by name."""
    return {name: variables.read() for name, (variables, _) in layer.random_weights.items()}


def forward(layer: VariationalLayer, inputs: Any) -> Callable[[Any], tuple[Any, Any]]:
    """Returns the function of a seed that gives outputs and KL divergence of a forward pass with its noise."""
    inputs = keras.ops.convert_to_tensor(inputs)

    def forward_at(seed: Any) -> tuple[Any, Any]:
        noise, posteriors = counted(seed), read(layer)
        outputs, samples = layer.noisy_outputs(inputs, posteriors, noise)
        kl = sum(
            layer.divergence(posteriors[name], prior, samples.get(name), noise)
            for name, (_, prior) in layer.random_weights.items()
        )
        return outputs, kl

    return forward_at


def noisy_outputs(layer: VariationalLayer, inputs: Any) -> Callable[[Any], Any]:
    """Returns the function of a seed that gives the outputs of a layer with its noise."""
    inputs = keras.ops.convert_to_tensor(inputs)
    return lambda seed: layer.noisy_outputs(inputs, read(layer), counted(seed))[0]


def divergence(layer: VariationalLayer, inputs: Any) -> Callable[[Any], Any]:
    """Returns the function of a seed that gives the KL divergence of a forward pass with its noise."""
    forward_at = forward(layer, inputs)
    return lambda seed: forward_at(seed)[1]


def closed_form_moments(layer: VariationalLayer, inputs: Any) -> tuple[Any, Any]:
    """Returns mean and variance of the outputs of a layer without activation: it is linear in independent weights."""
    inputs, posteriors = keras.ops.convert_to_tensor(inputs), read(layer)
    mean = layer.outputs_at(inputs, {name: q.mean for name, q in posteriors.items()})
    variances = {name: keras.ops.square(q.stddev) for name, q in posteriors.items()}
    return mean, layer.outputs_at(keras.ops.square(inputs), variances)


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
    for layer in bnn.layers.variational_layers(model):
        for variables, _ in layer.random_weights.values():
            mean, stddev = numpy(variables.mean), np.logaddexp(0, numpy(variables.rho))
            total += np.sum(0.5 * (stddev**2 + mean**2 - 1) - np.log(stddev))
    return total


def slopes_of_divergence(layer: VariationalLayer, prior: bnn.priors.ScaleMixture) -> np.ndarray:
    """Returns the derivatives of KL[q || p] in log sigma_1, log sigma_2 and logit pi, by central differences."""
    start = np.array([float(variable.value) for variable in prior.trainable_variables])

    def at(parameters: np.ndarray) -> float:
        sigma_1, sigma_2 = np.exp(parameters[:2])
        return integrated_divergence(layer, mixture_log_density(sigma_1, sigma_2, 1 / (1 + math.exp(-parameters[2]))))

    steps = 1e-4 * np.eye(3)
    return np.array([(at(start + step) - at(start - step)) / 2e-4 for step in steps])


def keras_moments(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and variance of the outputs, from the Keras layer at the means and at the variances."""
    layer, reference, inputs = case.make(), case.make_keras(dtype="float64" if TENSORFLOW else None), case.inputs()
    moments = []
    for power, weights in ((1, lambda q: q.mean), (2, lambda q: q.stddev**2)):
        reference.set_weights(kernel_and_bias({name: weights(q) for name, q in read(layer).items()}))
        moments.append(numpy(reference(inputs.astype("float64") ** power)))
    return moments[0], moments[1]


@functools.lru_cache(maxsize=2)  # three checks look at the same draws
def draw_outputs(case: Case, xla: bool) -> np.ndarray:
    """Returns the outputs of many draws, [draws, batch, ...]."""
    return over_seeds(noisy_outputs(case.make(), case.inputs()), NUM_DRAWS, xla=xla)


def assert_mean(draws: np.ndarray, expected: Any, what: str) -> None:
    """Asserts that the mean over draws is what was expected, within its own standard error."""
    error = np.abs(draws.mean(axis=0) - expected)
    bound = STANDARD_ERRORS * draws.std(axis=0) / math.sqrt(len(draws)) + 1e-5 * (1 + np.abs(expected))
    worst = np.max(error / bound) * STANDARD_ERRORS
    assert np.all(error <= bound), f"{what}: {worst:.1f} standard errors off, over {len(draws)} draws"


# The contract.


def check_moments(case: Case, xla: bool = False) -> None:
    """The outputs have the mean and the variance of the Keras layer's outputs at random weights."""
    mean, variance = keras_moments(case)
    outputs = draw_outputs(case, xla)
    assert_mean(outputs, mean, "mean of the outputs")
    assert_mean((outputs - mean) ** 2, variance, "variance of the outputs")


def check_noise_within_a_batch(case: Case) -> None:
    """Two equal examples of a batch have equal noise where the batch shares one draw, else uncorrelated noise."""
    outputs, (mean, variance) = draw_outputs(case, False), keras_moments(case)
    first, second = outputs[:, -2] - mean[-2], outputs[:, -1] - mean[-1]
    if isinstance(getattr(case.layer_class, "estimator", Reparameterization()), Reparameterization):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4)
    else:
        assert_mean(first * second / variance[-1], 0.0, "correlation of the noise of two examples")


def check_noise_within_an_example(case: Case) -> None:
    """Sums of the outputs of an example, with random signs, vary as they do for random weights.

    Noise on the outputs instead of the kernel is another one for each output.
    """
    layer, outputs, mean = case.make(), draw_outputs(case, False), keras_moments(case)[0]
    batch = len(mean)
    signs = np.random.default_rng(2).choice([-1.0, 1.0], size=(mean[0].size, 4))
    local = isinstance(getattr(case.layer_class, "estimator", None), LocalReparameterization)
    expected = np.zeros((batch, 4))
    for name, posterior in read(layer).items():
        slopes = responses(layer, case.inputs(), name).reshape(-1, batch, len(signs))
        variances = np.square(numpy(posterior.stddev)).ravel()
        if local and name == "kernel":
            expected += np.einsum("w,wbo->b", variances, slopes**2)[:, np.newaxis]
        else:
            expected += np.einsum("w,wbk->bk", variances, np.square(slopes @ signs))
    sums = (outputs - mean).reshape(-1, batch, len(signs)) @ signs
    assert_mean(sums**2, expected, "variance of sums of the outputs of an example")


def responses(layer: VariationalLayer, inputs: Any, name: str) -> np.ndarray:
    """Returns the outputs, [weights, batch, ...], where one of the named weights is 1 and all other weights are 0."""
    inputs = keras.ops.convert_to_tensor(inputs)
    zeros = {other: keras.ops.zeros_like(posterior.mean) for other, posterior in read(layer).items()}
    shape = tuple(zeros[name].shape)
    ones = np.eye(math.prod(shape), dtype="float32").reshape(-1, *shape)
    outputs = compiled(lambda ones: keras.ops.map(lambda one: layer.outputs_at(inputs, {**zeros, name: one}), ones))
    return numpy(outputs(keras.ops.convert_to_tensor(ones)))


def check_gradients(case: Case) -> None:
    """The gradient of a quadratic loss is right on average: that of `(E[y] - t)^2 + Var[y]`."""
    layer, inputs = case.make(), case.inputs()
    outputs, target = noisy_outputs(layer, inputs), 0.5
    variables = layer.trainable_variables

    def loss(seed: Any) -> Any:
        return keras.ops.mean(keras.ops.square(outputs(seed) - target))

    def expected_loss() -> Any:
        mean, variance = closed_form_moments(layer, inputs)
        return keras.ops.mean(keras.ops.square(mean - target) + variance)

    draws = over_seeds(with_gradient(loss, variables), NUM_DRAWS // 2)
    expected = numpy(with_gradient(expected_loss, variables)())
    assert np.abs(expected).max() > 0.01
    assert_mean(draws, expected, "expected loss and its gradient")


def check_gradients_by_finite_differences(case: Case) -> None:
    """The mean gradient of a loss that is not quadratic is the slope of its mean, in a random direction."""
    layer, inputs = case.make(activation="softplus"), case.inputs()
    forward_at, variables = forward(layer, inputs), layer.trainable_variables
    step, rng = 1e-2, np.random.default_rng(3)
    directions = [rng.choice([-1.0, 1.0], size=variable.shape) for variable in variables]
    start = [numpy(variable.value) for variable in variables]

    def loss(seed: Any) -> Any:
        outputs, kl = forward_at(seed)
        return keras.ops.mean(keras.ops.tanh(outputs)) + 1e-2 * kl

    loss_and_gradient = with_gradient(loss, variables)
    mean_over_seeds = with_variables(
        lambda seeds: keras.ops.mean(keras.ops.map(loss_and_gradient, seeds), axis=0), variables
    )

    def at(distance: float) -> np.ndarray:
        for variable, value, direction in zip(variables, start, directions, strict=True):
            variable.assign(value + distance * direction)
        return numpy(mean_over_seeds(seeds(50)))

    slope = (at(step)[0] - at(-step)[0]) / (2 * step)
    expected = at(0.0)[1:] @ np.concatenate([direction.ravel() for direction in directions])
    np.testing.assert_allclose(slope, expected, rtol=1e-2, atol=2e-3)


def check_divergence(case: Case) -> None:
    """The KL term is `kl_weight * KL[q || p]`, summed over all weights, biases too; for each kind of prior.

    The gradients that a learned prior gets are right on average, too.
    """
    for name, make_prior in PRIORS.items():
        prior = make_prior()
        layer, inputs = make_with_prior(case, prior), case.inputs()
        expected = integrated_divergence(layer, log_density(prior))
        kl, learned = divergence(layer, inputs), prior.trainable_variables
        draws = over_seeds(
            with_gradient(kl, learned) if learned else lambda seed, kl=kl: kl(seed)[None], NUM_DRAWS // 5
        )
        assert_mean(draws[:, 0], expected, f"KL divergence from a {name}")
        if learned:
            assert_mean(draws[:, 1:], slopes_of_divergence(layer, prior), "gradient of a learned prior")
        layer(inputs)
        (loss,) = layer.losses
        rounding = 1e-5 * abs(expected)
        assert draws[:, 0].min() - rounding <= numpy(loss) / KL_WEIGHT <= draws[:, 0].max() + rounding


def check_divergence_is_zero_from_an_equal_prior(case: Case) -> None:
    """If every weight's posterior is its prior, the KL term is 0: the ELBO of a normalised target."""
    layer = make_with_prior(case, bnn.priors.Normal(scale=0.7, loc=0.2))
    set_posterior(layer, lambda shape: (np.full(shape, 0.2), np.full(shape, 0.7)))
    divergences = over_seeds(divergence(layer, case.inputs()), 100)
    np.testing.assert_allclose(divergences, np.zeros(100), atol=1e-4)


def check_divergence_counts_once(case: Case) -> None:
    """A layer that is called twice in one forward pass adds its KL term once: it has one set of weights."""
    layer = case.make(kl_weight=KL_WEIGHT, **exact_divergence(case))
    first, second = (keras.Input(case.input_shape[1:]) for _ in range(2))
    model = keras.Model([first, second], [layer(first), layer(second)])
    model([case.inputs(), case.inputs()])
    expected = KL_WEIGHT * integrated_divergence(layer, log_density(bnn.priors.Normal()))
    assert len(model.losses) == 1
    np.testing.assert_allclose(numpy(model.losses[0]), expected, rtol=1e-4)


def check_without_noise_it_is_the_keras_layer(case: Case) -> None:
    """At standard deviation 0 the outputs, their shape and dtype are those of the Keras layer of the same arguments."""
    layer, reference, inputs = case.make(activation="tanh"), case.make_keras(activation="tanh"), case.inputs()
    means = {name: q.mean for name, q in read(layer).items()}
    set_posterior(layer, zero_stddev(layer))
    reference.set_weights(kernel_and_bias(means))
    expected = reference(inputs)
    outputs_at = compiled(lambda x: layer.outputs_at(x, means))
    for outputs in (compiled(noisy_outputs(layer, inputs))(seeds(1)[0]), outputs_at(inputs)):
        np.testing.assert_allclose(numpy(outputs), numpy(expected), rtol=1e-4, atol=1e-5)
        assert keras.backend.standardize_dtype(outputs.dtype) == keras.backend.standardize_dtype(expected.dtype)
    assert layer.compute_output_shape(case.input_shape) == reference.compute_output_shape(case.input_shape)
    symbolic = keras.Input(case.input_shape[1:])
    assert tuple(layer(symbolic).shape) == tuple(reference(symbolic).shape)


def check_compiled_is_eager(case: Case) -> None:
    """Compiled, a seed gives the outputs and the KL term that it gives one operation at a time."""
    layer, inputs = make_with_prior(case, PRIORS["fixed mixture"]()), case.inputs()
    seed = seeds(1)[0]
    forward_at = forward(layer, inputs)
    for ours, theirs in zip(compiled(forward_at)(seed), forward_at(seed), strict=True):
        np.testing.assert_allclose(numpy(ours), numpy(theirs), rtol=1e-4, atol=1e-4)


def check_half_precision(case: Case) -> None:
    """Under a mixed policy outputs agree within its rounding; KL terms and variables stay in float32."""
    inputs, seed = case.inputs(), seeds(1)[0]
    expected, kl = map(numpy, forward(case.make(**exact_divergence(case)), inputs)(seed))
    for policy, epsilon in (("mixed_bfloat16", 2.0**-8), ("mixed_float16", 2.0**-11)):
        layer = case.make(dtype=policy, kl_weight=KL_WEIGHT, **exact_divergence(case))
        half = keras.ops.cast(inputs, policy.removeprefix("mixed_"))
        outputs, kl_of_half = forward(layer, half)(seed)
        assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
        outputs = numpy(keras.ops.cast(outputs, "float32"))
        np.testing.assert_allclose(outputs, expected, atol=8 * epsilon * np.abs(expected).max())
        np.testing.assert_allclose(numpy(kl_of_half), kl, rtol=1e-5)
        assert {variable.dtype for variable in layer.trainable_variables} == {"float32"}
        layer(inputs)
        (loss,) = layer.losses
        assert keras.backend.standardize_dtype(loss.dtype) == "float32"
        np.testing.assert_allclose(numpy(loss), KL_WEIGHT * kl, rtol=1e-5)


def check_double_precision(case: Case) -> None:
    """In float64 nothing is rounded to less: neither the outputs nor the KL term."""
    with double_precision():
        layer = case.make(dtype="float64", **exact_divergence(case))
        set_posterior(layer, lambda shape: (np.full(shape, 1 / 3), np.full(shape, 1e-12)))
        reference = case.make_keras(dtype="float64")
        reference.set_weights([np.full(variable.shape, 1 / 3) for variable in reference.variables])
        inputs = case.inputs().astype("float64") / 3
        outputs, kl = forward(layer, inputs)(seeds(1)[0])
        np.testing.assert_allclose(numpy(outputs), numpy(reference(inputs)), rtol=1e-10, atol=1e-10)
        assert {variable.dtype for variable in layer.trainable_variables} == {"float64"}
        num_weights = sum(math.prod(q.mean.shape) for q in read(layer).values())
        expected = num_weights * (0.5 * (1e-24 + 1 / 9) - 0.5 - math.log(1e-12))
        np.testing.assert_allclose(numpy(kl), expected, rtol=1e-12)


def check_extremes(case: Case) -> None:
    """Outputs, KL term and gradients are finite for tiny and huge posteriors, zero inputs, and one or no example."""
    inputs = case.inputs()
    inputs[0] = 0.0
    for means, stddevs in (([0.1, 0.1, 1e4], [1e-8, 1e3, 0.1]), ([1e4, -1e4], [1e-8, 1e3])):
        assert_finite(case, inputs, means, stddevs)
    assert_finite(case, inputs[:1], [0.1], [0.1])
    if family(case.layer_class) == "Dense" or convolves_empty_batches():
        assert_finite(case, inputs[:0], [0.1], [0.1])


def check_seeds(case: Case) -> None:
    """A seed repeats the draws, each call and each layer draws anew, and a restored state goes on where it was."""
    inputs = case.inputs()
    first, again, other = (case.make(seed=seed) for seed in (5, 5, 6))
    draws = [numpy(first(inputs)) for _ in range(2)]
    np.testing.assert_array_equal(draws[0], numpy(again(inputs)))
    assert np.abs(draws[0] - draws[1]).min() > 0
    assert np.abs(draws[0] - numpy(other(inputs))).min() > 0
    restored = case.make(seed=7)
    store: dict[str, Any] = {}
    again.save_own_variables(store)
    restored.load_own_variables(store)
    np.testing.assert_array_equal(draws[1], numpy(restored(inputs)))
    unseeded = [numpy(case.make()(inputs)) for _ in range(2)]
    assert np.abs(unseeded[0] - unseeded[1]).min() > 0


def check_config(case: Case) -> None:
    """A layer made from its config has equal config and variables; serialized, the config is data only."""
    prior = PRIORS["learned mixture"]()
    layer = make_with_prior(case, prior, name="layer", seed=3, activation="relu")
    again = type(layer).from_config(layer.get_config())
    again.build((None, *case.input_shape[1:]))
    configs = [json.dumps(keras.saving.serialize_keras_object(made), sort_keys=True) for made in (layer, again)]
    assert configs[0] == configs[1]
    assert "__lambda__" not in configs[0]
    assert [(v.name, v.shape) for v in again.variables] == [(v.name, v.shape) for v in layer.variables]
    assert again.seed == 3
    assert again.kl_weight == KL_WEIGHT


def check_clone(case: Case) -> None:
    """A clone has variables of its own, a learned prior's too, which its layers share as those of the original do."""
    prior = PRIORS["learned mixture"]()
    inputs = keras.Input(case.input_shape[1:])
    nested = keras.Sequential([inputs, make_with_prior(case, prior)])
    model = keras.Model(inputs, [make_with_prior(case, prior)(inputs), nested(inputs)])
    clones = [keras.models.clone_model(model) for _ in range(2)]
    for clone in clones:
        assert len(clone.trainable_variables) == len(model.trainable_variables)
        assert len({id(layer.prior) for layer in bnn.layers.variational_layers(clone)}) == 1
        clone.set_weights(model.get_weights())
    variables = [variable for m in (model, *clones) for variable in m.variables]
    assert len({id(variable) for variable in variables}) == 3 * len(model.variables)


# Parts of the checks.


def make_with_prior(case: Case, prior: bnn.priors.Prior, **keywords: Any) -> VariationalLayer:
    """Returns a layer of a case with this prior for all its random weights, the bias too."""
    if "bias_prior" in inspect.signature(case.layer_class).parameters:
        keywords["bias_prior"] = prior
    return case.make(prior=prior, kl_weight=KL_WEIGHT, **keywords)


def exact_divergence(case: Case) -> dict[str, Any]:
    """Returns the argument that makes a layer take the closed form, if it does not do so by itself."""
    return {"kl_use_exact": True} if "kl_use_exact" in inspect.signature(case.layer_class).parameters else {}


def zero_stddev(layer: VariationalLayer) -> Callable[[tuple[int, ...]], tuple[Any, Any]]:
    """Returns the function for `set_posterior` that keeps the means and takes the noise away."""
    means = iter([numpy(variables.mean) for variables, _ in layer.random_weights.values()])
    return lambda shape: (next(means), np.zeros(shape))


def log_density(prior: bnn.priors.Prior) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function of weights that gives log p(w) in float64."""
    if isinstance(prior, bnn.priors.Normal):
        return lambda w: norm.logpdf(w, prior.loc, prior.scale)
    return mixture_log_density(*(float(value) for value in (prior.sigma_1, prior.sigma_2, prior.pi)))


def mixture_log_density(sigma_1: float, sigma_2: float, pi: float) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function of weights that gives the log-density of a scale mixture in float64."""
    return lambda w: np.logaddexp(
        math.log(pi) + norm.logpdf(w, scale=sigma_1), math.log1p(-pi) + norm.logpdf(w, scale=sigma_2)
    )


def assert_finite(case: Case, inputs: np.ndarray, means: Sequence[float], stddevs: Sequence[float]) -> None:
    """Asserts that all that a layer computes is finite; the outputs' channels take the means and stddevs in turn."""
    layer = make_with_prior(case, bnn.priors.ScaleMixture(1.0, math.exp(-8), 0.5, trainable=True))
    set_posterior(layer, lambda shape: (np.resize(means, shape[-1]), np.resize(stddevs, shape[-1])))
    forward_at = forward(layer, inputs)

    def total(seed: Any) -> Any:
        outputs, kl = forward_at(seed)
        return keras.ops.sum(outputs) + kl  # one output that is not finite shows in the sum

    loss = with_gradient(total, layer.trainable_variables)
    # TensorFlow's graph optimizer ends the process over a convolution of a batch that is empty at compile time.
    values = numpy((compiled(loss) if len(inputs) else loss)(seeds(1)[0]))
    case_of_values = f"at means {means}, stddevs {stddevs}, {len(inputs)} examples"
    assert np.isfinite(values[0]), f"outputs or KL term {case_of_values}"
    assert np.isfinite(values).all(), f"gradients {case_of_values}"


ON_EVERY_GEOMETRY: Sequence[Callable[[Case], None]] = (
    check_moments,
    check_noise_within_a_batch,
    check_noise_within_an_example,
    check_without_noise_it_is_the_keras_layer,
)
ON_EVERY_LAYER: Sequence[Callable[[Case], None]] = tuple(
    check for name, check in list(globals().items()) if name.startswith("check_") and check not in ON_EVERY_GEOMETRY
)
