"""What is computed in float64 where Keras, or a single layer, is set to it."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, double_precision, numpy
from tfp_bnn import layers, likelihoods, priors

LAYERS = [
    layers.DenseFlipout,
    layers.DenseLocalReparameterization,
    layers.DenseReparameterization,
    layers.DenseVariational,
]
FAMILIES = {
    "Categorical": (likelihoods.Categorical(), 3, np.array([0, 2, 1, 1])),
    "Bernoulli": (likelihoods.Bernoulli(), 1, np.array([0, 1, 1, 0])),
    "Normal": (likelihoods.Normal(), 2, np.linspace(-1, 1, 4)),
    "StudentT": (likelihoods.StudentT(), 2, np.linspace(-1, 1, 4)),
    "Laplace": (likelihoods.Laplace(), 2, np.linspace(-1, 1, 4)),
    "NormalMixture": (likelihoods.NormalMixture(2), 6, np.linspace(-1, 1, 4)),
    "Poisson": (likelihoods.Poisson(), 1, np.arange(4)),
    "NegativeBinomial": (likelihoods.NegativeBinomial(), 2, np.arange(4)),
}
X = np.random.default_rng(0).normal(size=(4, 3))


@pytest.fixture
def float64():
    before = keras.config.dtype_policy()
    with double_precision():
        keras.config.set_floatx("float64")
        # The default of layers, which floatx alone decides in a process that has made none yet.
        keras.config.set_dtype_policy("float64")
        try:
            yield
        finally:
            keras.config.set_floatx("float32")
            keras.config.set_dtype_policy(before)


def dtype_of(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("layer", LAYERS)
def test_layers_train_and_their_loss_is_the_objective_in_float64(layer):
    prior = priors.ScaleMixture(trainable=True)
    bias = {} if layer is layers.DenseVariational else {"bias_posterior": bnn.posteriors.MeanFieldNormal()}
    model = keras.Sequential([keras.Input((3,)), layer(4, prior=prior, kl_weight=0.1, **bias), layer(1, kl_weight=0.1)])
    model.compile("sgd", likelihoods.Normal(1.0))
    assert np.isfinite(model.fit(X, np.ones(4), verbose=0).history["loss"][0])
    model(X, training=True)
    assert [dtype_of(loss) for loss in model.losses] == ["float64"] * len(model.losses)
    assert {dtype_of(weight) for weight in model.trainable_variables} == {"float64"}


@pytest.mark.usefixtures("float64")
def test_the_kl_weight_of_the_callback_is_exact_in_float64():
    posterior = bnn.posteriors.MeanFieldNormal(1e-9, "zeros")
    model = keras.Sequential([keras.Input((3,)), layers.DenseFlipout(1, use_bias=False, posterior=posterior)])
    model.compile(keras.optimizers.SGD(0.0), likelihoods.Normal(1.0))
    history = model.fit(X[:3], np.ones(3), verbose=0, callbacks=[bnn.callbacks.KLWeight()]).history
    stddev = numpy(model.layers[0].random_weights["kernel"][0].read().stddev)
    kl = np.sum(-np.log(stddev) + 0.5 * (stddev**2 - 1))  # from N(0, 1)
    expected = 0.5 + 0.5 * np.log(2 * np.pi) + kl / 3
    assert history["loss"][0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.jax_if_thorough
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", FAMILIES if TENSORFLOW else ["Categorical", "Normal"])
def test_likelihoods_train_and_predict_in_float64(name):
    _, outputs, y = FAMILIES[name]
    likelihood = type(FAMILIES[name][0]).from_config({**FAMILIES[name][0].get_config(), "dtype": "float64"})
    model = keras.Sequential([keras.Input((3,)), layers.DenseFlipout(outputs, kl_weight=0.1)])
    model.compile("sgd", likelihood, run_eagerly=True)  # quicker than to compile
    assert np.isfinite(model.fit(X, y, verbose=0).history["loss"][0])
    predictive = bnn.predict(model, X, num_draws=3, seed=1, verbose=False)
    summary = bnn.summarize(model, X, y, num_draws=3, seed=1, verbose=False)
    assert predictive.outputs.dtype == predictive.mean().dtype == predictive.log_prob(y).dtype == np.float64
    np.testing.assert_allclose(summary.mean(), predictive.mean(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(summary.log_prob(), predictive.log_prob(y), rtol=1e-10)


@pytest.mark.usefixtures("float64")
def test_targets_far_from_0_keep_their_standard_deviation():
    model = keras.Sequential(
        [keras.Input((3,)), layers.DenseFlipout(1, bias_posterior=bnn.posteriors.MeanFieldNormal())]
    )
    model(X)
    model.layers[0].random_weights["bias"][0].assign(1.7e9, 3.0)
    model.layers[0].random_weights["kernel"][0].assign(0.0, 0.0)
    likelihood = likelihoods.Normal(1.0)
    predictive = bnn.predict(model, X, num_draws=400, likelihood=likelihood, seed=1, verbose=False)
    np.testing.assert_allclose(predictive.epistemic_stddev(), 3.0, rtol=0.15)
    assert len(np.unique(predictive.outputs[:, 0])) == 400
    summary = bnn.summarize(model, X, num_draws=400, likelihood=likelihood, seed=1, verbose=False)
    np.testing.assert_allclose(summary.epistemic_stddev(), predictive.epistemic_stddev(), rtol=1e-6)


@pytest.mark.usefixtures("float64")
def test_the_kl_term_is_as_exact_as_the_weights():
    layer = layers.DenseReparameterization(2, use_bias=False, kl_weight=0.25)
    layer.build((None, 3))
    mean, stddev = np.linspace(-1, 1, 6).reshape(3, 2), np.linspace(0.1, 0.9, 6).reshape(3, 2)
    layer.random_weights["kernel"][0].assign(mean, stddev)
    layer(X, training=True)
    kl = np.sum(-np.log(stddev) + (stddev**2 + mean**2) / 2 - 0.5)
    np.testing.assert_allclose(numpy(layer.losses[0]), kl / 4, rtol=1e-12)


@pytest.mark.jax_if_thorough
@pytest.mark.parametrize("layer", LAYERS)
def test_one_layer_of_float64_trains_in_a_network_of_float32(layer):
    with double_precision():
        model = keras.Sequential(
            [
                keras.Input((3,)),
                layers.DenseFlipout(4, kl_weight=0.1),
                layer(4, kl_weight=0.1, dtype="float64"),
                layers.DenseFlipout(1, kl_weight=0.1),
            ]
        )
        model.compile("sgd", likelihoods.Normal(1.0), run_eagerly=True)
        assert np.isfinite(model.fit(X, np.ones(4), verbose=0).history["loss"][0])
        assert bnn.predict(model, X, num_draws=3, verbose=False).outputs.dtype == np.float32
        head = keras.Sequential([keras.Input((3,)), layers.DenseFlipout(4), layer(1, dtype="float64")])
        likelihood = likelihoods.Normal(1.0)
        assert bnn.predict(head, X, num_draws=3, likelihood=likelihood, verbose=False).outputs.dtype == np.float64


def test_outputs_that_a_subclassed_model_casts_to_float64_stay_so():
    class Dates(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = layers.DenseFlipout(1)

        def call(self, x):
            return 1.7e9 + keras.ops.cast(self.head(x), "float64")

    with double_precision():
        likelihood = likelihoods.Normal(1.0)
        outputs = bnn.predict(Dates(), X, num_draws=30, likelihood=likelihood, verbose=False).outputs
    assert outputs.dtype == np.float64
    assert len(np.unique(outputs[:, 0])) == 30
