"""Plain Keras copies of Bayesian models: the same function at the means of the weights."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.contract.layer_contract import cases


def outputs_at_the_means(model, x):
    """Returns the outputs of a model without noise."""
    for layer in bnn.layers.variational_layers(model):
        for variables, _ in layer.random_weights.values():
            variables.assign(keras.ops.convert_to_numpy(variables.mean), 0.0)
    return outputs_of(model, x)


def outputs_of(model, x):
    """Returns the outputs of a model, which is not compiled for them: that takes longer."""
    return keras.ops.convert_to_numpy(model(x))


@pytest.mark.parametrize("case", cases(every_geometry=False), ids=str)
@pytest.mark.parametrize("use_bias", [False, True])
def test_each_layer_becomes_the_keras_layer_at_its_means(case, use_bias):
    # Whether there is a bias, an equation's layer is told by its axes.
    keywords = {"use_bias": use_bias} if case.takes("use_bias") else {}
    layer = case.layer_class(*case.arguments, **case.keywords, activation="tanh", **keywords)
    model = keras.Sequential([keras.Input(case.input_shape[1:]), layer])
    plain = bnn.to_deterministic(model)
    (plain_layer,) = plain.layers
    assert type(plain_layer).__module__.startswith("keras.")
    assert plain_layer.name == layer.name
    expected = outputs_of(plain, case.inputs())
    np.testing.assert_allclose(expected, outputs_at_the_means(model, case.inputs()), rtol=1e-4, atol=1e-5)


def make_model():
    inputs = keras.Input((6, 6, 2))
    inner = keras.Sequential([keras.Input((32,)), bnn.layers.DenseFlipout(5), keras.layers.BatchNormalization()])
    shared = bnn.layers.DenseVariational(5, activation="relu")
    features = keras.layers.Flatten()(bnn.layers.Conv2DFlipout(2, 3, groups=2)(inputs))
    outputs = keras.layers.Dense(3)(shared(shared(inner(features))))
    model = keras.Model(inputs, outputs)
    model.compile("adam", loss=bnn.likelihoods.Categorical())
    return model


X = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype("float32")


def test_nested_models_and_shared_layers_are_converted_with_their_weights():
    model = make_model()
    plain = bnn.to_deterministic(model)
    assert not bnn.layers.variational_layers(plain)
    assert isinstance(plain.loss, bnn.likelihoods.Categorical)
    np.testing.assert_allclose(outputs_of(plain, X), outputs_at_the_means(model, X), rtol=1e-4, atol=1e-5)


def test_the_model_stays_as_it_was():
    model = make_model()
    before = model.get_weights()
    plain = bnn.to_deterministic(model)
    plain.set_weights([np.zeros_like(weights) for weights in plain.get_weights()])
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_deterministic_copy_is_saved_as_plain_keras(tmp_path):
    plain = bnn.to_deterministic(make_model())
    plain.compile()  # without the likelihood
    plain.save(tmp_path / "plain.keras")
    assert "tfp_bnn" not in str(plain.get_config())
    loaded = keras.saving.load_model(tmp_path / "plain.keras")
    np.testing.assert_allclose(outputs_of(loaded, X), outputs_of(plain, X), rtol=1e-5, atol=1e-6)


def test_a_deterministic_copy_can_be_exported(tmp_path):
    import tensorflow as tf

    plain = bnn.to_deterministic(make_model())
    plain.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))  # a name: it lives as long as it is served
    served = exported.serve(X)
    np.testing.assert_allclose(served.numpy(), outputs_of(plain, X), rtol=1e-4, atol=1e-5)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = bnn.layers.DenseFlipout(2)

    def call(self, inputs):
        return self.dense(inputs)


class Cell(keras.layers.Layer):
    state_size = 2

    def __init__(self):
        super().__init__()
        self.dense = bnn.layers.DenseFlipout(2, name="inside")

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs, states):
        return self.dense(inputs), states


def test_layers_in_wrappers_and_in_subclassed_models_are_converted():
    steps = keras.Sequential([keras.Input((3, 4)), keras.layers.TimeDistributed(bnn.layers.DenseFlipout(2))])
    subclassed = Subclassed()
    for model, x in ((steps, np.ones((2, 3, 4), "float32")), (subclassed, np.ones((2, 3), "float32"))):
        model(x)
        plain = bnn.to_deterministic(model)
        assert not bnn.layers.variational_layers(plain)
        np.testing.assert_allclose(outputs_of(plain, x), outputs_at_the_means(model, x), rtol=1e-4, atol=1e-5)


def test_a_draw_is_the_first_network_of_the_seed_that_predict_takes():
    model = keras.Sequential([keras.Input((3,)), bnn.layers.DenseFlipout(4, activation="tanh"), bnn.layers.Dense(2)])
    x = np.ones((2, 3), "float32")
    drawn = bnn.to_deterministic(model, how="draw", seed=3)
    predictive = bnn.predict(model, x, num_draws=2, seed=3, likelihood=bnn.likelihoods.Normal(1.0))
    np.testing.assert_allclose(outputs_of(drawn, x), predictive.draws[0], rtol=1e-5)
    with pytest.raises(ValueError, match="Received: how='median'"):
        bnn.to_deterministic(model, how="median")
    with pytest.raises(ValueError, match="`seed` goes with"):
        bnn.to_deterministic(model, seed=3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bnn.layers.DenseFlipout(2), "Expected a Keras model. Received: <DenseFlipout"),
        (lambda: keras.Sequential([bnn.layers.DenseFlipout(2)]), "model that is built"),
        (
            lambda: keras.Sequential([keras.Input((3, 4)), keras.layers.RNN(Cell())]),
            "cells of `keras.layers.RNN`, cannot be converted. Received: inside",
        ),
    ],
)
def test_a_model_that_cannot_be_converted_gets_one_clear_error(make, message):
    with pytest.raises(ValueError, match=message):
        bnn.to_deterministic(make())


@pytest.mark.parametrize("layer_class", [bnn.layers.DenseFlipout, bnn.layers.DenseVariational])
def test_a_plain_layer_has_the_regularizer_and_is_frozen_as_the_layer_is(layer_class):
    layer = layer_class(3, activity_regularizer="l2", trainable=False)
    (plain,) = bnn.to_deterministic(keras.Sequential([keras.Input((4,)), layer])).layers
    assert type(plain.activity_regularizer) is keras.regularizers.L2
    assert not plain.trainable
