"""Scales of priors that are fit in closed form: the best ones, by layer, kept with the model."""

import keras
import numpy as np
import pytest
import scipy.stats

import tfp_bnn as bnn
from tests.support.on_backends import UNCOMPILED, on_tensorflow_alone
from tfp_bnn.callbacks.fit_prior_scale import best_scale

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")


def make_model(first, second):
    model = keras.Sequential([keras.Input((3,)), bnn.layers.Dense(4, prior=first), bnn.layers.Dense(2, prior=second)])
    model.compile(keras.optimizers.SGD(0.1), loss=bnn.likelihoods.Normal(), **UNCOMPILED)
    return model


def moments(layers):
    """Returns the root of the mean of `mean^2 + stddev^2` over the kernels."""
    kernels = [layer.random_weights["kernel"][0].read() for layer in layers]
    return np.sqrt(np.mean(np.concatenate([np.ravel(kernel.mean**2 + kernel.stddev**2) for kernel in kernels])))


def test_each_scale_is_the_best_for_the_weights_that_have_it(tmp_path):
    first, second = bnn.priors.FittedNormal(), bnn.priors.FittedNormal(scale=2.0)
    model = make_model(first, second)
    model.fit(X, X[:, :1], verbose=0, callbacks=[bnn.callbacks.KLWeight(), bnn.callbacks.FitPriorScale()])
    for prior, layer in zip((first, second), model.layers, strict=True):
        assert float(prior.stddev()) == pytest.approx(moments([layer]), rel=1e-5)
    least = float(bnn.kl_divergence(model))
    for factor in (0.98, 1.02):
        first.assign(float(first.stddev()) * factor)
        assert float(bnn.kl_divergence(model)) > least
        first.assign(moments(model.layers[:1]))
    model.save(path := tmp_path / "model.keras")
    loaded = keras.saving.load_model(path)
    assert float(loaded.layers[1].prior.stddev()) == float(second.stddev()) != 2.0


def test_a_prior_that_is_shared_has_one_scale():
    prior = bnn.priors.FittedNormal()
    model = make_model(prior, prior)
    callbacks = [bnn.callbacks.KLWeight(), bnn.callbacks.FitPriorScale(from_epoch=2)]
    model.fit(X, X[:, :1], verbose=0, callbacks=callbacks)
    assert float(prior.stddev()) == 1.0
    model.fit(X, X[:, :1], epochs=2, verbose=0, callbacks=callbacks)
    assert float(prior.stddev()) == pytest.approx(moments(model.layers), rel=1e-5)


def test_its_density_and_its_divergence_are_those_of_the_gaussian():
    prior, weights = bnn.priors.FittedNormal(), np.array([-3, 0, 0.5], "float32")
    prior.assign(0.3)
    np.testing.assert_allclose(prior.log_prob(weights), scipy.stats.norm(scale=0.3).logpdf(weights), rtol=1e-6)
    posterior = bnn.posteriors.NormalWeights(*(keras.ops.convert_to_tensor(each) for each in (weights, weights**2 + 1)))
    expected = bnn.kl.closed_form(posterior, bnn.priors.Normal(scale=0.3))
    np.testing.assert_allclose(bnn.kl.closed_form(posterior, prior), expected, rtol=1e-6)


@on_tensorflow_alone
def test_its_distribution_is_of_tfp():
    prior, weights = bnn.priors.FittedNormal(scale=0.3), np.array([-3, 0, 0.5], "float32")
    np.testing.assert_allclose(prior.distribution((3,)).log_prob(weights), prior.log_prob(weights), rtol=1e-6)


@on_tensorflow_alone
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bnn.priors.FittedNormal(0.0), "`scale` must lie between .*Received: scale=0"),
        (lambda: bnn.callbacks.FitPriorScale(0), "`from_epoch` must be a positive integer"),
        (
            lambda: bnn.callbacks.FitPriorScale().set_model(make_model(None, None)),
            "no tfp_bnn.priors.FittedNormal.*Received: model 'sequential",
        ),
    ],
)
def test_wrong_use_gets_one_clear_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@on_tensorflow_alone
def test_pruned_weights_say_nothing_of_the_scale():
    mean, stddev = np.array([3.0, 0.0, 0.0, 4.0], "float32"), np.array([0.5, 0.0, 0.0, 1.5], "float32")
    tensors = [keras.ops.convert_to_tensor(each) for each in (mean, stddev, np.array([True, False, False, True]))]
    weights = bnn.posteriors.NormalWeights(*tensors)
    # (9 + 0.25 + 16 + 2.25) / 2
    assert best_scale([weights]) == pytest.approx(13.75**0.5)
