"""Targets beside outputs with positions, beside draws, and beside what they do not fit."""

import math

import keras
import numpy as np
import pytest
from scipy import special, stats

import tfp_bnn as bnn
from tests.support.on_backends import numpy, on_tensorflow_alone
from tfp_bnn import likelihoods

pytestmark = pytest.mark.jax_if_thorough

N, TIME, CLASSES = 4, 3, 5
RNG = np.random.default_rng(0)

# A likelihood, outputs for one target, and targets that draw_targets makes.
FAMILIES = {
    "categorical": (likelihoods.Categorical(), CLASSES, lambda shape: RNG.integers(CLASSES, size=shape)),
    "bernoulli": (likelihoods.Bernoulli(), 1, lambda shape: RNG.integers(2, size=shape)),
    "normal": (likelihoods.Normal(1.0), 1, lambda shape: RNG.normal(size=shape)),
    "normal, predicted scale": (likelihoods.Normal(), 2, lambda shape: RNG.normal(size=shape)),
}
each_family = pytest.mark.parametrize("name", FAMILIES)


def case(name, *shape):
    likelihood, outputs, targets = FAMILIES[name]
    return likelihood, RNG.normal(size=(*shape, outputs)).astype("float32"), targets(shape)


@each_family
@pytest.mark.parametrize("shape", [(N, TIME), (TIME, TIME), (N, 1), (1, TIME), (N, 2, TIME)])
def test_the_loss_of_positions_is_that_of_each(name, shape):
    likelihood, outputs, y = case(name, *shape)
    each = likelihood.log_prob(outputs.reshape(-1, outputs.shape[-1]), y.reshape(-1))
    for targets in (y, y[..., np.newaxis]):
        losses = likelihood.call(keras.ops.convert_to_tensor(targets), keras.ops.convert_to_tensor(outputs))
        np.testing.assert_allclose(numpy(losses), -numpy(each).reshape(shape), rtol=1e-5, atol=1e-6)


@each_family
@pytest.mark.parametrize("size", [N, TIME])
def test_labels_without_the_axis_of_time_are_refused(name, size):
    # Of as many inputs as there are times, they would stand beside the wrong axis.
    likelihood, outputs, y = case(name, size, TIME)
    expected = rf"shape \[{size}, {TIME}\] or \[{size}, {TIME}, 1\] beside outputs"
    for wrong in (y[:, 0], y[:, :1], y.ravel(), y[..., None, None], y[None]):
        with pytest.raises(ValueError, match=expected):
            likelihood.call(keras.ops.convert_to_tensor(wrong), keras.ops.convert_to_tensor(outputs))


def test_several_targets_need_their_axis():
    likelihood, outputs = likelihoods.Normal(1.0), np.zeros((3, 3), "float32")
    for wrong in (np.zeros(3), np.zeros((3, 1)), np.zeros((1, 3)), np.zeros((3, 2))):
        with pytest.raises(ValueError, match=r"shape \[3, 3\] beside outputs of shape \(3, 3\)"):
            likelihood.call(keras.ops.convert_to_tensor(wrong), keras.ops.convert_to_tensor(outputs))


def test_a_sequence_model_is_trained_on_labels_of_either_shape_and_on_no_others():
    x = RNG.normal(size=(8, TIME, 2)).astype("float32")
    y = RNG.integers(CLASSES, size=(8, TIME))
    model = keras.Sequential([keras.Input((TIME, 2)), keras.layers.Dense(CLASSES)])
    model.compile("sgd", loss=likelihoods.Categorical())
    losses = [model.evaluate(x, labels, batch_size=3, verbose=0) for labels in (y, y[..., None])]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    with pytest.raises(ValueError, match="Categorical expects targets of shape"):
        model.fit(x, y[:, :1], batch_size=TIME, verbose=0)


@on_tensorflow_alone
def test_sizes_that_are_not_known_when_compiled_fit():
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, None, CLASSES), tf.float32)]
    loss = tf.function(likelihoods.Categorical().call, input_signature=signature, autograph=False)
    likelihood, outputs, y = case("categorical", N, TIME)
    np.testing.assert_allclose(loss(y.astype("int32"), outputs), likelihood.call(y, outputs), rtol=1e-6)


# Draws


@each_family
@pytest.mark.parametrize(("draws", "inputs"), [(1, 1), (1, 4), (4, 1), (4, 4), (2, 3)])
def test_targets_stand_beside_the_inputs_and_not_beside_the_draws(name, draws, inputs):
    likelihood, outputs, y = case(name, draws, inputs)
    y = y[0]
    each = np.stack([numpy(likelihood.log_prob(draw, y[:, None])) for draw in outputs])
    expected = special.logsumexp(each, axis=0) - math.log(draws)
    averages = bnn.prediction.averages.average_over_draws([outputs], likelihood, y)
    np.testing.assert_allclose(averages["log_prob"], expected, rtol=1e-5, atol=1e-6)
    for targets in (y, y[:, None]):
        np.testing.assert_allclose(numpy(likelihood.log_prob(outputs, targets)), each, rtol=1e-5, atol=1e-6)
        log_prob = bnn.Predictive(outputs, likelihood).log_prob(targets)
        assert log_prob.shape == (inputs,)
        np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-6)


def test_as_many_targets_as_draws_and_inputs_stand_beside_the_inputs():
    outputs, y = RNG.normal(size=(3, 3, 3)).astype("float32"), RNG.normal(size=(3, 3))
    expected = stats.norm(outputs, 1.0).logpdf(y).sum(axis=-1)
    log_prob = bnn.Predictive(outputs, likelihoods.Normal(1.0)).log_prob(y)
    np.testing.assert_allclose(log_prob, special.logsumexp(expected, axis=0) - math.log(3), rtol=1e-5)
    for wrong in (y[:, 0], y[:, :1], y[None], np.zeros((3, 3, 3))):
        with pytest.raises(ValueError, match="target"):
            bnn.Predictive(outputs, likelihoods.Normal(1.0)).log_prob(wrong)


@pytest.mark.parametrize("wrong", [np.eye(CLASSES)[:N], np.zeros((N, 1, 1), int), np.zeros((N, N), int)])
def test_one_hot_labels_are_refused_wherever_labels_go(wrong):
    predictive = bnn.Predictive(np.zeros((2, N, CLASSES)), likelihoods.Categorical())
    for function in (predictive.log_prob, *(lambda y, f=f: f(predictive, y) for f in CALIBRATIONS)):
        with pytest.raises(ValueError, match=r"one-hot labels take y.argmax\(axis=-1\)"):
            function(wrong)


CALIBRATIONS = bnn.calibrate_cutoff, bnn.calibrate_temperature
