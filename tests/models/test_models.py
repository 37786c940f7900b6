"""The ready-made networks."""

import keras
import pytest

import tfp_bnn as bnn


def test_lenet5_has_the_layers_of_tfps_example():
    model = bnn.models.lenet5()
    bayesian = bnn.layers.variational_layers(model)
    kernels = [tuple(layer.random_weights["kernel"][0].mean.shape) for layer in bayesian]
    assert kernels == [(5, 5, 1, 6), (5, 5, 6, 16), (5, 5, 16, 120), (7 * 7 * 120, 84), (84, 10)]
    assert model.output_shape == (None, 10)
    assert [type(layer).__name__ for layer in bayesian] == ["Conv2D"] * 3 + ["Dense"] * 2
    assert {layer.get_config()["estimator"] for layer in bayesian} == {"flipout"}


def test_lenet5_has_the_activation_asked_for_in_all_layers_but_the_last():
    *hidden, last = bnn.layers.variational_layers(bnn.models.lenet5(activation="tanh"))
    assert {layer.activation for layer in hidden} == {keras.activations.tanh}
    assert last.activation is keras.activations.linear


def test_lenet5_has_another_activation_in_its_dense_layer_if_asked_for():
    *convolutions, dense, last = bnn.layers.variational_layers(bnn.models.lenet5(dense_activation="tanh"))
    assert {layer.activation for layer in convolutions} == {keras.activations.relu}
    assert dense.activation is keras.activations.tanh
    assert last.activation is keras.activations.linear


@pytest.mark.parametrize("estimator", [*bnn.estimators.NAMES, bnn.estimators.Antithetic(pairs=3)])
def test_the_layers_have_the_estimator_and_share_the_prior(estimator):
    prior = bnn.priors.ScaleMixture(1.0, 0.1, 0.5, trainable=True)
    model = bnn.models.mlp((28, 28, 1), units=(7, 6), num_outputs=3, estimator=estimator, prior=prior)
    layers = bnn.layers.variational_layers(model)
    assert [layer.units for layer in layers] == [7, 6, 3]
    assert all(layer.prior is prior for layer in layers)
    assert {layer.get_config()["estimator"] for layer in layers} == {estimator}
    assert model.layers[-1].activation is keras.activations.linear


@pytest.mark.parametrize(
    ("make_model", "message"),
    [
        (lambda: bnn.models.lenet5(estimator="dropout"), "`estimator` must be one of .* Received: estimator='dropout'"),
        (lambda: bnn.models.lenet5((28, 28)), r"\(height, width, channels\). Received: input_shape=\(28, 28\)"),
        (lambda: bnn.models.lenet5(num_classes=0), "`units` must be a positive integer. Received: units=0"),
        (lambda: bnn.models.mlp((4,), units=400), "`units` must be the widths .* Received: 400"),
        (lambda: bnn.models.mlp((4,), prior="normal"), "`prior` must be a tfp_bnn.priors.Prior"),
    ],
)
def test_a_wrong_argument_gets_one_clear_error(make_model, message):
    with pytest.raises(ValueError, match=message):
        make_model()
