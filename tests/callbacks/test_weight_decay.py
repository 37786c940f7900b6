"""Optimizers with weight decay: it draws means to 0, and leaves standard deviations and learned priors alone."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import UNCOMPILED, numpy

LEFT = (1 - 0.1 * 0.5) ** 3
"""What three steps at a learning rate of 0.1 and a weight decay of 0.5 leave."""


def decaying(**kwargs):
    return keras.optimizers.AdamW(0.1, weight_decay=0.5, **kwargs)


def without_gradients(optimizer):
    """Returns a model whose variables get no gradient: inputs are 0, and so is the KL weight."""
    prior = bnn.priors.ScaleMixture(1.0, 0.2, 0.3, trainable=True)
    model = keras.Sequential([keras.Input((3,)), bnn.layers.Dense(2, prior=prior, use_bias=False)])
    model.compile(optimizer, "mse", **UNCOMPILED)
    return model


def train(model, **kwargs):
    callback = bnn.callbacks.KLWeight(num_examples=4, beta=0.0)
    model.fit(np.zeros((4, 3)), np.zeros((4, 2)), epochs=3, verbose=0, callbacks=[callback], **kwargs)


def values(model):
    return {variable.name: numpy(variable) for variable in model.trainable_variables}


@pytest.mark.parametrize("built", [False, True])
def test_means_decay_and_nothing_else_of_a_distribution_does(built):
    model = without_gradients(decaying())
    if built:
        model.optimizer.build(model.trainable_variables)
    before = values(model)
    train(model)
    after = values(model)
    np.testing.assert_allclose(after.pop("kernel_mean"), LEFT * before.pop("kernel_mean"), rtol=1e-5)
    assert len(after) == 4
    for name, value in after.items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_what_the_user_keeps_from_decay_is_kept_too():
    optimizer = decaying()
    optimizer.exclude_from_weight_decay(var_names=["kernel_mean"])
    model = without_gradients(optimizer)
    before = values(model)
    train(model)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_an_optimizer_within_one_that_scales_the_loss_is_found():
    model = without_gradients(keras.optimizers.LossScaleOptimizer(decaying()))
    before = values(model)
    train(model)
    np.testing.assert_array_equal(values(model)["kernel_rho"], before["kernel_rho"])
    np.testing.assert_allclose(values(model)["kernel_mean"], LEFT * before["kernel_mean"], rtol=1e-5)


def test_a_converted_model_decays_as_the_keras_model_does():
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, bias_initializer="ones")])
    optimizer = decaying()
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    plain.compile(optimizer, "mse", **UNCOMPILED)
    model = bnn.to_bayesian(plain)
    before = values(model)
    callback = bnn.callbacks.KLWeight(num_examples=4, beta=0.0)
    # Targets that are met, so that there is no gradient.
    model.fit(np.zeros((4, 3)), np.ones((4, 2)), epochs=3, verbose=0, callbacks=[callback])
    after = values(model)
    np.testing.assert_allclose(after["kernel_mean"], LEFT * before["kernel_mean"], rtol=1e-5)
    np.testing.assert_array_equal(after["kernel_rho"], before["kernel_rho"])
    np.testing.assert_array_equal(after["bias"], before["bias"])


class TwoScales(keras.layers.Layer):
    """A layer of one's own, in which the name of a weight begins as another's does."""

    def build(self, input_shape):
        self.w = self.add_weight(name="w", shape=input_shape[1:])
        self.w_other = self.add_weight(name="w_other", shape=input_shape[1:])

    def call(self, inputs):
        return inputs * self.w * self.w_other


def test_means_of_a_layer_of_ones_own_decay_whatever_their_names():
    model = keras.Sequential([keras.Input((3,)), bnn.layers.Bayesian(TwoScales())])
    model.compile(decaying(), "mse", **UNCOMPILED)
    before = values(model)
    model.fit(np.zeros((4, 3)), np.zeros((4, 3)), epochs=3, verbose=0, callbacks=[bnn.callbacks.KLWeight(4, beta=0.0)])
    assert len(before) == 4
    for name, value in values(model).items():
        expected = before[name] if name.endswith("rho") else LEFT * before[name]
        np.testing.assert_allclose(value, expected, rtol=1e-5, err_msg=name)


def test_members_of_an_ensemble_keep_what_their_optimizer_keeps():
    def make_model():
        return keras.Sequential([keras.Input((3,)), bnn.layers.Dense(2, bias_initializer="ones")])

    model = bnn.models.ensemble(make_model, num_members=1)
    optimizer = decaying()
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, "mse", **UNCOMPILED)
    before = values(model)
    callback = bnn.callbacks.KLWeight(num_examples=4, beta=0.0)
    model.fit(np.zeros((4, 3)), np.ones((4, 2)), epochs=3, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(values(model)["bias"], before["bias"])
    np.testing.assert_allclose(values(model)["kernel_mean"], LEFT * before["kernel_mean"], rtol=1e-5)
