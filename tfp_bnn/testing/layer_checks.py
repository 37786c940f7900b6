"""The contract that every Bayesian layer keeps. Each check takes a `Case` and raises AssertionError.

Statistical ones compare moments over many draws with what must come out, within `STANDARD_ERRORS` of them.
"""

import functools
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn import priors
from tfp_bnn._numerics.noise import counted
from tfp_bnn.layers import VariationalLayer, variational_layers
from tfp_bnn.testing.case import KL_WEIGHT, PRIORS, Case, exact_divergence, make_with_prior, set_posterior, zero_stddev
from tfp_bnn.testing.on_backends import (
    TENSORFLOW,
    compiled,
    double_precision,
    numpy,
    over_seeds,
    seeds,
    soonest,
    with_gradient,
    with_variables,
)
from tfp_bnn.testing.oracles import (
    assert_equal_means,
    assert_mean,
    closed_form_moments,
    integrated_divergence,
    keras_moments,
    keras_weights,
    log_density,
    outputs_of_drawn_weights,
    read,
    responses,
    slopes_of_divergence,
)
from tfp_bnn.transforms.clone import clone_model

NUM_DRAWS = 5_000


# What a layer computes, seen from outside.


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


@functools.lru_cache(maxsize=2)  # three checks look at the same draws
def draw_outputs(case: Case) -> np.ndarray:
    """Returns the outputs of many draws, [draws, batch, ...]."""
    layer = case.make()
    return over_seeds(noisy_outputs(layer, case.inputs()), NUM_DRAWS, xla=layer.supports_jit)


@functools.lru_cache(maxsize=2)
def draw_from_weights(case: Case) -> np.ndarray:
    """Returns the outputs at many draws of all weights, one draw for the whole batch, [draws, batch, ...]."""
    layer = case.make()
    return over_seeds(outputs_of_drawn_weights(layer, case.inputs()), NUM_DRAWS, xla=layer.supports_jit)


def mean_outputs(case: Case) -> np.ndarray:
    """Returns the mean of the outputs: exactly, or that over draws of the weights."""
    return keras_moments(case)[0] if case.linear else draw_from_weights(case).mean(axis=0)


# The contract.


def check_moments(case: Case) -> None:
    """The outputs have the mean and the variance of the Keras layer's outputs at random weights."""
    outputs = draw_outputs(case)
    if case.linear:
        mean, variance = keras_moments(case)
        assert_mean(outputs, mean, "mean of the outputs")
        assert_mean((outputs - mean) ** 2, variance, "variance of the outputs")
        return
    drawn = draw_from_weights(case)
    mean = drawn.mean(axis=0)
    assert_equal_means(outputs, drawn, "mean of the outputs")
    assert_equal_means((outputs - mean) ** 2, (drawn - mean) ** 2, "variance of the outputs")


def check_noise_within_a_batch(case: Case) -> None:
    """Two equal examples of a batch have equal noise where the batch shares one draw, else uncorrelated noise; but
    antithetic noise sums up to 0 over the batch, its fillings included, if all examples are equal.
    """
    outputs, mean = draw_outputs(case), mean_outputs(case)
    first, second = outputs[:, -2] - mean[-2], outputs[:, -1] - mean[-1]
    equal = np.allclose(first, second, rtol=1e-4, atol=1e-4)
    if case.estimator == "reparameterization":
        assert equal, "the examples of a batch have noise of their own"
    elif case.linear and (case.estimator is not None or not equal):
        filled = len(mean) + len(mean) % 2
        expected = -1 / (filled - 1) if case.estimator == "antithetic" else 0.0
        # The biases are flipped for each example.
        share = 1 - _variance_of_bias(case) / outputs[:, -1].var(axis=0)
        products = first * second / outputs[:, -1].var(axis=0)
        assert_mean(products, expected * share, "correlation of the noise of two examples")


def _variance_of_bias(case: Case) -> np.ndarray | float:
    layer, inputs = case.make(), np.zeros_like(case.inputs())
    return numpy(closed_form_moments(layer, inputs)[1])[-1]


def check_noise_within_an_example(case: Case) -> None:
    """Sums of the outputs of an example, with random signs, vary as they do for random weights.

    Noise on the outputs instead of the kernel is another one for each output.
    """
    if not case.linear:
        return
    layer, outputs, mean = case.make(), draw_outputs(case), mean_outputs(case)
    batch = len(mean)
    signs = np.random.default_rng(2).choice([-1.0, 1.0], size=(mean[0].size, 4))
    expected = np.zeros((batch, 4))
    for name, posterior in read(layer).items():
        slopes = responses(layer, case.inputs(), name).reshape(-1, batch, len(signs))
        variances = np.square(numpy(posterior.stddev)).ravel()
        if case.estimator == "local_reparameterization" and name == "kernel":
            expected += np.einsum("w,wbo->b", variances, slopes**2)[:, np.newaxis]
        else:
            expected += np.einsum("w,wbk->bk", variances, np.square(slopes @ signs))
    sums = (outputs - mean).reshape(-1, batch, len(signs)) @ signs
    assert_mean(sums**2, expected, "variance of sums of the outputs of an example")


def check_gradients(case: Case) -> None:
    """The gradient of a quadratic loss is right on average: that of `(E[y] - t)^2 + Var[y]`."""
    layer, inputs = case.make(), case.inputs()
    variables = layer.trainable_variables

    def loss_of(outputs: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda seed: keras.ops.mean(keras.ops.square(outputs(seed) - 0.5))

    def expected_loss() -> Any:
        mean, variance = closed_form_moments(layer, inputs)
        return keras.ops.mean(keras.ops.square(mean - 0.5) + variance)

    def draw(outputs: Callable[[Any], Any]) -> np.ndarray:
        return over_seeds(with_gradient(loss_of(outputs), variables), NUM_DRAWS // 2, xla=layer.supports_jit)

    draws = draw(noisy_outputs(layer, inputs))
    what = "expected loss and its gradient"
    if case.linear:
        expected = numpy(with_gradient(expected_loss, variables)())
        assert np.abs(expected).max() > 0.01
        assert_mean(draws, expected, what)
    else:
        assert_equal_means(draws, draw(outputs_of_drawn_weights(layer, inputs)), what)


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

    The gradients that a learned prior gets are right on average, too. A mixture that is not learned is the same.
    """
    for name in ("normal", "learned mixture"):
        prior = PRIORS[name]()
        layer, inputs = make_with_prior(case, prior), case.inputs()
        expected = integrated_divergence(layer, log_density(prior))
        kl, learned = divergence(layer, inputs), prior.trainable_variables
        draws = over_seeds(
            with_gradient(kl, learned) if learned else lambda seed, kl=kl: kl(seed)[None],
            NUM_DRAWS // 5,
            xla=layer.supports_jit,
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
    layer = make_with_prior(case, priors.Normal(scale=0.7, loc=0.2))
    set_posterior(layer, lambda shape: (np.full(shape, 0.2), np.full(shape, 0.7)))
    divergences = over_seeds(divergence(layer, case.inputs()), 100, xla=False)
    np.testing.assert_allclose(divergences, np.zeros(100), atol=1e-4)


def check_divergence_counts_once(case: Case) -> None:
    """A layer that is called twice in one forward pass adds its KL term once: it has one set of weights."""
    layer = case.make(kl_weight=KL_WEIGHT, **exact_divergence(case))
    first, second = (keras.Input(case.input_shape[1:]) for _ in range(2))
    model = keras.Model([first, second], [layer(first), layer(second)])
    model([case.inputs(), case.inputs()])
    expected = KL_WEIGHT * integrated_divergence(layer, log_density(priors.Normal()))
    assert len(model.losses) == 1
    np.testing.assert_allclose(numpy(model.losses[0]), expected, rtol=1e-4)


def check_without_noise_it_is_the_keras_layer(case: Case) -> None:
    """At standard deviation 0 the outputs, their shape and dtype are those of the Keras layer of the same arguments."""
    layer, reference, inputs = case.make(activation="tanh"), case.make_keras(activation="tanh"), case.inputs()
    means = {name: q.mean for name, q in read(layer).items()}
    set_posterior(layer, zero_stddev(layer))
    reference.set_weights(keras_weights(layer, means))
    expected = reference(inputs)
    outputs_at = compiled(lambda x: layer.outputs_at(x, means))
    for outputs in (compiled(noisy_outputs(layer, inputs))(seeds(1)[0]), outputs_at(inputs)):
        np.testing.assert_allclose(numpy(outputs), numpy(expected), rtol=1e-4, atol=1e-5)
        assert keras.backend.standardize_dtype(outputs.dtype) == keras.backend.standardize_dtype(expected.dtype)
    assert layer.compute_output_shape(case.input_shape) == tuple(reference.compute_output_shape(case.input_shape))
    symbolic = keras.Input(case.input_shape[1:])
    assert tuple(layer(symbolic).shape) == tuple(reference(symbolic).shape)


def check_compiled_is_eager(case: Case) -> None:
    """Compiled, with XLA and without, a seed gives the outputs and the KL term that it gives operation by operation."""
    layer, inputs = make_with_prior(case, PRIORS["fixed mixture"]()), case.inputs()
    seed = seeds(1)[0]
    forward_at = forward(layer, inputs)
    expected = forward_at(seed)
    for xla in (False, True) if TENSORFLOW and layer.supports_jit else (not TENSORFLOW,):
        for ours, theirs in zip(compiled(forward_at, xla)(seed), expected, strict=True):
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
        reference.set_weights([np.full(variable.shape, 1 / 3) for variable in reference.weights])
        inputs = case.inputs().astype("float64") / 3
        outputs, kl = soonest(forward(layer, inputs))(seeds(1)[0])
        np.testing.assert_allclose(numpy(outputs), numpy(reference(inputs)), rtol=1e-10, atol=1e-10)
        assert {variable.dtype for variable in layer.trainable_variables} == {"float64"}
        num_weights = sum(math.prod(q.mean.shape) for q in read(layer).values())
        expected = num_weights * (0.5 * (1e-24 + 1 / 9) - 0.5 - math.log(1e-12))
        np.testing.assert_allclose(numpy(kl), expected, rtol=1e-12)


def check_extremes(case: Case) -> None:
    """Outputs, KL term and gradients are finite for tiny and huge posteriors, zero inputs, and one or no example."""
    inputs = case.inputs()
    inputs[0] = 0.0
    assert_finite(case, inputs, [0.1, 0.1, 1e4], [1e-8, 1e3, 0.1], compiles=True)
    assert_finite(case, inputs, [1e4, -1e4], [1e-8, 1e3])
    assert_finite(case, inputs[:1], [0.1], [0.1])
    if _keras_takes_no_example(case):
        assert_finite(case, inputs[:0], [0.1], [0.1])


def _keras_takes_no_example(case: Case) -> bool:
    """Returns whether the Keras layer takes an empty batch: on TensorFlow some convolutions and cells do not."""
    try:
        return len(case.make_keras()(case.inputs()[:0])) == 0
    except Exception:
        return False


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
    with priors.kept_shared(prior):
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
    clones = [clone_model(model) for _ in range(2)]
    for clone in clones:
        assert len(clone.trainable_variables) == len(model.trainable_variables)
        assert len({id(layer.prior) for layer in variational_layers(clone)}) == 1
        clone.set_weights(model.get_weights())
    variables = [variable for m in (model, *clones) for variable in m.variables]
    assert len({id(variable) for variable in variables}) == 3 * len(model.variables)


def assert_finite(
    case: Case, inputs: np.ndarray, means: Sequence[float], stddevs: Sequence[float], compiles: bool = False
) -> None:
    """Asserts that all that a layer computes is finite; the outputs' channels take the means and stddevs in turn.

    TensorFlow computes one draw in less time than it takes to compile it; and its graph optimizer ends the process
    over a convolution of a batch that is empty at compile time.
    """
    layer = make_with_prior(case, priors.ScaleMixture(1.0, math.exp(-8), 0.5, trainable=True))
    set_posterior(layer, lambda shape: (np.resize(means, shape[-1]), np.resize(stddevs, shape[-1])))
    forward_at = forward(layer, inputs)

    def total(seed: Any) -> Any:
        outputs, kl = forward_at(seed)
        return keras.ops.sum(outputs) + kl  # one output that is not finite shows in the sum

    loss = with_gradient(total, layer.trainable_variables)
    values = numpy((compiled if compiles else soonest)(loss)(seeds(1)[0]))
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
