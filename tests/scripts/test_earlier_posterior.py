"""Yesterday's posterior as the prior of today, in scripts: SciPy, TFP and Bayes's rule are the oracles."""

import keras
import numpy as np
import pytest
from scipy import stats

import tfp_bnn as bnn
from scripts.learning import earlier_posterior

SHAPE = (3, 2)


def make_layer(scale=0.7):
    prior = earlier_posterior.EarlierPosterior(SHAPE, scale)
    layer = bnn.layers.DenseReparameterization(SHAPE[1], prior=prior, kl_weight=1.0)
    layer.build((None, SHAPE[0]))
    return layer, prior


def assign(layer, mean, stddev):
    layer.random_weights["kernel"][0].assign(mean, stddev)


def arrays(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=SHAPE), rng.uniform(0.1, 2, SHAPE)


def test_the_divergence_from_it_is_that_of_independent_normals():
    layer, prior = make_layer()
    (mean, stddev), (prior_mean, prior_stddev) = arrays(0), arrays(1)
    assign(layer, mean, stddev)
    prior.mean.assign(prior_mean)
    prior.stddev.assign(prior_stddev)
    posterior = layer.random_weights["kernel"][0].read()
    expected = np.log(prior_stddev / stddev) + (stddev**2 + (mean - prior_mean) ** 2) / (2 * prior_stddev**2) - 0.5
    assert float(bnn.kl.closed_form(posterior, prior)) == pytest.approx(expected.sum(), rel=1e-5)
    density = stats.norm(prior_mean, prior_stddev).logpdf(0.3)
    weights = keras.ops.full(SHAPE, 0.3)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(prior.log_prob(weights)), density, rtol=1e-4, atol=1e-5)
    of_tfp = layer.kernel_prior().log_prob(weights)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(of_tfp), density, rtol=1e-4, atol=1e-5)


def test_the_prior_is_the_posterior_of_so_many_looks_ago():
    layer, prior = make_layer(scale=0.7)
    heirs = earlier_posterior.Heirs([layer], distance=2)
    for look in range(4):
        assert heirs.have_inherited == (look > 2)
        if not heirs.have_inherited:
            np.testing.assert_allclose(keras.ops.convert_to_numpy(prior.stddev), 0.7, rtol=1e-6)
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(prior.mean), 0.0)
        assign(layer, *arrays(look))
        heirs.remember()
    mean, stddev = arrays(1)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(prior.mean), mean, rtol=1e-5)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(prior.stddev), stddev, rtol=1e-5)


def test_half_the_data_after_the_other_half_gives_the_posterior_of_all_of_them():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(200, 1)).astype("float32"), 0.5
    y = (1.5 * x + noise * rng.normal(size=x.shape)).astype("float32")
    keras.utils.set_random_seed(0)
    prior = earlier_posterior.EarlierPosterior((1, 1), scale=1.0)
    layer = bnn.layers.DenseReparameterization(1, use_bias=False, prior=prior, kl_weight=1 / 100)
    model = keras.Sequential([keras.Input((1,)), layer])
    heirs = earlier_posterior.Heirs([layer], distance=0)
    for half in (slice(100), slice(100, 200)):
        rate = keras.optimizers.schedules.CosineDecay(0.05, 600)
        model.compile(keras.optimizers.Adam(rate), loss=bnn.likelihoods.Normal(scale=noise))
        # All of them in each step.
        model.fit(np.tile(x[half], (600, 1)), np.tile(y[half], (600, 1)), batch_size=100, shuffle=False, verbose=0)
        heirs.remember()
    # Of a straight line under N(0, 1) and normal noise.
    precision = 1 + np.square(x).sum() / noise**2
    found = layer.random_weights["kernel"][0].read()
    assert float(found.mean[0, 0]) == pytest.approx((x * y).sum() / noise**2 / precision, rel=0.01)
    assert float(found.stddev[0, 0]) == pytest.approx(precision**-0.5, rel=0.05)
